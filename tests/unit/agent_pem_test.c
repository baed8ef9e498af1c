#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pem.h"
#include "base/util.h"
#include "base/wr.h"

int agent_pem_test(void);

#define B(k)	"-----BEGIN " k "-----\n"
#define E(k)	"-----END " k "-----\n"

static const struct {
	const char *name, *in, *out;	/* one letter and the data for each */
} cases[] = {
	{ "nothing", "", "" },
	{ "text", "hello\nBEGIN\n", "" },
	{ "one", B("X") "QUJD\n" E("X"), "=ABC;" },
	{ "text around", "a\n" B("X") "QUJD\n" E("X") "b", "=ABC;" },
	{ "no last newline", B("X") "QUJD\n" "-----END X-----", "=ABC;" },
	{ "CRLF", "-----BEGIN X-----\r\nQUJD\r\n-----END X-----\r\n", "=ABC;" },
	{ "odd widths", B("X") "Q\nUJ\n  DQU\tJD\n" E("X"), "=ABCABC;" },
	{ "padding", B("X") "QUI=\n" E("X") B("Y") "QQ==\n" E("Y"), "=AB;=A;" },
	{ "no padding", B("X") "QUI\n" E("X"), "!;" },
	{ "too much padding", B("X") "QUJD=\n" E("X"), "!;" },
	{ "after padding", B("X") "QQ==QUJD\n" E("X"), "!;" },
	{ "bits in padding", B("X") "QR==\n" E("X"), "!;" },
	{ "not Base64", B("X") "Q!JD\n" E("X"), "!;" },
	{ "a header", B("X") "Proc-Type: 4\n\nQUJD\n" E("X"), "!;" },
	{ "empty", B("X") E("X"), "=;" },
	{ "another's end", B("X") "QUJD\n" E("Y"), "?;" },
	{ "torn", B("X") "QUJD\n", "?;" },
	{ "torn, then whole", B("X") "QU\n" B("Y") "QUJD\n" E("Y"), "?;=ABC;" },
	{ "an end alone", E("X") B("Y") "QUJD\n" E("Y"), "=ABC;" },
	{ "not at the begin", " " B("X") "QUJD\n" E("X"), "" },
	{ "few dashes", "-----BEGIN X----\nQUJD\n" E("X"), "" },
	{ "bytes", "\xff\xfe\n" B("\xe9") "QUJD\n" E("\xe9"), "=ABC;" },
};

static void decode(struct span text, char *out, size_t size)
{
	struct wr w = wr_init(out, size - 1);
	struct pem b;

	while (pem_next(&text, &b)) {
		size_t n = pem_size(&b);
		uint8_t *buf = malloc(n ? n : 1);
		int rc;

		assert_non_null(buf);
		rc = pem_decode(&b, buf);
		assert_int_equal(pem_read(&b, buf), rc);
		wr_u8(&w, b.torn ? '?' : rc ? '!' : '=');
		if (!rc)
			wr_bytes(&w, buf, n);
		wr_u8(&w, ';');
		free(buf);
	}
	*w.p = '\0';
	assert_false(w.bad);
}

static void test_cases(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		decode(span_str(cases[i].in), out, sizeof(out));
		if (strcmp(out, cases[i].out))
			fail_msg("%s: %s", cases[i].name, out);
	}
}

/* Where blocks are, to the byte: what is between them can be kept */
static void test_extent(void **state)
{
	const char *in = "a\n" B("X") "QUJD\n" E("X") "b\n";
	struct span text = span_str(in);
	struct pem b;

	(void)state;
	assert_true(pem_next(&text, &b));
	assert_ptr_equal(b.all.p, in + 2);
	assert_ptr_equal(b.all.p + b.all.len, strstr(in, "b\n"));
	assert_true(span_is(b.body, "QUJD\n"));
	assert_true(span_is(b.label, "X"));
	assert_false(pem_is_cert(&b));
	assert_false(pem_next(&text, &b));
}

static void test_key(void **state)
{
	(void)state;
	assert_true(pem_has_key(span_str(B("EC PRIVATE KEY"))));
	assert_true(pem_has_key(span_str("x" B("ENCRYPTED PRIVATE KEY"))));
	assert_false(pem_has_key(span_str(B("PUBLIC KEY"))));
	assert_false(pem_has_key(span_str("")));
}

int agent_pem_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_extent),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests_name("agent_pem", tests, NULL, NULL);
}
