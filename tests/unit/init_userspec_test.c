#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/userspec.h"

int init_userspec_test(void);

static const char passwd[] =
	"root:x:0:0:root:/root:/bin/sh\n"
	"\n"
	"# a comment\n"
	"torn:x:7\n"
	"nogroup:x:8:\n"
	"+::::::\n"
	"high:x:4294967295:0::/:\n"
	"app:x:1000:100:The App,,,:/home/app:/bin/sh\n"
	"app:x:1001:101::/second:\n"
	"1234:x:77:77::/digits:\n"
	"last:x:1002:102";
static const char group[] =
	"root:x:0:\n"
	"bad:x:-1:app\n"
	"users:x:100:\n"
	"wheel:x:10:root,app\n"
	"audio:x:11:ap,pp,appl\n"
	"video:x:12:app\n"
	"again:x:12:app,app\n"
	"last:x:13:last";

/* Up to three supplementary groups, the rest are -1 */
static const struct good {
	const char *value;
	uid_t uid;
	gid_t gid;
	int groups[4];
	const char *name, *home;
} good[] = {
	{ "root", 0, 0, { 0, 10, -1, -1 }, "root", "/root" },
	{ "app", 1000, 100, { 100, 10, 12, -1 }, "app", "/home/app" },
	{ " app : wheel ", 1000, 10, { 10, 12, -1, -1 }, "app", "/home/app" },
	{ "1000", 1000, 100, { 100, 10, 12, -1 }, "app", "/home/app" },
	{ "1000:55", 1000, 55, { 55, 10, 12, -1 }, "app", "/home/app" },
	{ "app:55", 1000, 55, { 55, 10, 12, -1 }, "app", "/home/app" },
	{ "4242", 4242, 0, { -1, -1, -1, -1 }, "", "" },
	{ "4242:video", 4242, 12, { -1, -1, -1, -1 }, "", "" },
	{ "+0", 0, 0, { 0, 10, -1, -1 }, "root", "/root" },
	/* What is a number is no name */
	{ "1234", 1234, 0, { -1, -1, -1, -1 }, "", "" },
	{ "last:last", 1002, 13, { 13, -1, -1, -1 }, "last", "" },
	{ "4294967294", 4294967294u, 0, { -1, -1, -1, -1 }, "", "" },
};

static int run(const char *value, const char *p, const char *g,
	       struct userspec_ids *ids, struct env_err *err)
{
	struct userspec u;
	int rc = userspec_parse(value, &u, err);

	return rc > 0 ? userspec_resolve(&u, span_str(p), span_str(g), ids,
					 err) : rc;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct good *g = &good[i];
		struct userspec_ids ids;
		struct env_err err;

		assert_int_equal(run(g->value, passwd, group, &ids, &err), 0);
		assert_int_equal(ids.uid, g->uid);
		assert_int_equal(ids.gid, g->gid);
		assert_string_equal(ids.name, g->name);
		assert_string_equal(ids.home, g->home);
		for (size_t k = 0; g->groups[k] >= 0; k++) {
			assert_true(k < ids.ngroups);
			assert_int_equal(ids.groups[k], g->groups[k]);
		}
		assert_true(g->groups[ids.ngroups] < 0);
		assert_false(ids.more);
	}
}

static const struct bad {
	const char *value, *reason;
} bad[] = {
	{ ":", "user spec has empty user" },
	{ ":root", "user spec has empty user" },
	{ " :root", "user spec has empty user" },
	{ "root:", "user spec has empty group" },
	{ "root: ", "user spec has empty group" },
	{ "nobody", "guest user not found: nobody" },
	{ "ap", "guest user not found: ap" },
	{ "torn", "guest user not found: torn" },
	{ "nogroup", "guest user not found: nogroup" },
	{ "high", "guest user not found: high" },
	{ "4294967295", "guest user not found: 4294967295" },
	{ "-1", "guest user not found: -1" },
	{ "app:wheels", "guest group not found: wheels" },
	{ "app:4294967295", "guest group not found: 4294967295" },
	{ "app:wheel:x", "guest group not found: wheel:x" },
	{ "app:bad", "guest group not found: bad" },
	{ "0:app", "guest group not found: app" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct userspec_ids ids = { .uid = 77 };
		struct env_err err = { 0 };

		assert_int_equal(run(bad[i].value, passwd, group, &ids, &err),
				 -EINVAL);
		assert_string_equal(err.reason, bad[i].reason);
		assert_string_equal(err.var, "MSB_USER");
		assert_int_equal(ids.uid, 77);
	}
}

static void test_absent(void **state)
{
	struct env_err err;
	struct userspec u;

	(void)state;
	assert_int_equal(userspec_parse(NULL, &u, &err), 0);
	assert_int_equal(userspec_parse(" ", &u, &err), 0);
	assert_int_equal(userspec_parse("a\xff", &u, &err), 0);
}

/* More groups and longer names than there is room for */
static void test_bounds(void **state)
{
	static char many[8192], home[1024];
	struct userspec_ids ids;
	struct env_err err;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n,
				      "g%d:x:%d:app\n", i, 200 + i);
	assert_int_equal(run("app", passwd, many, &ids, &err), 0);
	assert_int_equal(ids.ngroups, USERSPEC_GROUPS_MAX);
	assert_int_equal(ids.groups[0], 100);
	assert_true(ids.more);

	memset(home, 'h', sizeof(home) - 1);
	memcpy(home, "u:x:5:6::/", 10);
	assert_int_equal(run("u", home, "", &ids, &err), 0);
	assert_string_equal(ids.home, "");
	memset(home, 'u', 300);
	memcpy(home + 300, ":x:5:6::/:", 11);
	assert_int_equal(run("5", home, "", &ids, &err), 0);
	assert_int_equal(ids.gid, 6);
	assert_string_equal(ids.name, "");
	assert_int_equal(ids.ngroups, 0);
}

static void test_prefixes(void **state)
{
	struct userspec_ids ids;
	struct env_err err;

	(void)state;
	for (size_t n = 0; n < sizeof(passwd); n++) {
		char *copy = strndup(passwd, n);

		assert_non_null(copy);
		run("app:wheel", copy, group, &ids, &err);
		run("app:wheel", passwd, copy, &ids, &err);
		run(copy, passwd, group, &ids, &err);
		free(copy);
	}
}

int init_userspec_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_absent), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests_name("init_userspec", tests, NULL, NULL);
}
