#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/ring.h"

static void test_edges(void **state)
{
	struct ring r = { 0 };
	struct iovec iov[2];
	char buf[9];

	(void)state;
	assert_int_equal(ring_used(&r), 0);
	assert_int_equal(ring_room(&r), 0);
	assert_int_equal(ring_put(&r, "x", 1), 0);
	assert_int_equal(ring_peek(&r, 0, buf, 1), 0);
	assert_int_equal(ring_read_iov(&r, iov), 0);
	assert_int_equal(ring_write_iov(&r, iov), 0);
	ring_free(&r);

	assert_int_equal(ring_alloc(&r, 8), 0);
	assert_int_equal(ring_write_iov(&r, iov), 1);
	assert_int_equal(ring_put(&r, "abcdefghij", 10), 8);
	assert_int_equal(ring_room(&r), 0);
	assert_int_equal(ring_write_iov(&r, iov), 0);
	ring_take(&r, 5);
	assert_int_equal(ring_put(&r, "ijk", 3), 3);
	assert_int_equal(ring_read_iov(&r, iov), 2);
	assert_int_equal(iov[0].iov_len, 3);
	assert_memory_equal(iov[0].iov_base, "fgh", 3);
	assert_memory_equal(iov[1].iov_base, "ijk", 3);
	assert_int_equal(ring_peek(&r, 1, buf, 9), 5);
	assert_memory_equal(buf, "ghijk", 5);
	assert_int_equal(ring_peek(&r, 6, buf, 1), 0);
	assert_int_equal(ring_peek(&r, SIZE_MAX, buf, 1), 0);
	assert_int_equal(ring_write_iov(&r, iov), 1);
	assert_int_equal(iov[0].iov_len, 2);
	memcpy(iov[0].iov_base, "lm", 2);
	ring_wrote(&r, 2);
	assert_int_equal(ring_peek(&r, 0, buf, 9), 8);
	assert_memory_equal(buf, "fghijklm", 8);
	ring_take(&r, 8);
	assert_int_equal(ring_used(&r), 0);
	ring_free(&r);
	assert_null(r.buf);
}

/* A counting stream through all the ways in and out */
static void test_stream(void **state)
{
	struct ring r = { 0 };
	uint8_t in = 0, out = 0, buf[40];
	struct iovec iov[2];

	(void)state;
	srand(3);
	assert_int_equal(ring_alloc(&r, 32), 0);
	for (int step = 0; step < 10000; step++) {
		size_t n = (size_t)rand() % sizeof(buf), k;

		for (size_t i = 0; i < n; i++)
			buf[i] = (uint8_t)(in + i);
		if (rand() % 2) {
			k = ring_put(&r, buf, n);
		} else {
			int m = ring_write_iov(&r, iov);

			assert_int_equal(iov_len(iov, m), ring_room(&r));
			k = iov_copy_in(iov, m, 0, buf, n);
			ring_wrote(&r, k);
		}
		in = (uint8_t)(in + k);
		k = (size_t)rand() % (ring_used(&r) + 1);
		if (rand() % 2)
			assert_int_equal(ring_peek(&r, 0, buf, k), k);
		else
			assert_int_equal(iov_copy_out(iov,
				ring_read_iov(&r, iov), 0, buf, k), k);
		for (size_t i = 0; i < k; i++)
			assert_int_equal(buf[i], (uint8_t)(out + i));
		ring_take(&r, k);
		out = (uint8_t)(out + k);
		assert_int_equal((uint8_t)(in - out), ring_used(&r));
	}
	ring_free(&r);
}

int ring_test(void);
int ring_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_stream),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
