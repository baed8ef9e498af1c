#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/cmdline.h"

/* A copy of exactly the right length, so that over-reads are noticed */
static struct span heap(const char *s)
{
	struct span in = span_str(s);
	uint8_t *copy = malloc(in.len ? in.len : 1);

	assert_non_null(copy);
	memcpy(copy, in.p, in.len);
	return (struct span){ copy, in.len };
}

static void release(struct span s)
{
	union {
		const uint8_t *in;
		void *out;
	} p = { .in = s.p };

	free(p.out);
}

/* Words joined by '|', each after what the kernel leaves of it */
static void test_words(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ " \t\n", "" },
		{ "a", "a|" },
		{ "  a  b=c\td\n", "a|b=c|d|" },
		{ "K=\"a b\"", "K=a b|" },
		{ "\"K=a b\" x", "K=a b|x|" },
		{ "\"a b\" c", "a b|c|" },
		{ "K=\"a b\"c d", "K=a b\"c|d|" },	/* not at the end */
		{ "K=a\"b c\"d", "K=a\"b c\"d|" },	/* nor at the start */
		{ "a\" b\"", "a\" b\"|" },
		{ "K=\"a b", "K=a b|" },		/* never closed */
		{ "\"a b", "a b|" },
		{ "\"", "|" },
		{ "\"\"", "|" },
		{ "\"\" x", "|x|" },
		{ "K=", "K=|" },
		{ "K=\"", "K=|" },
		{ "K=\"\"", "K=|" },
		{ "K=\"\" x", "K=|x|" },
		{ "\"K=\"", "K=|" },
		{ "\"K=\"a b\" c\"", "K=a|b\" c\"|" },
		{ "\"K=\"\"", "K=|" },
		{ "=a", "=a|" },
		{ "=\"a b\"", "=\"a b\"|" },	/* has no name: no value */
		{ "a=b=\"c d\"", "a=b=\"c d\"|" },
		{ "K=\"a\"\"b\"", "K=a\"\"b|" },
		{ "a -- b", "a|--|b|" },
		{ "a\xa0" "b", "a|b|" },	/* a space to the kernel */
	};
	char all[256], buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span s = heap(cases[i][0]), rest = s;
		size_t n = 0;

		while (cmdline_next(&rest, buf, sizeof(buf))) {
			memcpy(all + n, buf, strlen(buf));
			n += strlen(buf);
			all[n++] = '|';
		}
		all[n] = '\0';
		assert_string_equal(all, cases[i][1]);
		assert_int_equal(rest.len, 0);
		release(s);
	}
}

static void test_cut(void **state)
{
	struct span s = span_str("NAME=value x");
	char buf[12];

	(void)state;
	for (size_t size = 0; size <= sizeof(buf); size++) {
		struct span rest = s;
		size_t want = size ? MIN(size - 1, (size_t)10) : 0;

		memset(buf, '#', sizeof(buf));
		assert_int_equal(cmdline_next(&rest, buf, size), 1);
		assert_memory_equal(buf, "NAME=value", want);
		if (size)
			assert_int_equal(buf[want], '\0');
		assert_int_equal(cmdline_next(&rest, buf, sizeof(buf)), 1);
		assert_string_equal(buf, "x");
	}
}

static void test_get(void **state)
{
	static const struct {
		const char *line;
		int rc;
		const char *value;
	} cases[] = {
		{ "", -ENOENT, NULL },
		{ "K=v", 0, "v" },
		{ "K=", 0, "" },
		{ "K", -ENOENT, NULL },
		{ "KK=v", -ENOENT, NULL },
		{ "k=v", -ENOENT, NULL },
		{ "K=1 x K=2", 0, "2" },
		{ "K=1 K", 0, "1" },
		{ "K=1 -- K=2", 0, "1" },
		{ "-- K=2", -ENOENT, NULL },
		{ "\"--\" K=2", -ENOENT, NULL },
		{ "--x K=2", 0, "2" },
		{ "--=x K=2", 0, "2" },
		{ "K=\"a b\"", 0, "a b" },
		{ "\"K=a b\"", 0, "a b" },
		{ "x=K=v", -ENOENT, NULL },
		{ "\"x K=v\"", -ENOENT, NULL },
		{ "K=a=b", 0, "a=b" },
		{ "K=1234567", 0, "1234567" },
		{ "K=12345678", -ENAMETOOLONG, NULL },
		{ "K=12345678 K=x", 0, "x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span s = heap(cases[i].line);
		char buf[8] = "keep";
		int rc = cmdline_get(s, "K", buf, sizeof(buf));

		assert_int_equal(rc, cases[i].rc);
		assert_string_equal(buf, rc ? "keep" : cases[i].value);
		release(s);
	}
}

static void test_args(void **state)
{
	static const struct {
		const char *line;
		int n;
	} cases[] = {
		{ "", -ENOENT },
		{ "a b", -ENOENT },
		{ "--", 0 },
		{ "a --\n", 0 },
		{ "a -- b \"c d\" e=f\n", 3 },
		{ "a \"--\" b", 1 },
		{ "--a b", -ENOENT },
		{ "x=-- b", -ENOENT },
		{ "a -- \"\"", 1 },
		{ "-- sh -c -- x", 2 },		/* as the kernel does it */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span s = heap(cases[i].line);

		assert_int_equal(cmdline_args(s), cases[i].n);
		release(s);
	}
}

static void test_full(void **state)
{
	char line[CMDLINE_SIZE], name[8];
	struct span s = { (uint8_t *)line, sizeof(line) - 1 };
	const size_t at = sizeof(line) - 1 - strlen(" " CMDLINE_END);

	(void)state;
	memset(line, 'b', sizeof(line));
	assert_true(cmdline_cut(s, name, sizeof(name)));
	assert_string_equal(name, "bbbbbbb");
	memcpy(line + at, " " CMDLINE_END, strlen(" " CMDLINE_END));
	assert_false(cmdline_cut(s, name, sizeof(name)));
	line[sizeof(line) - 2] = '\0';
	line[at + 1] = 'X';
	assert_true(cmdline_cut(s, name, sizeof(name)));
	assert_string_equal(name, "XSB_END");
	memcpy(line + 10, " -- ", 4);
	assert_true(cmdline_cut(s, name, sizeof(name)));
	assert_string_equal(name, "--");
	s.len--;
	assert_false(cmdline_cut(s, name, sizeof(name)));
}

int cmdline_test(void);
int cmdline_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
