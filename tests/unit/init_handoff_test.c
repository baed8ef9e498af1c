#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/util.h"
#include "init/handoff.h"
#include "init/pid1.h"
#include "tests/unit/init_fake.h"

int init_handoff_test(void);

static struct handoff h;

static char *const none[] = { NULL };

/** world() - A guest with a few programs in it */
static void world(void)
{
	fake_file("/sbin/openrc-init", S_IFREG | 0755, NULL);
	fake_file("/etc/passwd", S_IFREG | 0644, NULL);
	fake_file("/srv", S_IFDIR | 0755, NULL);
	fake_file("/sbin/msb-init", S_IFREG | 0755, NULL);
	fake_self("/sbin/msb-init");
}

/* What is refused, and what is said about it */
static void test_read(void **state)
{
	static const struct {
		const char *env[3];
		int rc;
		const char *said;
	} cases[] = {
		{ { NULL }, 0, "" },
		{ { "MSB_HANDOFF_INIT=" }, 0, "" },
		{ { "MSB_HANDOFF_INIT= " }, 0, "" },
		{ { "MSB_HANDOFF_INIT_CWD=/none" }, 0, "" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init" }, 1, "" },
		{ { "MSB_HANDOFF_INIT= /sbin/openrc-init " }, 1, "" },
		{ { "MSB_HANDOFF_INIT=sbin/init" }, -EINVAL,
		  "sbin/init: neither an absolute path nor \"auto\"" },
		{ { "MSB_HANDOFF_INIT=Auto" }, -EINVAL, "Auto: neither" },
		{ { "MSB_HANDOFF_INIT=/sbin/none" }, -EINVAL,
		  "/sbin/none: there is no such program" },
		{ { "MSB_HANDOFF_INIT=/etc/passwd" }, -EINVAL,
		  "/etc/passwd: not a file that can be executed" },
		{ { "MSB_HANDOFF_INIT=/srv" }, -EINVAL,
		  "/srv: not a file that can be executed" },
		{ { "MSB_HANDOFF_INIT=/sbin/msb-init" }, -EINVAL,
		  "that is msb-init itself" },
		{ { "MSB_HANDOFF_INIT=auto" }, -EINVAL,
		  "MSB_HANDOFF_INIT: auto: no init found; looked for "
		  "/sbin/init, " },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_ARGS=WyJhIl0" }, 1, "" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_ARGS=WyJhIl0=" }, -EINVAL,
		  "MSB_HANDOFF_INIT_ARGS: invalid base64; the workload runs "
		  "instead" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_ENV=WyJhIl0" }, -EINVAL,
		  "MSB_HANDOFF_INIT_ENV: invalid JSON" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_CWD=/srv" }, 1, "" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_CWD=srv" }, -EINVAL,
		  "MSB_HANDOFF_INIT_CWD: srv: not an absolute path" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_CWD=/etc/passwd" }, -EINVAL,
		  "/etc/passwd: no such directory" },
		{ { "MSB_HANDOFF_INIT=/sbin/openrc-init",
		    "MSB_HANDOFF_INIT_CWD=/none" }, -EINVAL,
		  "/none: no such directory" },
	};

	(void)state;
	world();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc = handoff_read(&h, (char *const *)(uintptr_t)
				      cases[i].env);
		const char *said = fake_logged();

		if (rc != cases[i].rc || !strstr(said, cases[i].said) ||
		    !*cases[i].said != !*said)
			fail_msg("case %zu: %d, \"%s\"", i, rc, said);
	}
}

/* The first that is there, is executable, and is not this program */
static void test_auto(void **state)
{
	static const struct {
		const char *files[4], *self, *want, *name;
	} cases[] = {
		{ { "/sbin/init", "/lib/systemd/systemd" }, NULL,
		  "/sbin/init", "/sbin/init" },
		{ { "/usr/lib/systemd/systemd", "/lib/systemd/systemd" }, NULL,
		  "/lib/systemd/systemd", "/lib/systemd/systemd" },
		{ { "/usr/lib/systemd/systemd" }, NULL,
		  "/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd" },
		{ { "/sbin/init", "/sbin/init.orig", "/lib/systemd/systemd" },
		  "/sbin/init", "/sbin/init.orig", "/sbin/init" },
		{ { "/sbin/init", "/lib/systemd/systemd" }, "/sbin/init",
		  "/lib/systemd/systemd", "/lib/systemd/systemd" },
	};
	char word[] = "MSB_HANDOFF_INIT=auto", *env[] = { word, NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		for (size_t j = 0; j < 4 && cases[i].files[j]; j++)
			fake_file(cases[i].files[j], S_IFREG | 0755, NULL);
		if (cases[i].self)
			fake_self(cases[i].self);
		assert_int_equal(handoff_read(&h, env), 1);
		assert_string_equal(h.path, cases[i].want);
		assert_string_equal(h.name, cases[i].name);
	}
	fake_reset();
	fake_file("/sbin/init", S_IFREG | 0644, NULL);
	assert_int_equal(handoff_read(&h, env), -EINVAL);
}

