#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ca.h"
#include "base/util.h"

int agent_ca_test(void);

/* Self-signed, P-256, valid for a hundred years; nobody has the keys */
#define PEM_CA \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBezCCASGgAwIBAgIUIX4WEpfyXDU3xZ7mE6UFOTRwDSowCgYIKoZIzj0EAwIw\n" \
	"EjEQMA4GA1UEAwwHdGVzdC1jYTAgFw0yNjExMjAyMTM5MzFaGA8yMTI2MTAyNzIx\n" \
	"MzkzMVowEjEQMA4GA1UEAwwHdGVzdC1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n" \
	"A0IABBK98DNxiCt2VaoviA+nPJfIeOqeg9Ryclm7Q9LY91MxSbWNEsIoir3QzHIR\n" \
	"RYKKLmOw1b5U2wELwbwsvN+UKlCjUzBRMB0GA1UdDgQWBBRn7rHnyD7FXxPlf/5y\n" \
	"O3YN8Z7IpDAfBgNVHSMEGDAWgBRn7rHnyD7FXxPlf/5yO3YN8Z7IpDAPBgNVHRMB\n" \
	"Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIAKL8BTa5A384+MXX0qi0Z84qdnq\n" \
	"gx8Hgdk7TgsY6FuPAiEAh8XmvHYt4MgXrybGse6881VFDNFCG0Rmz7vK5dm9oGM=\n" \
	"-----END CERTIFICATE-----\n"

#define PEM_LEAF \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBfTCCASKgAwIBAgIUP/2g0tE7xJz+MWl/DwDadh/AdJAwCgYIKoZIzj0EAwIw\n" \
	"FDESMBAGA1UEAwwJdGVzdC1sZWFmMCAXDTI2MTEyMDIxMzkzMVoYDzIxMjYxMDI3\n" \
	"MjEzOTMxWjAUMRIwEAYDVQQDDAl0ZXN0LWxlYWYwWTATBgcqhkjOPQIBBggqhkjO\n" \
	"PQMBBwNCAATYDJnzcNhGQW86Mxmcil/McroipiUJtjYkt9Qdj6mBOVLC4T5DQDbA\n" \
	"MoWIjoqR5pFN2v1x7WMVlAzHXprVHStJo1AwTjAdBgNVHQ4EFgQUGgZGiCFqMhtA\n" \
	"RcR44zkKussxbBkwHwYDVR0jBBgwFoAUGgZGiCFqMhtARcR44zkKussxbBkwDAYD\n" \
	"VR0TAQH/BAIwADAKBggqhkjOPQQDAgNJADBGAiEAvyEI0su61l0vVy+vdjGM7Ntd\n" \
	"KgUtN3PQ36my8WiPTFYCIQC/U3pctwH5idn94+VsxrwXZlpmABOzq6ujHBhsLtqF\n" \
	"Lg==\n" \
	"-----END CERTIFICATE-----\n"
#define BEGIN	"-----BEGIN CERTIFICATE-----\n"
#define END	"-----END CERTIFICATE-----\n"
#define KEY(k)	"-----BEGIN " k "-----\nAAAA\n-----END " k "-----\n"

static const struct {
	const char *name, *in;
	int rc;
	const char *out, *why;
} cases[] = {
	{ "one CA", PEM_CA, 1, PEM_CA, "" },
	{ "two", PEM_CA PEM_CA, 2, PEM_CA PEM_CA, "" },
	{ "comments", "# hello\n\n" PEM_CA "bye\n", 1, PEM_CA, "" },
	{ "no certificate", "hello\n", -EBADMSG, "", "no certificate" },
	{ "nothing", "", -EBADMSG, "", "no certificate" },
	{ "another kind", KEY("X509 CRL"), -EBADMSG, "", "no certificate" },
	{ "a kind beside it", KEY("X509 CRL") PEM_CA, 1, PEM_CA, "" },
	{ "not a CA", PEM_LEAF, -EBADMSG, "", "not that of a CA" },
	{ "CA, then not", PEM_CA PEM_LEAF, -EBADMSG, NULL,
	  "not that of a CA" },
	{ "a key", PEM_CA KEY("PRIVATE KEY"), -EBADMSG, "", "private key" },
	{ "an RSA key", KEY("RSA PRIVATE KEY") PEM_CA, -EBADMSG, "",
	  "private key" },
	{ "a locked key", PEM_CA KEY("ENCRYPTED PRIVATE KEY"), -EBADMSG, "",
	  "private key" },
	{ "not DER", BEGIN "AAAA\n" END, -EBADMSG, "", "does not decode" },
	{ "empty", BEGIN END, -EBADMSG, "", "does not decode" },
	{ "not base64", BEGIN "!!!!\n" END, -EBADMSG, "", "not PEM" },
	{ "no end", BEGIN "AAAA\n", -EBADMSG, "", "cut off" },
	{ "no end after one", PEM_CA BEGIN, -EBADMSG, NULL, "cut off" },
};

