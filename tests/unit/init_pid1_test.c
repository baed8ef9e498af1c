#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "init/pid1.h"
#include "init/pid1_act.h"
#include "tests/unit/init_fake.h"

int init_pid1_test(void);

#define AGENT	101
#define WORK	202
#define ANY	NULL	/* not looked at here */

#define START_AGENT	"pipe\nfork\n"
#define CONTROL		"write /sys/fs/cgroup/cgroup.subtree_control 0 "
#define CGROUP		CONTROL "+pids\n" CONTROL "+memory\n"		\
			"mkdir /sys/fs/cgroup/workload 755\n"	\
			"write /sys/fs/cgroup/workload/pids.max 0 3670016\n" \
			"write /sys/fs/cgroup/workload/memory.oom.group 0 1\n"
#define START_WORK	"mkdir /run/msb 755\n"				\
			"write /run/msb/boot 644 WORKLOAD=1000000000\n" \
			"CPU=500000000\n\n"				\
			"fork\n"
#define TERM_ALL	"kill -1 15\nkill -1 18\n"
#define TERM_WORK	"kill -202 15\nkill -202 18\n"
#define KILL_ALL	"kill -1 9\nkill -1 18\n"
#define POWER_OFF	"sync\nsync\nreboot 4321fedc\nreboot 1234567\n"

/* From, event, to; then the event that follows, the calls, the timers */
#define KEEP	-1	/* as it was */
static const struct cell {
	enum pid1_state from;
	enum pid1_event ev;
	enum pid1_state to;
	enum pid1_event follows;
	const char *calls;
	int stage, retry;
} cells[] = {
#define C(from, ev, to, follows, calls, stage, retry)			\
	{ PID1_##from, PID1_EV_##ev, PID1_##to, PID1_EV_##follows, calls, \
	  stage, retry }
#define NIL(state, ev)	C(state, ev, state, NONE, "", KEEP, KEEP)
	C(MOUNT, BEGIN,		MOUNT,	DONE,	ANY,		KEEP, KEEP),
	C(MOUNT, DONE,		NET,	NONE,	START_AGENT CGROUP, 1, KEEP),
	NIL(MOUNT, READY),
	NIL(MOUNT, FAILED),
	NIL(MOUNT, TIMEOUT),
	NIL(MOUNT, AGENT_EXIT),
	NIL(MOUNT, AGENT_RETRY),
	NIL(MOUNT, WORK_EXIT),
	NIL(MOUNT, WORK_OVER),
	C(MOUNT, SIGNAL,	STOP,	NONE,	TERM_ALL,	1,    0),
	NIL(MOUNT, EMPTY),

	NIL(NET, BEGIN),
	NIL(NET, DONE),
	C(NET, READY,		READY,	BEGIN,	"",		0,    KEEP),
	C(NET, FAILED,		READY,	BEGIN,	"",		0,    KEEP),
	C(NET, TIMEOUT,		READY,	BEGIN,	"",		KEEP, KEEP),
	C(NET, AGENT_EXIT,	NET,	NONE,	"",		KEEP, 1),
	C(NET, AGENT_RETRY,	NET,	NONE,	START_AGENT,	KEEP, KEEP),
	NIL(NET, WORK_EXIT),
	NIL(NET, WORK_OVER),
	C(NET, SIGNAL,		STOP,	NONE,	TERM_ALL,	1,    0),
	NIL(NET, EMPTY),

	C(READY, BEGIN,		READY,	DONE,	START_WORK,	KEEP, KEEP),
	C(READY, DONE,		RUN,	NONE,	"",		KEEP, KEEP),
	NIL(READY, READY),
	NIL(READY, FAILED),
	C(READY, TIMEOUT,	READY,	DONE,	START_WORK,	KEEP, KEEP),
	C(READY, AGENT_EXIT,	READY,	NONE,	"",		KEEP, 1),
	C(READY, AGENT_RETRY,	READY,	NONE,	START_AGENT,	KEEP, KEEP),
	C(READY, WORK_EXIT,	READY,	WORK_OVER, "",		KEEP, KEEP),
	C(READY, WORK_OVER,	STOP,	NONE,	TERM_ALL,	1,    0),
	C(READY, SIGNAL,	STOP,	NONE,	TERM_ALL,	1,    0),
	NIL(READY, EMPTY),

	NIL(RUN, BEGIN),
	NIL(RUN, DONE),
	NIL(RUN, READY),
	NIL(RUN, FAILED),
	NIL(RUN, TIMEOUT),
	C(RUN, AGENT_EXIT,	RUN,	NONE,	"",		KEEP, 1),
	C(RUN, AGENT_RETRY,	RUN,	NONE,	START_AGENT,	KEEP, KEEP),
	C(RUN, WORK_EXIT,	READY,	WORK_OVER, "",		KEEP, KEEP),
	NIL(RUN, WORK_OVER),
	C(RUN, SIGNAL,		STOP,	NONE,	TERM_WORK,	1,    0),
	NIL(RUN, EMPTY),

	NIL(STOP, BEGIN),
	C(STOP, DONE,		OFF,	NONE,	POWER_OFF,	0,    KEEP),
	NIL(STOP, READY),
	NIL(STOP, FAILED),
	C(STOP, TIMEOUT,	STOP,	NONE,	TERM_ALL,	1,    0),
	NIL(STOP, AGENT_EXIT),
	NIL(STOP, AGENT_RETRY),
	C(STOP, WORK_EXIT,	STOP,	NONE,	TERM_ALL,	1,    0),
	NIL(STOP, WORK_OVER),
	NIL(STOP, SIGNAL),
	C(STOP, EMPTY,		OFF,	NONE,	POWER_OFF,	0,    KEEP),

	NIL(OFF, BEGIN),
	NIL(OFF, DONE),
	NIL(OFF, READY),
	NIL(OFF, FAILED),
	NIL(OFF, TIMEOUT),
	NIL(OFF, AGENT_EXIT),
	NIL(OFF, AGENT_RETRY),
	NIL(OFF, WORK_EXIT),
	NIL(OFF, WORK_OVER),
	NIL(OFF, SIGNAL),
	NIL(OFF, EMPTY),
};

