#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/module.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/modules.h"
#include "tests/unit/init_fake.h"

int init_modules_test(void);

static void test_list(void **state)
{
	static const struct {
		const char *text, *want;	/* paths joined by '|' */
	} cases[] = {
		{ "",					"" },
		{ "\n\n",				"" },
		{ "/a.ko",				"/a.ko|" },
		{ "/a.ko\n/b.ko.xz\n",			"/a.ko|/b.ko.xz|" },
		{ "# x\n  /a.ko \r\n#/b.ko\n\t\n/c.ko",	"/a.ko|/c.ko|" },
		{ "/with # in it",			"/with # in it|" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].text);
		char got[64] = "", *copy = malloc(len + !len);
		struct span rest, path;

		assert_non_null(copy);
		memcpy(copy, cases[i].text, len);
		rest = (struct span){ (uint8_t *)copy, len };
		while (modules_next(&rest, &path)) {
			assert_true(path.len + strlen(got) + 2 < sizeof(got));
			memcpy(got + strlen(got), path.p, path.len);
			got[strlen(got) + 1] = '\0';
			got[strlen(got)] = '|';
		}
		assert_string_equal(got, cases[i].want);
		free(copy);
	}
}

static void test_flags(void **state)
{
	static const struct {
		const char *path;
		int flags;
	} cases[] = {
		{ "/a.ko", 0 }, { "/a.ko.xz", 4 }, { "/a.ko.zst", 4 },
		{ "/a.ko.gz", 4 }, { ".xz", 0 }, { "", 0 }, { "/a.xz.ko", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(modules_flags(cases[i].path), cases[i].flags);
}

static void test_load(void **state)
{
	(void)state;
	assert_int_equal(modules_load("/l"), 0);	/* no list */
	assert_string_equal(fake_calls(), "");

	fake_file("/l", S_IFREG | 0644, "/a.ko\n/gone.ko\n/c.ko.xz\n");
	fake_fail("open /gone.ko", -ENOENT);
	fake_fail("finit 0", -EEXIST);			/* loaded already */
	assert_int_equal(modules_load("/l"), 1);
	assert_string_equal(fake_calls(), "open /a.ko\nfinit 0\n"
			    "open /gone.ko\nopen /c.ko.xz\nfinit 4\n");
	assert_string_equal(fake_logged(), "t: error: modules: /gone.ko: "
			    "No such file or directory\n");

	fake_reset();
	fake_file("/l", S_IFREG | 0644, "/a.ko\n/b.ko\n");
	fake_fail("finit", -ENOEXEC);
	assert_int_equal(modules_load("/l"), 2);
	assert_non_null(strstr(fake_logged(), "modules: /b.ko: "));
}

/* A list that was cut off may end in half a path: none of it is loaded */
static void test_too_long(void **state)
{
	char *text = malloc(20000);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 20000);
	text[19999] = '\0';
	fake_file("/l", S_IFREG | 0644, text);
	assert_int_equal(modules_load("/l"), 1);
	assert_string_equal(fake_calls(), "");
	assert_non_null(strstr(fake_logged(), "modules: /l: "));
	free(text);
}

int init_modules_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_list), T(test_flags), T(test_load), T(test_too_long),
#undef T
	};

	return cmocka_run_group_tests_name("init_modules", tests, NULL, NULL);
}