/* Check the first @len bytes of @in, on a copy of just that size */
static int check(const char *in, size_t len, char *out, size_t size,
		 const char **why)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct wr w = wr_init(out, size - 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, in, len);
	rc = ca_check((struct span){ copy, len }, &w, why);
	assert_false(w.bad);
	*w.p = '\0';
	free(copy);
	return rc;
}

static void test_check(void **state)
{
	char out[4096];
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc = check(cases[i].in, strlen(cases[i].in), out,
			       sizeof(out), &why);

		if (rc != cases[i].rc || !strstr(why, cases[i].why))
			fail_msg("%s: %d, \"%s\"", cases[i].name, rc, why);
		if (cases[i].out)
			assert_string_equal(out, cases[i].out);
	}
}

static void test_prefixes(void **state)
{
	const size_t len = strlen(PEM_CA);
	char out[4096];
	const char *why;

	(void)state;
	/* Without its last newline it is still whole */
	assert_int_equal(check(PEM_CA, len - 1, out, sizeof(out), &why), 1);
	assert_string_equal(out, PEM_CA);
	for (size_t n = 0; n < len - 1; n++)	/* but not without a dash */
		if (check(PEM_CA, n, out, sizeof(out), &why) != -EBADMSG)
			fail_msg("the first %zu bytes", n);
}

/* Every byte of the certificate, wrong: never more than it says, never more */
static void test_damage(void **state)
{
	char in[] = PEM_CA, out[4096];
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(in) - 1; i++) {
		char was = in[i];

		in[i] = (char)(was ^ 0x15);
		assert_true(check(in, sizeof(in) - 1, out, sizeof(out),
				  &why) <= 1);
		in[i] = was;
	}
}

static void test_crlf(void **state)
{
	char in[4096], out[4096];
	struct wr w = wr_init(in, sizeof(in));
	const char *why;

	(void)state;
	for (const char *p = PEM_CA; *p; p++)
		wr_fmt(&w, *p == '\n' ? "\r%c" : "%c", *p);
	assert_int_equal(check(in, wr_len(&w), out, sizeof(out), &why), 1);
	assert_string_equal(out, PEM_CA);
}

static void test_too_many(void **state)
{
	const size_t len = strlen(PEM_CA);
	char *in = malloc((CA_CERTS_MAX + 1) * len);
	char *out = malloc((CA_CERTS_MAX + 2) * len);
	struct wr w = wr_init(in, (CA_CERTS_MAX + 1) * len);
	const char *why;

	(void)state;
	assert_non_null(in);
	assert_non_null(out);
	for (size_t i = 0; i <= CA_CERTS_MAX; i++)
		wr_bytes(&w, PEM_CA, len);
	assert_int_equal(check(in, CA_CERTS_MAX * len, out,
			       (CA_CERTS_MAX + 2) * len, &why), CA_CERTS_MAX);
	assert_int_equal(check(in, (CA_CERTS_MAX + 1) * len, out,
			       (CA_CERTS_MAX + 2) * len, &why), -EBADMSG);
	free(in);
	free(out);
}

/* --- with files ---------------------------------------------------------- */

static char root[64];