static char *no_words[] = { NULL };

/** begin() - A PID 1 in a world with a shell and nothing mounted */
static struct pid1 *begin(enum pid1_state s, char *const *env)
{
	static struct pid1 p;
	struct ev *ev = ev_new(2);

	assert_non_null(ev);
	fake_reset();
	fake_mount("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC);
	fake_file("/bin/sh", S_IFREG | 0755, NULL);
	fake_file("/proc/cmdline", S_IFREG, "quiet\n");
	fake_file("/proc/self/mounts", S_IFREG, "");
	memset(&p, 0, sizeof(p));
	pid1_init(&p, ev, 0, no_words, env);
	p.state = s;
	return &p;
}

static void end(struct pid1 *p)
{
	ev_del(p->ev, &p->pipe);
	fd_close(&p->pipe.fd);
	timer_del(ev_timerq(p->ev), &p->stage);
	timer_del(ev_timerq(p->ev), &p->retry);
	ev_free(p->ev);
	fake_logged();
	fake_calls();
}

static void test_cells(void **state)
{
	bool seen[PID1_STATE_NUM][PID1_EV_NUM] = { { false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cells) * 2; i++) {
		const struct cell *c = &cells[i / 2];
		const struct pid1_cell *got = pid1_cell(c->from, c->ev);
		struct pid1 *p = begin(c->from, no_words);
		struct timerq *q = ev_timerq(p->ev);
		int armed = i % 2;	/* once with, once without timers */

		seen[c->from][c->ev] = true;
		p->agent = c->ev == PID1_EV_AGENT_RETRY ? 0 : AGENT;
		p->work = WORK;
		if (armed) {
			timer_set(q, &p->stage, 1);
			timer_set(q, &p->retry, 1);
		}
		fake_fail("reboot", -EPERM);
		assert_int_equal(got->next, c->to);
		p->state = got->next;
		assert_int_equal(got->act(p), c->follows);
		if (c->calls)
			assert_string_equal(fake_calls(), c->calls);
		assert_int_equal(timer_armed(&p->stage),
				 c->stage == KEEP ? armed : c->stage);
		assert_int_equal(timer_armed(&p->retry),
				 c->retry == KEEP ? armed : c->retry);
		end(p);
	}
	for (unsigned int s = 0; s < PID1_STATE_NUM; s++)
		for (unsigned int e = 0; e < PID1_EV_NUM; e++)
			assert_true(seen[s][e]);
	assert_int_equal(ARRAY_SIZE(cells), PID1_STATE_NUM * PID1_EV_NUM);
}

/* The phases of STOP, and what ends each */
static void test_phases(void **state)
{
	static const struct {
		enum pid1_phase phase;
		enum pid1_event ev;
		enum pid1_phase then;
		enum pid1_state to;
		const char *calls;
		uint64_t due_ms;
	} cases[] = {
		{ PID1_PHASE_WORK, PID1_EV_TIMEOUT, PID1_PHASE_ALL,
		  PID1_STOP, TERM_ALL, 3000 },
		{ PID1_PHASE_WORK, PID1_EV_WORK_EXIT, PID1_PHASE_ALL,
		  PID1_STOP, TERM_ALL, 3000 },
		{ PID1_PHASE_ALL, PID1_EV_WORK_EXIT, PID1_PHASE_ALL,
		  PID1_STOP, "", 0 },
		{ PID1_PHASE_ALL, PID1_EV_TIMEOUT, PID1_PHASE_KILL,
		  PID1_STOP, KILL_ALL, 1000 },
		{ PID1_PHASE_KILL, PID1_EV_WORK_EXIT, PID1_PHASE_KILL,
		  PID1_STOP, "", 0 },
		{ PID1_PHASE_KILL, PID1_EV_TIMEOUT, PID1_PHASE_KILL,
		  PID1_OFF, POWER_OFF, 0 },
		{ PID1_PHASE_WORK, PID1_EV_EMPTY, PID1_PHASE_WORK,
		  PID1_OFF, POWER_OFF, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pid1 *p = begin(PID1_STOP, no_words);

		fake_fail("reboot", -EPERM);
		p->work = WORK;
		p->phase = cases[i].phase;
		pid1_event(p, cases[i].ev);
		assert_int_equal(p->state, cases[i].to);
		assert_int_equal(p->phase, cases[i].then);
		assert_string_equal(fake_calls(), cases[i].calls);
		assert_int_equal(timer_armed(&p->stage), cases[i].due_ms != 0);
		if (cases[i].due_ms)
			assert_int_equal(p->stage.due_ns, NS_PER_S +
					 cases[i].due_ms * NS_PER_MS);
		end(p);
	}
}

/* Nobody left to signal: no need to wait for anything */
static void test_nobody(void **state)
{
	struct pid1 *p = begin(PID1_NET, no_words);

	(void)state;
	fake_fail("kill -1 15", -ESRCH);
	pid1_event(p, PID1_EV_SIGNAL);
	assert_int_equal(p->state, PID1_OFF);
	assert_string_equal(fake_calls(), "kill -1 15\nsync\nsync\n"
			    "reboot 4321fedc\nreboot 1234567\n");
	end(p);
}

static void test_fork_fails(void **state)
{
	struct pid1 *p = begin(PID1_NET, no_words);

	(void)state;
	fake_fail("fork", -EAGAIN);
	pid1_event(p, PID1_EV_READY);
	assert_int_equal(p->state, PID1_READY);
	assert_int_equal(p->work, 0);
	assert_true(timer_armed(&p->stage));
	assert_non_null(strstr(fake_logged(), "workload: fork: "));

	/* The agent too: its pause begins as if it had ended */
	pid1_event(p, PID1_EV_AGENT_RETRY);
	assert_int_equal(p->agent, 0);
	assert_int_equal(p->pipe.fd, -1);
	assert_int_equal(p->retry.due_ns, NS_PER_S + 100 * NS_PER_MS);
	end(p);

	p = begin(PID1_READY, no_words);
	pid1_event(p, PID1_EV_TIMEOUT);
	assert_int_equal(p->state, PID1_RUN);
	assert_int_equal(p->work, 1000);
	end(p);
}

static void test_nothing_to_run(void **state)
{
	struct pid1 *p = begin(PID1_NET, no_words);

	(void)state;
	fake_file("/bin/sh", S_IFREG | 0644, NULL);
	pid1_event(p, PID1_EV_READY);
	assert_int_equal(p->state, PID1_STOP);
	assert_int_equal(p->work_code, 127);
	assert_non_null(strstr(fake_logged(), "no MSB_EXEC"));
	end(p);
}

/** last_line() - Let @e happen with standard error caught */
static const char *last_line(struct pid1 *p, enum pid1_event e)
{
	static char text[256];
	int fd = memfd_create("stderr", 0), was = dup(STDERR_FILENO);
	ssize_t n;

	dup2(fd, STDERR_FILENO);
	pid1_event(p, e);
	dup2(was, STDERR_FILENO);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[MAX(n, 0)] = '\0';
	close(fd);
	close(was);
	return text;
}

/* From power-on to power-off, with everything as it should be */
static void test_life(void **state)
{
	static const char off[] = "sync\nsync\nwrite_within 2\ndrain 2\n"
				  "reboot 1234567\n";
	char e0[] = "MSB_POWEROFF=reboot", e1[] = "MSB_STOP_TIMEOUT=2";
	char e2[] = "MSB_VERBOSE=1", e3[] = "MSB_EXEC=true";
	char *env[] = { e0, e1, e2, e3, NULL };
	struct pid1 *p = begin(PID1_MOUNT, env);
	const char *calls;

	(void)state;
	fake_file("/etc/msb/modules", S_IFREG, "/m.ko\n");
	pid1_event(p, PID1_EV_BEGIN);
	assert_int_equal(p->state, PID1_NET);
	calls = strstr(fake_calls(), "write /proc/self");
	assert_non_null(calls);
	assert_string_equal(calls, "write /proc/self/oom_score_adj 0 -1000\n"
			    "open /m.ko\nfinit 0\nmkdir /tmp 1777\n"
			    "mount tmpfs /tmp tmpfs 6 mode=1777\n"
			    START_AGENT CGROUP);
	assert_int_equal(p->stage.due_ns, 6 * NS_PER_S);
	assert_string_equal(p->cmdline, "quiet");
	p->agent = AGENT;

	fake_advance(NS_PER_MS);
	p->stamp[PID1_STAMP_READY] = 1001000000;
	pid1_event(p, PID1_EV_READY);
	assert_int_equal(p->state, PID1_RUN);
	assert_string_equal(fake_calls(), "mkdir /run/msb 755\n"
		"write /run/msb/boot 644 MOUNTS=1000000000\n"
		"MODULES=1000000000\nAGENT=1000000000\nREADY=1001000000\n"
		"WORKLOAD=1001000000\nCPU=500500000\n\nfork\n");
	assert_non_null(strstr(fake_logged(), "t: info: boot (ns): "
		"MOUNTS=1000000000 MODULES=1000000000 AGENT=1000000000 "
		"READY=1001000000 WORKLOAD=1001000000 CPU=500500000\n"));
	assert_int_equal(p->work, 1000);

	fake_child(4711, 0);		/* an orphan */
	fake_child(AGENT, 1 << 8);
	fake_child(0, 0);
	pid1_reap(p);
	assert_int_equal(p->state, PID1_RUN);
	assert_int_equal(p->agent, 0);
	assert_true(timer_armed(&p->retry));
	pid1_event(p, PID1_EV_AGENT_RETRY);
	assert_string_equal(fake_calls(), START_AGENT);
	p->agent = AGENT;

	fake_child(1000, 42 << 8);
	fake_child(AGENT, 0);
	fake_child(0, 0);
	pid1_reap(p);
	assert_int_equal(p->state, PID1_STOP);
	assert_string_equal(fake_calls(), TERM_ALL);
	assert_int_equal(p->work_code, 42);
	assert_int_equal(p->stage.due_ns, 3001000000);

	assert_string_equal(last_line(p, PID1_EV_EMPTY),
			    "msb-init: workload exited with status 42\n");
	assert_int_equal(p->state, PID1_OFF);
	calls = fake_calls();
	assert_int_equal(strncmp(calls, off, strlen(off)), 0);
	end(p);
}

/* The last child's end is seen as EMPTY in the same go */
static void test_reap_empty(void **state)
{
	struct pid1 *p = begin(PID1_STOP, no_words);

	(void)state;
	p->phase = PID1_PHASE_ALL;
	p->agent = AGENT;
	fake_child(AGENT, 0);
	fake_child(-ECHILD, 0);
	pid1_reap(p);
	assert_int_equal(p->state, PID1_OFF);
	assert_string_equal(fake_logged(), "t: error: shutdown: poweroff: "
			    "Success\nt: error: shutdown: the kernel refuses "
			    "to end; waiting for ever\n");
	end(p);
}

/* However many orphans end: the timers and signals have their turn */
static void test_orphans_for_ever(void **state)
{
	struct pid1 *p = begin(PID1_RUN, no_words);

	(void)state;
	fake_children_for_ever(true);
	pid1_reap(p);
	assert_true(p->reap_more);
	pid1_arm(p, &p->retry, 0);
	assert_int_equal(ev_turn(p->ev, -1), 0);
	assert_false(timer_armed(&p->retry));
	assert_true(p->reap_more);
	fake_children_for_ever(false);
	fake_child(0, 0);
	assert_int_equal(ev_turn(p->ev, -1), 0);
	assert_false(p->reap_more);
	end(p);
}

/* What a dying agent has written is still read: a token, READY */
static void test_last_words(void **state)
{
	static const char words[] =
		"TOKEN=0123456789abcdef0123456789abcdef\nREADY=1\n";
	struct pid1 *p = begin(PID1_NET, no_words);
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_write_all(fds[1], words, sizeof(words) - 1), 0);
	close(fds[1]);
	p->agent = AGENT;
	p->pipe.fd = fds[0];
	fake_child(AGENT, SIGSEGV);
	fake_child(0, 0);
	pid1_reap(p);
	assert_int_equal(p->state, PID1_RUN);
	assert_true(p->watch.has_token);
	assert_int_equal(p->pipe.fd, -1);
	assert_true(timer_armed(&p->retry));
	end(p);
}

/* Through the loop: lines of the agent become events */
static void test_pipe(void **state)
{
	struct pid1 *p = begin(PID1_NET, no_words);
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_nonblock(fds[0]), 0);
	p->pipe.fd = fds[0];
	assert_int_equal(ev_add(p->ev, &p->pipe, 1), 0);
	assert_int_equal(fd_write_all(fds[1], "FAILED=no ", 10), 0);
	assert_int_equal(ev_turn(p->ev, 0), 0);
	assert_int_equal(p->state, PID1_NET);
	assert_int_equal(fd_write_all(fds[1], "link\n", 5), 0);
	assert_int_equal(ev_turn(p->ev, 0), 0);
	assert_int_equal(p->state, PID1_RUN);
	assert_non_null(strstr(fake_logged(), "no network: no link;"));
	assert_int_equal(fd_write_all(fds[1], "READY=1\n", 8), 0);
	close(fds[1]);
	for (int i = 0; i < 3 && p->pipe.fd >= 0; i++)
		assert_int_equal(ev_turn(p->ev, 0), 0);
	assert_int_equal(p->pipe.fd, -1);
	assert_int_equal(p->state, PID1_RUN);
	assert_int_not_equal(p->stamp[PID1_STAMP_READY], 0);
	end(p);
}

