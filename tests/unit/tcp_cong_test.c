/* tcp.congestion = reno: RFC 5681, 6582 and 6675 window arithmetic */
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

int tcp_cong_test(void);

static struct rig rig, *const r = &rig;

static struct rig_conf reno = { .congestion = TCP_CONG_RENO };

/* An owner with no end of data; the first window is out, 10 segments */
static struct rig_conn *start(const struct tcp_opts *o)
{
	struct rig_conn *k;

	rig_init(r, &reno);
	k = rig_established(r, o, 65535);
	rig_offer(r, k, 1000 * MSS);
	assert_int_equal(rig_drain(r), 10);
	return k;
}

/* Next are these @n segments, from number @first on */
static void expect(uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		rig_expect(r, A | P, AT(i), 1, MSS);
	rig_quiet(r);
}

static const struct {
	uint16_t mss;
	unsigned int segs;
} windows[] = { { 500, 10 }, { 1000, 10 }, { 1460, 10 }, { 2000, 7 },
		{ 8000, 2 } };

static void initial_window(void **state)
{
	struct rig_conf conf = { .congestion = TCP_CONG_RENO, .mtu = 9000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		const struct tcp_opts o = { .mss = windows[i].mss };
		struct rig_conn *k;

		rig_init(r, &conf);
		k = rig_established(r, &o, 65535);
		rig_offer(r, k, 60000);
		assert_int_equal(rig_drain(r), windows[i].segs);
		rig_done(r);
	}
	rig_init(r, &conf);
	conf.congestion = TCP_CONG_NONE;
	rig_done(r);
	rig_init(r, &conf);		/* none: only the guest's window */
	rig_offer(r, rig_established(r, &rig_plain, 65535), 60000);
	assert_int_equal(rig_drain(r), 60);
	rig_done(r);
}

static void initial_window_after_loss(void **state)
{
	(void)state;
	rig_init(r, &reno);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 65535,
				     .opt = rig_plain });
	rig_run(r, 1001);
	assert_int_equal(rig_drain(r), 2);
	rig_ack(r, AT(0), 65535);
	rig_offer(r, &r->conn[0], 60000);
	expect(0, 1);
	rig_ack(r, AT(1), 65535);
	expect(1, 2);
	rig_done(r);
}

static void slow_start(void **state)
{
	(void)state;
	start(&rig_plain);
	rig_ack(r, AT(1), 65535);		/* one more for each ACK */
	expect(10, 2);
	rig_ack(r, AT(2), 65535);
	expect(12, 2);
	rig_ack(r, AT(6), 65535);	/* for an ACK, not for a segment */
	expect(14, 5);
	rig_seg(r, A, 1, AT(6) + 100, 0);
	rig_quiet(r);			/* less than a segment is left */
	rig_done(r);
}

static void fast_recovery(void **state)
{
	(void)state;
	start(&rig_plain);
	rig_ack(r, AT(0), 65535);	/* limited transmit: two new ones */
	expect(10, 1);
	rig_ack(r, AT(0), 65535);
	expect(11, 1);
	rig_ack(r, AT(0), 65535);	/* ssthresh 5, cwnd 5 + 3, 12 out */
	expect(0, 1);
	for (int i = 0; i < 4; i++)
		rig_ack(r, AT(0), 65535);
	rig_quiet(r);			/* cwnd 12 */
	rig_ack(r, AT(0), 65535);
	expect(12, 1);
	rig_ack(r, AT(0), 65535);
	expect(13, 1);
	rig_ack(r, AT(12), 65535);		/* full: 2 are out, cwnd 3 */
	expect(14, 1);
	rig_ack(r, AT(13), 65535);		/* slow start up to 5 */
	expect(15, 2);
	rig_ack(r, AT(14), 65535);
	expect(17, 2);
	rig_ack(r, AT(15), 65535);	/* 5: from here on, 1/5 for each */
	expect(19, 1);
	for (uint32_t i = 16; i < 20; i++) {
		rig_ack(r, AT(i), 65535);
		assert_int_equal(rig_drain(r), 1);
	}
	rig_ack(r, AT(20), 65535);	/* six ACKs at 5 and a bit make 1 */
	assert_int_equal(rig_drain(r), 2);
	rig_ack(r, AT(21), 65535);
	assert_int_equal(rig_drain(r), 1);
	rig_done(r);
}

static void partial_ack_deflates(void **state)
{
	(void)state;
	start(&rig_plain);
	for (int i = 0; i < 3; i++)
		rig_ack(r, AT(0), 65535);
	assert_int_equal(rig_drain(r), 3);
	for (int i = 0; i < 3; i++)
		rig_ack(r, AT(0), 65535);	/* cwnd 11, 12 are out */
	rig_ack(r, AT(4), 65535);	/* deflate by 4, add 1: 8, 8 are out */
	expect(4, 1);
	rig_ack(r, AT(4), 65535);		/* 9 */
	expect(12, 1);
	rig_done(r);
}

