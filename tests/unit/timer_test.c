#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/timer.h"
#include "base/util.h"

#define N	200

struct item {
	struct timer t;
	struct timerq *q;
	int fired;
	struct timer *stop;	/* disarmed by the handler */
	uint64_t again;		/* armed again for this */
};

static uint64_t last_due;

static void fire(struct timer *t)
{
	struct item *it = container_of(t, struct item, t);

	assert_false(timer_armed(t));
	assert_true(t->due_ns >= last_due);
	last_due = t->due_ns;
	it->fired++;
	if (it->stop)
		timer_del(it->q, it->stop);
	if (it->again)
		timer_set(it->q, t, it->again);
}

static void setup(struct timerq *q, struct item *it, size_t n)
{
	assert_int_equal(timerq_init(q, (uint32_t)n), 0);
	for (size_t i = 0; i < n; i++)
		it[i] = (struct item){ .t.fire = fire, .q = q };
	last_due = 0;
}

static void test_order(void **state)
{
	static struct item it[N];
	uint64_t due[N], now = 0;
	struct timerq q;
	unsigned int armed = 0;

	(void)state;
	setup(&q, it, N);
	srand(1);
	for (int i = 0; i < N; i++) {
		due[i] = (uint64_t)(rand() % 1000) + 1;
		timer_set(&q, &it[i].t, due[i]);
	}
	for (int i = 0; i < N; i += 3) {		/* move, both ways */
		due[i] = (uint64_t)(rand() % 1000) + 1;
		timer_set(&q, &it[i].t, due[i]);
	}
	for (int i = 0; i < N; i += 5) {
		timer_del(&q, &it[i].t);
		timer_del(&q, &it[i].t);
		due[i] = TIMERQ_NEVER;
	}
	while (now < 1100) {
		uint64_t next = TIMERQ_NEVER;

		for (int i = 0; i < N; i++) {
			if (due[i] > now)
				next = MIN(next, due[i]);
		}
		assert_int_equal(timerq_next(&q), next);
		now += 7;
		timerq_run(&q, now);
		assert_int_equal(timerq_now(&q), now);
		for (int i = 0; i < N; i++) {
			assert_int_equal(it[i].fired, due[i] <= now);
			assert_int_equal(timer_armed(&it[i].t),
					 due[i] > now &&
					 due[i] != TIMERQ_NEVER);
		}
	}
	for (int i = 0; i < N; i++)
		armed += timer_armed(&it[i].t);
	assert_int_equal(armed, 0);
	assert_int_equal(timerq_next(&q), TIMERQ_NEVER);
	timerq_free(&q);
}

static void test_handler_stops_other(void **state)
{
	struct item it[2];
	struct timerq q;

	(void)state;
	setup(&q, it, 2);
	timer_set(&q, &it[0].t, 10);
	timer_set(&q, &it[1].t, 11);
	it[0].stop = &it[1].t;
	timerq_run(&q, 20);
	assert_int_equal(it[0].fired, 1);
	assert_int_equal(it[1].fired, 0);
	timerq_free(&q);
}

static void test_rearm_returns(void **state)
{
	struct timerq q;
	struct item it;

	(void)state;
	setup(&q, &it, 1);
	it.again = 1;			/* always overdue */
	timer_set(&q, &it.t, 5);
	timerq_run(&q, 100);
	assert_int_equal(it.fired, 1);
	assert_true(timer_armed(&it.t));
	timerq_run(&q, 101);
	assert_int_equal(it.fired, 2);
	timerq_free(&q);
	assert_false(timer_armed(&it.t));
}

static void test_clock(void **state)
{
	struct timerq q;
	struct item it;

	(void)state;
	setup(&q, &it, 1);
	timerq_set_now(&q, 50);
	timerq_set_now(&q, 40);			/* never back */
	assert_int_equal(timerq_now(&q), 50);
	timer_set(&q, &it.t, 50);
	assert_int_equal(it.fired, 0);
	timerq_run(&q, 30);
	assert_int_equal(timerq_now(&q), 50);
	assert_int_equal(it.fired, 1);		/* due at once, also at 50 */
	timerq_free(&q);
}

int timer_test(void);
int timer_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_handler_stops_other),
		cmocka_unit_test(test_rearm_returns),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
