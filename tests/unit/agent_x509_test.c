#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/der.h"
#include "agent/pem.h"
#include "agent/x509.h"
#include "base/util.h"
#include "tests/unit/ca_pems.h"

int agent_x509_test(void);

static const struct {
	const char *in;
	size_t len;
	bool good;
} frames[] = {
#define F(in, good)	{ in, sizeof(in) - 1, good }
	F("", true), F("\5\0", true), F("\5\0\5\0", true),
	F("\4\1x", true), F("\x30\2\5\0", true),
	F("\5", false), F("\4\2x", false),
	F("\x30\1\5", false), F("\x30\3\5\0", false),
	F("\x30\x80\5\0\0\0", false),	/* indefinite */
	F("\4\x81\1x", false),		/* not the shortest */
	F("\4\x82\0\x80", false),
	F("\4\x84\0\0\0\1x", false),
	F("\x1f\1\0", false),		/* a tag of more bytes */
#undef F
};

static void test_frames(void **state)
{
	uint8_t deep[2 * DER_DEPTH_MAX], buf[300];
	struct wr w = wr_init(buf, sizeof(buf));
	struct rd r;
	struct der d;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		if (der_frames((struct span){ (const uint8_t *)frames[i].in,
					      frames[i].len }) !=
		    frames[i].good)
			fail_msg("case %zu", i);
	for (size_t n = 1; n <= DER_DEPTH_MAX; n++) {
		for (size_t i = 0; i < n; i++) {
			deep[2 * i] = DER_SEQUENCE;
			deep[2 * i + 1] = (uint8_t)(2 * (n - 1 - i));
		}
		assert_int_equal(der_frames((struct span){ deep, 2 * n }),
				 n < DER_DEPTH_MAX);
	}
	for (size_t n = 0; n < 290; n++) {
		w = wr_init(buf, sizeof(buf));
		der_head(&w, DER_OCTETS, n);
		wr_zero(&w, n);
		r = rd_init(buf, wr_len(&w));
		assert_false(w.bad);
		assert_true(der_next(&r, &d) && rd_done(&r));
		assert_int_equal(d.body.len, n);
	}
}

/* Decode the only block of a text; freed by the caller */
static struct span der_of(const char *text)
{
	struct span in = span_str(text);
	struct pem b;
	uint8_t *der;

	assert_true(pem_next(&in, &b));
	der = malloc(pem_size(&b));
	assert_non_null(der);
	assert_int_equal(pem_decode(&b, der), 0);
	return (struct span){ der, pem_size(&b) };
}

static void drop(struct span s)
{
	free((void *)(uintptr_t)s.p);
}

static const struct {
	const char *pem, *name;
	enum x509_verdict verdict;
	uint32_t hash;		/* of "openssl x509 -subject_hash" */
} certs[] = {
	{ PEM_CA, "test-ca", X509_VERDICT_CA, 0x728616e5 },
	{ PEM_CA2, "Test  TWO", X509_VERDICT_CA, 0xbcd8ff7e },
	{ PEM_ED, "Ed", X509_VERDICT_UNJUDGED, 0x404fd06d },
	{ PEM_BMP, "?S?t?r?a???e", X509_VERDICT_UNJUDGED, 0x4b7c1a0d },
	{ PEM_LEAF, "leaf", X509_VERDICT_NOT_CA, 0xe0a1e0e2 },
};

static void test_judge(void **state)
{
	const char *why;
	struct x509 c;
	uint32_t hash;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(certs); i++) {
		struct span der = der_of(certs[i].pem);

		assert_int_equal(x509_judge(der, &c, &why),
				 certs[i].verdict);
		assert_string_equal(c.name, certs[i].name);
		assert_int_equal(!why[0], certs[i].verdict == X509_VERDICT_CA);
		/* 36500 days */
		assert_true(c.not_after - c.not_before == 3153600000);
		assert_true(c.not_before > 1700000000);
		assert_int_equal(x509_hash(&c, &hash), 0);
		assert_int_equal(hash, certs[i].hash);
		drop(der);
	}
}

/* Neither cut nor followed by anything, nor with any byte of its frames off */
static void test_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(certs); i++) {
		struct span der = der_of(certs[i].pem);
		uint8_t *copy = malloc(der.len + 1);
		const char *why;
		struct x509 c;
		uint32_t hash;

		assert_non_null(copy);
		for (size_t n = 0; n < der.len; n++) {
			uint8_t *part = malloc(n ? n : 1);

			assert_non_null(part);
			memcpy(part, der.p, n);
			assert_int_equal(x509_judge((struct span){ part, n },
						    &c, &why),
					 X509_VERDICT_BROKEN);
			free(part);
		}
		memcpy(copy, der.p, der.len);
		copy[der.len] = 0;
		assert_int_equal(x509_judge((struct span){ copy, der.len + 1 },
					    &c, &why), X509_VERDICT_BROKEN);
		for (size_t n = 0; n < der.len; n++) {
			copy[n] ^= 0x15;
			if (x509_judge((struct span){ copy, der.len }, &c,
				       &why) != X509_VERDICT_BROKEN)
				(void)x509_hash(&c, &hash);
			copy[n] ^= 0x15;
		}
		free(copy);
		drop(der);
	}
}

/* A CA of which BearSSL knows the key, but not with basicConstraints gone */
static void test_constraints(void **state)
{
	static const uint8_t yes[] = { 0x30, 3, 1, 1, 0xff };
	struct span der = der_of(PEM_CA), ed = der_of(PEM_ED);
	const struct span both[] = { der, ed };
	const char *why;
	struct x509 c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		uint8_t *at = memmem(both[i].p, both[i].len, yes, sizeof(yes));

		assert_non_null(at);
		at[4] = 0;
		assert_int_equal(x509_judge(both[i], &c, &why),
				 X509_VERDICT_NOT_CA);
		at[4] = 0xff;
		at[-6] = 0x14;		/* of its OID */
		assert_int_equal(x509_judge(both[i], &c, &why),
				 X509_VERDICT_NOT_CA);
		drop(both[i]);
	}
}

int agent_x509_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_constraints),
	};

	return cmocka_run_group_tests_name("agent_x509", tests, NULL, NULL);
}
