#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/count.h"

COUNT(count_test_a, "first counter of this test");
COUNT(count_test_b, "second counter of this test");

struct seen {
	int a, b, all;
};

static void look(const struct count *c, void *arg)
{
	struct seen *s = arg;

	assert_non_null(c->name);
	assert_true(strlen(c->help) > 0);
	s->a += !strcmp(c->name, "count_test_a");
	s->b += !strcmp(c->name, "count_test_b");
	s->all++;
}

static void test_count(void **state)
{
	struct seen s = { 0 };

	(void)state;
	count_reset();
	count_inc(count_test_a);
	count_inc(count_test_a);
	count_add(count_test_b, 40);
	count_add(count_test_b, 1);
	assert_int_equal(count_get("count_test_a"), 2);
	assert_int_equal(count_get("count_test_b"), 41);
	assert_int_equal(count_get("count_test_c"), 0);
	count_each(look, &s);
	assert_int_equal(s.a, 1);
	assert_int_equal(s.b, 1);
	assert_true(s.all >= 2);
	count_reset();
	assert_int_equal(count_get("count_test_a"), 0);
	assert_int_equal(count_get("count_test_b"), 0);
}

struct twins {
	const struct count *c;
	int n;
};

static void compare(const struct count *c, void *arg)
{
	struct twins *t = arg;

	t->n += !strcmp(c->name, t->c->name);
}

/* Names are one flat space: metrics, tests and documentation use them */
static void check_name(const struct count *c, void *arg)
{
	struct twins t = { .c = c };

	(void)arg;
	count_each(compare, &t);
	if (t.n != 1)
		fail_msg("%s is counted in %d places", c->name, t.n);
	if (c->name[strspn(c->name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
		fail_msg("%s is no name of a metric", c->name);
}

static void test_names(void **state)
{
	(void)state;
	count_each(check_name, NULL);
}

int count_test(void);
int count_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("count", tests, NULL, NULL);
}
