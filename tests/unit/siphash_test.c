#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"

/*
 * Key 00 01 .. 0f, message 00 01 .. of the length that is the index.  The one
 * of length 15 stands in appendix A of the paper; all are those of its
 * reference implementation.
 */
static const uint64_t vectors[] = {
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
	0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
	0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462,
	0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee,
	0xa129ca6149be45e5,
};

static void test_vectors(void **state)
{
	uint8_t key[16];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (size_t n = 0; n < ARRAY_SIZE(vectors); n++) {
		uint8_t *msg = malloc(n ? n : 1);

		assert_non_null(msg);
		for (size_t i = 0; i < n; i++)
			msg[i] = (uint8_t)i;
		assert_int_equal(siphash(key, msg, n), vectors[n]);
		free(msg);
	}
}

static void test_key(void **state)
{
	uint8_t a[16] = { 0 }, b[16] = { 0 };

	(void)state;
	siphash_key(a);
	siphash_key(b);
	assert_memory_not_equal(a, b, 16);
}

int siphash_test(void);
int siphash_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
