/* Retransmissions that are lost as well, and what the scoreboard can hold */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/count.h"
#include "tests/unit/tcp_rig.h"

int tcp_again_test(void);

static struct rig rig, *const r = &rig;

#define MSS	1000
#define AT(n)	(1 + MSS * (n))		/* where segment n begins */

static const struct tcp_opts sacking = { .mss = MSS, .sack_ok = true };

static struct rig_conn *in_flight(const struct rig_conf *conf, unsigned int n)
{
	struct rig_conn *k;

	rig_init(r, conf);
	k = rig_established(r, &sacking, 65535);
	rig_offer(r, k, n * MSS);
	assert_int_equal(rig_drain(r), n);
	return k;
}

/* @n more segments; nothing else goes with them */
static void more(struct rig_conn *k, unsigned int n)
{
	rig_offer(r, k, n * MSS);
	assert_int_equal(rig_drain(r), n);
}

/* Segment 0 is missing, and those from @a to before @b are there */
static void sack(uint32_t a, uint32_t b)
{
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = AT(0),
		.wnd = 65535, .opt = { .nsack = 1,
		.sack = { { AT(a), AT(b) } } } });
}

static void expect(uint32_t n)
{
	rig_expect(r, A | P, AT(n), 1, MSS);
}

/* Three segments that left after it are there, and it is not */
static void lost_again(void **state)
{
	struct rig_conn *k = in_flight(NULL, 10);

	(void)state;
	sack(1, 4);
	expect(0);
	for (uint32_t at = 10; at < 30; at += 4) {
		sack(1, at);		/* what was out before tells nothing */
		more(k, 4);
		sack(1, at + 2);
		rig_quiet(r);
		sack(1, at + 3);
		expect(0);
		rig_quiet(r);
	}
	assert_int_equal(count_get("tcp_again"), 5);
	assert_int_equal(count_get("tcp_rtos"), 0);
	rig_seg(r, A, 1, AT(30), 0);
	rig_run(r, 100000);
	rig_quiet(r);
	rig_done(r);
}

/* A hole that was sent later than the others has its own time */
static void each_in_its_time(void **state)
{
	struct rig_conn *k = in_flight(NULL, 10);

	(void)state;
	sack(1, 5);
	expect(0);
	sack(6, 10);
	expect(5);
	more(k, 3);
	sack(6, 13);
	expect(0);			/* 5 may still be on its way */
	rig_quiet(r);
	more(k, 3);
	sack(6, 16);
	expect(0);
	expect(5);
	rig_quiet(r);
	rig_seg(r, A, 1, AT(16), 0);
	rig_done(r);
}

/* Nothing more can be sent, so nothing can tell: by time, and then a timeout */
static void by_time(void **state)
{
	(void)state;
	in_flight(NULL, 4);
	sack(1, 4);
	expect(0);
	rig_run(r, 8);
	rig_quiet(r);
	rig_run(r, 4);
	expect(0);
	assert_int_equal(count_get("tcp_rtos"), 0);
	rig_run(r, 390);
	rig_quiet(r);
	rig_run(r, 12);
	expect(0);
	assert_int_equal(count_get("tcp_rtos"), 1);
	rig_seg(r, A, 1, AT(1), 0);	/* that one has forgotten the rest */
	expect(1);
	rig_drain(r);
	rig_seg(r, A, 1, AT(4), 0);
	rig_done(r);
}

/* New holes are sent at once while older ones are being repaired, and once */
static void recovery_goes_on(void **state)
{
	struct rig_conn *k = in_flight(NULL, 6);

	(void)state;
	sack(1, 6);
	expect(0);
	more(k, 6);
	sack(7, 8);
	rig_quiet(r);
	sack(7, 12);
	expect(0);			/* lost once more by now */
	expect(6);			/* was not out as recovery began */
	rig_seg(r, A, 1, AT(6), 0);
	rig_quiet(r);
	rig_seg(r, A, 1, AT(12), 0);
	rig_quiet(r);
	assert_int_equal(count_get("tcp_fast_retransmits"), 1);
	rig_done(r);
}

/* Four times the variance, and the round trip: 40 ms and 20 ms */
static void not_too_early(void **state)
{
	struct rig_seg s = { .flags = S, .wnd = 65535, .opt = sacking };

	(void)state;
	rig_init(r, NULL);
	rig_in(r, &s);
	rig_drain(r);
	rig_run(r, 20);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 65535 });
	rig_offer(r, &r->conn[0], 4 * MSS);
	assert_int_equal(rig_drain(r), 4);
	sack(1, 4);
	expect(0);
	rig_run(r, 58);
	rig_quiet(r);
	rig_run(r, 4);
	expect(0);
	rig_seg(r, A, 1, AT(4), 0);
	rig_done(r);
}

