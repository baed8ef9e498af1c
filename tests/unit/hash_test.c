#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/util.h"

#define N	1000

static uint32_t keys[N];

static bool eq(const void *key, uint32_t slot, void *arg)
{
	assert_ptr_equal(arg, keys);
	assert_true(slot < N);
	return *(const uint32_t *)key == keys[slot];
}

static void test_basic(void **state)
{
	struct hash h;
	uint32_t k = 5;

	(void)state;
	assert_int_equal(hash_init(&h, 2, eq, keys), 0);
	keys[0] = 5;
	keys[1] = 6;
	keys[2] = 7;
	assert_int_equal(hash_find(&h, &k, sizeof(k)), HASH_NONE);
	hash_del(&h, &k, sizeof(k));
	assert_int_equal(hash_add(&h, &keys[0], sizeof(k), 0), 0);
	assert_int_equal(hash_add(&h, &keys[1], sizeof(k), 1), 0);
	assert_int_equal(hash_add(&h, &keys[2], sizeof(k), 2), -ENOSPC);
	assert_int_equal(hash_find(&h, &k, sizeof(k)), 0);
	hash_del(&h, &k, sizeof(k));
	assert_int_equal(hash_find(&h, &k, sizeof(k)), HASH_NONE);
	assert_int_equal(hash_add(&h, &keys[2], sizeof(k), 2), 0);
	hash_done(&h);
	hash_done(&h);
}

/* Against a plain array, with a third of the table deleted all the time */
static void test_random(void **state)
{
	static bool in[N];
	struct hash h;
	uint32_t n = 0;

	(void)state;
	srand(2);
	assert_int_equal(hash_init(&h, N, eq, keys), 0);
	for (uint32_t i = 0; i < N; i++)
		keys[i] = i * 2654435761u;
	for (int step = 0; step < 20000; step++) {
		uint32_t i = (uint32_t)rand() % N;

		assert_int_equal(hash_find(&h, &keys[i], sizeof(keys[i])),
				 in[i] ? i : HASH_NONE);
		if (in[i] && rand() % 3) {
			hash_del(&h, &keys[i], sizeof(keys[i]));
			in[i] = false;
			n--;
		} else if (!in[i]) {
			assert_int_equal(hash_add(&h, &keys[i],
						  sizeof(keys[i]), i), 0);
			in[i] = true;
			n++;
		}
		assert_int_equal(h.n, n);
	}
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(hash_find(&h, &keys[i], sizeof(keys[i])),
				 in[i] ? i : HASH_NONE);
	hash_done(&h);
}

/* A small table wraps round its end again and again */
static void test_wrap(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct hash h;

		assert_int_equal(hash_init(&h, 8, eq, keys), 0);
		for (uint32_t i = 0; i < 8; i++)
			assert_int_equal(hash_add(&h, &keys[i], 4, i), 0);
		for (uint32_t i = 0; i < 8; i++) {
			hash_del(&h, &keys[i], 4);
			for (uint32_t j = 0; j < 8; j++)
				assert_int_equal(hash_find(&h, &keys[j], 4),
						 j > i ? j : HASH_NONE);
		}
		hash_done(&h);
	}
}

int hash_test(void);
int hash_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
