#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/become.h"
#include "init/spawn.h"
#include "tests/unit/init_fake.h"

int init_become_test(void);

static struct spawn_env env;
static char path_env[] = "PATH=/bin", home_env[] = "HOME=/given";
static char *const base[] = { path_env, home_env, NULL };

#define ENTER	"write /sys/fs/cgroup/workload/cgroup.procs 0 0\n"	\
		"write /proc/self/oom_score_adj 0 0\n"

static int run(const char *user, bool home)
{
	struct become b = { .user = user, .cgroup = true, .home = home };

	fake_file("/etc/passwd", S_IFREG, "root:x:0:0::/root:\n"
		  "app:x:1000:100::/home/app:\nbare:x:7:8::");
	fake_file("/etc/group", S_IFREG, "wheel:x:10:app\nvideo:x:44:app\n");
	spawn_env_init(&env, base);
	return become(&b, &env);
}

static void test_root(void **state)
{
	(void)state;
	assert_int_equal(run(NULL, true), 0);
	assert_string_equal(fake_calls(), ENTER);
	assert_string_equal(spawn_env_get(&env, "HOME"), "/given");
	assert_null(spawn_env_get(&env, "USER"));
}

/* Groups before the user: afterwards they cannot be changed any more */
static void test_user(void **state)
{
	static const struct {
		const char *user;
		bool home;
		const char *calls, *want_home, *want_user;
	} cases[] = {
		{ "app", true, ENTER "setgroups 100 10 44\nsetgid 100\n"
		  "setuid 1000\n", "/home/app", "app" },
		{ "app", false, ENTER "setgroups 100 10 44\nsetgid 100\n"
		  "setuid 1000\n", "/given", "app" },
		{ "1000:55", true, ENTER "setgroups 55 10 44\nsetgid 55\n"
		  "setuid 1000\n", "/home/app", "app" },
		{ "4242:wheel", true, ENTER "setgroups\nsetgid 10\n"
		  "setuid 4242\n", "/", NULL },
		{ "bare", true, ENTER "setgroups 8\nsetgid 8\nsetuid 7\n", "/",
		  "bare" },
		{ "root", true, ENTER "setgroups 0\nsetgid 0\nsetuid 0\n",
		  "/root", "root" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		assert_int_equal(run(cases[i].user, cases[i].home), 0);
		assert_string_equal(fake_calls(), cases[i].calls);
		assert_string_equal(spawn_env_get(&env, "HOME"),
				    cases[i].want_home);
		if (cases[i].want_user)
			assert_string_equal(spawn_env_get(&env, "LOGNAME"),
					    cases[i].want_user);
		else
			assert_null(spawn_env_get(&env, "USER"));
		assert_string_equal(fake_logged(), "");
	}
}

/* Who cannot be had does not run as somebody else */
static void test_user_fails(void **state)
{
	static const struct {
		const char *user, *fail;
		int rc;
		const char *calls, *said;
	} cases[] = {
		{ "gone", "-", -EINVAL, ENTER,
		  "t: error: MSB_USER: guest user not found: gone\n" },
		{ "app:gone", "-", -EINVAL, ENTER,
		  "t: error: MSB_USER: guest group not found: gone\n" },
		{ ":x", "-", -EINVAL, ENTER,
		  "t: error: MSB_USER: user spec has empty user\n" },
		{ "7", "setgroups", -EPERM, ENTER "setgroups 8\n",
		  "t: error: workload: setgroups: Operation not permitted\n" },
		{ "7", "setgid", -EPERM, ENTER "setgroups 8\nsetgid 8\n",
		  "t: error: workload: setgid: Operation not permitted\n" },
		{ "7", "setuid", -EAGAIN, ENTER "setgroups 8\nsetgid 8\n"
		  "setuid 7\n", "t: error: workload: setuid: Resource "
		  "temporarily unavailable\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(run(cases[i].user, true), cases[i].rc);
		assert_string_equal(fake_calls(), cases[i].calls);
		assert_string_equal(fake_logged(), cases[i].said);
	}
}

/* Restricted while it is still root, and then somebody else */
static void test_restricted(void **state)
{
	struct become b = { .user = "7", .restricted = true };

	(void)state;
	run(NULL, false);		/* for /etc/passwd */
	fake_calls();
	assert_int_equal(become(&b, &env), 0);
	assert_string_equal(fake_calls(),
		"write /proc/self/oom_score_adj 0 0\nprctl 38 1 0\n"
		"prctl 47 4 0\nprctl 24 21 0\ncapdrop 21\nsetgroups 8\n"
		"setgid 8\nsetuid 7\n");
	fake_fail("capdrop", -EPERM);
	assert_int_equal(become(&b, &env), -EPERM);
	assert_null(strstr(fake_calls(), "setuid"));
}

/* Limits while they may still be raised; one that fails is no reason to stop */
static void test_limits(void **state)
{
	struct become b = { .user = "0" };

	(void)state;
	rlimits_read("nofile=5;nproc=6", &b.limits);
	fake_fail("setrlimit 6", -EPERM);
	spawn_env_init(&env, base);
	assert_int_equal(become(&b, &env), 0);
	/* And there is no group to enter here */
	assert_string_equal(fake_calls(), "write /proc/self/oom_score_adj 0 0\n"
			    "setrlimit 6 6 6\n"
			    "setrlimit 7 5 5\nsetgroups\nsetgid 0\nsetuid 0\n");
}

int init_become_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_root), T(test_user), T(test_user_fails), T(test_limits),
		T(test_restricted),
#undef T
	};

	return cmocka_run_group_tests_name("init_become", tests, NULL, NULL);
}