/* How long a round trip takes is not known: the timeout, then */
static void not_without_a_round_trip(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 65535,
				     .opt = sacking });
	rig_drain(r);
	rig_run(r, 1001);
	rig_expect(r, S | A, 0, 1, 0);	/* no sample of what was sent twice */
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 65535 });
	rig_offer(r, &r->conn[0], 4 * MSS);
	assert_int_equal(rig_drain(r), 4);
	sack(1, 4);
	expect(0);
	rig_run(r, 2900);		/* of 3 s, RFC 6298 5.7 */
	rig_quiet(r);
	rig_run(r, 200);
	expect(0);
	rig_seg(r, A, 1, AT(4), 0);
	rig_done(r);
}

/* An ACK that ends where a range begins, and not where it ends */
static void reneging(void **state)
{
	(void)state;
	in_flight(NULL, 8);
	sack(1, 4);
	expect(0);
	rig_seg(r, A, 1, AT(1), 0);
	assert_int_equal(count_get("tcp_reneged"), 1);
	expect(1);
	rig_seg(r, A, 1, AT(2), 0);
	assert_int_equal(count_get("tcp_reneged"), 1);
	rig_drain(r);
	rig_seg(r, A, 1, AT(8), 0);
	assert_int_equal(count_get("tcp_reneged"), 1);
	rig_done(r);
	in_flight(NULL, 8);
	sack(1, 4);
	expect(0);
	rig_seg(r, A, 1, AT(4), 0);
	assert_int_equal(count_get("tcp_reneged"), 0);
	rig_seg(r, A, 1, AT(8), 0);
	rig_drain(r);
	rig_done(r);
}

/* Nothing is known to be there any more, so nothing tells what is lost again */
static void nothing_after_reneging(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 16; i++) {	/* of other first numbers */
		in_flight(NULL, 10);
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = AT(0),
			.wnd = 65535, .opt = { .nsack = 2,
			.sack = { { AT(1), AT(5) }, { AT(6), AT(10) } } } });
		expect(0);
		expect(5);
		rig_seg(r, A, 1, AT(1), 0);
		assert_int_equal(count_get("tcp_reneged"), 1);
		rig_drain(r);
		for (unsigned int n = 0; n < 3; n++)
			rig_seg(r, A, 1, AT(1), 0);
		rig_quiet(r);
		assert_int_equal(count_get("tcp_again"), 0);
		rig_run(r, 100);
		rig_quiet(r);
		rig_seg(r, A, 1, AT(10), 0);
		rig_done(r);
	}
}

/* A congestion window takes a retransmission lost for congestion: a timeout */
static void not_with_reno(void **state)
{
	const struct rig_conf conf = { .congestion = TCP_CONG_RENO };
	struct rig_conn *k = in_flight(&conf, 8);

	(void)state;
	sack(1, 8);
	expect(0);
	rig_offer(r, k, 3 * MSS);
	assert_int_equal(rig_drain(r), 3);
	sack(1, 11);
	rig_quiet(r);
	rig_run(r, 190);
	rig_quiet(r);
	rig_run(r, 12);
	expect(0);
	assert_int_equal(count_get("tcp_rtos"), 1);
	assert_int_equal(count_get("tcp_again"), 0);
	rig_seg(r, A, 1, AT(11), 0);
	rig_done(r);
}

/* 65 flows with seven ranges each; the first ends, and its sheet is free */
static void sheets_run_out(void **state)
{
	const struct rig_conf conf = { .max_conns = 66 };

	(void)state;
	rig_init(r, &conf);
	for (unsigned int n = 0; n < 66; n++) {
		struct rig_seg s = { .flags = S, .wnd = 65535, .opt = sacking,
				     .gport = (uint16_t)(RIG_GUEST_PORT + n) };

		r->pisn_known = false;
		rig_in(r, &s);
		rig_out(r);
		s.flags = A;
		s.seq = s.ack = 1;
		s.opt = (struct tcp_opts){ 0 };
		rig_in(r, &s);
		rig_offer(r, &r->conn[n], 20 * MSS);
		s.opt.nsack = 1;
		for (uint32_t i = 1; i < 14; i += 2) {
			s.opt.sack[0] = (struct tcp_range){ AT(i), AT(i + 1) };
			rig_in(r, &s);
		}
		rig_drain(r);
		assert_int_equal(count_get("tcp_sack_forgotten"), n >= 64);
		if (n == 64)
			rig_in(r, &(struct rig_seg){ .flags = R, .seq = 1,
				.gport = RIG_GUEST_PORT });
	}
	rig_done(r);
}

int tcp_again_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lost_again),
		cmocka_unit_test(each_in_its_time),
		cmocka_unit_test(by_time),
		cmocka_unit_test(recovery_goes_on),
		cmocka_unit_test(not_too_early),
		cmocka_unit_test(not_without_a_round_trip),
		cmocka_unit_test(reneging),
		cmocka_unit_test(nothing_after_reneging),
		cmocka_unit_test(not_with_reno),
		cmocka_unit_test(sheets_run_out),
	};

	return cmocka_run_group_tests_name("tcp_again", tests, NULL, NULL);
}
