#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/bundle.h"
#include "agent/ca_env.h"
#include "agent/jks.h"
#include "base/rd.h"
#include "base/util.h"
#include "tests/unit/ca_pems.h"

int agent_bundle_test(void);

#define BLOCK	BUNDLE_BEGIN "\n" PEM_CA BUNDLE_END "\n"
#define BLOCK_NL BUNDLE_BEGIN_NL "\n" PEM_CA BUNDLE_END "\n"

static struct roots set_of(const char *text)
{
	const struct roots_in in = { .name = "test", .max = 64 };
	struct roots set = { 0 };

	if (text[0])
		assert_true(roots_take(&set, span_str(text), &in) > 0);
	return set;
}

static char *edit(const char *old, const char *want, const char *gone)
{
	struct roots w = set_of(want), g = set_of(gone);
	bool outside[8];
	uint8_t *out;
	char *text;
	size_t len;

	assert_int_equal(bundle_edit(span_str(old), &w, &g, outside, &out,
				     &len), 0);
	for (unsigned int i = 0; i < w.n; i++)
		assert_int_equal(outside[i], strstr(old, "own\n") != NULL);
	roots_free(&w);
	roots_free(&g);
	text = strndup((const char *)out, len);
	assert_non_null(text);
	free(out);
	return text;
}

static const struct {
	const char *name, *old, *want, *gone, *out;
} cases[] = {
	{ "nothing", "", "", "", "" },
	{ "into nothing", "", PEM_CA, "", BLOCK },
	{ "added", "roots\n", PEM_CA, "", "roots\n" BLOCK },
	{ "no last newline", "roots", PEM_CA, "", "roots\n" BLOCK_NL },
	{ "bytes", "\xe9\xff\r\n", PEM_CA, "", "\xe9\xff\r\n" BLOCK },
	{ "the same again", "a\n" BLOCK, PEM_CA, "", "a\n" BLOCK },
	{ "the same, no newline", "a\n" BLOCK_NL, PEM_CA, "", "a\n" BLOCK_NL },
	{ "another", "a\n" BUNDLE_BEGIN "\n" PEM_CA2 BUNDLE_END "\n", PEM_CA,
	  "", "a\n" BLOCK },
	{ "out", "a\n" BLOCK, "", "", "a\n" },
	{ "out, no newline", "a\n" BLOCK_NL, "", "", "a" },
	{ "text came later", "a\n" BLOCK_NL "b\n", "", "", "a\nb\n" },
	{ "twice", BLOCK "a\n" BLOCK, "", "", "a\n" },
	{ "there already", "own\n" PEM_CA, PEM_CA, "", "own\n" PEM_CA },
	{ "there twice", "own\n" PEM_CA BLOCK, PEM_CA, "", "own\n" PEM_CA },
	{ "gone", "a\n" PEM_CA2 "b\n", "", PEM_CA2, "a\nb\n" },
	{ "gone, others stay", PEM_LEAF PEM_CA2 PEM_ED, PEM_CA, PEM_CA2,
	  PEM_LEAF PEM_ED BLOCK },
	{ "stray begin", BUNDLE_BEGIN "\n" PEM_LEAF BLOCK, "", "",
	  BUNDLE_BEGIN "\n" PEM_LEAF },
	{ "stray end", "a\n" BUNDLE_END "\n" BLOCK, "", "",
	  "a\n" BUNDLE_END "\n" },
	{ "in one another", BUNDLE_BEGIN "\n" BLOCK BUNDLE_END "\na\n", "", "",
	  "a\n" },
	{ "a torn one before", "-----BEGIN CERTIFICATE-----\nAA\n", PEM_CA, "",
	  "-----BEGIN CERTIFICATE-----\nAA\n" BLOCK },
};

static void test_edit(void **state)
{
	char *got, *again;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		got = edit(cases[i].old, cases[i].want, cases[i].gone);
		if (strcmp(got, cases[i].out))
			fail_msg("%s:\n%s", cases[i].name, got);
		again = edit(got, cases[i].want, cases[i].gone);
		assert_string_equal(again, got);
		free(got);
		free(again);
	}
}

