#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/util.h"
#include "init/watch.h"
#include "tests/unit/init_fake.h"

int init_watch_test(void);

#define HEX32	"0123456789abcdefABCDEF0123456789"

/* Events as letters: R, F */
static void said(void *arg, enum watch_said what)
{
	char *out = arg;

	out[strlen(out)] = what == WATCH_SAID_READY ? 'R' : 'F';
}

static void feed(struct watch *w, const char *s, size_t step, char *out)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i += step) {
		size_t n = MIN(step, len - i);
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, s + i, n);
		watch_feed(w, copy, n, said, out);
		free(copy);
	}
}

#define DROP(why)	"drop_watch_" #why

static const struct {
	const char *in, *events, *token, *bundle, *reason, *counter;
} cases[] = {
	{ "",				"",   "",    "",   "",	NULL },
	{ "READY=1\n",			"R",  "",    "",   "",	NULL },
	{ "READY=1",			"",   "",    "",   "",	NULL },
	{ "READY=0\n",			"",   "",    "",   "",	NULL },
	{ "READY\n",			"",   "",    "",   "",	DROP(form) },
	{ "=1\n",			"",   "",    "",   "",	DROP(form) },
	{ "\n",				"",   "",    "",   "",	DROP(form) },
	{ "FAILED=no link\n",		"F",  "",    "",   "no link", NULL },
	{ "FAILED=\nREADY=1\n",		"FR", "",    "",   "",	NULL },
	{ "IFACE=eth0\nX=y=z\nREADY=1\n", "R", "",   "",   "",	NULL },
	{ "TOKEN=" HEX32 "\nREADY=1\n",	"R",  HEX32, "",   "",	NULL },
	{ "TOKEN=" HEX32 "0\n",		"",   "",    "",   "",	DROP(token) },
	{ "TOKEN=" HEX32 "\nTOKEN=\n",	"",   HEX32, "",   "",	DROP(token) },
	{ "TOKEN=x123456789abcdef0123456789abcdef\n",
					"",   "",    "",   "",	DROP(token) },
	{ "TOKEN=ffffffffffffffffffffffffffffffff\nTOKEN=" HEX32 "\n",
					"",   HEX32, "",   "",	NULL },
	{ "CA_BUNDLE=/a/b.pem\n",	"",   "",    "/a/b.pem", "", NULL },
	{ "CA_BUNDLE=/a\nCA_BUNDLE=\n",	"",   "",    "",   "",	NULL },
	{ "CA_BUNDLE=/a\nCA_BUNDLE=b\n", "",  "",    "/a", "",	DROP(path) },
};

static void test_lines(void **state)
{
	static const size_t steps[] = { 1, 2, 7, 4096 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(steps); i++) {
		size_t c = i / ARRAY_SIZE(steps);
		struct watch w = { .len = 0 };
		char out[8] = "", token[WATCH_TOKEN_LEN + 1] = "";

		count_reset();
		feed(&w, cases[c].in, steps[i % ARRAY_SIZE(steps)], out);
		assert_string_equal(out, cases[c].events);
		if (w.has_token)
			memcpy(token, w.token, WATCH_TOKEN_LEN);
		assert_string_equal(token, cases[c].token);
		assert_string_equal(w.ca_bundle, cases[c].bundle);
		assert_string_equal(w.reason, cases[c].reason);
		if (cases[c].counter)
			assert_int_equal(count_get(cases[c].counter), 1);
	}
}

/* No proper prefix of a token's line gives a token, nor one of READY=1 */
static void test_prefixes(void **state)
{
	static const char line[] = "TOKEN=" HEX32 "\n", ready[] = "READY=1\n";

	(void)state;
	for (size_t n = 0; n < sizeof(line) - 1; n++) {
		struct watch w = { .len = 0 };
		char out[8] = "";

		watch_feed(&w, line, n, said, out);
		assert_false(w.has_token);
		watch_begin(&w);	/* the next agent does not finish it */
		feed(&w, HEX32 "\n", 4096, out);
		assert_false(w.has_token);
	}
	for (size_t n = 0; n < sizeof(ready) - 2; n++) {
		struct watch w = { .len = 0 };
		char out[8] = "";

		watch_feed(&w, ready, n, said, out);
		watch_feed(&w, "\n", 1, said, out);
		assert_string_equal(out, "");
	}
}

static void test_long(void **state)
{
	struct watch w = { .len = 0 };
	char big[WATCH_LINE_MAX + 1], out[8] = "";

	(void)state;
	count_reset();
	memset(big, 'x', sizeof(big));
	memcpy(big, "FAILED=", 7);
	watch_feed(&w, big, WATCH_LINE_MAX, said, out);
	watch_feed(&w, "\n", 1, said, out);
	assert_string_equal(out, "F");
	assert_int_equal(strlen(w.reason), sizeof(w.reason) - 1);
	assert_int_equal(count_get("drop_watch_long"), 0);

	watch_feed(&w, big, WATCH_LINE_MAX + 1, said, out);
	watch_feed(&w, "\nREADY=1\n", 9, said, out);
	assert_string_equal(out, "FR");
	assert_int_equal(count_get("drop_watch_long"), 1);
}

static void test_backoff(void **state)
{
	static const uint32_t want[] = { 100, 200, 400, 800, 1600, 3200, 6400,
					 10000, 10000 };
	struct watch w = { .len = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(watch_delay_ms(&w, NS_PER_S), want[i]);
	assert_int_equal(watch_delay_ms(&w, 60 * NS_PER_S - 1), 10000);
	assert_int_equal(watch_delay_ms(&w, 60 * NS_PER_S), 100);
	assert_int_equal(watch_delay_ms(&w, 0), 200);
}

int init_watch_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_lines), T(test_prefixes), T(test_long), T(test_backoff),
#undef T
	};

	return cmocka_run_group_tests_name("init_watch", tests, NULL, NULL);
}
