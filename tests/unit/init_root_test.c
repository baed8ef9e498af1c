#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/root.h"
#include "init/sys.h"
#include "tests/unit/init_fake.h"

int init_root_test(void);

static void test_parse(void **state)
{
	static const struct {
		const char *line;
		struct root want;
	} cases[] = {
		{ "", { .flags = 0 } },
		{ "quiet root=/dev/vda ro", { "/dev/vda", "", "", "",
					      MS_RDONLY } },
		{ "ro rw root=/dev/a root=/dev/b",
		  { "/dev/b", "", "", "", 0 } },
		{ "root=/dev/a rootfstype=xfs rootflags=noatime "
		  "init=/sbin/init rootwait",
		  { "/dev/a", "xfs", "noatime", "/sbin/init", 0 } },
		{ "root=/dev/a -- ro init=/x", { "/dev/a", "", "", "", 0 } },
		{ "rootfstype=a-name-that-is-longer-than-any-type-could-be",
		  { .flags = 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct root r;

		root_parse(span_str(cases[i].line), &r);
		assert_string_equal(r.dev, cases[i].want.dev);
		assert_string_equal(r.type, cases[i].want.type);
		assert_string_equal(r.data, cases[i].want.data);
		assert_string_equal(r.init, cases[i].want.init);
		assert_int_equal(r.flags, cases[i].want.flags);
	}
}

static void test_wanted(void **state)
{
	static const struct {
		const char *dev;
		unsigned long magic;
		bool want, said;
	} cases[] = {
		{ "/dev/vda",	RAMFS_MAGIC,	  true,	 false },
		{ "/dev/vda",	TMPFS_MAGIC,	  true,	 false },
		{ "/dev/vda",	EXT4_SUPER_MAGIC, false, false },
		{ "",		RAMFS_MAGIC,	  false, false },
		{ "LABEL=x",	RAMFS_MAGIC,	  false, true },
		{ "LABEL=x",	EXT4_SUPER_MAGIC, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct root r = { .flags = 0 };

		fake_reset();
		fake_mount("/", cases[i].magic);
		memcpy(r.dev, cases[i].dev, strlen(cases[i].dev));
		assert_int_equal(root_wanted(&r), cases[i].want);
		assert_int_equal(*fake_logged() != '\0', cases[i].said);
	}
}

#define MADE	"mkdir /newroot/proc 755\nmkdir /newroot/sys 755\n"	\
		"mkdir /newroot/dev 755\nmkdir /newroot/run 755\n"	\
		"mkdir /newroot/tmp 755\n"

static void test_switch(void **state)
{
	struct root r = { .dev = "/dev/vda", .flags = MS_RDONLY };

	(void)state;
	fake_file("/dev/vda", S_IFBLK | 0600, NULL);
	fake_fail("mount /run", -ENOENT);
	assert_int_equal(root_switch(&r), 0);
	assert_string_equal(fake_calls(),
		"mkdir /newroot 755\n"
		"mount /dev/vda /newroot ext4 8001 -\n" MADE
		"chdir /newroot\n"
		"mkdir /newroot/proc 755\nmount /proc /newroot/proc - 2000 -\n"
		"mkdir /newroot/sys 755\nmount /sys /newroot/sys - 2000 -\n"
		"mkdir /newroot/dev 755\nmount /dev /newroot/dev - 2000 -\n"
		"mkdir /newroot/run 755\nmount /run /newroot/run - 2000 -\n"
		"umount /run 2\n"
		"mount . / - 2000 -\nchroot .\nchdir /\n");
	assert_string_equal(fake_logged(), "");
}

/* A read-only root without /run and /tmp gets them above it */
static void test_complete(void **state)
{
	struct root r = { .dev = "/dev/vda", .flags = MS_RDONLY };
	static const char layers[] =
		"mkdir /newroot/run 755\n"
		"mkdir /run/msb 755\nmkdir /run/msb/root 700\n"
		"mkdir /run/msb/root/upper 755\n"
		"mount tmpfs /run/msb/root/upper tmpfs 0 mode=755\n"
		"mkdir /run/msb/root/upper/upper 755\n"
		"mkdir /run/msb/root/upper/work 755\n"
		"mount overlay /newroot overlay 0 lowerdir=/newroot,upperdir="
		"/run/msb/root/upper/upper,workdir=/run/msb/root/upper/work\n";

	(void)state;
	fake_file("/dev/vda", S_IFBLK | 0600, NULL);
	fake_file("/newroot/proc", S_IFDIR, NULL);
	fake_file("/newroot/sys", S_IFDIR, NULL);
	fake_file("/newroot/dev", S_IFDIR, NULL);
	fake_fail("mkdir /newroot/run", -EROFS);
	assert_int_equal(root_switch(&r), 0);
	assert_non_null(strstr(fake_calls(), layers));
	/* The fake's overlay changes nothing */
	assert_string_equal(fake_logged(), "t: error: root: /run cannot be "
			    "made\n");

	fake_fail("mount overlay", -ENODEV);
	assert_int_equal(root_switch(&r), 0);
	assert_null(strstr(fake_calls(), "mount - /newroot - 21"));
	assert_string_equal(fake_logged(), "t: error: root: it is read-only "
			    "and has no /run, and there is no overlay: No such "
			    "device\n");
}

static void test_types(void **state)
{
	struct root r = { .dev = "/dev/vda", .data = "noatime" };
	const char *calls;

	(void)state;
	fake_file("/dev/vda", S_IFBLK | 0600, NULL);
	fake_file("/proc/filesystems", S_IFREG, "nodev\tsysfs\n\text4\n"
		  "\txfs\n\tsquashfs\n");
	fake_fail("mount /dev/vda /newroot ext4", -EINVAL);
	fake_fail("mount /dev/vda /newroot xfs", -EINVAL);
	assert_int_equal(root_switch(&r), 0);
	calls = fake_calls();
	assert_non_null(strstr(calls,
		"mount /dev/vda /newroot ext4 8000 noatime\n"
		"mount /dev/vda /newroot squashfs 8000 noatime\n" MADE
		"chdir"));

	/* A read-only disk is mounted read-only */
	fake_fail("mount /dev/vda /newroot squashfs 8000", -EROFS);
	fake_fail("mount /dev/vda /newroot erofs", -ENODEV);
	fake_fail("mount /dev/vda /newroot btrfs", -ENODEV);
	fake_fail("mount /dev/vda /newroot vfat", -ENODEV);
	assert_int_equal(root_switch(&r), 0);
	assert_non_null(strstr(fake_calls(),
			"mount /dev/vda /newroot squashfs 8001 noatime\n"));
	assert_string_equal(fake_logged(), "");
}

static void test_failures(void **state)
{
	static const struct {
		mode_t mode;	/* of the device; 0: absent */
		const char *fail;
		int rc;
		const char *said;
	} cases[] = {
		{ 0,	   "-",		 -ENODEV,  "/dev/vda: wait: " },
		{ S_IFREG, "-",		 -ENOTBLK, "/dev/vda: wait: " },
		{ S_IFBLK, "mount /dev", -EIO,	   "/dev/vda: mount: " },
		{ S_IFBLK, "chdir /new", -EACCES,  "/dev/vda: chdir: " },
		{ S_IFBLK, "mount . /",	 -EINVAL,  "/dev/vda: move: " },
		{ S_IFBLK, "chroot",	 -EPERM,   "/dev/vda: chroot: " },
	};
	struct root r = { .dev = "/dev/vda", .type = "ext4" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		if (cases[i].mode)
			fake_file("/dev/vda", cases[i].mode, NULL);
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(root_switch(&r), cases[i].rc);
		assert_non_null(strstr(fake_calls(), "chdir /\n"));
		assert_non_null(strstr(fake_logged(), cases[i].said));
		/* Only an absent device is waited for, and not for long */
		assert_int_equal(sys_now(), cases[i].mode ? NS_PER_S :
				 3 * NS_PER_S);
	}
}

#define DIRS	"mkdir /newroot 755\nmkdir /run/msb 755\n"		\
		"mkdir /run/msb/root 700\nmkdir /run/msb/root/lower 755\n" \
		"mkdir /run/msb/root/upper 755\n"
#define OVERLAY	"mkdir /run/msb/root/upper/upper 755\n"			\
		"mkdir /run/msb/root/upper/work 755\n"			\
		"mount overlay /newroot overlay 0 "			\
		"lowerdir=/run/msb/root/lower,"				\
		"upperdir=/run/msb/root/upper/upper,"			\
		"workdir=/run/msb/root/upper/work\nchdir /newroot\n"

static int assemble(const char *value)
{
	struct blockroot b;
	struct env_err err;

	fake_file("/dev/vda", S_IFBLK, NULL);
	fake_file("/dev/vdb", S_IFBLK, NULL);
	fake_file("/proc/filesystems", S_IFREG, "\terofs\n");
	assert_int_equal(blockroot_parse(value, &b, &err), 1);
	return root_assemble(&b);
}

static void test_assemble(void **state)
{
	static const struct {
		const char *value, *calls;
	} cases[] = {
		{ "kind=disk-image,device=/dev/vda,fstype=xfs",
		  "mkdir /newroot 755\nmount /dev/vda /newroot xfs 0 -\n"
		  "chdir /newroot\n" },
		{ "kind=disk-image,device=/dev/vda",
		  "mkdir /newroot 755\nmount /dev/vda /newroot erofs 8000 -\n"
		  "chdir /newroot\n" },
		{ "kind=oci-erofs,lower=/dev/vda,upper=/dev/vdb,"
		  "upper_fstype=ext4",
		  DIRS "mount /dev/vda /run/msb/root/lower erofs 8001 -\n"
		  "mount /dev/vdb /run/msb/root/upper ext4 0 -\n" OVERLAY },
		{ "kind=oci-erofs,lower=/dev/vda,upper=tmpfs",
		  DIRS "mount /dev/vda /run/msb/root/lower erofs 8001 -\n"
		  "mount tmpfs /run/msb/root/upper tmpfs 0 mode=755\n"
		  OVERLAY },
		{ "kind=oci-erofs,lower=/dev/vda,upper=tmpfs,"
		  "upper_size_mib=64",
		  DIRS "mount /dev/vda /run/msb/root/lower erofs 8001 -\n"
		  "mount tmpfs /run/msb/root/upper tmpfs 0 size=64m,mode=755\n"
		  OVERLAY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *calls;

		fake_reset();
		assert_int_equal(assemble(cases[i].value), 0);
		calls = fake_calls();
		assert_int_equal(strncmp(calls, cases[i].calls,
					 strlen(cases[i].calls)), 0);
		assert_non_null(strstr(calls, "mount . / - 2000 -\nchroot .\n"
				       "chdir /\n"));
		assert_string_equal(fake_logged(), "");
	}
}

static void test_assemble_fails(void **state)
{
	static const char layers[] = "kind=oci-erofs,lower=/dev/vda,"
				     "upper=/dev/vdb,upper_fstype=ext4";
	static const struct {
		const char *value, *fail;
		int rc, want;
		const char *said;
	} cases[] = {
		{ "kind=disk-image,device=/dev/vdx", "-", 0, -ENODEV,
		  "root: /dev/vdx: No such device" },
		{ "kind=disk-image,device=/dev/vda", "mount /dev/vda", -EIO,
		  -EIO, "root: /dev/vda: " },
		{ "kind=disk-image,device=/dev/vda", "chroot", -EPERM, -EPERM,
		  "root: chroot: " },
		{ layers, "mount /dev/vda", -EIO, -EIO, "root: /dev/vda: " },
		{ layers, "mount /dev/vdb", -EIO, -EIO, "root: /dev/vdb: " },
		{ layers, "mount /dev/vdb /run/msb/root/upper ext4 0", -EROFS,
		  -EROFS, "root: the upper layer is read-only" },
		{ layers, "mount overlay", -ENODEV, -ENODEV,
		  "root: overlay: No such device" },
		{ "kind=oci-erofs,lower=/dev/vda,upper=tmpfs", "mount tmpfs",
		  -ENOMEM, -ENOMEM, "root: the upper layer: " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(assemble(cases[i].value), cases[i].want);
		/* Nothing of it is left behind */
		if (strstr(cases[i].value, "erofs"))
			assert_non_null(strstr(fake_calls(),
				"umount /run/msb/root/upper 2\n"
				"umount /run/msb/root/lower 2\n"));
		assert_non_null(strstr(fake_logged(), cases[i].said));
	}
}

static void test_init(void **state)
{
	struct root r = { .init = "/sbin/init" };

	(void)state;
	assert_null(root_init(&r));
	assert_non_null(strstr(fake_logged(), "init=/sbin/init"));
	fake_file("/sbin/msb-init", S_IFREG | 0755, NULL);
	assert_string_equal(root_init(&r), "/sbin/msb-init");
	fake_logged();
	fake_file("/sbin/init", S_IFREG | 0755, NULL);
	assert_string_equal(root_init(&r), "/sbin/init");
	r.init[0] = '\0';
	assert_string_equal(root_init(&r), "/sbin/msb-init");
	assert_string_equal(fake_logged(), "");
}

int init_root_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_parse), T(test_wanted), T(test_switch),
		T(test_complete), T(test_types),
		T(test_failures), T(test_assemble), T(test_assemble_fails),
		T(test_init),
#undef T
	};

	return cmocka_run_group_tests_name("init_root", tests, NULL, NULL);
}
