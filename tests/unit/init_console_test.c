#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

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

int init_console_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, fake_setup,
						fake_teardown),
	};

	return cmocka_run_group_tests_name("init_console", tests, NULL, NULL);
}
