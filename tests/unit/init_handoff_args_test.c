#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "init/handoff_args.h"

int init_handoff_args_test(void);

static struct handoff_args args;

/** encode() - base64url without padding */
static const char *encode(const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
				     "nopqrstuvwxyz0123456789-_";
	static char text[32768];
	const uint8_t *p = data;
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		size_t left = MIN(len - i, (size_t)3);

		if (left > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		for (size_t k = 0; k <= left; k++)
			text[n++] = digits[v >> (18 - 6 * k) & 63];
	}
	text[n] = '\0';
	return text;
}

static int words(const char *json, size_t len, const char **why)
{
	return handoff_args_words(span_str(encode(json, len)), &args, why);
}

static int pairs(const char *json, size_t len, const char **why)
{
	return handoff_args_env(span_str(encode(json, len)), &args, why);
}

static const struct good {
	const char *json;
	size_t n;
	const char *want[4];
} good_words[] = {
	{ "[]", 0, { NULL } },
	{ " [ ] ", 0, { NULL } },
	{ "[\"a\"]", 1, { "a" } },
	{ "\t[\n\"a b\" ,\r\"\",\"c\" ]\n", 3, { "a b", "", "c" } },
	{ "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", 1, { "\"\\/\b\f\n\r\t" } },
	{ "[\"\\u0041\\u00e9\\u20ac\\ud83d\\uDE00\"]", 1,
	  { "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" } },
	{ "[\"\xc3\xa9\x7f\"]", 1, { "\xc3\xa9\x7f" } },
	{ "[\"--flag=x\",\"[]{},:\"]", 2, { "--flag=x", "[]{},:" } },
}, good_pairs[] = {
	{ "[]", 0, { NULL } },
	{ "[[\"A\",\"b\"]]", 1, { "A=b" } },
	{ " [ [ \"A\" , \"b=c\" ] , [\"B\",\"\"] ] ", 2, { "A=b=c", "B=" } },
};

static void check(const struct good *g, int rc)
{
	assert_int_equal(rc, 0);
	assert_int_equal(args.n, g->n);
	for (size_t k = 0; k < g->n; k++)
		assert_string_equal(args.v[k], g->want[k]);
	assert_null(args.v[g->n]);
}

