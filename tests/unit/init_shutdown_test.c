#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/shutdown.h"
#include "tests/unit/init_fake.h"

int init_shutdown_test(void);

static void test_parse(void **state)
{
	static const struct {
		const char *in;
		enum shutdown_how how;
		bool said;
	} cases[] = {
		{ NULL,		SHUTDOWN_POWEROFF, false },
		{ "",		SHUTDOWN_POWEROFF, false },
		{ "poweroff",	SHUTDOWN_POWEROFF, false },
		{ "reboot",	SHUTDOWN_REBOOT,   false },
		{ "halt",	SHUTDOWN_HALT,	   false },
		{ " reboot ",	SHUTDOWN_REBOOT,   false },
		{ " ",		SHUTDOWN_POWEROFF, false },
		{ "reboo",	SHUTDOWN_POWEROFF, true },
		{ "Halt",	SHUTDOWN_POWEROFF, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(shutdown_parse(cases[i].in), cases[i].how);
		assert_int_equal(*fake_logged() != '\0', cases[i].said);
	}
}

static void test_pseudo(void **state)
{
	(void)state;
	assert_true(shutdown_pseudo(span_str("proc")));
	assert_true(shutdown_pseudo(span_str("tmpfs")));
	assert_false(shutdown_pseudo(span_str("ext4")));
	assert_false(shutdown_pseudo(span_str("virtiofs")));
	assert_false(shutdown_pseudo(span_str("pro")));
	assert_false(shutdown_pseudo(span_str("")));
}

#define MOUNTS "/proc/self/mounts"

static void test_unmount(void **state)
{
	static const char want[] =
		"umount /data/a b 8\numount /data 8\n"
		"mount - /data - 21 -\numount / 8\numount /data/a b 8\n";

	(void)state;
	fake_file(MOUNTS, S_IFREG,
		  "/dev/vda / ext4 rw,relatime 0 0\n"
		  "proc /proc proc rw 0 0\n"
		  "/dev/vdb /data ext4 rw 0 0\n"
		  "/dev/vdc /data/a\\040b xfs rw 0 0\n");
	fake_fail("umount /data 8", -EBUSY);
	fake_fail("mount - /data ", -EBUSY);
	assert_int_equal(shutdown_unmount(), 1);
	/* The newest first, decoded; busy: read-only; then all over again */
	assert_int_equal(strncmp(fake_calls(), want, strlen(want)), 0);
	assert_non_null(strstr(fake_logged(), "left mounted read-write: "
			       "/dev/vdb /data ext4"));
}

/* The upper layer keeps its path: only so can it be made read-only */
static void test_upper(void **state)
{
	(void)state;
	fake_file(MOUNTS, S_IFREG, "/dev/vdb /run/msb/root/upper ext4 rw 0 0\n"
		  "overlay / overlay ro 0 0\n");
	shutdown_unmount();
	assert_int_equal(strncmp(fake_calls(), "mount - /run/msb/root/upper - "
				 "21 -\n", 35), 0);
	fake_file(MOUNTS, S_IFREG, "/dev/vdb /run/msb/root/upper ext4 ro 0 0\n"
		  "overlay / overlay ro 0 0\n");
	assert_int_equal(shutdown_unmount(), 0);
	assert_string_equal(fake_calls(), "");
}

static void test_unmount_ends(void **state)
{
	static const struct {
		const char *mounts, *fail;
		int left;
		const char *calls;
	} cases[] = {
		{ "", NULL, 0, "" },
		{ "\n \nx\nx y\n", NULL, 0, NULL },
		{ "/dev/vda / ext4 ro,relatime 0 0\n", NULL, 0, "" },
		{ "/dev/vda /x ext4 noatime,ro 0 0\n", "umount", 0,
		  "umount /x 8\n" },
		{ "/dev/vda /x ext4 rw,errors=ro 0 0", "umount", 0, NULL },
		{ "proc /proc proc rw 0 0\ntmpfs /run tmpfs rw 0 0\n", NULL,
		  0, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *calls;

		fake_reset();
		fake_file(MOUNTS, S_IFREG, cases[i].mounts);
		if (cases[i].fail)
			fake_fail(cases[i].fail, -EBUSY);
		assert_int_equal(shutdown_unmount(), cases[i].left);
		calls = fake_calls();
		if (cases[i].calls)
			assert_string_equal(calls, cases[i].calls);
	}
	/* Remounted because the options say no "ro" */
	fake_reset();
	fake_file(MOUNTS, S_IFREG, "/dev/vda /x ext4 rw,errors=ro 0 0");
	fake_fail("umount", -EBUSY);
	shutdown_unmount();
	assert_non_null(strstr(fake_calls(), "mount - /x - 21 -\n"));
}

/* The file systems of a container are those of its host */
static void test_contained(void **state)
{
	(void)state;
	fake_contained(true);
	fake_file(MOUNTS, S_IFREG, "/dev/vda / ext4 rw 0 0\n");
	assert_int_equal(shutdown_unmount(), 0);
	assert_string_equal(fake_calls(), "");
}

static void test_no_proc(void **state)
{
	(void)state;
	assert_int_not_equal(shutdown_unmount(), 0);
	assert_non_null(strstr(fake_logged(), MOUNTS));
}

static void test_off(void **state)
{
	static const struct {
		enum shutdown_how how;
		const char *calls;
	} cases[] = {
		{ SHUTDOWN_POWEROFF,	"reboot 4321fedc\nreboot 1234567\n" },
		{ SHUTDOWN_REBOOT,	"reboot 1234567\nreboot 4321fedc\n" },
		{ SHUTDOWN_HALT,	"reboot cdef0123\nreboot 4321fedc\n"
					"reboot 1234567\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_fail("reboot", -EPERM);
		shutdown_off(cases[i].how);
		assert_string_equal(fake_calls(), cases[i].calls);
		assert_non_null(strstr(fake_logged(), "waiting for ever"));
	}
}

/* A file system that hangs is given up; without a child it is done here */
static void test_files(void **state)
{
	(void)state;
	fake_within(-ETIMEDOUT);
	shutdown_files();
	assert_string_equal(fake_calls(), "within 60000\n");
	assert_non_null(strstr(fake_logged(), "does not answer"));
	fake_file(MOUNTS, S_IFREG, "");
	fake_within(-EAGAIN);
	shutdown_files();
	assert_string_equal(fake_calls(), "within 60000\nsync\nsync\n");
}

int init_shutdown_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_parse), T(test_pseudo),
		T(test_unmount), T(test_upper), T(test_unmount_ends),
		T(test_contained),
		T(test_no_proc), T(test_off), T(test_files),
#undef T
	};

	return cmocka_run_group_tests_name("init_shutdown", tests, NULL, NULL);
}
