/* Deadlines, met exactly: retransmission, keepalive, and both together */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/count.h"
#include "base/util.h"
#include "tests/unit/tcp_rig.h"

int tcp_timer_test(void);

static struct rig rig, *const r = &rig;

/* From the first byte that is not answered, whatever is sent after it */
static void timeout_of_the_first(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100);
	rig_run(r, 150);
	rig_offer(r, k, 100);
	rig_ack(r, 1, 60000);		/* no progress */
	rig_drain(r);
	rig_run(r, 49);
	rig_quiet(r);
	rig_run(r, 2);
	rig_expect(r, A | P, 1, 1, 200);
	rig_done(r);
}

/* Two deadlines: the first comes first */
static void keepalive_is_the_later(void **state)
{
	struct rig_conf conf = { .keepalive_s = 1000 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100);
	rig_drain(r);
	rig_run(r, 201);
	rig_expect(r, A | P, 1, 1, 100);
	rig_ack(r, 101, 65535);
	tcp_no_recv(k->c);			/* changes nothing here */
	for (int i = 0; i < 5; i++) {
		rig_run(r, 999999);
		rig_quiet(r);
		rig_run(r, 2);
		rig_expect(r, A, 100, 1, 0);
		rig_ack(r, 101, 65535);
	}
	assert_false(k->closed);
	rig_run(r, 999990);
	for (int i = 0; i < 9; i++) {		/* 75 s apart */
		rig_quiet(r);
		rig_run(r, 20);
		assert_int_equal(rig_drain(r), 1);
		rig_run(r, 74980);
	}
	assert_false(k->closed);
	rig_run(r, 20);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_drain(r);
	rig_done(r);
}

static void no_keepalive_while_dialling(void **state)
{
	struct rig_conf conf = { .keepalive_s = 10, .manual = true };

	(void)state;
	rig_init(r, &conf);
	rig_seg(r, S, 0, 0, 0);
	rig_seg(r, S, 0, 0, 0);
	rig_run(r, 3600000);
	rig_quiet(r);
	assert_false(r->conn[0].closed);
	assert_int_equal(count_get("tcp_keepalives"), 0);
	rig_done(r);
}

/* An hour of answers, and then silence: R2 counts from then on */
static void patience_after_answers(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 0);
	rig_offer(r, k, 100);
	for (int i = 0; i < 60; i++) {
		rig_run(r, 60000);
		rig_drain(r);
		rig_ack(r, 1, 0);
	}
	rig_run(r, 175000);
	assert_false(k->closed);
	rig_run(r, 70000);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_drain(r);
	rig_done(r);
}

/* Being heard of is not being answered: R2 holds with keepalive, too */
static void talks_and_never_acks(void **state)
{
	struct rig_conf conf = { .keepalive_s = 10 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100);
	for (uint32_t i = 0; i < 60 && !k->closed; i++) {
		rig_run(r, 4000);
		if (i < 5)
			continue;		/* 20 s of silence first */
		rig_seg(r, A, 1 + (i - 5) * 10, 1, 10);
	}
	assert_int_equal(k->why, -ETIMEDOUT);
	assert_int_equal(count_get("tcp_keepalives"), 0);
	rig_drain(r);
	rig_done(r);
}

/* The timeout came while the link was full, and so did the answer */
static void answered_while_full(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100);
	rig_drain(r);
	r->link.refuse = true;
	rig_offer(r, k, 100);
	rig_run(r, 300);
	rig_ack(r, 101, 65535);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_expect(r, A | P, 101, 1, 100);
	rig_ack(r, 201, 65535);
	rig_quiet(r);
	assert_int_equal(count_get("tcp_rtos"), 0);
	rig_done(r);
}

/* The first of several is measured, not the last */
static void first_is_measured(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100);
	rig_run(r, 10);
	rig_offer(r, k, 100);
	rig_drain(r);
	rig_run(r, 180);
	rig_ack(r, 101, 65535);		/* 190 ms: 24 + 4 * 47.5 */
	rig_run(r, 210);
	rig_quiet(r);
	rig_run(r, 6);
	rig_expect(r, A | P, 101, 1, 100);
	rig_done(r);
}

int tcp_timer_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeout_of_the_first),
		cmocka_unit_test(keepalive_is_the_later),
		cmocka_unit_test(no_keepalive_while_dialling),
		cmocka_unit_test(patience_after_answers),
		cmocka_unit_test(talks_and_never_acks),
		cmocka_unit_test(answered_while_full),
		cmocka_unit_test(first_is_measured),
	};

	return cmocka_run_group_tests_name("tcp_timer", tests, NULL, NULL);
}
