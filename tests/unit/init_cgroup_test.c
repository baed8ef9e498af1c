#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/cgroup.h"
#include "tests/unit/init_fake.h"

int init_cgroup_test(void);

/** world() - One with control groups */
static void world(void)
{
	fake_reset();
	fake_mount("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC);
}

static void test_setup(void **state)
{
	(void)state;
	world();
	fake_file("/proc/sys/kernel/threads-max", S_IFREG, "1800\n");
	fake_file("/proc/sys/kernel/pid_max", S_IFREG, "32768\n");
	fake_fail("mkdir", -EEXIST);
	assert_true(cgroup_setup(NULL));
	assert_string_equal(fake_calls(),
		"write /sys/fs/cgroup/cgroup.subtree_control 0 +pids\n"
		"write /sys/fs/cgroup/cgroup.subtree_control 0 +memory\n"
		"mkdir /sys/fs/cgroup/workload 755\n"
		"write /sys/fs/cgroup/workload/pids.max 0 1575\n"
		"write /sys/fs/cgroup/workload/memory.oom.group 0 1\n");
	cgroup_enter();
	cgroup_kill();
	assert_string_equal(fake_calls(),
		"write /sys/fs/cgroup/workload/cgroup.procs 0 0\n"
		"write /sys/fs/cgroup/workload/cgroup.kill 0 1\n");
	assert_string_equal(fake_logged(), "");
}

static void test_limit(void **state)
{
	static const struct {
		const char *value, *threads, *want;
		bool said;
	} cases[] = {
		{ NULL,	  NULL,	  "3670016", false },
		{ "",	  "800",  "700", false },
		{ NULL,	  "4",	  "8", false },
		{ NULL,	  "junk", "3670016", false },
		{ " 100 ", "800", "100", false },
		{ "4194304", "8", "4194304", false },
		{ "max",  "800",  "max", false },
		{ "0",	  "800",  "700", true },
		{ "-1",	  "800",  "700", true },
		{ "Max",  "800",  "700", true },
		{ "4194305", "800", "700", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char want[32];

		world();
		if (cases[i].threads)
			fake_file("/proc/sys/kernel/threads-max", S_IFREG,
				  cases[i].threads);
		assert_true(cgroup_setup(cases[i].value));
		snprintf(want, sizeof(want), "pids.max 0 %s\n", cases[i].want);
		assert_non_null(strstr(fake_calls(), want));
		assert_int_equal(*fake_logged() != '\0', cases[i].said);
	}
}

static void test_failures(void **state)
{
	static const struct {
		const char *fail;
		int rc;
		bool want;
		const char *said;
	} cases[] = {
		{ "mkdir", -EROFS, false, "t: warn: workload: control group: "
		  "Read-only file system\n" },
		{ "write /sys/fs/cgroup/workload/pids.max", -ENOENT, true,
		  "t: warn: workload: /sys/fs/cgroup/workload/pids.max: " },
		{ "write /sys/fs/cgroup/workload/memory", -EACCES, true,
		  "t: warn: workload: /sys/fs/cgroup/workload/memory.oom." },
		{ "write /sys/fs/cgroup/cgroup.subtree", -EINVAL, true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *said;

		world();
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(cgroup_setup(NULL), cases[i].want);
		said = fake_logged();
		if (cases[i].said)
			assert_int_equal(strncmp(said, cases[i].said,
						 strlen(cases[i].said)), 0);
		else
			assert_string_equal(said, "");
	}
	fake_fail("write", -EAGAIN);
	cgroup_enter();
	assert_non_null(strstr(fake_logged(), "workload: control group: "));
}

/* What is not ours, or is no group, is not touched */
static void test_none(void **state)
{
	(void)state;
	assert_false(cgroup_setup(NULL));
	fake_mount("/sys/fs/cgroup", TMPFS_MAGIC);
	assert_false(cgroup_setup(NULL));
	world();
	fake_contained(true);
	assert_false(cgroup_setup(NULL));
	assert_string_equal(fake_calls(), "");
}

#define MEMORY	CGROUP_DIR "/memory.events"
#define PIDS	CGROUP_DIR "/pids.events"

/* What is new since the last time is told, and nothing else */
static void test_events(void **state)
{
	(void)state;
	cgroup_events();
	assert_string_equal(fake_logged(), "");
	fake_file(MEMORY, S_IFREG, "low 9\noom 1\noom_kill 3\n");
	fake_file(PIDS, S_IFREG, "max 70\n");
	cgroup_events();
	assert_string_equal(fake_logged(),
		"t: warn: workload: out of memory: the kernel killed 3 of its "
		"processes\nt: warn: workload: too many processes: fork was "
		"refused 70 times, see MSB_PIDS_MAX\n");
	cgroup_events();
	assert_string_equal(fake_logged(), "");
	fake_file(MEMORY, S_IFREG, "oom_kill x\n");
	fake_file(PIDS, S_IFREG, "max 71");
	cgroup_events();
	assert_string_equal(fake_logged(), "t: warn: workload: too many "
		"processes: fork was refused 1 times, see MSB_PIDS_MAX\n");
}

int init_cgroup_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_setup), T(test_limit), T(test_failures), T(test_none),
		T(test_events),
#undef T
	};

	return cmocka_run_group_tests_name("init_cgroup", tests, NULL, NULL);
}