/* --- the sources of certificates ------------------------------------------ */

static char said[4096];

static void say(void *arg, const char *text)
{
	struct wr *w = arg;

	wr_fmt(w, "%s\n", text);
}

/* Two days before and after the certificates' hundred years */
#define EARLY	1000000000
#define LATE	9000000000
#define NOW	2000000000

static const struct {
	const char *name, *in;
	int64_t now;
	bool set;
	int rc;
	const char *out, *said;
} takes[] = {
	{ "one", PEM_CA, NOW, true, 1, PEM_CA, "" },
	{ "two", PEM_CA PEM_CA2, NOW, true, 2, PEM_CA PEM_CA2, "" },
	{ "one twice", PEM_CA PEM_CA, NOW, true, 2, PEM_CA, "" },
	{ "comments", "# a\n\n" PEM_CA "b\n", NOW, true, 1, PEM_CA, "" },
	{ "Ed25519", PEM_ED, NOW, true, 1, PEM_ED, "" },
	{ "nothing", "", NOW, true, -1, "", "no certificate" },
	{ "another kind", "-----BEGIN X509 CRL-----\nAAAA\n"
	  "-----END X509 CRL-----\n", NOW, true, -1, "", "no certificate" },
	{ "not a CA", PEM_LEAF, NOW, true, -1, "",
	  "certificate 1 (leaf): it is not that of a CA" },
	{ "CA, then not", PEM_CA PEM_LEAF, NOW, true, 1, PEM_CA,
	  "certificate 2 (leaf)" },
	{ "not DER", "-----BEGIN CERTIFICATE-----\nAAAA\n"
	  "-----END CERTIFICATE-----\n" PEM_CA, NOW, true, 1, PEM_CA,
	  "certificate 1 (?): it does not decode" },
	{ "cut off", PEM_CA "-----BEGIN CERTIFICATE-----\nAAAA\n", NOW, true,
	  1, PEM_CA, "certificate 2 (?): it is cut off" },
	{ "a key", PEM_CA "-----BEGIN PRIVATE KEY-----\n", NOW, true, -1, "",
	  "private key" },
	{ "expired", PEM_CA, LATE, true, -1, "", "has expired: not" },
	{ "expired, who knows", PEM_CA, LATE, false, 1, PEM_CA, "nobody has" },
	{ "early", PEM_CA, EARLY, true, 1, PEM_CA, "not valid yet" },
};

static void test_take(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(takes); i++) {
		struct wr w = wr_init(said, sizeof(said) - 1);
		const struct roots_in in = {
			.name = "test", .max = 64, .now = takes[i].now,
			.clock_set = takes[i].set, .say = say, .arg = &w };
		char pem[4096];
		struct wr p = wr_init(pem, sizeof(pem) - 1);
		struct roots set = { 0 };
		int rc = roots_take(&set, span_str(takes[i].in), &in);

		*w.p = '\0';
		for (unsigned int k = 0; k < set.n; k++)
			wr_span(&p, set.v[k].pem);
		*p.p = '\0';
		if ((takes[i].rc > 0 ? rc != takes[i].rc : rc >= 0) ||
		    strcmp(pem, takes[i].out) || !strstr(said, takes[i].said) ||
		    !said[0] != !takes[i].said[0])
			fail_msg("%s: %d, \"%s\"", takes[i].name, rc, said);
		roots_free(&set);
	}
}

static void test_too_many(void **state)
{
	const struct roots_in in = { .name = "test", .max = 1 };
	struct roots set = { 0 };

	(void)state;
	assert_int_equal(roots_take(&set, span_str(PEM_CA PEM_CA2), &in), 1);
	assert_int_equal(set.n, 1);
	assert_int_equal(set.over, 1);
	roots_free(&set);
}

/* --- Java ------------------------------------------------------------------ */

