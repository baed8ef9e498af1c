#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "init/cgroup.h"
#include "init/console.h"
#include "init/pid1.h"
#include "init/pid1_act.h"
#include "init/reap.h"
#include "init/sigs.h"
#include "init/sys.h"

#define READY_MS	5000
#define STOP_MS		3000
#define KILL_MS		1000	/* after SIGKILL only disk sleep lasts */
#define SECONDS_MAX	60
#define TIMERS		2
#define SIGS_BUDGET	16
#define DRAIN_BUDGET	64	/* reads of a dead agent's pipe: 64 KiB */

static const char *const state_names[] = {
	[PID1_MOUNT] = "MOUNT", [PID1_NET] = "NET", [PID1_READY] = "READY",
	[PID1_RUN] = "RUN", [PID1_STOP] = "STOP", [PID1_OFF] = "OFF",
};
static_assert(ARRAY_SIZE(state_names) == PID1_STATE_NUM, "name every state");

const char *pid1_env(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

void pid1_stamp(struct pid1 *p, enum pid1_stamp s)
{
	if (!p->stamp[s])
		p->stamp[s] = sys_boottime();
}

void pid1_arm(struct pid1 *p, struct timer *t, uint64_t ms)
{
	timer_set(ev_timerq(p->ev), t, sys_now() + ms * NS_PER_MS);
}

static void disarm(struct pid1 *p, struct timer *t)
{
	timer_del(ev_timerq(p->ev), t);
}

/* --- the agent ------------------------------------------------------------ */

static void agent_said(void *arg, enum watch_said what)
{
	struct pid1 *p = arg;

	if (what == WATCH_SAID_READY)
		pid1_stamp(p, PID1_STAMP_READY);
	pid1_event(p, what == WATCH_SAID_READY ? PID1_EV_READY :
		   PID1_EV_FAILED);
}

/** pipe_read() - One read of the agent's pipe; false if there is no more */
static bool pipe_read(struct pid1 *p)
{
	char buf[1024];
	ssize_t n = read(p->pipe.fd, buf, sizeof(buf));

	if (n > 0)
		watch_feed(&p->watch, buf, (size_t)n, agent_said, p);
	secure_zero(buf, sizeof(buf));
	return n > 0 || (n < 0 && errno == EINTR);
}

static void pipe_close(struct pid1 *p)
{
	ev_del(p->ev, &p->pipe);
	fd_close(&p->pipe.fd);
}

static void pipe_ready(struct ev_src *src, uint32_t events)
{
	struct pid1 *p = container_of(src, struct pid1, pipe);

	if (events && !pipe_read(p) && events & (EPOLLHUP | EPOLLERR))
		pipe_close(p);
}

enum pid1_event pid1_act_agent(struct pid1 *p)
{
	const struct spawn_agent a = { .watch = &p->watch, .env = p->env,
				       .self = p->self,
				       .handoff = p->hand_over };
	int fd, rc;
	pid_t pid;

	watch_begin(&p->watch);
	p->agent_since_ns = sys_boottime();
	pid = spawn_agent(&a, &fd);
	if (pid < 0) {
		log_err("agent: cannot be started: %s", strerror(-pid));
		return PID1_EV_AGENT_EXIT;
	}
	pid1_stamp(p, PID1_STAMP_AGENT);
	p->agent = pid;
	p->pipe.fd = fd;
	rc = ev_add(p->ev, &p->pipe, EPOLLIN);
	if (rc < 0) {
		log_err("agent: epoll: %s", strerror(-rc));
		fd_close(&p->pipe.fd);
	}
	return PID1_EV_NONE;
}

/** act_retry() - The pause is over; a hand-over that failed did not wait */
static enum pid1_event act_retry(struct pid1 *p)
{
	return p->agent ? PID1_EV_NONE : pid1_act_agent(p);
}

static enum pid1_event act_backoff(struct pid1 *p)
{
	uint64_t lived_ns = sys_boottime() - p->agent_since_ns;
	uint32_t ms = watch_delay_ms(&p->watch, lived_ns);

	pid1_arm(p, &p->retry, ms);
	log_warn("agent: starting it again in %u ms", ms);
	return PID1_EV_NONE;
}

static enum pid1_event act_note_ready(struct pid1 *p)
{
	(void)p;
	log_info("agent: the network is ready");
	return PID1_EV_NONE;
}

static enum pid1_event act_note_failed(struct pid1 *p)
{
	log_warn("agent: no network: %s", p->watch.reason);
	return PID1_EV_NONE;
}

/* --- NET and READY -------------------------------------------------------- */

static enum pid1_event act_net(struct pid1 *p)
{
	enum pid1_event e;

	pid1_arm(p, &p->stage, p->ready_ms);
	e = pid1_act_agent(p);
	/*
	 * While the agent is at work: the kernel takes its time for this.
	 * Another init makes its own control groups
	 */
	p->become.cgroup = !p->hand_over &&
			   cgroup_setup(pid1_env(p->env, CGROUP_VAR));
	return e;
}

static enum pid1_event act_ready(struct pid1 *p)
{
	disarm(p, &p->stage);
	act_note_ready(p);
	return PID1_EV_BEGIN;
}

static enum pid1_event act_failed(struct pid1 *p)
{
	disarm(p, &p->stage);
	log_err("no network: %s; the workload starts without it",
		p->watch.reason);
	return PID1_EV_BEGIN;
}

static enum pid1_event act_late(struct pid1 *p)
{
	log_err("the agent is not ready after %llu ms; the workload starts "
		"anyway", (unsigned long long)p->ready_ms);
	return PID1_EV_BEGIN;
}

/* --- STOP and OFF --------------------------------------------------------- */

/** kill_all() - Signal everybody; EMPTY if there is nobody */
static enum pid1_event kill_all(struct pid1 *p, int sig, uint64_t ms)
{
	int rc = sys_kill(-1, sig);

	if (rc == -ESRCH)
		return PID1_EV_EMPTY;
	if (rc < 0)
		log_err("kill: %s", strerror(-rc));
	sys_kill(-1, SIGCONT);
	pid1_arm(p, &p->stage, ms);
	return PID1_EV_NONE;
}

static enum pid1_event act_stop_all(struct pid1 *p)
{
	disarm(p, &p->retry);
	p->phase = PID1_PHASE_ALL;
	return kill_all(p, SIGTERM, p->stop_ms);
}

static enum pid1_event act_stop(struct pid1 *p)
{
	disarm(p, &p->retry);
	p->phase = PID1_PHASE_WORK;
	sys_kill(-p->work, SIGTERM);
	sys_kill(-p->work, SIGCONT);
	pid1_arm(p, &p->stage, p->stop_ms);
	return PID1_EV_NONE;
}

static enum pid1_event act_stop_next(struct pid1 *p)
{
	switch (p->phase) {
	case PID1_PHASE_WORK:
		return act_stop_all(p);
	case PID1_PHASE_ALL:
		p->phase = PID1_PHASE_KILL;
		return kill_all(p, SIGKILL, KILL_MS);
	case PID1_PHASE_KILL:
		log_err("some processes cannot be killed");
		return PID1_EV_DONE;
	}
	return PID1_EV_DONE;
}

/** act_stop_work() - The workload is gone: the first phase need not wait */
static enum pid1_event act_stop_work(struct pid1 *p)
{
	return p->phase == PID1_PHASE_WORK ? act_stop_all(p) : PID1_EV_NONE;
}

static enum pid1_event act_off(struct pid1 *p)
{
	disarm(p, &p->stage);
	shutdown_files();
	if (p->work_code >= 0)
		console_last(p->work_code);
	shutdown_off(p->how);
	return PID1_EV_NONE;
}

/* --- the table ------------------------------------------------------------ */

static enum pid1_event act_none(struct pid1 *p)
{
	(void)p;
	return PID1_EV_NONE;
}

/*
 * State, event; the next state, and what to do.  A list and not an initializer:
 * one that lacks a cell, or has one twice, does not compile.
 */
#define TABLE(X)							\
	X(MOUNT, BEGIN, MOUNT, pid1_act_mount)				\
	X(MOUNT, DONE, NET, act_net)					\
	X(MOUNT, READY, MOUNT, act_none)				\
	X(MOUNT, FAILED, MOUNT, act_none)				\
	X(MOUNT, TIMEOUT, MOUNT, act_none)				\
	X(MOUNT, AGENT_EXIT, MOUNT, act_none)				\
	X(MOUNT, AGENT_RETRY, MOUNT, act_none)				\
	X(MOUNT, WORK_EXIT, MOUNT, act_none)				\
	X(MOUNT, WORK_OVER, MOUNT, act_none)				\
	X(MOUNT, SIGNAL, STOP, act_stop_all)				\
	X(MOUNT, EMPTY, MOUNT, act_none)				\
	X(NET, BEGIN, NET, act_none)					\
	X(NET, DONE, NET, act_none)					\
	X(NET, READY, READY, act_ready)					\
	X(NET, FAILED, READY, act_failed)				\
	X(NET, TIMEOUT, READY, act_late)				\
	X(NET, AGENT_EXIT, NET, act_backoff)				\
	X(NET, AGENT_RETRY, NET, act_retry)				\
	X(NET, WORK_EXIT, NET, act_none)				\
	X(NET, WORK_OVER, NET, act_none)				\
	X(NET, SIGNAL, STOP, act_stop_all)				\
	X(NET, EMPTY, NET, act_none)					\
	X(READY, BEGIN, READY, pid1_act_work)				\
	X(READY, DONE, RUN, act_none)					\
	X(READY, READY, READY, act_note_ready)				\
	X(READY, FAILED, READY, act_note_failed)			\
	X(READY, TIMEOUT, READY, pid1_act_work)				\
	X(READY, AGENT_EXIT, READY, act_backoff)			\
	X(READY, AGENT_RETRY, READY, act_retry)				\
	X(READY, WORK_EXIT, READY, pid1_act_work_end)			\
	X(READY, WORK_OVER, STOP, act_stop_all)				\
	X(READY, SIGNAL, STOP, act_stop_all)				\
	X(READY, EMPTY, READY, act_none)				\
	X(RUN, BEGIN, RUN, act_none)					\
	X(RUN, DONE, RUN, act_none)					\
	X(RUN, READY, RUN, act_note_ready)				\
	X(RUN, FAILED, RUN, act_note_failed)				\
	X(RUN, TIMEOUT, RUN, act_none)					\
	X(RUN, AGENT_EXIT, RUN, act_backoff)				\
	X(RUN, AGENT_RETRY, RUN, act_retry)				\
	X(RUN, WORK_EXIT, READY, pid1_act_work_end)			\
	X(RUN, WORK_OVER, RUN, act_none)				\
	X(RUN, SIGNAL, STOP, act_stop)					\
	X(RUN, EMPTY, RUN, act_none)					\
	X(STOP, BEGIN, STOP, act_none)					\
	X(STOP, DONE, OFF, act_off)					\
	X(STOP, READY, STOP, act_none)					\
	X(STOP, FAILED, STOP, act_none)					\
	X(STOP, TIMEOUT, STOP, act_stop_next)				\
	X(STOP, AGENT_EXIT, STOP, act_none)				\
	X(STOP, AGENT_RETRY, STOP, act_none)				\
	X(STOP, WORK_EXIT, STOP, act_stop_work)				\
	X(STOP, WORK_OVER, STOP, act_none)				\
	X(STOP, SIGNAL, STOP, act_none)					\
	X(STOP, EMPTY, OFF, act_off)					\
	X(OFF, BEGIN, OFF, act_none)					\
	X(OFF, DONE, OFF, act_none)					\
	X(OFF, READY, OFF, act_none)					\
	X(OFF, FAILED, OFF, act_none)					\
	X(OFF, TIMEOUT, OFF, act_none)					\
	X(OFF, AGENT_EXIT, OFF, act_none)				\
	X(OFF, AGENT_RETRY, OFF, act_none)				\
	X(OFF, WORK_EXIT, OFF, act_none)				\
	X(OFF, WORK_OVER, OFF, act_none)				\
	X(OFF, SIGNAL, OFF, act_none)					\
	X(OFF, EMPTY, OFF, act_none)

#define CELL_NAME(s, e, next, act)	CELL_##s##_##e,
#define CELL(s, e, next, act)	[PID1_##s][PID1_EV_##e] = { PID1_##next, act },

enum { TABLE(CELL_NAME) CELL_NUM };
static_assert(CELL_NUM == PID1_STATE_NUM * PID1_EV_NUM,
	      "one cell for each state and each event");

static const struct pid1_cell table[PID1_STATE_NUM][PID1_EV_NUM] = {
	TABLE(CELL)
};

const struct pid1_cell *pid1_cell(enum pid1_state s, enum pid1_event e)
{
	ASSERT(s < PID1_STATE_NUM && e < PID1_EV_NUM);
	return &table[s][e];
}

void pid1_event(struct pid1 *p, enum pid1_event e)
{
	while (e != PID1_EV_NONE) {
		const struct pid1_cell *c = pid1_cell(p->state, e);

		if (c->next != p->state)
			log_debug("%s -> %s", state_names[p->state],
				  state_names[c->next]);
		p->state = c->next;
		e = c->act(p);
	}
}

/* --- what makes events ---------------------------------------------------- */

/** ended() - One child has ended; adopted ones are forgotten */
static void ended(void *arg, pid_t pid, int status)
{
	struct pid1 *p = arg;
	int code = reap_code(status);

	if (pid == p->agent) {
		for (int i = 0; i < DRAIN_BUDGET && pipe_read(p); i++)
			;	/* its last words; a token may be among them */
		pipe_close(p);
		p->agent = 0;
		if (p->state != PID1_STOP)
			log_warn("agent: ended with status %d", code);
		pid1_event(p, PID1_EV_AGENT_EXIT);
	} else if (pid == p->work) {
		p->work = 0;
		p->work_lived_ns = sys_boottime() - p->work_since_ns;
		p->work_code = code;
		pid1_event(p, PID1_EV_WORK_EXIT);
	}
}

void pid1_reap(struct pid1 *p)
{
	int rc = reap_some(ended, p);

	p->reap_more = rc > 0;
	if (rc > 0)
		ev_again(p->ev, &p->sig);
	else if (rc == -ECHILD)
		pid1_event(p, PID1_EV_EMPTY);
	else if (rc < 0)
		log_err("wait: %s", strerror(-rc));
}

static void sig_ready(struct ev_src *src, uint32_t events)
{
	struct pid1 *p = container_of(src, struct pid1, sig);
	int signo;

	(void)events;
	if (p->reap_more)
		pid1_reap(p);
	for (int i = 0; i < SIGS_BUDGET; i++) {
		switch (sigs_read(src->fd, &signo)) {
		case SIGS_NONE:
			return;
		case SIGS_CHILD:
			pid1_reap(p);
			break;
		case SIGS_STOP:
			log_info("stopping: %s", strsignal(signo));
			p->how = sigs_how(signo, p->how);
			pid1_event(p, PID1_EV_SIGNAL);
			break;
		}
	}
}

static void stage_fire(struct timer *t)
{
	pid1_event(container_of(t, struct pid1, stage), PID1_EV_TIMEOUT);
}

static void retry_fire(struct timer *t)
{
	pid1_event(container_of(t, struct pid1, retry), PID1_EV_AGENT_RETRY);
}

uint64_t pid1_seconds(const char *name, const char *value, uint64_t fallback)
{
	struct span s = span_trim(span_str(value));
	uint64_t n;

	if (!s.len)
		return fallback;
	if (span_uint(s, SECONDS_MAX, &n) < 0) {
		log_warn("%s: %.32s: not a number from 0 to %d", name, value,
			 SECONDS_MAX);
		return fallback;
	}
	return n * 1000;
}

void pid1_init(struct pid1 *p, struct ev *ev, int argc, char *const *argv,
	       char *const *env)
{
	const char *verbose = pid1_env(env, "MSB_VERBOSE");

	p->ev = ev;
	p->state = PID1_MOUNT;
	p->argc = argc;
	p->argv = argv;
	p->env = env;
	p->verbose = verbose && strcmp(verbose, "1") == 0;
	p->ready_ms = pid1_seconds("MSB_READY_TIMEOUT",
				   pid1_env(env, "MSB_READY_TIMEOUT"),
				   READY_MS);
	p->stop_ms = pid1_seconds("MSB_STOP_TIMEOUT",
				  pid1_env(env, "MSB_STOP_TIMEOUT"), STOP_MS);
	p->restart = restart_parse(pid1_env(env, "MSB_RESTART"));
	p->how = shutdown_parse(pid1_env(env, "MSB_POWEROFF"));
	p->sig = (struct ev_src){ .fd = -1, .ready = sig_ready };
	p->pipe = (struct ev_src){ .fd = -1, .ready = pipe_ready };
	p->stage.fire = stage_fire;
	p->retry.fire = retry_fire;
	p->work_code = -1;
}

/** hold() - Say why PID 1 cannot go on, and wait until it is tried again */
static void hold(const char *stage, int rc)
{
	log_err("%s: %s; trying again", stage, strerror(-rc));
	sys_sleep_ms(1000);
}

/** open_loop() - The loop and the signals; tried for ever */
static void open_loop(struct pid1 *p, int argc, char **argv, char *const *env)
{
	struct ev *ev;
	int rc;

	while (!(ev = ev_new(TIMERS)))
		hold("event loop", -errno);
	pid1_init(p, ev, argc, argv, env);
	while ((p->sig.fd = sigs_open()) < 0)
		hold("signals", p->sig.fd);
	while ((rc = ev_add(ev, &p->sig, EPOLLIN)) < 0)
		hold("epoll", rc);
}

_Noreturn void pid1_main(int argc, char **argv, char *const *env)
{
	static struct pid1 pid1;
	struct pid1 *p = &pid1;
	const char *verbose = pid1_env(env, "MSB_VERBOSE");
	int rc;

	p->cpu_ns = sys_cputime();
	pid1_stamp(p, PID1_STAMP_MAIN);
	umask(022);
	console_open(true);
	log_init(STDERR_FILENO, "msb-init", LOG_SINK_TEXT,
		 verbose && strcmp(verbose, "1") == 0 ? LOG_LEVEL_INFO :
		 LOG_LEVEL_WARN);
	(void)log_own_tty();	/* perhaps later, see pid1_act_mount() */
	sys_reboot(RB_DISABLE_CAD);	/* Ctrl-Alt-Del is SIGINT from now on */
	open_loop(p, argc, argv, env);
	p->self = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	sys_chdir("/");
	pid1_event(p, PID1_EV_BEGIN);
	for (;;) {
		rc = ev_turn(p->ev, -1);
		if (rc < 0)
			hold("epoll_wait", rc);
	}
}
