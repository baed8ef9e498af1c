#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/util.h"
#include "init/restart.h"
#include "tests/unit/init_fake.h"

int init_restart_test(void);

static void test_parse(void **state)
{
	static const struct {
		const char *in;
		enum restart want;
		bool said;
	} cases[] = {
		{ NULL,		RESTART_NEVER,	    false },
		{ "",		RESTART_NEVER,	    false },
		{ "never",	RESTART_NEVER,	    false },
		{ "on-failure", RESTART_ON_FAILURE, false },
		{ " always ",	RESTART_ALWAYS,	    false },
		{ "Always",	RESTART_NEVER,	    true },
		{ "on-failur",	RESTART_NEVER,	    true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(restart_parse(cases[i].in), cases[i].want);
		assert_int_equal(*fake_logged() != '\0', cases[i].said);
	}
}

static void test_wanted(void **state)
{
	(void)state;
	assert_false(restart_wanted(RESTART_NEVER, 0));
	assert_false(restart_wanted(RESTART_NEVER, 1));
	assert_false(restart_wanted(RESTART_ON_FAILURE, 0));
	assert_true(restart_wanted(RESTART_ON_FAILURE, 137));
	assert_true(restart_wanted(RESTART_ALWAYS, 0));
	assert_true(restart_wanted(RESTART_ALWAYS, 1));
}

static void test_delay(void **state)
{
	static const uint32_t want[] = {
		100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000,
	};
	uint32_t ms = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(restart_delay_ms(&ms, i), want[i]);
	assert_int_equal(restart_delay_ms(&ms, 60 * NS_PER_S - 1), 10000);
	assert_int_equal(restart_delay_ms(&ms, 60 * NS_PER_S), 100);
	assert_int_equal(restart_delay_ms(&ms, 0), 200);
}

int init_restart_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_parse), T(test_wanted), T(test_delay),
#undef T
	};

	return cmocka_run_group_tests_name("init_restart", tests, NULL, NULL);
}
