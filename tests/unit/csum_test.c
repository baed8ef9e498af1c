#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/csum.h"

int csum_test(void);

static uint32_t rnd_state = 1;

static uint32_t rnd(void)	/* xorshift32: the same bytes in every run */
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 17;
	rnd_state ^= rnd_state << 5;
	return rnd_state;
}

/* RFC 1071, byte by byte */
static uint16_t reference(const uint8_t *p, size_t len)
{
	uint32_t s = 0;

	for (size_t i = 0; i < len; i++) {
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		s = (s & 0xffff) + (s >> 16);
	}
	return (uint16_t)s;
}

/* The two representations of zero are one value in ones' complement */
static bool same(uint16_t a, uint16_t b)
{
	return a % 0xffff == b % 0xffff;
}

static void known(void **state)
{
	/* The example of RFC 1071 section 3 */
	static const uint8_t b[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5,
				     0xf6, 0xf7 };
	struct csum c = { 0 };

	(void)state;
	assert_int_equal(csum_fold(&c), 0);
	assert_int_equal(csum_final(&c), 0xffff);
	csum_add(&c, NULL, 0);
	csum_add(&c, b, sizeof(b));
	assert_int_equal(csum_fold(&c), 0xddf2);
	assert_int_equal(csum_final(&c), 0x220d);
	assert_int_equal(csum_block(b, sizeof(b)), 0x220d);
	assert_false(csum_ok(&c));
	csum_add_u16(&c, 0x220d);
	assert_true(csum_ok(&c));
}

static void lengths_and_alignments(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 200; len++) {
		for (size_t off = 0; off < 9; off++) {
			/* exact size: the sanitizer sees a read past the end */
			uint8_t *b = malloc(off + len ? off + len : 1);
			struct csum c = { 0 };

			assert_non_null(b);
			for (size_t i = 0; i < off + len; i++)
				b[i] = (uint8_t)rnd();
			if (len && rnd() % 4 == 0)
				memset(b + off, 0xff, len);	/* carries */
			csum_add(&c, b + off, len);
			assert_true(same(csum_fold(&c),
					 reference(b + off, len)));
			free(b);
		}
	}
}

static void pieces(void **state)
{
	static uint8_t b[70000];
	struct iovec iov[40];

	(void)state;
	for (int round = 0; round < 400; round++) {
		size_t off = 0, max = round % 8 ? 300 : 9000;
		struct csum c = { 0 };
		int n = (int)(rnd() % 40), i;

		for (i = 0; i < n; i++) {
			size_t len = rnd() % (max + 1);

			if (off + len > sizeof(b))
				break;
			iov[i].iov_base = b + off;
			iov[i].iov_len = len;
			off += len;
		}
		for (size_t k = 0; k < off; k++)
			b[k] = (uint8_t)(round % 5 ? rnd() : 0xff);
		csum_add_iov(&c, iov, i);
		assert_true(same(csum_fold(&c), reference(b, off)));
	}
}

static void pseudo(void **state)
{
	static const uint8_t s4[] = { 192, 0, 2, 1 }, d4[] = { 10, 1, 2, 3 };
	static const uint8_t s6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	static const uint8_t d6[16] = { 0xfd, 0x42, [14] = 0xff, [15] = 0xfe };
	static const uint8_t tail4[] = { 0, 17, 0x12, 0x34 };
	static const uint8_t tail6[] = { 0, 1, 0, 2, 0, 0, 0, 6 };
	struct ipaddr a, d;
	uint8_t flat[40];
	struct csum c = { 0 }, c6 = { 0 };

	(void)state;
	memcpy(flat, s4, 4);
	memcpy(flat + 4, d4, 4);
	memcpy(flat + 8, tail4, 4);
	a = ipaddr_v4(s4);
	d = ipaddr_v4(d4);
	csum_pseudo(&c, &a, &d, 17, 0x1234);
	assert_int_equal(csum_fold(&c), reference(flat, 12));
	assert_int_equal(csum_partial(&a, &d, 17, 0x1234), csum_fold(&c));

	memcpy(flat, s6, 16);
	memcpy(flat + 16, d6, 16);
	memcpy(flat + 32, tail6, 8);
	a = ipaddr_v6(s6);
	d = ipaddr_v6(d6);
	csum_pseudo(&c6, &a, &d, 6, 0x10002);	/* more than 16 bits */
	assert_int_equal(csum_fold(&c6), reference(flat, 40));
}

/* What the device does with a partial checksum gives the full one */
static void partial_completes(void **state)
{
	static const uint8_t s4[] = { 192, 0, 2, 1 }, d4[] = { 10, 1, 2, 3 };
	struct ipaddr a = ipaddr_v4(s4), d = ipaddr_v4(d4);
	uint8_t seg[33];
	uint16_t part, full;
	struct csum c = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(seg); i++)
		seg[i] = (uint8_t)rnd();
	seg[16] = seg[17] = 0;
	csum_pseudo(&c, &a, &d, 6, sizeof(seg));
	csum_add(&c, seg, sizeof(seg));
	full = csum_final(&c);

	part = csum_partial(&a, &d, 6, sizeof(seg));
	seg[16] = (uint8_t)(part >> 8);
	seg[17] = (uint8_t)part;
	assert_int_equal(csum_block(seg, sizeof(seg)), full);
}

int csum_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known),
		cmocka_unit_test(lengths_and_alignments),
		cmocka_unit_test(pieces),
		cmocka_unit_test(pseudo),
		cmocka_unit_test(partial_completes),
	};

	return cmocka_run_group_tests_name("csum", tests, NULL, NULL);
}
