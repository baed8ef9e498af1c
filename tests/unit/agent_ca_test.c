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

#include "agent/bundle.h"
#include "agent/ca.h"
#include "agent/plan.h"
#include "base/util.h"
#include "tests/unit/ca_pems.h"

int agent_ca_test(void);

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
#define BLOCK	BUNDLE_BEGIN "\n" PEM_CA BUNDLE_END "\n"
#define BLOCK_NL BUNDLE_BEGIN_NL "\n" PEM_CA BUNDLE_END "\n"

static struct ca_conf conf = { .files = "", .now = 2000000000 };

static void test_install(void **state)
{
	struct file_where w = { root, "/run", "" };
	const struct ca_given more = { "API", span_str(PEM_CA2) };
	static struct ca_result res;
	char path[PATH_MAX];

	(void)state;
	/* Nothing to install, and nothing to take out */
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_int_equal(res.certs, 0);
	assert_int_equal(ca_bundle(&w, path, sizeof(path)), -ENOENT);

	/* No bundle: one is made */
	put("/etc/msb/ca.pem", PEM_CA);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_int_equal(res.certs, 1);
	assert_string_equal(res.bundle, DEBIAN);
	assert_string_equal(res.source, "/etc/msb/ca.pem");
	expect(DEBIAN, BLOCK);

	/* Every bundle; from every source, each certificate once */
	put(DEBIAN, "roots\n");
	put(FEDORA, "others, no end of line");
	put("/.msb/tls/ca.pem", PEM_CA);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ca_install(&w, &conf, &res), 0);
		assert_string_equal(res.bundle, DEBIAN);
		assert_string_equal(res.source, "/.msb/tls/ca.pem");
		assert_string_equal(res.file, "/run/ca.pem");
		assert_int_equal(res.sources, 2);
		assert_int_equal(res.certs, 1);
		expect(DEBIAN, "roots\n" BLOCK);
		expect(FEDORA, "others, no end of line\n" BLOCK_NL);
		expect("/run/ca.pem", PEM_CA);
	}

	/* Given by other means: all of them */
	conf.given = &more;
	conf.given_n = 1;
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_int_equal(res.certs, 2);
	expect("/run/ca.pem", PEM_CA PEM_CA2);
	conf.given_n = 0;

	/* Refused: what is there stays */
	put("/.msb/tls/ca.pem", PEM_LEAF);
	put("/etc/msb/ca.pem", "-----BEGIN PRIVATE KEY-----\n" PEM_CA);
	assert_int_equal(ca_install(&w, &conf, &res), -EBADMSG);
	assert_int_equal(res.refused, 2);
	expect("/run/ca.pem", PEM_CA PEM_CA2);

	/* No longer supplied: taken out */
	snprintf(path, sizeof(path), "%s/.msb/tls/ca.pem", root);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/etc/msb/ca.pem", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_string_equal(res.bundle, "");
	expect(DEBIAN, "roots\n");
	expect(FEDORA, "others, no end of line");
}

/* A bundle that was made goes again; in a dry run nothing is written */
static void test_made(void **state)
{
	struct file_where w = { root, "/run", "" };
	static struct ca_result res;
	char path[PATH_MAX];

	(void)state;
	put("/etc/msb/ca.pem", PEM_CA);
	plan_begin(-1);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_true(plan_count() > 0);
	plan_end();
	assert_int_equal(ca_bundle(&w, path, sizeof(path)), -ENOENT);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_int_equal(ca_bundle(&w, path, sizeof(path)), 0);
	plan_begin(-1);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_int_equal(plan_count(), 0);
	plan_end();
	snprintf(path, sizeof(path), "%s/etc/msb/ca.pem", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	assert_int_equal(ca_bundle(&w, path, sizeof(path)), -ENOENT);
}

static void test_one_inode_two_names(void **state)
{
	struct file_where w = { root, "/run", "" };
	static struct ca_result res;
	char a[PATH_MAX], to[64];

	(void)state;
	put("/etc/msb/ca.pem", PEM_CA);
	put(DEBIAN, "roots\n");
	snprintf(a, sizeof(a), "%s/etc/ssl/cert.pem", root);
	assert_int_equal(symlink("certs/ca-certificates.crt", a), 0);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	expect("/etc/ssl/cert.pem", "roots\n" BLOCK);
	assert_true(readlink(a, to, sizeof(to)) > 0);	/* is still a link */
}

static void test_limit(void **state)
{
	struct file_where w = { root, "/run", "" };
	static struct ca_result res;
	char *big = malloc(CA_MAX + 2);

	(void)state;
	assert_non_null(big);
	memset(big, '\n', CA_MAX + 1);
	big[CA_MAX + 1] = '\0';
	memcpy(big, PEM_CA, strlen(PEM_CA));
	put("/etc/msb/ca.pem", big);
	assert_int_equal(ca_install(&w, &conf, &res), -EFBIG);
	big[CA_MAX] = '\0';
	put("/etc/msb/ca.pem", big);
	assert_int_equal(ca_install(&w, &conf, &res), 0);
	free(big);
}

int agent_ca_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_install, setup, teardown),
		cmocka_unit_test_setup_teardown(test_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_inode_two_names, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	};

	return cmocka_run_group_tests_name("agent_ca", tests, NULL, NULL);
}