static void test_end(void **state)
{
	char net[] = "MSB_NET=x", ip4[] = "MSB_NET_IPV4=x", fin[] = "MSB_END=1";
	char ip6[] = "MSB_NET_IPV6=x", cut[] = "MSB_END=";
	const struct {
		char *env[4];
		size_t len;
		enum pid1_end want;
	} cases[] = {
		{ { NULL },			10,   PID1_END_FINE },
		{ { NULL },			2046, PID1_END_FINE },
		{ { NULL },			2047, PID1_END_FULL },
		{ { fin, NULL },		2047, PID1_END_FINE },
		{ { cut, NULL },		2047, PID1_END_FULL },
		{ { net, NULL },		10,   PID1_END_PARTS },
		{ { net, fin, NULL },		10,   PID1_END_FINE },
		{ { net, ip4, NULL },		10,   PID1_END_FINE },
		{ { net, ip6, NULL },		10,   PID1_END_FINE },
		{ { ip4, ip6, NULL },		10,   PID1_END_PARTS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(pid1_end(cases[i].len, cases[i].env),
				 cases[i].want);
}

static void test_seconds(void **state)
{
	static const struct {
		const char *value;
		uint64_t want;
		bool said;
	} cases[] = {
		{ NULL, 7, false }, { "", 7, false }, { " ", 7, false },
		{ "0", 0, false }, { " 5 ", 5000, false },
		{ "60", 60000, false }, { "61", 7, true }, { "-1", 7, true },
		{ "1.5", 7, true }, { "x", 7, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(pid1_seconds("N", cases[i].value, 7),
				 cases[i].want);
		assert_int_equal(*fake_logged() != '\0', cases[i].said);
	}
}

/* In an initramfs: to the real root, and another program goes on */
static void test_root(void **state)
{
	char a0[] = "/init", a1[] = "word";
	char *argv[] = { a0, a1, NULL };
	struct pid1 *p = begin(PID1_MOUNT, no_words);
	const char *calls;

	(void)state;
	fake_mount("/", RAMFS_MAGIC);
	fake_file("/proc/cmdline", S_IFREG, "root=/dev/vda init=/sbin/init\n");
	fake_file("/dev/vda", S_IFBLK, NULL);
	fake_file("/sbin/init", S_IFREG | 0755, NULL);
	p->argv = argv;
	pid1_event(p, PID1_EV_BEGIN);
	/* exec fails in this world, so we go on ourselves */
	assert_int_equal(p->state, PID1_NET);
	calls = fake_calls();
	assert_non_null(strstr(calls, "chroot .\nchdir /\nsigreset\n"
			       "exec /sbin/init [/sbin/init] [word]\n"
			       "sigblock\n"));
	assert_non_null(strstr(fake_logged(), "root: /sbin/init: "));
	end(p);
}

/* Ended, paused, started again; the pauses grow, and the group is emptied */
static void test_restart(void **state)
{
	static const struct {
		const char *value;
		int status;
		bool again;
	} cases[] = {
		{ "MSB_RESTART=never", 1 << 8, false },
		{ "MSB_RESTART=on-failure", 0, false },
		{ "MSB_RESTART=on-failure", 7 << 8, true },
		{ "MSB_RESTART=always", 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char value[32], *env[] = { value, NULL };
		struct pid1 *p;

		memcpy(value, cases[i].value, strlen(cases[i].value) + 1);
		p = begin(PID1_READY, env);
		p->become.cgroup = true;
		pid1_event(p, PID1_EV_BEGIN);
		assert_int_equal(p->state, PID1_RUN);
		for (uint64_t ms = 100; ms < 800; ms *= 2) {
			fake_calls();
			fake_child(1000, cases[i].status);
			fake_child(0, 0);
			pid1_reap(p);
			if (!cases[i].again)
				break;
			assert_int_equal(p->state, PID1_READY);
			assert_int_equal(p->work, 0);
			assert_string_equal(fake_calls(),
				"write /sys/fs/cgroup/workload/cgroup.kill 0 "
				"1\n");
			assert_int_equal(p->stage.due_ns,
					 NS_PER_S + ms * NS_PER_MS);
			timer_del(ev_timerq(p->ev), &p->stage);
			pid1_event(p, PID1_EV_TIMEOUT);
			assert_int_equal(p->state, PID1_RUN);
			assert_string_equal(fake_calls(), "fork\n");
		}
		assert_int_equal(p->state, cases[i].again ? PID1_RUN :
				 PID1_STOP);
		end(p);
	}
}

/* A stop during the pause is a stop */
static void test_restart_stop(void **state)
{
	char value[] = "MSB_RESTART=always", *env[] = { value, NULL };
	struct pid1 *p = begin(PID1_RUN, env);

	(void)state;
	p->work = WORK;
	fake_child(WORK, 0);
	fake_child(0, 0);
	pid1_reap(p);
	fake_calls();
	pid1_event(p, PID1_EV_SIGNAL);
	assert_int_equal(p->state, PID1_STOP);
	assert_string_equal(fake_calls(), TERM_ALL);
	end(p);
}

/* Who the workload is, and what is mounted, comes from the environment */
static void test_variables(void **state)
{
	char e0[] = "MSB_RLIMITS=nofile=5;bad", e1[] = "MSB_TMPFS=/tmp:size=8";
	char e2[] = "MSB_USER=7", *env[] = { e0, e1, e2, NULL };
	struct pid1 *p = begin(PID1_MOUNT, env);
	const char *calls;

	(void)state;
	pid1_event(p, PID1_EV_BEGIN);
	assert_int_equal(p->become.limits.set, 1 << 7);
	calls = fake_calls();
	/* One tmpfs on /tmp, the one that was asked for */
	assert_non_null(strstr(calls, "mount tmpfs /tmp tmpfs 0 size=8m,"
			       "mode=1777\npipe\nfork\n"));
	assert_null(strstr(calls, "mount tmpfs /tmp tmpfs 6"));
	assert_non_null(strstr(fake_logged(), "MSB_RLIMITS entry bad: "));
	fake_fork(0);
	pid1_event(p, PID1_EV_READY);
	assert_non_null(strstr(fake_calls(), "setrlimit 7 5 5\nsetgroups\n"
			       "setgid 0\nsetuid 7\nclose_from 3\n"));
	end(p);
}

/* A root of MSB_BLOCK_ROOT comes before root=, and this process goes on */
static void test_block_root(void **state)
{
	char value[] = "MSB_BLOCK_ROOT=kind=disk-image,device=/dev/vdb";
	char bad[] = "MSB_BLOCK_ROOT=kind=x", *env[] = { value, NULL };
	struct pid1 *p = begin(PID1_MOUNT, env);
	const char *calls;

	(void)state;
	fake_mount("/", RAMFS_MAGIC);
	fake_file("/proc/cmdline", S_IFREG, "root=/dev/vda\n");
	fake_file("/dev/vda", S_IFBLK, NULL);
	fake_file("/dev/vdb", S_IFBLK, NULL);
	fake_file("/sbin/msb-init", S_IFREG | 0755, NULL);
	pid1_event(p, PID1_EV_BEGIN);
	calls = fake_calls();
	assert_non_null(strstr(calls, "mount /dev/vdb /newroot ext4"));
	assert_non_null(strstr(calls, "chroot .\nchdir /\n"));
	assert_null(strstr(calls, "/dev/vda"));
	assert_null(strstr(calls, "exec "));
	end(p);

	env[0] = bad;
	p = begin(PID1_MOUNT, env);
	pid1_event(p, PID1_EV_BEGIN);
	assert_int_equal(p->state, PID1_NET);
	assert_null(strstr(fake_calls(), "newroot"));
	assert_non_null(strstr(fake_logged(), "root: MSB_BLOCK_ROOT: unknown "
			       "kind: x (at byte 5)"));
	end(p);
}

/** random_event() - One that may happen now; EMPTY only when nobody is left */
static enum pid1_event random_event(struct pid1 *p, unsigned int *seed)
{
	enum pid1_event e = (enum pid1_event)(rand_r(seed) % PID1_EV_NUM);

	if (e == PID1_EV_AGENT_EXIT)
		p->agent = 0;
	if (e == PID1_EV_WORK_EXIT) {
		p->work = 0;
		p->work_code = rand_r(seed) % 3;
	}
	fake_advance(rand_r(seed) % NS_PER_S);
	return e;
}

#define CHAIN_MAX	8	/* events that may follow from one */

/** happen() - As pid1_event(), but what goes on for ever is an error */
static void happen(struct pid1 *p, enum pid1_event e)
{
	for (int i = 0; e != PID1_EV_NONE; i++) {
		const struct pid1_cell *c = pid1_cell(p->state, e);

		assert_true(i < CHAIN_MAX);
		p->state = c->next;
		e = c->act(p);
	}
	/* It is never the child of a fork here, so nothing may exit */
	assert_null(strstr(fake_calls(), "exit "));
}

/*
 * Whatever happens in whatever order, with calls that fail at random: PID 1
 * never exits, never goes round in circles, and ends in OFF once it is told to
 * stop
 */
static void test_random(void **state)
{
	static const char *const fails[] = {
		"fork", "pipe", "mount", "kill", "write", "mkdir", "-",
	};
	char always[] = "MSB_RESTART=always", *env[] = { always, NULL };
	int null = open("/dev/null", O_WRONLY), was = dup(STDERR_FILENO);

	(void)state;
	dup2(null, STDERR_FILENO);	/* the last lines of 10 000 lives */
	for (unsigned int run = 0; run < 10000; run++) {
		unsigned int seed = run;
		struct pid1 *p = begin((enum pid1_state)(run % PID1_STATE_NUM),
				       run & 64 ? env : no_words);

		fake_fail(fails[run % ARRAY_SIZE(fails)], -EAGAIN);
		fake_fail("reboot", -EPERM);
		p->agent = AGENT;
		for (int i = 0; i < 20; i++) {
			happen(p, random_event(p, &seed));
			if (p->pipe.fd >= 0) {
				ev_del(p->ev, &p->pipe);
				fd_close(&p->pipe.fd);
			}
		}
		happen(p, PID1_EV_SIGNAL);
		/* Nobody obeys: time alone leads to the end */
		for (int i = 0; i < 4 && p->state != PID1_OFF; i++)
			happen(p, PID1_EV_TIMEOUT);
		assert_int_equal(p->state, PID1_OFF);
		end(p);
	}
	dup2(was, STDERR_FILENO);
	close(null);
	close(was);
}

int init_pid1_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_cells), T(test_phases), T(test_nobody),
		T(test_fork_fails), T(test_nothing_to_run), T(test_life),
		T(test_reap_empty), T(test_orphans_for_ever),
		T(test_last_words), T(test_pipe),
		T(test_end), T(test_seconds), T(test_root),
		T(test_restart), T(test_restart_stop), T(test_variables),
		T(test_block_root), T(test_random),
#undef T
	};

	return cmocka_run_group_tests_name("init_pid1", tests, NULL, NULL);
}
