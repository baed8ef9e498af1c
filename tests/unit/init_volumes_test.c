#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/sys.h"
#include "init/volumes.h"
#include "tests/unit/init_fake.h"

int init_volumes_test(void);

static struct volumes plan;

/** values() - Dirs, files, disks, tmpfs; what was refused */
static int values(const char *dir, const char *file, const char *disk,
		  const char *tmpfs)
{
	const char *v[] = { dir, file, disk, tmpfs };

	return volumes_plan(&plan, v, 0);
}

/* Parents first, whatever their kind; as listed among equals */
static void test_sorted(void **state)
{
	static const char *const want[] = {
		"/b", "/a", "/z", "/t", "/a/f", "/z/y", "/a/b/c",
	};

	(void)state;
	assert_int_equal(values("x:/a/b/c;x:/b;x://a/./", "s:f:/a/f",
				"id:/z/;id:/z/y", "/t"), 0);
	assert_int_equal(plan.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(plan.v[i].path, want[i]);
	assert_true(volumes_at(&plan, "/z/y"));
	assert_false(volumes_at(&plan, "/z/"));
	assert_string_equal(fake_logged(), "");
}

static void test_refused(void **state)
{
	static const struct {
		const char *dir, *file, *tmpfs, *said;
	} cases[] = {
		{ "x:/a:foo", NULL, NULL, "t: error: mounts: MSB_DIR_MOUNTS "
		  "unknown mount option 'foo' (at byte 11)\n" },
		{ NULL, NULL, "a", "t: error: mounts: MSB_TMPFS: a: the path "
		  "is not absolute\n" },
		{ "x:/a/../b", NULL, NULL, "t: error: mounts: MSB_DIR_MOUNTS: "
		  "/a/../b: there is a \"..\" in it\n" },
		{ "x:/..", NULL, NULL, "t: error: mounts: MSB_DIR_MOUNTS: "
		  "/..: there is a \"..\" in it\n" },
		{ NULL, NULL, "/./", "t: error: mounts: MSB_TMPFS: /./: the "
		  "root is mounted already\n" },
		{ "x:/ok/", NULL, NULL, "t: error: mounts: MSB_DIR_MOUNTS: "
		  "/ok/: something else is mounted there\n" },
		{ "x:/f/a", "s:f:/f", NULL, "t: error: mounts: MSB_DIR_MOUNTS:"
		  " /f/a: it lies below a mounted file\n" },
		{ NULL, "s:a/b:/f", NULL, "t: error: mounts: MSB_FILE_MOUNTS: "
		  "a/b: not the name of a file\n" },
		{ NULL, "s:..:/f", NULL, "t: error: mounts: MSB_FILE_MOUNTS: "
		  "..: not the name of a file\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char dirs[64];

		/* What is good is planned all the same */
		snprintf(dirs, sizeof(dirs), "x:/ok;%s",
			 cases[i].dir ? cases[i].dir : "");
		assert_int_equal(values(dirs, cases[i].file, NULL,
					cases[i].tmpfs), 1);
		assert_string_equal(plan.v[0].path, "/ok");
		assert_string_equal(fake_logged(), cases[i].said);
	}
	/* A name that begins alike is not below */
	assert_int_equal(values("x:/fa", "s:f:/f", NULL, NULL), 0);
	assert_int_equal(plan.n, 2);
}

static void test_too_many(void **state)
{
	static char many[4096];
	size_t n = 0;

	(void)state;
	for (int i = 0; i <= VOLUMES_MAX; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n, "/t%d;", i);
	assert_int_equal(values(NULL, NULL, NULL, many), 1);
	assert_int_equal(plan.n, VOLUMES_MAX);
	assert_string_equal(fake_logged(), "t: error: mounts: MSB_TMPFS: /t64: "
			    "too many mounts\n");

	memset(many, 'p', sizeof(many) - 1);
	many[0] = '/';
	assert_int_equal(values(NULL, NULL, NULL, many), 0);
	many[1] = '/';
	assert_int_equal(values(NULL, NULL, NULL, many), 0);
}

static void test_dir(void **state)
{
	(void)state;
	values("src:/a/b:ro,nodev", NULL, NULL, NULL);
	fake_fail("mkdir /a ", -EEXIST);
	assert_int_equal(volumes_mount(&plan), 0);
	assert_string_equal(fake_calls(), "mkdir /a 755\nmkdir /a/b 755\n"
			    "mount src /a/b virtiofs 5 -\n");
}

/* What the profile adds goes to all of them */
static void test_flags(void **state)
{
	const char *v[] = { "a:/a", "s:f:/f", NULL, "/t:ro,nodev" };

	(void)state;
	fake_file("/run/msb/share/f", S_IFREG, "");
	assert_int_equal(volumes_plan(&plan, v, MS_NOSUID | MS_NODEV), 0);
	assert_int_equal(volumes_mount(&plan), 0);
	for (size_t i = 0; i < plan.n; i++)
		assert_int_equal(plan.v[i].spec.flags & ~1UL,
				 MS_NOSUID | MS_NODEV);
	assert_non_null(strstr(fake_calls(), "mount - /f - 1026 -\n"));
}

static void test_tmpfs(void **state)
{
	static const struct {
		const char *value, *call;
	} cases[] = {
		{ "/t", "mount tmpfs /t tmpfs 0 mode=755\n" },
		{ "/tmp", "mount tmpfs /tmp tmpfs 0 mode=1777\n" },
		{ "/t:size=64,mode=700,noexec",
		  "mount tmpfs /t tmpfs 8 size=64m,mode=700\n" },
		{ "/tmp:mode=0", "mount tmpfs /tmp tmpfs 0 mode=0\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		values(NULL, NULL, NULL, cases[i].value);
		assert_int_equal(volumes_mount(&plan), 0);
		assert_non_null(strstr(fake_calls(), cases[i].call));
	}
	values(NULL, NULL, NULL, "/var/tmp");
	volumes_mount(&plan);
	assert_string_equal(fake_calls(), "mkdir /var 755\n"
			    "mkdir /var/tmp 755\n"
			    "mount tmpfs /var/tmp tmpfs 0 mode=1777\n");
}

#define STAGED	"mkdir /run/msb 755\nmkdir /run/msb/share 700\n"	\
		"mount s /run/msb/share virtiofs 0 -\n"
#define UNSTAGED "umount /run/msb/share 2\nrmdir /run/msb/share\n"

static void test_file(void **state)
{
	(void)state;
	fake_file("/run/msb/share/f", S_IFREG, "");
	fake_file("/etc/there", S_IFREG, "");
	values(NULL, "s:f:/etc/there", NULL, NULL);
	assert_int_equal(volumes_mount(&plan), 0);
	assert_string_equal(fake_calls(), STAGED
		"mount /run/msb/share/f /etc/there - 1000 -\n" UNSTAGED);

	/* The file is made; options come in a second step */
	values(NULL, "s:f:/opt/x/g:ro,nosuid", NULL, NULL);
	assert_int_equal(volumes_mount(&plan), 0);
	assert_string_equal(fake_calls(), STAGED
		"mkdir /opt 755\nmkdir /opt/x 755\nwrite /opt/x/g 644 \n"
		"mount /run/msb/share/f /opt/x/g - 1000 -\n"
		"mount - /opt/x/g - 1023 -\n" UNSTAGED);
	values(NULL, "s:f:/g", NULL, NULL);
	assert_int_equal(volumes_mount(&plan), 0);
	assert_non_null(strstr(fake_calls(), "-\nwrite /g 644 \nmount"));
}

static void test_file_fails(void **state)
{
	static const struct {
		const char *value, *fail;
		int rc;
		const char *calls, *said;
	} cases[] = {
		{ "s:f:/g:ro", "mount - /g", -EPERM,
		  "umount /g 2\n" UNSTAGED, "Operation not permitted" },
		{ "s:gone:/g", "-", 0, STAGED UNSTAGED,
		  "the share has no such file" },
		{ "s:f:/g", "mount s", -EINVAL,
		  "mount s /run/msb/share virtiofs 0 -\n"
		  "rmdir /run/msb/share\n", "no share with this tag" },
		{ "s:f:/g", "mount s", -ENODEV, "rmdir", "no virtiofs" },
		{ "s:f:/dir", "-", 0, UNSTAGED, "Is a directory" },
		{ "s:f:/o/g", "mkdir /o", -EROFS, UNSTAGED,
		  "the mount point is missing" },
		{ "s:f:/g", "write /g", -EROFS, UNSTAGED,
		  "the mount point is missing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_file("/run/msb/share/f", S_IFREG, "");
		fake_file("/dir", S_IFDIR, "");
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(values(NULL, cases[i].value, NULL, NULL), 0);
		assert_int_equal(volumes_mount(&plan), 1);
		assert_non_null(strstr(fake_calls(), cases[i].calls));
		assert_non_null(strstr(fake_logged(), cases[i].said));
	}
}

static void disks(void)
{
	fake_reset();
	fake_file("/sys/block/vda", S_IFDIR, NULL);
	fake_file("/sys/block/vda/serial", S_IFREG, "");
	fake_file("/sys/block/loop0", S_IFDIR, NULL);
	fake_file("/sys/block/vdb", S_IFDIR, NULL);
	fake_file("/sys/block/vdb/serial", S_IFREG, "data-1\n");
	fake_file("/sys/block/vdc", S_IFDIR, NULL);
	fake_file("/sys/block/vdc/serial", S_IFREG, "data");
	fake_file("/dev/vdb", S_IFBLK, NULL);
	fake_file("/dev/vdc", S_IFBLK, NULL);
}

static void test_disk(void **state)
{
	static const struct {
		const char *value, *calls, *said;
	} cases[] = {
		{ "data-1:/d", "mkdir /d 755\n"
		  "mount /dev/vdb /d ext4 8000 -\n", "" },
		{ "data:/d:ro", "mkdir /d 755\n"
		  "mount /dev/vdc /d ext4 8001 noload\n", "" },
		{ "data:/d:fstype=xfs,nosuid", "mkdir /d 755\n"
		  "mount /dev/vdc /d xfs 2 -\n", "" },
		{ "data-1:/d:fstype=odd", "mkdir /d 755\n"
		  "mount /dev/vdb /d odd 0 -\nmount /dev/vdb /d odd 1 -\n",
		  "t: warn: mounts: /d: it is read-only, as its disk is\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		disks();
		fake_fail("mount /dev/vdb /d odd 0", -EROFS);
		assert_int_equal(values(NULL, NULL, cases[i].value, NULL), 0);
		assert_int_equal(volumes_mount(&plan), 0);
		assert_string_equal(fake_calls(), cases[i].calls);
		assert_string_equal(fake_logged(), cases[i].said);
	}
}

static void test_disk_fails(void **state)
{
	static const struct {
		const char *value, *fail;
		int rc;
		const char *said;
	} cases[] = {
		{ "dat:/d", "-", 0, "t: error: mounts: MSB_DISK_MOUNTS: dat on "
		  "/d: no disk has this serial\n" },
		{ "data-12:/d", "-", 0, "no disk has this serial" },
		{ "012345678901234567890:/d", "-", 0, "at most 20 bytes" },
		{ "data:/d", "mount", -EINVAL, "no file system that this" },
		{ "data:/d:fstype=x", "mount", -ENODEV, "No such device" },
		{ "data:/d", "mkdir", -EROFS, "the mount point is missing" },
		{ "data:/d", "mkdir", -ENOTDIR, "Not a directory" },
	};
	uint64_t waited = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		disks();
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(values(NULL, NULL, cases[i].value, NULL), 0);
		assert_int_equal(volumes_mount(&plan), 1);
		assert_non_null(strstr(fake_logged(), cases[i].said));
		waited += sys_now() - NS_PER_S;
	}
	/* All of them together are waited for as long as one */
	assert_true(waited <= 500 * NS_PER_MS);
}

/* One that fails does not keep the others from being mounted */
static void test_goes_on(void **state)
{
	(void)state;
	fake_fail("mount a", -EINVAL);
	values("a:/a;b:/b", NULL, NULL, NULL);
	assert_int_equal(volumes_mount(&plan), 1);
	assert_non_null(strstr(fake_calls(), "mount b /b virtiofs 0 -\n"));
	assert_string_equal(fake_logged(), "t: error: mounts: MSB_DIR_MOUNTS: "
		"a on /a: the machine has no share with this tag\n");
}

int init_volumes_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_sorted), T(test_refused), T(test_too_many), T(test_dir),
		T(test_flags), T(test_tmpfs), T(test_file),
		T(test_file_fails), T(test_disk), T(test_disk_fails),
		T(test_goes_on),
#undef T
	};

	return cmocka_run_group_tests_name("init_volumes", tests, NULL, NULL);
}
