#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "base/util.h"

static const uint8_t bytes[] = {
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
};

/* What one read of each kind makes of @bytes, and how long it is */
static uint64_t read_one(struct rd *r, int kind)
{
	switch (kind) {
	case 0: return rd_u8(r);
	case 1: return rd_u16(r);
	case 2: return rd_u32(r);
	case 3: return rd_u64(r);
	case 4: return rd_le16(r);
	case 5: return rd_le32(r);
	default: return rd_le64(r);
	}
}

static const struct {
	size_t len;
	uint64_t value;
} kinds[] = {
	{ 1, 0x01 },
	{ 2, 0x0102 },
	{ 4, 0x01020304 },
	{ 8, 0x0102030405060708 },
	{ 2, 0x0201 },
	{ 4, 0x04030201 },
	{ 8, 0x0807060504030201 },
};

static void test_integers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t n = 0; n <= kinds[i].len; n++) {
			uint8_t *copy = malloc(n ? n : 1);
			struct rd r;
			uint64_t v;

			assert_non_null(copy);
			memcpy(copy, bytes, n);
			r = rd_init(copy, n);
			v = read_one(&r, (int)i);
			if (n == kinds[i].len)
				assert_int_equal(v, kinds[i].value);
			assert_int_equal(r.bad, n < kinds[i].len);
			assert_int_equal(rd_done(&r), n == kinds[i].len);
			assert_int_equal(rd_left(&r), 0);
			free(copy);
		}
	}
}

static void test_sticky(void **state)
{
	struct rd r = rd_init(bytes, 3), s;
	uint8_t keep[4] = { 9, 9, 9, 9 };

	(void)state;
	assert_int_equal(rd_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(rd_u8(&r), 0);
	assert_null(rd_take(&r, 1));
	assert_false(rd_copy(&r, keep, 4));
	assert_int_equal(keep[0], 9);
	assert_false(rd_done(&r));
	s = rd_sub(&r, 0);
	assert_true(s.bad);
}

static void test_huge(void **state)
{
	struct rd r = rd_init(bytes, sizeof(bytes));

	(void)state;
	assert_null(rd_take(&r, SIZE_MAX));
	assert_true(r.bad);
}

static void test_sub(void **state)
{
	struct rd r = rd_init(bytes, sizeof(bytes)), s;

	(void)state;
	s = rd_sub(&r, 3);
	assert_int_equal(rd_left(&r), 5);
	assert_int_equal(rd_left(&s), 3);
	assert_int_equal(rd_u32(&s), 0);	/* cannot leave it */
	assert_true(s.bad);
	assert_false(r.bad);
	assert_int_equal(rd_u8(&r), 4);

	s = rd_sub(&r, 5);			/* only 4 are left */
	assert_true(s.bad && r.bad);
	assert_int_equal(rd_left(&s), 0);
}

static void test_empty(void **state)
{
	struct rd r = rd_init(NULL, 0);

	(void)state;
	assert_true(rd_done(&r));
	rd_take(&r, 0);
	assert_false(r.bad);
	rd_u8(&r);
	assert_true(r.bad);
}

int rd_test(void);
int rd_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_sub),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests_name("rd", tests, NULL, NULL);
}