/* No proper prefix of a good value is good, except in white space */
static void test_good(void **state)
{
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good_words); i++) {
		const char *json = good_words[i].json;

		check(&good_words[i], words(json, strlen(json), &why));
		for (size_t n = 0; n < strlen(json); n++)
			if (n <= (size_t)(strrchr(json, ']') - json))
				assert_int_equal(words(json, n, &why),
						 -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good_pairs); i++) {
		const char *json = good_pairs[i].json;

		check(&good_pairs[i], pairs(json, strlen(json), &why));
		for (size_t n = 0; n < strlen(json); n++)
			if (n <= (size_t)(strrchr(json, ']') - json))
				assert_int_equal(pairs(json, n, &why),
						 -EINVAL);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *json, *why;
		size_t len;
	} cases[] = {
#define C(json, why)	{ json, why, sizeof(json) - 1 }
		C("", "invalid JSON"), C("null", "invalid JSON"),
		C("{}", "invalid JSON"), C("\"a\"", "invalid JSON"),
		C("[1]", "invalid JSON"), C("[null]", "invalid JSON"),
		C("[[]]", "invalid JSON"), C("[\"a\",]", "invalid JSON"),
		C("[,]", "invalid JSON"), C("[\"a\" \"b\"]", "invalid JSON"),
		C("[\"a\"]x", "invalid JSON"), C("[\"a\"][]", "invalid JSON"),
		C("['a']", "invalid JSON"), C("[\"a\n\"]", "invalid JSON"),
		C("[\"\xff\"]", "invalid JSON"),
		C("[\"\xc3\"]", "invalid JSON"),
		C("[\"\xed\xa0\x80\"]", "invalid JSON"),
		C("\xef\xbb\xbf[]", "invalid JSON"),
		C("[\"a\0b\"]", "NUL in a string"),
		C("[\"\\u0000\"]", "NUL in a string"),
		C("[\"\\x\"]", "invalid JSON escape"),
		C("[\"\\", "invalid JSON escape"),
		C("[\"\\u12g4\"]", "invalid JSON escape"),
		C("[\"\\ud800\"]", "invalid JSON escape"),
		C("[\"\\ud800\\u0041\"]", "invalid JSON escape"),
		C("[\"\\udc00\"]", "invalid JSON escape"),
		C("[]\0", "invalid JSON"),
	}, in_pairs[] = {
		C("[\"a\"]", "invalid JSON"), C("[[]]", "invalid JSON"),
		C("[[\"a\"]]", "invalid JSON"),
		C("[[\"a\",\"b\",\"c\"]]", "invalid JSON"),
		C("[[\"\",\"b\"]]", "empty key"),
		C("[[\"a=b\",\"c\"]]", "'=' in a key"),
		C("[[\"\\u003d\",\"c\"]]", "'=' in a key"),
		C("[[\"a\",\"\\u0000\"]]", "NUL in a string"),
		C("[[\"a\",\"b\"],]", "invalid JSON"),
#undef C
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		why = NULL;
		assert_int_equal(words(cases[i].json, cases[i].len, &why),
				 -EINVAL);
		assert_string_equal(why, cases[i].why);
		assert_int_equal(args.n, 0);
		assert_null(args.v[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(in_pairs); i++) {
		why = NULL;
		assert_int_equal(pairs(in_pairs[i].json, in_pairs[i].len,
				       &why), -EINVAL);
		assert_string_equal(why, in_pairs[i].why);
		assert_null(args.v[0]);
	}
}

static void test_base64(void **state)
{
	static const struct {
		const char *in;
		long want;
		const char *out;
	} cases[] = {
		{ "",		0, "" },
		{ "Zg",		1, "f" },
		{ "Zm8",	2, "fo" },
		{ "Zm9v",	3, "foo" },
		{ "Zm9vYmFy",	6, "foobar" },
		{ "_-_-",	3, "\xff\xef\xfe" },
		{ "Z",		-EINVAL, "" },
		{ "Zm9vY",	-EINVAL, "" },
		{ "Zh",		-EINVAL, "" },	/* bits left over */
		{ "Zm9",	-EINVAL, "" },
		{ "Zg==",	-EINVAL, "" },
		{ "Zm 8",	-EINVAL, "" },
		{ "+/+/",	-EINVAL, "" },
		{ "Zm9vYmFyeA",	-E2BIG, "" },
	};
	unsigned char out[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(handoff_args_base64(span_str(cases[i].in),
						     out, sizeof(out)),
				 cases[i].want);
		if (cases[i].want > 0)
			assert_memory_equal(out, cases[i].out,
					    (size_t)cases[i].want);
	}
}

static void test_bounds(void **state)
{
	static char json[HANDOFF_ARGS_TEXT + 16];
	const char *why = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(handoff_args_words(span_str("Z"), &args, &why),
			 -EINVAL);
	assert_string_equal(why, "invalid base64");

	/* One word more than there is room for, and one less */
	json[n++] = '[';
	for (int i = 0; i <= HANDOFF_ARGS_MAX; i++)
		n += (size_t)snprintf(json + n, sizeof(json) - n, "\"\",");
	json[n - 1] = ']';
	assert_int_equal(words(json, n, &why), -E2BIG);
	assert_string_equal(why, "too long");
	json[n - 4] = ']';
	assert_int_equal(words(json, n - 3, &why), 0);
	assert_int_equal(args.n, HANDOFF_ARGS_MAX);

	/* JSON that does not fit */
	memset(json, 'x', sizeof(json));
	assert_int_equal(words(json, HANDOFF_ARGS_TEXT + 1, &why), -E2BIG);
	assert_string_equal(why, "too long");
	/* A text is never longer than its JSON */
	json[0] = '[';
	json[1] = '"';
	json[HANDOFF_ARGS_TEXT - 2] = '"';
	json[HANDOFF_ARGS_TEXT - 1] = ']';
	assert_int_equal(words(json, HANDOFF_ARGS_TEXT, &why), 0);
	assert_int_equal(strlen(args.v[0]), HANDOFF_ARGS_TEXT - 4);
}

int init_handoff_args_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_base64), cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("init_handoff_args", tests, NULL,
					   NULL);
}
