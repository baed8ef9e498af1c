#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/span.h"
#include "base/util.h"

static void test_compare(void **state)
{
	(void)state;
	assert_true(span_is(span_str("abc"), "abc"));
	assert_false(span_is(span_str("abc"), "ab"));
	assert_false(span_is(span_str("ab"), "abc"));
	assert_false(span_is(span_str("abd"), "abc"));
	assert_true(span_is(span_str(NULL), ""));
	assert_true(span_starts(span_str("abc"), "ab"));
	assert_true(span_starts(span_str("abc"), ""));
	assert_false(span_starts(span_str("a"), "ab"));
	assert_false(span_starts(span_str(""), "a"));
	assert_false(span_is((struct span){ (const uint8_t *)"a\0b", 3 }, "a"));
}

static void test_cut(void **state)
{
	struct span s = span_str("a,,b,"), part;
	const uint8_t *end = s.p + s.len;
	bool more;

	(void)state;
	part = span_cut(&s, ',', &more);
	assert_true(span_is(part, "a") && more);
	part = span_cut(&s, ',', &more);
	assert_true(span_is(part, "") && more);
	part = span_cut(&s, ',', &more);
	assert_true(span_is(part, "b") && more);
	part = span_cut(&s, ',', &more);	/* empty, but it is there */
	assert_true(span_is(part, "") && !more);
	assert_ptr_equal(part.p, end);
	part = span_cut(&s, ',', NULL);
	assert_int_equal(part.len, 0);

	s = span_str("whole");
	part = span_cut(&s, ',', &more);
	assert_true(span_is(part, "whole") && !more && !s.len);

	s = (struct span){ 0 };
	part = span_cut(&s, ',', &more);
	assert_true(!part.len && !more);
}

static void test_trim(void **state)
{
	static const char *const cases[][2] = {
		{ "a b", "a b" }, { " \t\r\na b\n ", "a b" }, { " \n", "" },
		{ "", "" }, { "\v", "\v" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(span_is(span_trim(span_str(cases[i][0])),
				    cases[i][1]));
}

static void test_uint(void **state)
{
	static const struct {
		const char *in;
		uint64_t max, out;
		int rc;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "1500", 65535, 1500, 0 },
		{ "+1500", 65535, 1500, 0 },
		{ "01500", 65535, 1500, 0 },
		{ "65535", 65535, 65535, 0 },
		{ "65536", 65535, 0, -ERANGE },
		{ "18446744073709551615", UINT64_MAX, UINT64_MAX, 0 },
		{ "18446744073709551616", UINT64_MAX, 0, -ERANGE },
		{ "28446744073709551615", UINT64_MAX, 0, -ERANGE },
		{ "99999999999999999999", UINT64_MAX, 0, -ERANGE },
		{ "00000000000000000007", 9, 7, 0 },
		{ "000000000000000000007", 9, 0, -EINVAL },
		{ "", 9, 0, -EINVAL },
		{ "+", 9, 0, -EINVAL },
		{ "++1", 9, 0, -EINVAL },
		{ "-1", 9, 0, -EINVAL },
		{ " 1", 9, 0, -EINVAL },
		{ "1 ", 9, 0, -EINVAL },
		{ "0x5", 9, 0, -EINVAL },
		{ "99x", 9, 0, -EINVAL },
		{ "1:", 9, 0, -EINVAL },
		{ "1/", 9, 0, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].in);
		uint8_t *copy = malloc(n ? n : 1);
		uint64_t v = 77;
		int rc;

		assert_non_null(copy);
		memcpy(copy, cases[i].in, n);
		rc = span_uint((struct span){ copy, n }, cases[i].max, &v);
		assert_int_equal(rc, cases[i].rc);
		assert_int_equal(v, rc ? 77 : cases[i].out);
		free(copy);
	}
}

static void test_copy(void **state)
{
	char buf[4] = "xxx";

	(void)state;
	assert_int_equal(span_copy(span_str("abc"), buf, sizeof(buf)), 0);
	assert_string_equal(buf, "abc");
	assert_int_equal(span_copy(span_str("abcd"), buf, sizeof(buf)),
			 -ENAMETOOLONG);
	assert_string_equal(buf, "");
	assert_int_equal(span_copy((struct span){ (const uint8_t *)"a\0", 2 },
				   buf, sizeof(buf)), -EINVAL);
	assert_string_equal(buf, "");
	assert_int_equal(span_copy((struct span){ 0 }, buf, 1), 0);
	assert_int_equal(span_copy((struct span){ 0 }, buf, 0), -ENAMETOOLONG);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		uint32_t cp;
	} cases[] = {
		{ "a", 1, 'a' }, { "\x7f", 1, 0x7f },
		{ "\xc2\x80", 2, 0x80 }, { "\xdf\xbf", 2, 0x7ff },
		{ "\xe0\xa0\x80", 3, 0x800 }, { "\xef\xbf\xbf", 3, 0xffff },
		{ "\xed\x9f\xbf", 3, 0xd7ff }, { "\xee\x80\x80", 3, 0xe000 },
		{ "\xf0\x90\x80\x80", 4, 0x10000 },
		{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
		{ "", 0, 0 }, { "\x80", 0, 0 }, { "\xbf", 0, 0 },
		{ "\xc0\x80", 0, 0 }, { "\xc1\xbf", 0, 0 },	/* overlong */
		{ "\xe0\x9f\xbf", 0, 0 }, { "\xf0\x8f\xbf\xbf", 0, 0 },
		{ "\xed\xa0\x80", 0, 0 }, { "\xed\xbf\xbf", 0, 0 },
		{ "\xf4\x90\x80\x80", 0, 0 }, { "\xf5\x80\x80\x80", 0, 0 },
		{ "\xff", 0, 0 }, { "\xc3(", 0, 0 }, { "\xe2\x82(", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].in);

		for (size_t n = 0; n <= len; n++) {
			uint8_t *copy = malloc(n ? n : 1);
			uint32_t cp = 1;
			size_t rc;

			assert_non_null(copy);
			memcpy(copy, cases[i].in, n);
			rc = span_utf8((struct span){ copy, n }, &cp);
			assert_int_equal(rc, n == len ? cases[i].n : 0);
			if (rc)
				assert_int_equal(cp, cases[i].cp);
			free(copy);
		}
	}
}

int span_test(void);
int span_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_uint),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