static void recovery_by_sack(void **state)
{
	(void)state;
	start(&rig_sacking);
	rig_sack(r, AT(0), AT(1), AT(2));	/* one has left the pipe */
	expect(10, 1);
	rig_sack(r, AT(0), AT(1), AT(3));
	expect(11, 1);
	rig_sack(r, AT(0), AT(1), AT(4)); /* 0 is lost: cwnd 5, 8 in the pipe */
	expect(0, 1);
	rig_sack(r, AT(0), AT(1), AT(6));
	rig_quiet(r);
	rig_sack(r, AT(0), AT(1), AT(8));		/* 4 + 1 are out */
	rig_quiet(r);
	rig_sack(r, AT(0), AT(1), AT(9));		/* 3 + 1 */
	expect(12, 1);
	rig_ack(r, AT(12), 65535);	/* over: cwnd is ssthresh, 1 is out */
	expect(13, 4);
	rig_done(r);
}

static void timeout_restarts(void **state)
{
	(void)state;
	start(&rig_plain);
	rig_run(r, 201);
	expect(0, 1);			/* ssthresh 5, cwnd 1 */
	rig_run(r, 401);
	expect(0, 1);			/* again: ssthresh stays */
	rig_ack(r, AT(1), 65535);
	expect(1, 2);
	rig_ack(r, AT(2), 65535);
	expect(3, 2);
	rig_ack(r, AT(3), 65535);
	expect(5, 2);
	rig_ack(r, AT(4), 65535);		/* 5: the threshold */
	expect(7, 2);
	rig_ack(r, AT(5), 65535);
	expect(9, 1);
	rig_done(r);
}

/* Two segments is the least that ssthresh becomes */
static void small_flights(void **state)
{
	struct rig_conn *k;

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint16_t n = i ? 3 : 2;

		rig_init(r, &reno);
		k = rig_established(r, &rig_plain, n * MSS);
		rig_offer(r, k, 1000 * MSS);
		assert_int_equal(rig_drain(r), n);
		if (i) {
			for (int d = 0; d < 3; d++)
				rig_in(r, &(struct rig_seg){ .flags = A,
					.seq = 1, .ack = 1, .wnd = n * MSS });
			expect(0, 1);
			rig_ack(r, AT(3), 65535);	/* min(2, 0 + 1 + 1) */
			expect(3, 2);
		} else {
			rig_run(r, 201);
			expect(0, 1);
			rig_ack(r, AT(1), 65535); /* 2, and that is ssthresh */
			expect(1, 1);
			rig_ack(r, AT(2), 65535);		/* 2.5 */
			expect(2, 2);
		}
		rig_done(r);
	}
}

static void idle_restarts(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, &reno);
	k = rig_established(r, &rig_plain, 65535);
	for (uint32_t i = 0, out = 0; i < 15; i++) {	/* up to 25 */
		rig_offer(r, k, MSS);
		assert_int_equal(rig_drain(r), 1);
		rig_ack(r, AT(++out), 65535);
	}
	rig_offer(r, k, 40 * MSS);
	assert_int_equal(rig_drain(r), 25);
	rig_ack(r, AT(40), 65535);
	rig_drain(r);
	rig_ack(r, AT(55), 65535);
	rig_run(r, 10000);
	rig_offer(r, k, 40 * MSS);
	assert_int_equal(rig_drain(r), 10);
	rig_done(r);
}

/* Without the window a loss is repaired at once, and nothing is held back */
static void none_does_not_pace(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	rig_offer(r, k, 40 * MSS);
	assert_int_equal(rig_drain(r), 40);
	rig_sack(r, AT(0), AT(20), AT(40));
	expect(0, 20);
	rig_offer(r, k, 5 * MSS);
	expect(40, 5);
	rig_done(r);
}

int tcp_cong_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initial_window),
		cmocka_unit_test(initial_window_after_loss),
		cmocka_unit_test(slow_start),
		cmocka_unit_test(fast_recovery),
		cmocka_unit_test(partial_ack_deflates),
		cmocka_unit_test(recovery_by_sack),
		cmocka_unit_test(timeout_restarts),
		cmocka_unit_test(small_flights),
		cmocka_unit_test(idle_restarts),
		cmocka_unit_test(none_does_not_pace),
	};

	return cmocka_run_group_tests_name("tcp_cong", tests, NULL, NULL);
}
