#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/util.h"
#include "init/mtab.h"

int init_mtab_test(void);

static void test_path(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "",			"" },
		{ "/a",			"/a" },
		{ "/a\\040b",		"/a b" },
		{ "\\011\\012\\134",	"\t\n\\" },
		{ "\\134040",		"\\040" },	/* once is enough */
		{ "\\377",		"\377" },
		{ "\\400",		"\\400" },
		{ "\\08",		"\\08" },
		{ "\\048",		"\\048" },
		{ "\\04",		"\\04" },
		{ "\\0",		"\\0" },
		{ "\\",			"\\" },
		{ "\\\\040",		"\\ " },
		{ "\\x20",		"\\x20" },
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(mtab_path(span_str(cases[i].in), buf,
					   sizeof(buf)), 0);
		assert_string_equal(buf, cases[i].want);
	}
	assert_int_equal(mtab_path(span_str("/a\\000b"), buf, sizeof(buf)),
			 -EINVAL);
	assert_string_equal(buf, "");
	assert_int_equal(mtab_path(span_str("0123456789abcde"), buf,
				   sizeof(buf)), 0);
	assert_int_equal(mtab_path(span_str("0123456789abcdef"), buf,
				   sizeof(buf)), -ENAMETOOLONG);
	assert_string_equal(buf, "");
}

static void test_parse(void **state)
{
	struct mtab m;

	(void)state;
	assert_true(mtab_parse(span_str("/dev/vda /a\\040b ext4 rw,nosuid,ro=1 "
					"0 0"), &m));
	assert_true(span_is(m.source, "/dev/vda"));
	assert_true(span_is(m.target, "/a\\040b"));
	assert_true(span_is(m.type, "ext4"));
	assert_true(mtab_has(&m, "rw"));
	assert_true(mtab_has(&m, "nosuid"));
	assert_false(mtab_has(&m, "ro"));
	assert_false(mtab_parse(span_str(""), &m));
	assert_false(mtab_parse(span_str("a"), &m));
	assert_false(mtab_parse(span_str("a b"), &m));
	assert_false(mtab_parse(span_str("a  c rw"), &m));
	assert_true(mtab_parse(span_str("a b c"), &m));
	assert_false(mtab_has(&m, ""));
}

static void test_last(void **state)
{
	struct span text = span_str("\none\n\n two\nthree\n\n"), line;

	(void)state;
	assert_true(mtab_last(&text, &line));
	assert_true(span_is(line, "three"));
	assert_true(mtab_last(&text, &line));
	assert_true(span_is(line, " two"));
	assert_true(mtab_last(&text, &line));
	assert_true(span_is(line, "one"));
	assert_false(mtab_last(&text, &line));
	text = span_str("torn");
	assert_true(mtab_last(&text, &line));
	assert_true(span_is(line, "torn"));
	assert_false(mtab_last(&text, &line));
}

int init_mtab_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path), cmocka_unit_test(test_parse),
		cmocka_unit_test(test_last),
	};

	return cmocka_run_group_tests_name("init_mtab", tests, NULL, NULL);
}
