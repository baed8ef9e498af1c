#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/slab.h"
#include "base/util.h"

struct obj {
	uint64_t a;
	char b[13];
};

static void test_life(void **state)
{
	const struct slab_id none = { 0 };
	struct slab_id id, old;
	struct slab s;
	struct obj *x, *y, *z;

	(void)state;
	assert_int_equal(slab_init(&s, sizeof(struct obj), 2), 0);
	assert_null(slab_get(&s, none));
	assert_null(slab_at(&s, 0));
	x = slab_new(&s);
	y = slab_new(&s);
	assert_non_null(x);
	assert_non_null(y);
	assert_ptr_not_equal(x, y);
	assert_null(slab_new(&s));		/* full */
	assert_int_equal(s.used, 2);
	assert_int_equal((uintptr_t)y % _Alignof(max_align_t), 0);
	assert_ptr_equal(slab_at(&s, slab_slot(&s, y)), y);
	assert_null(slab_at(&s, 2));
	assert_null(slab_at(&s, SLAB_NONE));
	assert_null(slab_get(&s, none));

	memset(x, 0xff, sizeof(*x));
	old = slab_id(&s, x);
	assert_ptr_equal(slab_get(&s, old), x);
	slab_del(&s, x);
	assert_null(slab_get(&s, old));
	assert_null(slab_at(&s, old.slot));
	assert_int_equal(s.used, 1);

	z = slab_new(&s);			/* last in, first out */
	assert_ptr_equal(z, x);
	assert_int_equal(z->a, 0);
	assert_int_equal(z->b[12], 0);
	id = slab_id(&s, z);
	assert_int_equal(id.slot, old.slot);
	assert_null(slab_get(&s, old));		/* not to a stranger */
	assert_ptr_equal(slab_get(&s, id), z);
	assert_null(slab_get(&s, (struct slab_id){ 7, 1 }));
	slab_del(&s, z);
	slab_del(&s, y);
	assert_int_equal(s.used, 0);
	slab_done(&s);
	slab_done(&s);
}

static void test_sparse(void **state)
{
	struct slab s;
	uint8_t *p;

	(void)state;
	/* 64 GiB: reserved, not taken */
	assert_int_equal(slab_init(&s, 1 << 16, 1 << 20), 0);
	for (int i = 0; i < 3; i++) {
		p = slab_new(&s);
		assert_non_null(p);
		p[0] = 1;
		assert_int_equal(slab_slot(&s, p), i);
	}
	slab_done(&s);
	assert_int_not_equal(slab_init(&s, SIZE_MAX / 4, 1 << 20), 0);
}

static void test_order(void **state)
{
	struct slab s;
	void *p[8];

	(void)state;
	assert_int_equal(slab_init(&s, 1, 8), 0);
	for (int i = 0; i < 8; i++)
		p[i] = slab_new(&s);
	for (int i = 0; i < 8; i += 2)
		slab_del(&s, p[i]);
	for (int i = 6; i >= 0; i -= 2)
		assert_ptr_equal(slab_new(&s), p[i]);
	assert_null(slab_new(&s));
	slab_done(&s);
}

int slab_test(void);
int slab_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