static void test_jks(void **state)
{
	struct roots set = set_of(PEM_CA PEM_ED);
	uint8_t *buf = malloc(jks_size(&set));
	struct wr w = wr_init(buf, jks_size(&set));
	struct rd r;

	(void)state;
	assert_non_null(buf);
	jks_emit(&set, &w);
	assert_false(w.bad);
	assert_int_equal(wr_left(&w), 0);
	r = rd_init(buf, wr_len(&w));
	assert_int_equal(rd_u32(&r), 0xfeedfeed);
	assert_int_equal(rd_u32(&r), 2);
	assert_int_equal(rd_u32(&r), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(rd_u32(&r), 2);
		assert_int_equal(rd_u16(&r), 4 + ROOTS_ID_LEN);
		assert_memory_equal(rd_take(&r, 4), "msb-", 4);
		assert_memory_equal(rd_take(&r, ROOTS_ID_LEN), set.v[i].id,
				    ROOTS_ID_LEN);
		assert_true(rd_u64(&r) == 0);
		assert_int_equal(rd_u16(&r), 5);
		assert_memory_equal(rd_take(&r, 5), "X.509", 5);
		assert_int_equal(rd_u32(&r), set.v[i].len);
		assert_memory_equal(rd_take(&r, set.v[i].len), set.v[i].der,
				    set.v[i].len);
	}
	assert_int_equal(rd_left(&r), 20);
	free(buf);
	roots_free(&set);
}

/* --- variables -------------------------------------------------------------- */

static void test_env(void **state)
{
	const struct ca_env e = { "/b", "/it's", "/j" };
	const struct ca_env none = { "", "", "" };
	char text[2048], java[80];
	struct wr w = wr_init(text, sizeof(text) - 1);
	enum ca_env_mode mode;

	(void)state;
	assert_int_equal(ca_env_mode("replace", &mode), 0);
	assert_int_equal(mode, CA_ENV_MODE_REPLACE);
	assert_int_equal(ca_env_mode(NULL, &mode), 0);
	assert_int_equal(mode, CA_ENV_MODE_KEEP);
	assert_true(ca_env_mode("on", &mode) < 0);

	ca_env_profile(&e, CA_ENV_MODE_KEEP, &w);
	*w.p = '\0';
	assert_non_null(strstr(text, "[ -n \"${SSL_CERT_FILE-}\" ] || export"
			       " SSL_CERT_FILE='/b'\n"));
	assert_non_null(strstr(text, "NODE_EXTRA_CA_CERTS='/it'\\''s'\n"));
	w = wr_init(text, sizeof(text) - 1);
	ca_env_profile(&e, CA_ENV_MODE_OFF, &w);
	assert_int_equal(wr_len(&w), 0);

	assert_true(ca_env_java(&e, NULL, CA_ENV_MODE_KEEP, java,
				sizeof(java)));
	assert_string_equal(java, CA_ENV_JAVA_OPT "/j");
	assert_true(ca_env_java(&e, "-Xx", CA_ENV_MODE_KEEP, java,
				sizeof(java)));
	assert_string_equal(java, "-Xx " CA_ENV_JAVA_OPT "/j");
	assert_false(ca_env_java(&e, CA_ENV_JAVA_OPT "/i", CA_ENV_MODE_KEEP,
				 java, sizeof(java)));
	assert_true(ca_env_java(&e, CA_ENV_JAVA_OPT "/i", CA_ENV_MODE_REPLACE,
				java, sizeof(java)));
	assert_string_equal(java, CA_ENV_JAVA_OPT "/i " CA_ENV_JAVA_OPT "/j");
	assert_false(ca_env_java(&e, "-Xx", CA_ENV_MODE_KEEP, java, 20));
	assert_false(ca_env_java(&none, NULL, CA_ENV_MODE_KEEP, java,
				 sizeof(java)));
}

int agent_bundle_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edit),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_jks),
		cmocka_unit_test(test_env),
	};

	return cmocka_run_group_tests_name("agent_bundle", tests, NULL, NULL);
}
