#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "base/wr.h"
#include "init/handoff.h"
#include "init/pid1_act.h"
#include "init/sys.h"
#include "init/workload.h"
#include "proto/env.h"

#define OOM_FILE	"/proc/self/oom_score_adj"
#define INSTEAD		"; the workload runs instead"
#define SYSTEMD_CONF	"/run/systemd/system.conf.d"

/* busybox goes by the name that it is called by */
static const struct {
	const char *path, *name;
} automatic[] = {
	{ "/sbin/init",			"/sbin/init" },
	{ "/sbin/init.orig",		"/sbin/init" },
	{ "/lib/systemd/systemd",	"/lib/systemd/systemd" },
	{ "/usr/lib/systemd/systemd",	"/usr/lib/systemd/systemd" },
};

static int refuse(const char *var, const char *what, const char *why)
{
	log_err("%s: %.128s%s%s" INSTEAD, var, what, *what ? ": " : "", why);
	return -EINVAL;
}

/** choose() - The first of the usual ones */
static int choose(struct handoff *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(automatic); i++) {
		const char *path = automatic[i].path;

		if (!spawn_executable(path) || sys_self(path))
			continue;
		h->name = automatic[i].name;
		return span_copy(span_str(path), h->path, sizeof(h->path));
	}
	return refuse(HANDOFF_VAR, "auto", "no init found; looked for "
		      "/sbin/init, /sbin/init.orig, /lib/systemd/systemd and "
		      "/usr/lib/systemd/systemd");
}

/** check() - Whether the program that was named will do */
static int check(struct handoff *h)
{
	struct stat st;

	if (h->path[0] != '/')
		return refuse(HANDOFF_VAR, h->path,
			      "neither an absolute path nor \"auto\"");
	if (sys_stat(h->path, &st) < 0)
		return refuse(HANDOFF_VAR, h->path, "there is no such program");
	if (!spawn_executable(h->path))
		return refuse(HANDOFF_VAR, h->path,
			      "not a file that can be executed");
	if (sys_self(h->path))
		return refuse(HANDOFF_VAR, h->path,
			      "that is msb-init itself; \"auto\" finds the "
			      "init that rootfs/bake has put aside");
	h->name = strcmp(h->path, automatic[1].path) == 0 ? automatic[1].name :
		  h->path;
	return 0;
}

static int read_cwd(struct handoff *h, struct span value)
{
	struct stat st;

	h->cwd[0] = '\0';
	if (!value.len)
		return 0;
	if (span_copy(value, h->cwd, sizeof(h->cwd)) < 0)
		return refuse(HANDOFF_CWD_VAR, "", "too long");
	if (h->cwd[0] != '/')
		return refuse(HANDOFF_CWD_VAR, h->cwd, "not an absolute path");
	if (sys_stat(h->cwd, &st) < 0 || !S_ISDIR(st.st_mode))
		return refuse(HANDOFF_CWD_VAR, h->cwd, "no such directory");
	return 0;
}

/** read_list() - One of the two encoded variables; none is an empty list */
static int read_list(const char *var, struct span value, struct handoff_args *a,
		     int (*parse)(struct span value, struct handoff_args *a,
				  const char **why))
{
	const char *why;

	a->n = 0;
	a->v[0] = NULL;
	if (!value.len || parse(value, a, &why) == 0)
		return 0;
	return refuse(var, "", why);
}

static struct span value(char *const *env, const char *var)
{
	return env_trim(span_str(pid1_env(env, var)));
}

int handoff_read(struct handoff *h, char *const *env)
{
	struct span init = value(env, HANDOFF_VAR);
	int rc;

	if (!init.len)
		return 0;
	if (span_copy(init, h->path, sizeof(h->path)) < 0)
		return refuse(HANDOFF_VAR, "", "too long");
	rc = strcmp(h->path, "auto") == 0 ? choose(h) : check(h);
	if (rc == 0)
		rc = read_list(HANDOFF_ARGS_VAR, value(env, HANDOFF_ARGS_VAR),
			       &h->args, handoff_args_words);
	if (rc == 0)
		rc = read_list(HANDOFF_ENV_VAR, value(env, HANDOFF_ENV_VAR),
			       &h->env, handoff_args_env);
	if (rc == 0)
		rc = read_cwd(h, value(env, HANDOFF_CWD_VAR));
	return rc < 0 ? rc : 1;
}

void handoff_env(const struct handoff *h, struct spawn_env *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n; i++)
		if (strncmp(e->v[i], HANDOFF_VAR, strlen(HANDOFF_VAR)) != 0)
			e->v[n++] = e->v[i];
	e->v[n] = NULL;
	e->n = n;
	for (size_t i = 0; i < h->env.n; i++)
		spawn_env_put(e, h->env.v[i]);
}

void handoff_services(const struct spawn_env *e)
{
	char text[4096];
	struct wr w = wr_init(text, sizeof(text) - 1);
	const char *name, *to;
	bool any = false;

	wr_fmt(&w, "# Made by msb-init\n[Manager]\n");
	for (unsigned int i = 0; (name = workload_ca_var(i)); i++) {
		to = spawn_env_get(e, name);
		if (!to || strpbrk(to, "%\"\\\n"))
			continue;
		wr_fmt(&w, "DefaultEnvironment=\"%s=%s\"\n", name, to);
		any = true;
	}
	if (!any || w.bad)
		return;
	*w.p = '\0';
	sys_mkdir("/run/systemd", 0755);
	sys_mkdir(SYSTEMD_CONF, 0755);
	sys_write_file(SYSTEMD_CONF "/50-msb-init.conf", 0644, text);
}

void handoff_exec(const struct handoff *h, struct spawn_env *e)
{
	static char *argv[HANDOFF_ARGS_MAX + 2];
	int rc;

	argv[0] = (char *)(uintptr_t)h->name;
	memcpy(argv + 1, h->args.v, (h->args.n + 1) * sizeof(argv[0]));
	rc = h->cwd[0] ? sys_chdir(h->cwd) : 0;
	if (rc < 0) {
		refuse(HANDOFF_CWD_VAR, h->cwd, strerror(-rc));
		return;
	}
	/* Its services would inherit that they are never to be killed */
	sys_write_file(OOM_FILE, 0, "0");
	sys_sigreset();
	rc = sys_execve(h->path, argv, e->v);
	sys_sigblock();
	sys_write_file(OOM_FILE, 0, "-1000");
	sys_chdir("/");
	spawn_failed(h->path, rc);
	refuse(HANDOFF_VAR, h->path, "it cannot become PID 1");
}
