#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "init/console.h"
#include "tests/unit/init_fake.h"

int init_console_test(void);

#define NOCON	"open /dev/console"
#define CON	NOCON "\n"

/* Descriptors 0 to 2 at first, and when /dev is mounted */
static void test_open(void **state)
{
	static const struct {
		unsigned int open, console;
		const char *fail, *fail2;
		const char *early, *late;
	} cases[] = {
		/* Pipes of a test: left alone */
		{ 7, 0, "-", "-", "", "" },
		/* The console of the initramfs: opened again below /dev */
		{ 7, 7, "-", "-", CON "dup2 0\n" CON "dup2 1\n" CON "dup2 2\n",
		  CON "dup2 0\n" CON "dup2 1\n" CON "dup2 2\n" },
		/* Better the old one than /dev/null */
		{ 7, 2, NOCON, "-", CON "open /dev/null\n",
		  CON "open /dev/null\n" },
		/* Closed ones */
		{ 5, 0, "-", "-", CON "dup2 1\n", "" },
		{ 5, 0, NOCON, "-", CON "open /dev/null\ndup2 1\n",
		  CON "open /dev/null\ndup2 1\n" },
		{ 5, 0, NOCON, "open /dev/null",
		  CON "open /dev/null\nopen /\ndup2 1\n",
		  CON "open /dev/null\nopen /\ndup2 1\n" },
		{ 5, 0, "open", "-", CON "open /dev/null\nopen /\n",
		  CON "open /dev/null\nopen /\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_stdio(cases[i].open, cases[i].console);
		fake_fail(cases[i].fail, -ENOENT);
		fake_fail(cases[i].fail2, -ENOENT);
		console_open(true);
		assert_string_equal(fake_calls(), cases[i].early);
		console_open(false);
		assert_string_equal(fake_calls(), cases[i].late);
	}
}

/** last() - The last line, with the content of the key's file before it */
static const char *last(const char *content, int status)
{
	static char text[256];
	int fd = memfd_create("stderr", 0), was = dup(STDERR_FILENO);
	ssize_t n;

	fake_reset();
	if (content)
		fake_file(CONSOLE_KEY_FILE, S_IFREG, content);
	console_key();
	dup2(fd, STDERR_FILENO);
	console_last(status);
	dup2(was, STDERR_FILENO);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[MAX(n, 0)] = '\0';
	close(fd);
	close(was);
	return text;
}

#define LAST	"msb-init: workload exited with status "
#define SAY	"write_within 2\ndrain 2\n"
#define K64	"0123456789abcdefABCDEFzZyYxX-0123456789abcdef0123456789abcdef012"

static void test_last(void **state)
{
	static const struct {
		const char *content, *want;
		bool said;
	} cases[] = {
		{ NULL, LAST "42\n", false },
		{ "0aZ9\n", LAST "42 (key 0aZ9)\n", false },
		{ "0aZ9", LAST "42 (key 0aZ9)\n", false },
		{ " ", LAST "42\n", true },
		{ "a b", LAST "42\n", true },
		{ "a\nb\n", LAST "42\n", true },
		{ "a)", LAST "42\n", true },
		{ K64, LAST "42\n", true },
	};
	char key[80] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(last(cases[i].content, 42), cases[i].want);
		assert_string_equal(fake_calls(), cases[i].content ?
			"write " CONSOLE_KEY_FILE " 600 \n" SAY : SAY);
		assert_int_equal(*fake_logged() != '\0', cases[i].said);
	}
	/* 64 are fine, with or without a newline; one more is too much */
	memset(key, 'k', 64);
	assert_non_null(strstr(last(key, 0), "kk)"));
	key[64] = '\n';
	assert_non_null(strstr(last(key, 0), "kk)"));
	key[64] = 'k';
	assert_string_equal(last(key, 0), LAST "0\n");
	fake_logged();
}

/* A file that cannot be emptied: it works, and it is said */
static void test_key_stays(void **state)
{
	(void)state;
	fake_file(CONSOLE_KEY_FILE, S_IFREG, "k");
	fake_fail("write", -EROFS);
	console_key();
	assert_non_null(strstr(fake_logged(), "the workload can read it"));
}

/* From one PID 1 to the next, which is in another root */
static void test_key_left(void **state)
{
	(void)state;
	fake_file(CONSOLE_KEY_FILE, S_IFREG, "k1");
	console_key();
	fake_calls();
	console_key_leave();
	assert_string_equal(fake_calls(), "mkdir /run/msb 755\n"
			    "write " CONSOLE_KEY_NEXT " 600 k1\n");
	fake_reset();
	fake_file(CONSOLE_KEY_FILE, S_IFREG, "");
	fake_file(CONSOLE_KEY_NEXT, S_IFREG, "k1");
	console_key();
	assert_string_equal(fake_calls(), "write " CONSOLE_KEY_NEXT " 600 \n");
	console_key_leave();
	assert_non_null(strstr(fake_calls(), " 600 k1\n"));

	/* None: nothing is left */
	fake_reset();
	console_key();
	console_key_leave();
	assert_string_equal(fake_calls(), "");
}

int init_console_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, fake_setup,
						fake_teardown),
		cmocka_unit_test_setup_teardown(test_last, fake_setup,
						fake_teardown),
		cmocka_unit_test_setup_teardown(test_key_stays, fake_setup,
						fake_teardown),
		cmocka_unit_test_setup_teardown(test_key_left, fake_setup,
						fake_teardown),
	};

	return cmocka_run_group_tests_name("init_console", tests, NULL, NULL);
}
