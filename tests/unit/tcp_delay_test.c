/* Which ACK waits for an answer (RFC 9293 3.8.6.3), on the virtual clock */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/util.h"
#include "tests/unit/tcp_rig.h"

int tcp_delay_test(void);

static struct rig rig, *const r = &rig;
static struct rig_conn *k;
static uint32_t g, p; /* next of the guest's, and of ours */

#define CLEAN 16 /* exchanges until an ACK waits */
#define DELAY 10 /* ms that it waits at most */

static void connected(void)
{
	k = rig_established(r, NULL, 65535);
	g = p = 1;
}

static void start(void)
{
	rig_init(r, NULL);
	connected();
}

/* A segment of the guest's, and whether it is acknowledged at once */
static void ask(size_t len, bool at_once)
{
	rig_seg(r, A | P, g, p, len);
	g += (uint32_t)len;
	if (at_once)
		rig_expect(r, A, p, g, 0);
	rig_quiet(r);
}

static void answer(size_t len)
{
	rig_offer(r, k, len);
	rig_expect(r, A | P, p, g, len);
	rig_quiet(r);
	p += (uint32_t)len;
}

/* @n requests and answers, @ms apart */
static void exchanges(int n, uint64_t ms, bool at_once)
{
	while (n--) {
		ask(10, at_once);
		rig_run(r, ms);
		answer(20);
	}
}

/* The guest ends first, and we follow after @ms */
static void hang_up(uint64_t ms, bool at_once)
{
	rig_seg(r, A | F, g, p, 0);
	g++;
	if (at_once)
		rig_expect(r, A, p, g, 0);
	rig_quiet(r);
	rig_run(r, ms);
	if (!at_once && ms >= DELAY)
		rig_expect(r, A, p, g, 0);
	rig_eof(r, k);
	rig_expect(r, A | F, p, g, 0);
	rig_seg(r, A, g, p + 1, 0);
	rig_quiet(r);
	assert_true(k->closed);
}

/* When the loop would wake up next, ms from now */
static uint64_t next_ms(void)
{
	return (timerq_next(&r->tq) - timerq_now(&r->tq)) / NS_PER_MS;
}

static void ack_goes_with_the_answer(void **state)
{
	(void)state;
	start();
	exchanges(CLEAN, 1, true);
	exchanges(50, DELAY - 1, false);
	assert_true(next_ms() > DELAY);		/* nobody wakes up in vain */
	ask(10, false);
	assert_int_equal(next_ms(), DELAY);
	answer(20);
	assert_true(next_ms() > DELAY);
	assert_int_equal(k->rx_len, (CLEAN + 51) * 10);
	rig_done(r);
}

/* No answer: the ACK goes by itself, and the next ones do not wait */
static void ack_waits_in_vain(void **state)
{
	(void)state;
	start();
	exchanges(CLEAN, 0, true);
	ask(10, false);
	rig_run(r, DELAY - 1);
	rig_quiet(r);
	rig_run(r, 1);
	rig_expect(r, A, p, g, 0);
	rig_run(r, 1000);
	rig_quiet(r);
	answer(20);
	exchanges(CLEAN, 0, true);
	exchanges(1, 0, false);
	rig_done(r);
}

/* Slow answers are none that an ACK could wait for */
static void slow_answers(void **state)
{
	(void)state;
	start();
	exchanges(3 * CLEAN, DELAY + 1, true);
	exchanges(CLEAN, DELAY, true);
	exchanges(1, DELAY - 1, false);
	rig_done(r);
}

/* What comes while an ACK waits is acknowledged at once, with what waited */
static void second_segment(void **state)
{
	(void)state;
	start();
	exchanges(CLEAN, 0, true);
	ask(10, false);
	ask(10, true);
	rig_run(r, 1000);
	rig_quiet(r);
	answer(20);
	exchanges(1, 0, true);
	rig_done(r);
}

/* Nagle's guest holds its second piece until the first is acknowledged */
static void nagle_never_waits(void **state)
{
	(void)state;
	start();
	for (int i = 0; i < 5 * CLEAN; i++) {
		ask(10, true);
		ask(10, true);
		answer(20);
		exchanges(CLEAN - 1, 0, true); /* one fewer than it takes */
	}
	rig_done(r);
}

