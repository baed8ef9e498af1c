#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wr.h"

static void write_all(struct wr *w)
{
	wr_u8(w, 0x01);
	wr_u16(w, 0x0203);
	wr_u32(w, 0x04050607);
	wr_le16(w, 0x0908);
	wr_le32(w, 0x0d0c0b0a);
	wr_le64(w, 0x1514131211100f0e);
	wr_zero(w, 2);
	wr_bytes(w, "xy", 2);
	wr_span(w, span_str("z"));
	wr_fmt(w, "%d-%s", 12, "ab");
}

static const uint8_t all[] =
	"\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf\x10\x11\x12\x13\x14\x15"
	"\0\0xyz12-ab";
#define ALL_LEN	(sizeof(all) - 1)

static void test_all(void **state)
{
	/* Also in a buffer that is exactly long enough: no room for a NUL */
	static const size_t sizes[] = { ALL_LEN, ALL_LEN + 1, 100 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t *buf = malloc(sizes[i]);
		struct wr w = wr_init(buf, sizes[i]);

		assert_non_null(buf);
		write_all(&w);
		assert_false(w.bad);
		assert_int_equal(wr_len(&w), ALL_LEN);
		assert_int_equal(wr_left(&w), sizes[i] - ALL_LEN);
		assert_memory_equal(buf, all, ALL_LEN);
		free(buf);
	}
}

static void test_short(void **state)
{
	(void)state;
	for (size_t n = 0; n < ALL_LEN; n++) {
		uint8_t *buf = malloc(n ? n : 1);
		struct wr w = wr_init(buf, n);

		assert_non_null(buf);
		write_all(&w);
		assert_true(w.bad);
		assert_true(wr_len(&w) <= n);
		assert_memory_equal(buf, all, wr_len(&w));
		free(buf);
	}
}

static void test_sticky(void **state)
{
	uint8_t buf[4] = { 0 };
	struct wr w = wr_init(buf, sizeof(buf));

	(void)state;
	wr_u8(&w, 1);
	wr_u32(&w, 2);				/* does not fit */
	wr_u8(&w, 3);				/* would */
	wr_fmt(&w, "%d", 4);
	assert_true(w.bad);
	assert_int_equal(wr_len(&w), 1);
	assert_int_equal(buf[1], 0);
	assert_null(wr_room(&w, 1));
}

static void test_fmt(void **state)
{
	char buf[4];
	struct wr w = wr_init(buf, sizeof(buf));

	(void)state;
	wr_fmt(&w, "%s", "");
	assert_int_equal(wr_len(&w), 0);
	wr_fmt(&w, "%s", "abcd");
	assert_false(w.bad);
	assert_memory_equal(buf, "abcd", 4);
	wr_fmt(&w, "%s", "");
	assert_false(w.bad);
	wr_fmt(&w, "%s", "e");
	assert_true(w.bad);
	w = wr_init(NULL, 0);
	wr_fmt(&w, "%s", "");
	assert_false(w.bad);
	wr_bytes(&w, NULL, 0);
	assert_false(w.bad);
}

int wr_test(void);
int wr_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_fmt),
	};

	return cmocka_run_group_tests_name("wr", tests, NULL, NULL);
}