static void test_orig(void **state)
{
	char word[] = "MSB_HANDOFF_INIT=/sbin/init.orig";
	char *env[] = { word, NULL };

	(void)state;
	fake_file("/sbin/init.orig", S_IFREG | 0755, NULL);
	assert_int_equal(handoff_read(&h, env), 1);
	assert_string_equal(h.path, "/sbin/init.orig");
	assert_string_equal(h.name, "/sbin/init");
}

/* ["a b","c"] and [["A","1"],["PATH","/x"]] */
static void test_exec(void **state)
{
	char init[] = "MSB_HANDOFF_INIT=/sbin/openrc-init";
	char args[] = "MSB_HANDOFF_INIT_ARGS=WyJhIGIiLCJjIl0";
	char vars[] = "MSB_HANDOFF_INIT_ENV="
		      "W1siQSIsIjEiXSxbIlBBVEgiLCIveCJdXQ";
	char cwd[] = "MSB_HANDOFF_INIT_CWD=/srv", path[] = "PATH=/bin";
	char *env[] = { init, path, args, vars, cwd, NULL };
	static struct spawn_env e;

	(void)state;
	world();
	assert_int_equal(handoff_read(&h, env), 1);
	spawn_env_init(&e, env);
	handoff_env(&h, &e);
	assert_int_equal(e.n, 2);
	assert_string_equal(e.v[0], "PATH=/x");
	assert_string_equal(e.v[1], "A=1");
	assert_null(e.v[2]);

	/* exec fails here: PID 1 is as it was */
	handoff_exec(&h, &e);
	assert_string_equal(fake_calls(), "chdir /srv\n"
		"write /proc/self/oom_score_adj 0 0\nsigreset\n"
		"exec /sbin/openrc-init [/sbin/openrc-init] [a b] [c]\n"
		"sigblock\nwrite /proc/self/oom_score_adj 0 -1000\nchdir /\n");
	assert_non_null(strstr(fake_logged(), "it cannot become PID 1; the "
			       "workload runs instead"));

	fake_fail("exec", -ENOEXEC);
	handoff_exec(&h, &e);
	fake_calls();
	assert_non_null(strstr(fake_logged(),
			       "cannot run /sbin/openrc-init: Exec format"));

	fake_fail("chdir /srv", -EACCES);
	handoff_exec(&h, &e);
	assert_string_equal(fake_calls(), "chdir /srv\n");
	assert_non_null(strstr(fake_logged(), "MSB_HANDOFF_INIT_CWD: /srv: "));
}

/* A full environment: no word is lost without a message */
static void test_env_full(void **state)
{
	char init[] = "MSB_HANDOFF_INIT=/sbin/openrc-init";
	char vars[] = "MSB_HANDOFF_INIT_ENV=W1siQSIsIjEiXV0";
	char x[] = "X=1", *env[] = { init, vars, NULL };
	char *many[SPAWN_ENV_MAX + 1] = { NULL };
	static struct spawn_env e;

	(void)state;
	world();
	assert_int_equal(handoff_read(&h, env), 1);
	for (size_t i = 0; i < SPAWN_ENV_MAX; i++)
		many[i] = x;
	spawn_env_init(&e, many);
	handoff_env(&h, &e);
	assert_int_equal(e.n, SPAWN_ENV_MAX);
	assert_non_null(strstr(fake_logged(), "more than 256 variables"));
}

static void test_services(void **state)
{
	static struct spawn_env e;

	(void)state;
	spawn_env_init(&e, none);
	handoff_services(&e);
	assert_string_equal(fake_calls(), "");

	spawn_env_set(&e, "SSL_CERT_FILE", "/etc/ssl/a.pem", false);
	spawn_env_set(&e, "DENO_CERT", "/ca.pem", false);
	spawn_env_set(&e, "PIP_CERT", "/a\"b%n", false);
	handoff_services(&e);
	assert_string_equal(fake_calls(), "mkdir /run/systemd 755\n"
		"mkdir /run/systemd/system.conf.d 755\n"
		"write /run/systemd/system.conf.d/50-msb-init.conf 644 "
		"# Made by msb-init\n[Manager]\n"
		"DefaultEnvironment=\"SSL_CERT_FILE=/etc/ssl/a.pem\"\n"
		"DefaultEnvironment=\"DENO_CERT=/ca.pem\"\n\n");
}

