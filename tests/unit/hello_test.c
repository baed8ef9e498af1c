#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/hello.h"

static const struct hello sample = {
	.version = 1,
	.features = HELLO_F_CSUM | HELLO_F_TSO4,
	.mtu = 1500,
	.mac = { 0x02, 0x6d, 0x73, 0x00, 0x01, 0x02 },
	.boot_id = "0123456789abcde",
	.token = "ABCDEFGHIJKLMNO",
};

static const char wire[] =
	"MSBL" "\0\1" "\0\x34" "\0\0\0\3" "\x05\xdc" "\x02\x6d\x73\0\1\2"
	"0123456789abcde\0" "ABCDEFGHIJKLMNO";	/* and the last NUL */

static int parse(const void *buf, size_t n, struct hello *h)
{
	uint8_t *copy = malloc(n ? n : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, buf, n);
	rc = hello_parse(rd_init(copy, n), h);
	free(copy);
	return rc;
}

static int need(const void *buf, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, buf, n);
	rc = hello_need((struct span){ copy, n });
	free(copy);
	return rc;
}

static void test_wire(void **state)
{
	uint8_t buf[HELLO_LEN];
	struct wr w = wr_init(buf, sizeof(buf));
	struct hello h;

	(void)state;
	assert_int_equal(sizeof(wire), HELLO_LEN);
	hello_emit(&w, &sample);
	assert_false(w.bad);
	assert_int_equal(wr_len(&w), HELLO_LEN);
	assert_memory_equal(buf, wire, HELLO_LEN);
	memset(&h, 0xff, sizeof(h));
	assert_int_equal(parse(buf, sizeof(buf), &h), 0);
	assert_memory_equal(&h, &sample, sizeof(h));
	assert_true(hello_has_token(&h));
	memset(h.token, 0, sizeof(h.token));
	assert_false(hello_has_token(&h));
	h.token[15] = 1;
	assert_true(hello_has_token(&h));

	w = wr_init(buf, sizeof(buf) - 1);
	hello_emit(&w, &sample);
	assert_true(w.bad);
}

static void test_prefixes(void **state)
{
	struct hello h, keep;

	(void)state;
	memset(&h, 7, sizeof(h));
	keep = h;
	for (size_t n = 0; n < HELLO_LEN; n++) {
		assert_int_equal(parse(wire, n, &h), -EBADMSG);
		assert_int_equal(need(wire, n), n < 8 ? 0 : HELLO_LEN);
	}
	assert_memory_equal(&h, &keep, sizeof(h));
}

static void test_need(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		int rc;
	} cases[] = {
		{ "", 0, 0 },
		{ "M", 1, 0 },
		{ "X", 1, -EBADMSG },
		{ "MSBX", 4, -EBADMSG },
		{ "MSBL\0\1\0", 7, 0 },
		{ "MSBL\0\1\0\x33", 8, -EBADMSG },
		{ "MSBL\0\1\0\x34", 8, 0x34 },
		{ "MSBL\0\0\0\x34", 8, 0x34 },	/* the parser refuses it */
		{ "MSBL\0\1\2\0", 8, 512 },
		{ "MSBL\0\1\2\1", 8, -EBADMSG },
		{ "MSBL\0\1\xff\xff", 8, -EBADMSG },
		{ "POST", 4, -EBADMSG },
		{ "\0\0\0\x40", 4, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(need(cases[i].in, cases[i].n), cases[i].rc);
}

/* The sample, changed at one place or continued */
static void test_odd(void **state)
{
	static const struct {
		size_t at;
		uint8_t v;
		int rc;
	} cases[] = {
		{ 0, 'm', -EBADMSG },
		{ 5, 0, -EPROTONOSUPPORT },
		{ 5, 9, 0 },			/* a later version is fine */
		{ 4, 1, 0 },
		{ 7, 0x33, -EBADMSG },
		{ 7, 0x35, -EBADMSG },
		{ 6, 1, -EBADMSG },
		{ 8, 0x80, 0 },			/* unknown feature */
	};
	char buf[HELLO_LEN];
	struct hello h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(buf, wire, sizeof(buf));
		buf[cases[i].at] = (char)cases[i].v;
		assert_int_equal(parse(buf, sizeof(buf), &h), cases[i].rc);
	}
	memcpy(buf, wire, sizeof(buf));
	buf[8] = (char)0x80;
	assert_int_equal(parse(buf, sizeof(buf), &h), 0);
	assert_int_equal(h.features, 0x80000003);
}

static void test_tlv(void **state)
{
	static const struct {
		const char *tlv;
		size_t n;
		int rc;
	} cases[] = {
		{ "\0\1\0\0", 4, 0 },
		{ "\0\1\0\3abc", 7, 0 },
		{ "\0\1\0\3abc\xff\xff\0\1x", 12, 0 },
		{ "\0\1\0\3abc\0", 8, -EBADMSG },
		{ "\0\1\0\4abc", 7, -EBADMSG },
		{ "\0\1\xff\xff" "abc", 7, -EBADMSG },
		{ "\0\1\0", 3, -EBADMSG },
	};
	char buf[HELLO_MAX + 1] = { 0 };
	struct hello h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(buf, wire, HELLO_LEN);
		memcpy(buf + HELLO_LEN, cases[i].tlv, cases[i].n);
		buf[7] = (char)(HELLO_LEN + cases[i].n);
		assert_int_equal(parse(buf, HELLO_LEN + cases[i].n, &h),
				 cases[i].rc);
	}
	/* The longest that is allowed, and one byte more */
	memset(buf, 0, sizeof(buf));
	for (size_t n = HELLO_MAX; n <= HELLO_MAX + 1; n++) {
		memcpy(buf, wire, HELLO_LEN);
		buf[HELLO_LEN + 1] = 1;
		buf[HELLO_LEN + 2] = (char)((n - HELLO_LEN - 4) >> 8);
		buf[HELLO_LEN + 3] = (char)(n - HELLO_LEN - 4);
		buf[6] = (char)(n >> 8);
		buf[7] = (char)n;
		assert_int_equal(parse(buf, n, &h),
				 n > HELLO_MAX ? -EBADMSG : 0);
	}
}

int hello_test(void);
int hello_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_tlv),
	};

	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
