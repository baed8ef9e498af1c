#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/diskfs.h"
#include "init/sys.h"
#include "tests/unit/init_fake.h"

int init_diskfs_test(void);

static const struct diskfs any = { "/dev/vda", "/d", "", "", 0, false };

static void test_wait(void **state)
{
	(void)state;
	assert_int_equal(diskfs_wait("/dev/vda"), -ENODEV);
	assert_int_equal(sys_now(), 3 * NS_PER_S);
	fake_file("/dev/vda", S_IFREG, NULL);
	assert_int_equal(diskfs_wait("/dev/vda"), -ENOTBLK);
	fake_file("/dev/vda", S_IFBLK, NULL);
	assert_int_equal(diskfs_wait("/dev/vda"), 0);
	assert_int_equal(sys_now(), 3 * NS_PER_S);
}

/* What is there, the usual ones first; then what modprobe might find */
static void test_order(void **state)
{
	(void)state;
	fake_file("/proc/filesystems", S_IFREG, "nodev\tsysfs\n\tntfs3\n"
		  "\txfs\n\text4\nnodev\toverlay\n\n\tsquashfs");
	fake_fail("mount", -EINVAL);
	assert_int_equal(diskfs_mount(&any), -EINVAL);
	assert_string_equal(fake_calls(),
		"mount /dev/vda /d ext4 8000 -\n"
		"mount /dev/vda /d squashfs 8000 -\n"
		"mount /dev/vda /d xfs 8000 -\n"
		"mount /dev/vda /d ntfs3 8000 -\n"
		"mount /dev/vda /d erofs 8000 -\n"
		"mount /dev/vda /d btrfs 8000 -\n"
		"mount /dev/vda /d vfat 8000 -\n");

	/* Without /proc too; an absent type is not what is wrong */
	fake_reset();
	fake_fail("mount /dev/vda /d ext4", -EUCLEAN);
	fake_fail("mount", -ENODEV);
	assert_int_equal(diskfs_mount(&any), -EUCLEAN);
	assert_non_null(strstr(fake_calls(), " vfat "));

	fake_reset();
	fake_fail("mount /dev/vda /d ext4", -EINVAL);
	assert_int_equal(diskfs_mount(&any), 0);
	assert_string_equal(fake_calls(), "mount /dev/vda /d ext4 8000 -\n"
			    "mount /dev/vda /d erofs 8000 -\n");
}

static void test_typed(void **state)
{
	struct diskfs f = any;

	(void)state;
	f.type = "xfs";
	f.data = "noatime";
	f.flags = MS_NODEV;
	assert_int_equal(diskfs_mount(&f), 0);
	assert_string_equal(fake_calls(), "mount /dev/vda /d xfs 4 noatime\n");

	/* A read-only device */
	fake_fail("mount /dev/vda /d xfs 4", -EACCES);
	assert_int_equal(diskfs_mount(&f), 1);
	assert_string_equal(fake_calls(), "mount /dev/vda /d xfs 4 noatime\n"
			    "mount /dev/vda /d xfs 5 noatime\n");
	fake_fail("mount /dev/vda /d xfs 5", -EROFS);
	assert_int_equal(diskfs_mount(&f), -EROFS);
	fake_calls();
	f.flags = MS_RDONLY;
	fake_fail("mount /dev/vda /d xfs 1", -EACCES);
	assert_int_equal(diskfs_mount(&f), -EACCES);
	assert_string_equal(fake_calls(), "mount /dev/vda /d xfs 1 noatime\n");
}

static void test_noload(void **state)
{
	static const struct {
		const char *type, *data;
		unsigned long flags;
		bool noload;
		const char *call;
	} cases[] = {
		{ "ext4", "", MS_RDONLY, true, "ext4 1 noload\n" },
		{ "ext4", "", 0, true, "ext4 0 -\n" },
		{ "ext4", "", MS_RDONLY, false, "ext4 1 -\n" },
		{ "ext4", "noatime", MS_RDONLY, true, "ext4 1 noatime\n" },
		{ "xfs", "", MS_RDONLY, true, "xfs 1 -\n" },
		{ "", "", MS_RDONLY, true, "ext4 8001 noload\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct diskfs f = any;

		f.type = cases[i].type;
		f.data = cases[i].data;
		f.flags = cases[i].flags;
		f.noload = cases[i].noload;
		assert_int_equal(diskfs_mount(&f), 0);
		assert_string_equal(fake_calls() + strlen("mount /dev/vda /d "),
				    cases[i].call);
	}
}

int init_diskfs_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_wait), T(test_order), T(test_typed), T(test_noload),
#undef T
	};

	return cmocka_run_group_tests_name("init_diskfs", tests, NULL, NULL);
}
