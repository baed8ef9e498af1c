#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/util.h"
#include "init/cgroup.h"
#include "init/pid1.h"
#include "init/pid1_act.h"
#include "init/profile.h"
#include "init/spawn.h"
#include "init/sys.h"
#include "init/userspec.h"

#define FORK_RETRY_MS	1000

static const char *const stamp_names[] = {
	[PID1_STAMP_MAIN] = "MAIN", [PID1_STAMP_MOUNTS] = "MOUNTS",
	[PID1_STAMP_MODULES] = "MODULES", [PID1_STAMP_AGENT] = "AGENT",
	[PID1_STAMP_READY] = "READY", [PID1_STAMP_HANDOFF] = "HANDOFF",
	[PID1_STAMP_WORKLOAD] = "WORKLOAD",
};
static_assert(ARRAY_SIZE(stamp_names) == PID1_STAMP_NUM, "name every stamp");

/**
 * tell_boot() - Write the stamps, and the CPU time so far, to a file, and to the
 *		 console if asked to
 */
static void tell_boot(struct pid1 *p)
{
	char text[512];
	int n = 0, rc;

	for (unsigned int i = 0; i < PID1_STAMP_NUM; i++)
		if (p->stamp[i])
			n += snprintf(text + n, sizeof(text) - (size_t)n,
				      "%s=%llu\n", stamp_names[i],
				      (unsigned long long)p->stamp[i]);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "CPU=%llu\n",
		      (unsigned long long)(sys_cputime() - p->cpu_ns));
	sys_mkdir("/run/msb", 0755);
	rc = sys_write_file(PID1_BOOT_FILE, 0644, text);
	if (rc < 0)
		log_info("%s: %s", PID1_BOOT_FILE, strerror(-rc));
	for (int i = 0; i < n; i++)
		if (text[i] == '\n')
			text[i] = i == n - 1 ? '\0' : ' ';
	if (p->verbose)
		log_info("boot (ns): %s", text);
}

/** start() - Start the workload */
static enum pid1_event start(struct pid1 *p)
{
	const char *home = pid1_env(p->env, "HOME");
	struct spawn_job job = { .argv = p->workload.argv,
				 .env = &p->work_env, .who = &p->become };

	spawn_env_init(&p->work_env, p->env);
	workload_env(&p->work_env, &p->watch);
	p->become.user = pid1_env(p->env, USERSPEC_VAR);
	p->become.home = !home || strcmp(home, "/") == 0;
	p->work_since_ns = sys_boottime();
	p->work = spawn_workload(&job);
	if (p->work < 0) {
		log_err("workload: fork: %s", strerror(-p->work));
		p->work = 0;
		pid1_arm(p, &p->stage, FORK_RETRY_MS);
		return PID1_EV_NONE;
	}
	return PID1_EV_DONE;
}

/**
 * hand_over() - Let another init be PID 1; returns only if that fails
 *
 * Its limits are for all that it starts.  Who the workload would have been is
 * nothing that an init could be.
 */
static void hand_over(struct pid1 *p)
{
	struct rlimits limits = p->become.limits, ours;

	if (pid1_env(p->env, USERSPEC_VAR) || p->become.restricted)
		log_warn("handoff: " USERSPEC_VAR " and " PROFILE_VAR " do not "
			 "hold for services of another init");
	if (!p->agent)
		pid1_act_agent(p);
	pid1_stamp(p, PID1_STAMP_HANDOFF);
	tell_boot(p);
	spawn_env_init(&p->work_env, p->env);
	workload_env(&p->work_env, &p->watch);
	handoff_env(&p->handoff, &p->work_env);
	handoff_services(&p->work_env);
	/* The kernel kills even PID 1 that has used up its CPU time */
	if (limits.set & 1U << RLIMIT_CPU)
		log_warn("handoff: " RLIMITS_VAR ": cpu is left out: it would "
			 "end PID 1");
	limits.set &= ~(1U << RLIMIT_CPU);
	rlimits_save(&ours, limits.set);
	rlimits_apply(&limits);
	handoff_exec(&p->handoff, &p->work_env);
	rlimits_apply(&ours);
	p->hand_over = false;
	/* It and its keeper heed no SIGTERM; the next one will */
	if (p->agent)
		sys_kill(-p->agent, SIGKILL);
	p->become.cgroup = cgroup_setup(pid1_env(p->env, CGROUP_VAR));
}

enum pid1_event pid1_act_work(struct pid1 *p)
{
	struct workload *w = &p->workload;

	if (p->hand_over)
		hand_over(p);
	if (p->stamp[PID1_STAMP_WORKLOAD])
		return start(p);	/* once more */
	workload_select(w, span_str(p->cmdline), p->argc, p->argv,
			pid1_env(p->env, "MSB_EXEC"));
	pid1_stamp(p, PID1_STAMP_WORKLOAD);
	tell_boot(p);
	if (p->cut == CUT_WORK) {
		p->work_code = SPAWN_NOT_EXECUTABLE;	/* said before */
		return PID1_EV_WORK_OVER;
	}
	if (w->kind == WORKLOAD_NONE) {
		log_err("workload: no words after \"--\", no MSB_EXEC, no "
			WORKLOAD_FILE ", no shell");
		p->work_code = SPAWN_NOT_FOUND;
		return PID1_EV_WORK_OVER;
	}
	return start(p);
}

enum pid1_event pid1_act_work_end(struct pid1 *p)
{
	uint32_t ms;

	if (p->become.cgroup)
		cgroup_events();
	if (!restart_wanted(p->restart, p->work_code))
		return PID1_EV_WORK_OVER;
	/* What it has left behind would be in the way of the next one */
	if (p->become.cgroup)
		cgroup_kill();
	ms = restart_delay_ms(&p->work_delay_ms, p->work_lived_ns);
	log_warn("workload: ended with status %d; starting it again in %u ms",
		 p->work_code, ms);
	pid1_arm(p, &p->stage, ms);
	return PID1_EV_NONE;
}