static void put(const char *path, const char *text)
{
	struct file_where w = { root, "/run", path };

	assert_int_equal(file_put(&w, span_str(text), true, NULL), 0);
}

static void expect(const char *path, const char *text)
{
	char full[PATH_MAX], *got;
	size_t len;

	snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(file_read(full, 1 << 20, &got, &len), 0);
	assert_string_equal(got, text);
	free(got);
}

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/agent_ca.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

/* Remove a tree, however it was left */
static int drop(const char *path, const struct stat *st, int kind,
		struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

#define DEBIAN	"/etc/ssl/certs/ca-certificates.crt"
#define FEDORA	"/etc/pki/tls/certs/ca-bundle.crt"
#define BLOCK	FILE_MARK_BEGIN "\n" PEM_CA FILE_MARK_END "\n"

static void test_install(void **state)
{
	struct file_where w = { root, "/run", "" };
	struct ca_result res;
	char path[PATH_MAX];

	(void)state;
	/* Nothing to install, and nothing to take out */
	assert_int_equal(ca_install(&w, &res), 0);
	assert_int_equal(res.certs, 0);
	assert_int_equal(ca_bundle(&w, path, sizeof(path)), -ENOENT);

	/* No bundle: one is made */
	put("/etc/msb/ca.pem", PEM_CA);
	assert_int_equal(ca_install(&w, &res), 0);
	assert_int_equal(res.certs, 1);
	assert_string_equal(res.bundle, DEBIAN);
	assert_string_equal(res.file, "/etc/msb/ca.pem");
	expect(DEBIAN, BLOCK);

	/* Every bundle; the share goes before /etc */
	put(DEBIAN, "roots\n");
	put(FEDORA, "others, no end of line");
	put("/.msb/tls/ca.pem", PEM_CA);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ca_install(&w, &res), 0);
		assert_string_equal(res.bundle, DEBIAN);
		assert_string_equal(res.file, "/.msb/tls/ca.pem");
		expect(DEBIAN, "roots\n" BLOCK);
		expect(FEDORA, "others, no end of line\n" BLOCK);
	}

	/* Refused: what is there stays */
	put("/.msb/tls/ca.pem", PEM_LEAF);
	assert_int_equal(ca_install(&w, &res), -EBADMSG);
	expect(DEBIAN, "roots\n" BLOCK);

	/* No longer supplied: taken out */
	snprintf(path, sizeof(path), "%s/.msb/tls/ca.pem", root);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/etc/msb/ca.pem", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ca_install(&w, &res), 0);
	assert_string_equal(res.bundle, "");
	expect(DEBIAN, "roots\n");
}

static void test_one_inode_two_names(void **state)
{
	struct file_where w = { root, "/run", "" };
	struct ca_result res;
	char a[PATH_MAX], to[64];

	(void)state;
	put("/etc/msb/ca.pem", PEM_CA);
	put(DEBIAN, "roots\n");
	snprintf(a, sizeof(a), "%s/etc/ssl/cert.pem", root);
	assert_int_equal(symlink("certs/ca-certificates.crt", a), 0);
	assert_int_equal(ca_install(&w, &res), 0);
	expect("/etc/ssl/cert.pem", "roots\n" BLOCK);
	assert_true(readlink(a, to, sizeof(to)) > 0);	/* is still a link */
}

static void test_limit(void **state)
{
	struct file_where w = { root, "/run", "" };
	struct ca_result res;
	char *big = malloc(CA_MAX + 2);

	(void)state;
	assert_non_null(big);
	memset(big, '\n', CA_MAX + 1);
	big[CA_MAX + 1] = '\0';
	memcpy(big, PEM_CA, strlen(PEM_CA));
	put("/etc/msb/ca.pem", big);
	assert_int_equal(ca_install(&w, &res), -EFBIG);
	big[CA_MAX] = '\0';
	put("/etc/msb/ca.pem", big);
	assert_int_equal(ca_install(&w, &res), 0);
	free(big);
}

int agent_ca_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_crlf),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test_setup_teardown(test_install, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_inode_two_names, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	};

	return cmocka_run_group_tests_name("agent_ca", tests, NULL, NULL);
}
