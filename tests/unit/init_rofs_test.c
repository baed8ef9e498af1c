#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/rofs.h"
#include "tests/unit/init_fake.h"

int init_rofs_test(void);

static void files(bool all)
{
	fake_reset();
	fake_readonly("/etc");
	fake_file("/etc/hosts", S_IFREG, "");
	fake_file("/etc/hostname", S_IFREG, "");
	if (all)
		fake_file("/etc/resolv.conf", S_IFREG, "");
}

static void test_not_needed(void **state)
{
	(void)state;
	assert_int_equal(rofs_etc(), 0);
	fake_dir("/etc", 0);
	assert_int_equal(rofs_etc(), 0);
	files(true);
	assert_int_equal(rofs_etc(), 0);
	assert_string_equal(fake_calls(), "");
}

static void test_overlay(void **state)
{
	(void)state;
	files(false);
	assert_int_equal(rofs_etc(), 0);
	assert_string_equal(fake_calls(), "mkdir /run/msb 755\n"
		"mkdir /run/msb/etc 700\nmkdir /run/msb/etc/upper 755\n"
		"mkdir /run/msb/etc/work 755\nmount overlay /etc overlay 0 "
		"lowerdir=/etc,upperdir=/run/msb/etc/upper,"
		"workdir=/run/msb/etc/work\n");
	assert_string_equal(fake_logged(), "");
	fake_fail("mount", -ENODEV);
	assert_int_equal(rofs_etc(), -ENODEV);
	assert_string_equal(fake_logged(), "t: warn: mounts: /etc is "
		"read-only, has no resolv.conf, and no overlay: No such "
		"device\n");
}

int init_rofs_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_not_needed), T(test_overlay),
#undef T
	};

	return cmocka_run_group_tests_name("init_rofs", tests, NULL, NULL);
}
