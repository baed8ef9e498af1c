#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/profile.h"
#include "tests/unit/init_fake.h"

int init_profile_test(void);

static void test_parse(void **state)
{
	static const struct {
		const char *in;
		bool want;
		const char *reason;
	} cases[] = {
		{ NULL,			false, NULL },
		{ "",			false, NULL },
		{ "default",		false, NULL },
		{ " restricted ",	true,  NULL },
		{ "Restricted",		true,
		  "MSB_SECURITY_PROFILE unknown value: Restricted" },
		{ "none",		true,
		  "MSB_SECURITY_PROFILE unknown value: none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct env_err err = { 0 };
		bool got = false;
		int rc = profile_parse(cases[i].in, &got, &err);

		assert_int_equal(rc, cases[i].reason ? -EINVAL : 0);
		assert_string_equal(err.reason,
				    cases[i].reason ? cases[i].reason : "");
		if (!rc)
			assert_int_equal(got, cases[i].want);
		/* What is not known is taken for the safe one */
		assert_int_equal(profile_read(cases[i].in), cases[i].want);
		assert_int_equal(*fake_logged() != '\0',
				 cases[i].reason != NULL);
	}
}

/* No word that was cut off is the default */
static void test_prefixes(void **state)
{
	static const char word[] = "restricted";

	(void)state;
	for (size_t n = 1; n < sizeof(word); n++) {
		char *copy = strndup(word, n);

		assert_non_null(copy);
		assert_true(profile_read(copy));
		free(copy);
	}
}

static void test_enter(void **state)
{
	static const struct {
		const char *fail;
		int rc, want;
		const char *said;
	} cases[] = {
		{ "-", 0, 0, "" },
		{ "prctl 47", -EINVAL, 0, "" },
		{ "prctl 38", -EINVAL, -EINVAL, "no_new_privs" },
		{ "prctl 47", -EPERM, -EPERM, "ambient capabilities" },
		{ "prctl 24", -EPERM, -EPERM, "bounding set" },
		{ "capdrop", -EPERM, -EPERM, "profile: capabilities" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_fail(cases[i].fail, cases[i].rc);
		assert_int_equal(profile_enter(), cases[i].want);
		assert_non_null(strstr(fake_logged(), cases[i].said));
	}
}

int init_profile_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_parse), T(test_prefixes), T(test_enter),
#undef T
	};

	return cmocka_run_group_tests_name("init_profile", tests, NULL, NULL);
}
