#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/rlimits.h"
#include "tests/unit/init_fake.h"

int init_rlimits_test(void);

#define NOFILE	7
#define NPROC	6
#define MAX64	UINT64_MAX

static const struct good {
	const char *value;
	uint32_t set;
	unsigned int resource;
	uint64_t soft, hard;
} good[] = {
	{ "nofile=65535", 1u << NOFILE, NOFILE, 65535, 65535 },
	{ "NOFILE=1:2;;nproc=5", 1u << NOFILE | 1u << NPROC, NOFILE, 1, 2 },
	{ "NOFILE=1:2;;nproc=5", 1u << NOFILE | 1u << NPROC, NPROC, 5, 5 },
	{ "nproc=5:5", 1u << NPROC, NPROC, 5, 5 },
	{ " rtTime=0; ", 1u << 15, 15, 0, 0 },
	{ "cpu=18446744073709551615", 1, 0, MAX64, MAX64 },
	{ "core=+00:18446744073709551615", 1u << 4, 4, 0, MAX64 },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct rlimits r;

		rlimits_read(good[i].value, &r);
		assert_string_equal(fake_logged(), "");
		assert_int_equal(r.set, good[i].set);
		assert_int_equal(r.soft[good[i].resource], good[i].soft);
		assert_int_equal(r.hard[good[i].resource], good[i].hard);
	}
}

static const struct bad {
	const char *value, *reason;
	size_t offset;
} bad[] = {
	{ "nofile", "MSB_RLIMITS entry nofile: rlimit must be in format "
	  "RESOURCE=LIMIT", 0 },
	{ "nofile=", "MSB_RLIMITS entry nofile=: invalid soft limit: ", 7 },
	{ "nofile=x", "MSB_RLIMITS entry nofile=x: invalid soft limit: x", 7 },
	{ "nofile=-1", "MSB_RLIMITS entry nofile=-1: invalid soft limit: -1",
	  7 },
	{ "nofile=unlimited", "MSB_RLIMITS entry nofile=unlimited: invalid "
	  "soft limit: unlimited", 7 },
	{ "nofile=18446744073709551616", "MSB_RLIMITS entry "
	  "nofile=18446744073709551616: invalid soft limit: "
	  "18446744073709551616", 7 },
	{ "nofile=1:", "MSB_RLIMITS entry nofile=1:: invalid hard limit: ",
	  9 },
	{ "nofile=1:y", "MSB_RLIMITS entry nofile=1:y: invalid hard limit: y",
	  9 },
	{ "nofile=1:2:3", "MSB_RLIMITS entry nofile=1:2:3: too many ':' "
	  "separators", 0 },
	{ "nofile=2:1", "MSB_RLIMITS entry nofile=2:1: soft limit cannot "
	  "exceed hard limit", 0 },
	{ "BoGus=1", "MSB_RLIMITS unknown resource: bogus", 0 },
	{ "=1", "MSB_RLIMITS unknown resource: ", 0 },
	{ " cpu=1;Cpu=1", "MSB_RLIMITS duplicate resource: cpu", 7 },
	{ "a-name-that-is-too-long-for-any-resource=1", "MSB_RLIMITS unknown "
	  "resource: a-name-that-is-too-long-for-any-resource", 0 },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct env_err err = { 0 };
		struct rlimits r = { 0 };
		struct vlist l;
		int rc;

		assert_true(vlist_init(&l, RLIMITS_VAR, bad[i].value));
		do
			rc = rlimits_next(&l, &r, &err);
		while (rc > 0);
		assert_int_equal(rc, -EINVAL);
		assert_string_equal(err.reason, bad[i].reason);
		assert_string_equal(err.var, "MSB_RLIMITS");
		assert_int_equal(err.offset, bad[i].offset);
		assert_int_equal(rlimits_next(&l, &r, &err), 0);
	}
}

/* What is good counts, what is bad is reported */
static void test_read(void **state)
{
	struct rlimits r;

	(void)state;
	rlimits_read("cpu=1;bogus=1;nproc=2:1;nproc=3", &r);
	assert_int_equal(r.set, 1u | 1u << NPROC);
	assert_int_equal(r.soft[NPROC], 3);
	assert_string_equal(fake_logged(),
		"t: error: MSB_RLIMITS unknown resource: bogus\n"
		"t: error: MSB_RLIMITS entry nproc=2:1: soft limit cannot "
		"exceed hard limit\n");
	rlimits_read(NULL, &r);
	assert_int_equal(r.set, 0);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RLIMITS_NUM; i++) {
		char text[32];
		struct rlimits r;

		snprintf(text, sizeof(text), "%s=%u", rlimits_name(i), i);
		rlimits_read(text, &r);
		assert_int_equal(r.set, 1u << i);
		assert_int_equal(r.hard[i], i);
	}
}

static void test_apply(void **state)
{
	struct rlimits r;

	(void)state;
	rlimits_read("nofile=1:2;cpu=18446744073709551615;nproc=3", &r);
	fake_fail("setrlimit 6", -EPERM);
	assert_int_equal(rlimits_apply(&r), 1);
	assert_string_equal(fake_calls(),
		"setrlimit 0 18446744073709551615 18446744073709551615\n"
		"setrlimit 6 3 3\nsetrlimit 7 1 2\n");
	assert_string_equal(fake_logged(), "t: error: failed to apply rlimit "
			    "nproc=3:3: Operation not permitted\n");
}

static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good) + ARRAY_SIZE(bad); i++) {
		const char *value = i < ARRAY_SIZE(good) ? good[i].value :
				    bad[i - ARRAY_SIZE(good)].value;

		for (size_t n = 0; n <= strlen(value); n++) {
			char *copy = strndup(value, n);
			struct rlimits r;

			assert_non_null(copy);
			rlimits_read(copy, &r);
			for (unsigned int k = 0; k < RLIMITS_NUM; k++)
				assert_true(r.soft[k] <= r.hard[k]);
			free(copy);
		}
	}
}

int init_rlimits_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_good), T(test_bad), T(test_read), T(test_names),
		T(test_apply), T(test_prefixes),
#undef T
	};

	return cmocka_run_group_tests_name("init_rlimits", tests, NULL, NULL);
}