/* A handshake of a few turns and a request in two pieces, again and again */
static void handshakes_never_wait(void **state)
{
	(void)state;
	rig_init(r, NULL);
	for (int i = 0; i < 3 * CLEAN; i++) {
		connected();
		exchanges(2, 0, true);
		ask(10, true);
		ask(10, true);
		answer(20);
		exchanges(3, 0, true);
		hang_up(DELAY + 1, true);
	}
	rig_done(r);
}

/* RFC 9293: at least every second full-sized segment; here each of them */
static void full_segments_do_not_wait(void **state)
{
	(void)state;
	start();
	exchanges(CLEAN, 0, true);
	ask(1460, true);
	answer(20);
	ask(1459, false);
	answer(20);
	for (int i = 0; i < 100; i++)
		ask(1460, true);
	assert_true(rig_rx_ok(k));
	rig_done(r);
}

/* Neither what the owner did not take nor what came early is held back */
static void trouble_does_not_wait(void **state)
{
	struct rig_seg s = { .flags = A, .len = 10, .wnd = 65535 };

	(void)state;
	start();
	exchanges(CLEAN, 0, true);
	k->recv_max = 4;
	rig_seg(r, A | P, g, p, 10);
	g += 4;
	rig_expect(r, A, p, g, 0);
	k->recv_max = 0;
	rig_seg(r, A | P, g, p, 6);
	g += 6;
	rig_expect(r, A, p, g, 0);
	answer(20);
	exchanges(CLEAN, 0, true);

	s.seq = g + 10;
	s.ack = p;
	rig_in(r, &s); /* its predecessor is late */
	rig_expect(r, A, p, g, 0);
	ask(5, true); /* fills a part of the gap */
	rig_seg(r, A, g, p, 5);
	g += 15;
	rig_expect(r, A, p, g, 0);
	rig_quiet(r);
	rig_done(r);
}

/* A new connection begins with what is known of its destination */
static void destination_is_remembered(void **state)
{
	(void)state;
	rig_init(r, NULL);
	for (int i = 0; i < CLEAN; i++) {
		connected();
		exchanges(1, 0, true);
		hang_up(1, true);
	}
	for (int i = 0; i < 3; i++) {
		connected();
		exchanges(1, 0, false);
		hang_up(DELAY - 1, false);
	}
	connected();
	ask(10, false);
	rig_run(r, DELAY);
	rig_expect(r, A, p, g, 0);
	answer(10);
	hang_up(DELAY, false); /* it too waits in vain */
	connected();
	exchanges(1, 0, true);
	hang_up(1, true);
	rig_done(r);
}

/* A half-closed connection lives on */
static void fin_waits_for_payload(void **state)
{
	(void)state;
	rig_init(r, NULL);
	for (int i = 0; i < CLEAN; i++) {
		connected();
		hang_up(0, true);
	}
	connected();
	rig_seg(r, A | F, g++, p, 0);
	rig_quiet(r);
	answer(20); /* acknowledges the FIN */
	rig_run(r, DELAY);
	rig_seg(r, A, g, p, 0);
	rig_quiet(r);
	rig_eof(r, k);
	rig_expect(r, A | F, p, g, 0);
	rig_seg(r, A, g, p + 1, 0);
	rig_done(r);
}

/* We have ended first: TIME-WAIT has no timer for an ACK */
static void last_fin_does_not_wait(void **state)
{
	(void)state;
	rig_init(r, NULL);
	for (int i = 0; i < CLEAN; i++) {
		connected();
		hang_up(0, true);
	}
	connected();
	exchanges(CLEAN, 0, true);
	ask(10, false);
	rig_eof(r, k);
	rig_expect(r, A | F, p, g, 0);
	rig_seg(r, A | F, g, p + 1, 0);
	rig_expect(r, A, p + 1, g + 1, 0);
	rig_run(r, 1000);
	rig_quiet(r);
	rig_done(r);
}

int tcp_delay_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ack_goes_with_the_answer),
		cmocka_unit_test(ack_waits_in_vain),
		cmocka_unit_test(slow_answers),
		cmocka_unit_test(second_segment),
		cmocka_unit_test(nagle_never_waits),
		cmocka_unit_test(handshakes_never_wait),
		cmocka_unit_test(full_segments_do_not_wait),
		cmocka_unit_test(trouble_does_not_wait),
		cmocka_unit_test(destination_is_remembered),
		cmocka_unit_test(fin_waits_for_payload),
		cmocka_unit_test(last_fin_does_not_wait),
	};

	return cmocka_run_group_tests_name("tcp_delay", tests, NULL, NULL);
}
