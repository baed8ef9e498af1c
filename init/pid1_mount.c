#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "init/blockroot.h"
#include "init/console.h"
#include "init/modules.h"
#include "init/mounts.h"
#include "init/pid1.h"
#include "init/pid1_act.h"
#include "init/profile.h"
#include "init/rofs.h"
#include "init/root.h"
#include "init/sys.h"
#include "init/volumes.h"
#include "proto/cmdline.h"

enum pid1_end pid1_end(size_t cmdline_len, char *const *env)
{
	const char *end = pid1_env(env, "MSB_END");
	bool net = pid1_env(env, "MSB_NET");
	bool family = pid1_env(env, "MSB_NET_IPV4") ||
		      pid1_env(env, "MSB_NET_IPV6");

	if (end && strcmp(end, "1") == 0)
		return PID1_END_FINE;
	if (cmdline_len >= CMDLINE_SIZE - 1)
		return PID1_END_FULL;
	return net != family ? PID1_END_PARTS : PID1_END_FINE;
}

static void check_end(struct pid1 *p)
{
	if (p->cut != CUT_NONE)
		return;
	switch (pid1_end(strlen(p->cmdline), p->env)) {
	case PID1_END_FULL:
		log_warn("the command line is as long as the kernel allows "
			 "and MSB_END=1 is missing: its end was cut off");
		break;
	case PID1_END_PARTS:
		log_warn("only a part of the MSB_NET variables is there and "
			 "MSB_END=1 is missing: was the command line cut off?");
		break;
	case PID1_END_FINE:
		break;
	}
}

/** read_cmdline() - Read /proc/cmdline; "" if it cannot be had */
static void read_cmdline(struct pid1 *p)
{
	ssize_t n = sys_read_file("/proc/cmdline", p->cmdline,
				  sizeof(p->cmdline));

	if (n < 0) {
		log_err("/proc/cmdline: %s", strerror((int)-n));
		n = 0;
	}
	while (n > 0 && p->cmdline[n - 1] == '\n')
		n--;
	p->cmdline[n] = '\0';
}

/** refuse_cut() - Let nobody use what may be half; in a container it is not ours */
static void refuse_cut(struct pid1 *p)
{
	struct spawn_env *e = &p->kept;
	char name[64];

	p->cut = sys_contained() ? CUT_NONE :
		 cut_judge(span_str(p->cmdline), name, sizeof(name));
	if (p->cut == CUT_NONE)
		return;
	spawn_env_init(e, p->env);
	spawn_env_unset(e, name);
	if (p->cut == CUT_NET)
		spawn_env_set(e, CUT_VAR, name, false);
	else
		log_err("the kernel's command line is full (%zu bytes) and may "
			"have been cut off in %s: the workload will not be "
			"started; shorten the line", strlen(p->cmdline),
			strcmp(name, "--") ? name : "the words after \"--\"");
	p->env = e->v;
}

/**
 * exec_init() - Let another program go on as PID 1
 *
 * Its arguments are ours, as the kernel would have given them.  Returns if that
 * fails.
 */
static void exec_init(struct pid1 *p, const char *path)
{
	static struct spawn_env words;	/* it has the right shape */
	int rc;

	spawn_env_init(&words, p->argv);
	words.v[0] = (char *)(uintptr_t)path;
	console_key_leave();
	sys_sigreset();
	rc = sys_execve(path, words.v, p->env);
	sys_sigblock();
	console_key();
	log_err("root: %s: %s", path, strerror(-rc));
}

/** assemble() - A root of MSB_BLOCK_ROOT; whether there was one to make */
static bool assemble(struct pid1 *p)
{
	struct blockroot b;
	struct env_err err;
	int rc = blockroot_parse(pid1_env(p->env, BLOCKROOT_VAR), &b, &err);

	if (rc < 0)
		log_err("root: " BLOCKROOT_VAR ": %s (at byte %zu)", err.reason,
			err.offset);
	if (rc <= 0)
		return false;
	if (root_assemble(&b) == 0)
		modules_load(MODULES_LIST);
	mounts_essential();	/* those that could not go along */
	return true;
}

static void change_root(struct pid1 *p)
{
	struct root root;
	const char *init;

	if (assemble(p))
		return;
	root_parse(span_str(p->cmdline), &root);
	if (!root_wanted(&root))
		return;
	if (root_switch(&root) == 0) {
		init = root_init(&root);
		if (init)
			exec_init(p, init);
		modules_load(MODULES_LIST);
	}
	mounts_essential();
}

/** mount_volumes() - What the host asks for, and what a guest needs besides */
static void mount_volumes(struct pid1 *p)
{
	static struct volumes volumes;
	const char *values[MNTSPEC_KIND_NUM];

	for (unsigned int k = 0; k < MNTSPEC_KIND_NUM; k++)
		values[k] = pid1_env(p->env,
				     mntspec_var((enum mntspec_kind)k));
	p->become.restricted = profile_read(pid1_env(p->env, PROFILE_VAR));
	volumes_plan(&volumes, values,
		     p->become.restricted ? MS_NOSUID | MS_NODEV : 0);
	/* Before what may lie below it */
	if (!volumes_at(&volumes, "/tmp"))
		mounts_tmp();
	volumes_mount(&volumes);
	rofs_etc();
}

enum pid1_event pid1_act_mount(struct pid1 *p)
{
	mounts_essential();
	console_open(false);
	console_key();
	(void)log_own_tty();	/* without it there is a little to fear */
	sys_write_file("/proc/self/oom_score_adj", 0, "-1000");
	pid1_stamp(p, PID1_STAMP_MOUNTS);
	modules_load(MODULES_LIST);
	pid1_stamp(p, PID1_STAMP_MODULES);
	read_cmdline(p);
	refuse_cut(p);
	change_root(p);
	mount_volumes(p);
	check_end(p);
	rlimits_read(pid1_env(p->env, RLIMITS_VAR), &p->become.limits);
	p->hand_over = p->cut != CUT_WORK &&
		       handoff_read(&p->handoff, p->env) > 0;
	return PID1_EV_DONE;
}
