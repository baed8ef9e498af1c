#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "base/util.h"
#include "gateway/relay/ahead.h"

int ahead_test(void);

static struct ahead a;
static const int one, other;

/* How many bytes there are, and whether they are those that belong there */
static size_t have(const void *who, uint32_t at, size_t skip)
{
	const uint8_t *p = NULL;
	size_t n = ahead_get(&a, who, at, &p);

	if (n)
		assert_ptr_equal(p, a.buf + skip);
	return n;
}

static void put_and_get(void **state)
{
	(void)state;
	a = (struct ahead){ 0 };
	assert_int_equal(have(&one, 0, 0), 0);
	ahead_put(&a, &one, 1000, 5000);
	assert_int_equal(have(&one, 1000, 0), 5000);
	assert_int_equal(have(&one, 5999, 4999), 1);
	assert_int_equal(have(&one, 6000, 0), 0);
	assert_int_equal(have(&one, 999, 0), 0);
	assert_int_equal(have(&other, 1000, 0), 0);
	ahead_forget(&a, &other);
	assert_int_equal(have(&one, 1000, 0), 5000);
	ahead_forget(&a, &one);
	assert_int_equal(have(&one, 1000, 0), 0);
}

/* 4 GiB later other bytes stand at the same place */
static void passed(void **state)
{
	static const uint32_t at[] = { 0, 1000, 0x7fffff00, 0xffffff00 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		ahead_put(&a, &one, at[i], 5000);
		ahead_passed(&a, &one, at[i] - 3000);	/* not yet there */
		assert_int_equal(have(&one, at[i], 0), 5000);
		ahead_passed(&a, &one, at[i] + 4999);
		ahead_passed(&a, &other, at[i] + 5000);
		assert_int_equal(have(&one, at[i], 0), 5000);
		ahead_passed(&a, &one, at[i] + 5000);
		assert_int_equal(have(&one, at[i], 0), 0);
	}
}

int ahead_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_and_get),
		cmocka_unit_test(passed),
	};

	return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