/* --- from PID 1 ----------------------------------------------------------- */

#define AGENT		101
#define START_AGENT	"pipe\nfork\n"
#define CGROUP		"write /sys/fs/cgroup/cgroup.subtree_control 0 +pids\n"

/** begin() - PID 1 at its very start, in a world with another init */
static struct pid1 *begin(char *const *env)
{
	static struct pid1 p;
	struct ev *ev = ev_new(2);

	assert_non_null(ev);
	fake_mount("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC);
	fake_file("/bin/sh", S_IFREG | 0755, NULL);
	fake_file("/sbin/other", S_IFREG | 0755, NULL);
	memset(&p, 0, sizeof(p));
	pid1_init(&p, ev, 0, none, env);
	return &p;
}

static void end(struct pid1 *p)
{
	ev_del(p->ev, &p->pipe);
	fd_close(&p->pipe.fd);
	timer_del(ev_timerq(p->ev), &p->stage);
	timer_del(ev_timerq(p->ev), &p->retry);
	ev_free(p->ev);
}

/* Another init is made PID 1; here that fails, and we go on as ever */
static void test_hand_over(void **state)
{
	char init[] = "MSB_HANDOFF_INIT=/sbin/other", x[] = "MSB_EXEC=true";
	char limit[] = "MSB_RLIMITS=core=0;cpu=9", user[] = "MSB_USER=app";
	char *env[] = { init, x, limit, user, NULL };
	struct pid1 *p = begin(env);
	const char *calls;

	(void)state;
	fake_fork(0);
	pid1_event(p, PID1_EV_BEGIN);
	assert_int_equal(p->state, PID1_NET);
	assert_true(p->hand_over);
	calls = fake_calls();
	assert_non_null(strstr(calls, "[@msb-init] [agent] [--pid1] "
			       "[--handoff]\n"));
	assert_null(strstr(calls, "/sys/fs/cgroup/workload"));

	fake_fork(1000);
	p->agent = AGENT;
	pid1_event(p, PID1_EV_READY);
	calls = fake_calls();
	assert_non_null(strstr(calls, "HANDOFF=1000000000\n"));
	assert_null(strstr(calls, "setrlimit 0"));
	assert_non_null(strstr(calls, "setrlimit 4 0 0\n"
		"write /proc/self/oom_score_adj 0 0\nsigreset\n"
		"exec /sbin/other [/sbin/other]\nsigblock\n"
		"write /proc/self/oom_score_adj 0 -1000\nchdir /\n"
		"setrlimit 4 1004 2004\nkill -101 9\n" CGROUP));
	assert_non_null(strstr(fake_logged(), "MSB_USER and "
			       "MSB_SECURITY_PROFILE do not hold"));
	assert_int_equal(p->state, PID1_RUN);
	assert_int_equal(p->work, 1000);
	assert_true(p->become.cgroup);

	/* Once, and the next agent is an ordinary one */
	fake_child(AGENT, SIGKILL);
	fake_child(0, 0);
	pid1_reap(p);
	fake_fork(0);
	pid1_event(p, PID1_EV_AGENT_RETRY);
	assert_non_null(strstr(fake_calls(), "[msb-init] [agent] [--pid1]\n"));
	end(p);
}

/* An agent that has just died is started before nobody is there to do that */
static void test_hand_over_agent(void **state)
{
	char init[] = "MSB_HANDOFF_INIT=/sbin/other", *env[] = { init, NULL };
	struct pid1 *p = begin(env);
	const char *calls;

	(void)state;
	pid1_event(p, PID1_EV_BEGIN);
	fake_child(1000, SIGSEGV);
	fake_child(0, 0);
	pid1_reap(p);
	fake_calls();
	pid1_event(p, PID1_EV_TIMEOUT);
	calls = fake_calls();
	assert_int_equal(strncmp(calls, START_AGENT, strlen(START_AGENT)), 0);
	assert_non_null(strstr(calls, "exec /sbin/other"));

	/* Its pause was for the one that is there again */
	assert_true(timer_armed(&p->retry));
	pid1_event(p, PID1_EV_AGENT_RETRY);
	assert_string_equal(fake_calls(), "");
	end(p);
}

int init_handoff_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_read), T(test_auto), T(test_orig), T(test_exec),
		T(test_env_full), T(test_services), T(test_hand_over),
		T(test_hand_over_agent),
#undef T
	};

	return cmocka_run_group_tests_name("init_handoff", tests, NULL, NULL);
}
