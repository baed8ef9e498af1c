#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "init/mounts.h"
#include "tests/unit/init_fake.h"

int init_mounts_test(void);

static void test_empty_world(void **state)
{
	const struct mounts_fs *fs;
	const char *calls, *at;
	char want[64];

	(void)state;
	assert_int_equal(mounts_essential(), 0);
	calls = fake_calls();
	at = calls;
	/* Every one of the table, in its order */
	for (unsigned int i = 0; (fs = mounts_table(i)); i++) {
		snprintf(want, sizeof(want), "mount %s %s ", fs->source,
			 fs->target);
		at = strstr(at, want);
		assert_non_null(at);
	}
	assert_non_null(strstr(calls, "mkdir /dev/pts 755\nmount devpts "
			       "/dev/pts devpts a gid=5,mode=620,"
			       "ptmxmode=666\n"));
	assert_non_null(strstr(calls, "symlink /proc/self/fd /dev/fd\n"
			       "symlink /proc/self/fd/0 /dev/stdin\n"));
	assert_string_equal(fake_logged(), "");
}

static void test_all_there(void **state)
{
	const struct mounts_fs *fs;

	(void)state;
	for (unsigned int i = 0; (fs = mounts_table(i)); i++)
		fake_mount(fs->target, i % 2 ? fs->magic : fs->magic2);
	fake_fail("symlink", -EEXIST);
	assert_int_equal(mounts_essential(), 0);
	assert_null(strstr(fake_calls(), "mount "));
	assert_string_equal(fake_logged(), "");
}

/* What is mounted there decides, and only if it is a mount point */
static void test_present(void **state)
{
	static const struct {
		bool mounted;
		unsigned long magic;
		bool want;
	} cases[] = {
		{ true,  TMPFS_MAGIC,	true },
		{ true,  RAMFS_MAGIC,	true },
		{ true,  SYSFS_MAGIC,	false },
		{ false, TMPFS_MAGIC,	false },
	};
	const struct mounts_fs *fs = mounts_table(4);

	(void)state;
	assert_string_equal(fs->target, "/dev/shm");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		if (cases[i].mounted)
			fake_mount(fs->target, cases[i].magic);
		else
			fake_dir(fs->target, cases[i].magic);
		assert_int_equal(mounts_present(fs), cases[i].want);
	}
	fake_reset();
	assert_false(mounts_present(fs));
}

static void test_failures(void **state)
{
	static const struct {
		const char *line;
		int rc, missing;
		const char *said;	/* NULL: nothing */
	} cases[] = {
		{ "mount proc",		-ENODEV, 1, "error: mounts: proc on" },
		{ "mount sysfs",	-EPERM,	 1, "error: mounts: sysfs" },
		{ "mount devtmpfs",	-ENODEV, 1, "error: mounts: devtmpfs" },
		{ "mount proc",		-EBUSY,	 0, NULL },
		{ "mount cgroup2",	-ENODEV, 0, "info: mounts: cgroup2" },
		{ "mount mqueue",	-EPERM,	 0, "info: mounts: mqueue" },
		{ "mount devpts",	-ENOMEM, 0, "warn: mounts: devpts" },
		{ "mkdir",		-EROFS,	 0, NULL },
		{ "symlink",		-EROFS,	 0, "/dev/fd -> /proc/self" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *said;

		fake_reset();
		fake_fail(cases[i].line, cases[i].rc);
		assert_int_equal(mounts_essential(), cases[i].missing);
		/* Whatever fails, the last one is tried */
		assert_non_null(strstr(fake_calls(), "mount cgroup2"));
		said = fake_logged();
		if (cases[i].said)
			assert_non_null(strstr(said, cases[i].said));
		else
			assert_string_equal(said, "");
	}
}

static void test_tmp(void **state)
{
	(void)state;
	mounts_tmp();
	assert_string_equal(fake_calls(), "mkdir /tmp 1777\n"
			    "mount tmpfs /tmp tmpfs 6 mode=1777\n");
	fake_fail("mount", -ENOENT);
	mounts_tmp();
	assert_non_null(strstr(fake_logged(), "warn: mounts: tmpfs on /tmp"));
	/* Whatever it is: a plain directory is not */
	fake_dir("/tmp", EXT4_SUPER_MAGIC);
	mounts_tmp();
	assert_non_null(strstr(fake_calls(), "mount tmpfs /tmp"));
	fake_mount("/tmp", EXT4_SUPER_MAGIC);
	mounts_tmp();
	assert_string_equal(fake_calls(), "");
}

static void test_old_kernel(void **state)
{
	(void)state;
	fake_fail("mount cgroup2 /sys/fs/cgroup cgroup2 e nsdelegate", -EINVAL);
	assert_int_equal(mounts_essential(), 0);
	assert_non_null(strstr(fake_calls(),
			       "mount cgroup2 /sys/fs/cgroup cgroup2 e -\n"));
	assert_string_equal(fake_logged(), "");
}

int init_mounts_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_empty_world), T(test_all_there), T(test_present),
		T(test_failures), T(test_old_kernel), T(test_tmp),
#undef T
	};

	return cmocka_run_group_tests_name("init_mounts", tests, NULL, NULL);
}
