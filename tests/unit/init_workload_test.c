#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/workload.h"
#include "tests/unit/init_fake.h"

int init_workload_test(void);

#define SH	1U	/* /bin/sh */
#define BUSYBOX	2U	/* /bin/busybox */
#define FILE_X	4U	/* /etc/msb/workload, executable */
#define FILE_R	8U	/* /etc/msb/workload, not executable */

static const struct {
	const char *cmdline;
	const char *argv[6];
	const char *exec;
	unsigned int files;
	enum workload_kind kind;
	const char *want;	/* each word in brackets */
} cases[] = {
	/* The words after "--", however many strangers stand before them */
	{ "quiet -- ls -l", { "i", "ls", "-l" }, NULL, SH,
	  WORKLOAD_ARGS, "[ls][-l]" },
	{ "foo bar -- ls", { "i", "foo", "bar", "ls" }, "x", SH,
	  WORKLOAD_ARGS, "[ls]" },
	{ "-- \"a b\" c=\"d e\"", { "i", "a b", "c=d e" }, NULL, 0,
	  WORKLOAD_ARGS, "[a b][c=d e]" },
	/* The kernel drops what follows a second "--" */
	{ "x -- a -- b", { "i", "x", "a" }, NULL, 0, WORKLOAD_ARGS, "[a]" },
	/* No "--", nothing after it, or a line that is not ours */
	{ "foo", { "i", "foo" }, NULL, SH, WORKLOAD_SHELL, "[/bin/sh]" },
	{ "foo --", { "i", "foo" }, NULL, SH, WORKLOAD_SHELL, "[/bin/sh]" },
	{ "-- a b", { "i", "a" }, "x", SH, WORKLOAD_EXEC, "[/bin/sh][-c][x]" },
	{ "-- a", { NULL }, "x", SH, WORKLOAD_EXEC, "[/bin/sh][-c][x]" },
	/* MSB_EXEC */
	{ "", { "i" }, "echo 'a  b'; ls", SH | FILE_X,
	  WORKLOAD_EXEC, "[/bin/sh][-c][echo 'a  b'; ls]" },
	{ "", { "i" }, " a \t b  c ", BUSYBOX, WORKLOAD_WORDS, "[a][b][c]" },
	{ "", { "i" }, "a", 0, WORKLOAD_WORDS, "[a]" },
	{ "", { "i" }, "", SH, WORKLOAD_SHELL, "[/bin/sh]" },
	{ "", { "i" }, " \t", SH, WORKLOAD_SHELL, "[/bin/sh]" },
	/* The file, then a shell, then nothing */
	{ "", { "i" }, NULL, SH | FILE_X, WORKLOAD_SCRIPT,
	  "[/etc/msb/workload]" },
	{ "", { "i" }, NULL, SH | FILE_R, WORKLOAD_SHELL, "[/bin/sh]" },
	{ "", { "i" }, NULL, BUSYBOX, WORKLOAD_SHELL, "[/bin/busybox][sh]" },
	{ "", { "i" }, NULL, 0, WORKLOAD_NONE, "" },
};

static void test_select(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char words[6][32], *argv[7] = { NULL }, got[128] = "";
		static struct workload w;
		size_t n = 0;
		int argc = 0;

		fake_reset();
		if (cases[i].files & SH)
			fake_file("/bin/sh", S_IFREG | 0755, NULL);
		if (cases[i].files & BUSYBOX)
			fake_file("/bin/busybox", S_IFREG | 0755, NULL);
		if (cases[i].files & (FILE_X | FILE_R))
			fake_file(WORKLOAD_FILE, S_IFREG |
				  (cases[i].files & FILE_X ? 0755 : 0644),
				  NULL);
		for (; argc < 6 && cases[i].argv[argc]; argc++) {
			snprintf(words[argc], sizeof(words[argc]), "%s",
				 cases[i].argv[argc]);
			argv[argc] = words[argc];
		}
		workload_select(&w, span_str(cases[i].cmdline), argc, argv,
				cases[i].exec);
		assert_int_equal(w.kind, cases[i].kind);
		for (char *const *p = w.argv; *p; p++)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "[%s]",
					      *p);
		assert_string_equal(got, cases[i].want);
	}
}

static void test_limits(void **state)
{
	static struct workload w;
	char text[WORKLOAD_TEXT_MAX + 1], *argv[] = { NULL };
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 2 ? ' ' : 'x';
	text[sizeof(text) - 1] = '\0';
	text[sizeof(text) - 2] = 'x';

	/* Too long: said, and the next in line is taken */
	workload_select(&w, span_str(""), 0, argv, text);
	assert_int_equal(w.kind, WORKLOAD_NONE);
	assert_non_null(strstr(fake_logged(), "MSB_EXEC is too long"));

	text[200] = '\0';
	workload_select(&w, span_str(""), 0, argv, text);
	assert_int_equal(w.kind, WORKLOAD_WORDS);
	for (n = 0; w.argv[n]; n++)
		assert_string_equal(w.argv[n], "x");
	assert_int_equal(n, WORKLOAD_WORDS_MAX);
	assert_non_null(strstr(fake_logged(), "more than 64 words"));
}

static void test_env(void **state)
{
	static struct spawn_env e;
	char home[] = "HOME=/", git[] = "GIT_SSL_CAINFO=/mine";
	char *base[] = { home, git, NULL }, *none[] = { NULL };
	struct watch agent = { .ca_bundle = "/b.pem", .ca_file = "/c.pem" };
	const struct watch no_ca = { .len = 0 };

	(void)state;
	spawn_env_init(&e, base);
	workload_env(&e, &agent);
	assert_string_equal(spawn_env_get(&e, "HOME"), "/");
	assert_string_equal(spawn_env_get(&e, "TERM"), "linux");
	assert_string_equal(spawn_env_get(&e, "PATH"), SPAWN_PATH);
	assert_string_equal(spawn_env_get(&e, "SSL_CERT_FILE"), "/b.pem");
	assert_string_equal(spawn_env_get(&e, "NODE_EXTRA_CA_CERTS"), "/c.pem");
	assert_string_equal(spawn_env_get(&e, "GIT_SSL_CAINFO"), "/mine");

	fake_file("/root", S_IFDIR | 0700, NULL);
	spawn_env_init(&e, base);
	workload_env(&e, &no_ca);
	assert_string_equal(spawn_env_get(&e, "HOME"), "/root");
	assert_null(spawn_env_get(&e, "SSL_CERT_FILE"));
	assert_null(spawn_env_get(&e, "NODE_EXTRA_CA_CERTS"));

	fake_reset();
	spawn_env_init(&e, none);
	workload_env(&e, &no_ca);
	assert_string_equal(spawn_env_get(&e, "HOME"), "/");
	assert_int_equal(e.n, 3);
	assert_null(e.v[3]);
}

int init_workload_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_select), T(test_limits), T(test_env),
#undef T
	};

	return cmocka_run_group_tests_name("init_workload", tests, NULL, NULL);
}
