/* Limits, met exactly: what mutants of the engine have survived elsewhere */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/count.h"
#include "base/util.h"
#include "gateway/stack/ip.h"
#include "gateway/wire/csum.h"
#include "tests/unit/tcp_rig.h"

int tcp_edge_test(void);

static struct rig rig, *const r = &rig;

static struct rig_conf gso = { .features = LINK_F_CSUM | LINK_F_TSO4 };

/* SACK without being a duplicate: each has another window */
static void sack_only(uint32_t at, uint32_t from, uint32_t to)
{
	static uint16_t wnd = 30000;
	struct rig_seg s = { .flags = A, .seq = 1, .ack = at, .wnd = ++wnd };

	s.opt.nsack = 1;
	s.opt.sack[0] = (struct tcp_range){ from, to };
	rig_in_only(r, &s);
}

/* --- acceptance ----------------------------------------------------------- */

static void rst_at_the_edges(void **state)
{
	static const struct {
		uint32_t seq;
		bool answer;
	} edges[] = { { 0, false }, { 2, true }, { 65535, true },
		      { 65536, true }, { 65537, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		rig_init(r, NULL);
		rig_established(r, NULL, 65535);
		rig_seg(r, R, edges[i].seq, 0, 0);
		if (edges[i].answer)
			rig_expect(r, A, 1, 1, 0);
		assert_false(r->conn[0].closed);
		rig_done(r);
	}
}

/* From SND.UNA - MAX.SND.WND to SND.NXT */
static void ack_range(void **state)
{
	struct rig_conn *k;

	(void)state;
	for (int i = 0; i < 4; i++) {
		rig_init(r, NULL);
		k = rig_established(r, &rig_plain, 5000);
		for (int n = 0; n < 2; n++) {
			rig_offer(r, k, 4000);
			rig_drain(r);
			rig_ack(r, AT(4 + 4 * (uint32_t)n), 5000);
		}
		rig_offer(r, k, 1000);
		rig_drain(r);
		rig_seg(r, A, 1, i < 2 ? AT(3) - (uint32_t)i :
			AT(9) + (uint32_t)i - 2, 10);
		rig_expect(r, A, AT(9), i == 1 || i == 3 ? 1 : 11, 0);
		assert_int_equal(k->rx_len, i == 1 || i == 3 ? 0 : 10);
		rig_done(r);
	}
}

static void deliver_to(uint8_t dst[static 4])
{
	struct rig_seg s = { .flags = S, .wnd = 1000 };
	uint8_t buf[200];
	struct link_vnet vh;
	size_t len = rig_frame(r, &s, buf, sizeof(buf), &vh);
	uint16_t sum;

	memcpy(buf + 14 + 16, dst, 4);
	buf[14 + 10] = buf[14 + 11] = 0;
	sum = csum_block(buf + 14, 20);
	buf[14 + 10] = (uint8_t)(sum >> 8);
	buf[14 + 11] = (uint8_t)sum;
	vh = (struct link_vnet){ .flags = LINK_VNET_F_DATA_VALID };
	memlink_deliver(&r->link, &vh, buf, len);
	rig_flush(r);
}

static void not_unicast(void **state)
{
	uint8_t multicast[4] = { 224, 0, 0, 5 }, all[4] = { 255, 255, 255, 255 };

	(void)state;
	rig_init(r, &gso);
	deliver_to(multicast);
	deliver_to(all);
	assert_int_equal(r->nconn, 0);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 1, .gport = 1 });
	assert_int_equal(r->nconn, 1);
	rig_drain(r);
	rig_done(r);
}

static void old_timestamp_on_rst(void **state)
{
	const struct tcp_opts o = { .mss = 1460, .has_ts = true, .tsval = 50 };
	struct rig_seg s = { .flags = R, .seq = 1 };

	(void)state;
	rig_init(r, NULL);
	rig_established(r, &o, 65535);
	s.opt.has_ts = true;
	s.opt.tsval = 3;
	rig_in(r, &s);
	assert_int_equal(r->conn[0].why, -ECONNRESET);
	rig_done(r);
}

/* The 24 days count from the last timestamp, not from the start of time */
static void paws_age(void **state)
{
	const struct tcp_opts o = { .mss = 1460, .has_ts = true, .tsval = 50 };
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .len = 1,
			     .wnd = 65535, .opt = { .has_ts = true } };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	rig_run(r, 20ULL * 86400 * 1000);
	k = rig_established(r, &o, 65535);
	rig_run(r, 23ULL * 86400 * 1000);
	s.opt.tsval = 49;
	rig_in(r, &s);
	assert_int_equal(k->rx_len, 0);
	rig_run(r, 2ULL * 86400 * 1000);
	rig_in(r, &s);
	assert_int_equal(k->rx_len, 1);
	rig_drain(r);
	rig_done(r);
}

static void blocks_fit_the_header(void **state)
{
	struct tcp_opts o = rig_sacking;

	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		o.has_ts = ts;
		rig_init(r, NULL);
		rig_established(r, &o, 65535);
		for (uint32_t i = 0; i < 9; i++) {
			struct rig_seg s = { .flags = A, .seq = 101 + 200 * i,
				.ack = 1, .len = 10, .wnd = 65535 };

			s.opt.has_ts = ts;
			rig_in(r, &s);
			assert_int_equal(rig_out(r)->opt.nsack,
					 MIN(i + 1, ts ? 3 : 4));
		}
		rig_done(r);
	}
}

/* --- windows -------------------------------------------------------------- */

static void largest_window(void **state)
{
	static const struct {
		uint32_t max, wnd;	/* wnd: in units of the scale */
		uint8_t shift;
	} sizes[] = { { 30000, 30000, 0 }, { 65535, 65535, 0 },
		      { 65536, 65536 / 2, 1 }, { UINT32_MAX, 65535, 14 } };
	const struct tcp_opts o = { .mss = 1460, .has_wscale = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct rig_conf conf = { .max_window = sizes[i].max };
		struct rig_conn *k;

		rig_init(r, &conf);
		k = rig_established(r, &o, 65535);
		assert_int_equal(r->out[0].opt.wscale, sizes[i].shift);
		k->room = (size_t)1 << 32;
		k->room_fixed = true;
		rig_seg(r, A, 1, 1, 1460);
		rig_drain(r);
		rig_seg(r, A, 1461, 1, 1460);
		assert_in_range(r->out[r->head].wnd, sizes[i].wnd -
				(1460u >> sizes[i].shift), sizes[i].wnd);
		rig_drain(r);
		rig_seg(r, A, 2922 + (sizes[i].wnd << sizes[i].shift), 1, 0);
		rig_expect(r, A, 1, 2921, 0);	/* beyond it */
		rig_done(r);
	}
}

/* Zero, then a little: the override timeout is that of a fresh start */
static void silly_window_after_zero(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 1000);
	rig_offer(r, k, 3000);
	rig_expect(r, A | P, 1, 1, 1000);
	rig_ack(r, 1001, 0);
	for (int i = 0; i < 3; i++) {
		rig_run(r, 1700);
		rig_drain(r);
		rig_ack(r, 1001, 0);
	}
	rig_ack(r, 1001, 100);
	rig_run(r, 199);
	rig_quiet(r);
	rig_run(r, 2);
	rig_expect(r, A | P, 1001, 1, 100);
	rig_done(r);
}

static void one_byte(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 1);	/* it never has more */
	rig_offer(r, k, 3);
	rig_expect(r, A | P, 1, 1, 1);
	rig_ack(r, 2, 1);
	rig_expect(r, A | P, 2, 1, 1);
	rig_ack(r, 3, 1);
	rig_expect(r, A | P, 3, 1, 1);
	rig_ack(r, 4, 1);
	rig_done(r);
	rig_init(r, NULL);		/* all there is, in a silly one */
	k = rig_established(r, NULL, 10000);
	rig_ack(r, 1, 10);
	k->tx_len = 1;
	tcp_readable(k->c);
	assert_false(tcp_flush(r->ts));
	rig_expect(r, A | P, 1, 1, 1);
	rig_ack(r, 2, 10);
	assert_int_equal(k->tx_off, 1);
	rig_run(r, 1000);
	rig_done(r);
}

static void whole_segments(void **state)
{
	struct rig_conn *k;
	size_t max, mss;

	(void)state;
	rig_init(r, &gso);			/* no more than the window */
	k = rig_established(r, &(struct tcp_opts){ .mss = 1460 }, 4000);
	rig_offer(r, k, 9000);
	rig_expect(r, A | P, 1, 1, 2920);
	rig_done(r);
	rig_init(r, &gso);			/* options count */
	max = ip_gso_max(&r->netif, false);
	for (mss = 1448; (max - 12) / mss == max / mss; mss--)
		;
	k = rig_established(r, &(struct tcp_opts){ .has_ts = true,
			    .mss = (uint16_t)(mss + 12),
			    .has_wscale = true, .wscale = 7 }, 4000);
	rig_offer(r, k, 100000);
	rig_expect(r, A | P, 1, 1, (max - 12) / mss * mss);
	rig_drain(r);
	rig_done(r);
}

/* --- loss ----------------------------------------------------------------- */

static void a_hole_and_a_fin(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, &gso);
	k = rig_established(r, &rig_sacking, 65535);
	k->tx_len = 9 * MSS;
	rig_eof(r, k);
	rig_drain(r);
	sack_only(AT(0), AT(1), AT(9));
	rig_flush(r);
	rig_expect(r, A | P, AT(0), 1, MSS);	/* and nothing behind it */
	rig_done(r);
}

static void sack_tells_more_later(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	rig_offer(r, k, 20 * MSS);
	rig_drain(r);
	sack_only(AT(0), AT(1), AT(4));
	rig_flush(r);
	rig_expect(r, A | P, AT(0), 1, MSS);
	rig_quiet(r);
	/* during recovery, with the window as it was */
	for (uint32_t i = 6; i < 10; i += 3) {
		rig_quiet(r);
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1,
			.ack = AT(0), .wnd = 30000, .opt = { .nsack = 1,
			.sack = { { AT(5), AT(i) } } } });
	}
	rig_expect(r, A | P, AT(4), 1, MSS);
	rig_quiet(r);
	rig_done(r);
}

/* A long scoreboard takes a sheet, of which there are some for all */
static void scoreboard_forgets_the_lowest(void **state)
{
	static const uint32_t want[] = { 0, 2, 4, 6, 8 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	rig_offer(r, k, 20 * MSS);
	rig_drain(r);
	for (uint32_t i = 1; i < 14; i += 2)	/* seven, six in the flow itself */
		sack_only(AT(0), AT(i), AT(i + 1));
	rig_flush(r);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		rig_expect(r, A | P, AT(want[i]), 1, MSS);
	rig_quiet(r);
	assert_int_equal(count_get("tcp_sack_forgotten"), 0);
	/* of single bytes, 121 more, then one too many */
	for (uint32_t i = 0; i < 122; i++) {
		assert_int_equal(count_get("tcp_sack_forgotten"), 0);
		sack_only(AT(0), AT(14) + 1 + 2 * i, AT(14) + 2 + 2 * i);
	}
	assert_int_equal(count_get("tcp_sack_forgotten"), 1);
	rig_drain(r);
	rig_seg(r, A, 1, AT(20), 0);
	rig_done(r);
}

/* Ranges that touch are one; those that an ACK cuts count without their head */
static void ranges_count_once(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	rig_offer(r, k, 20 * MSS);
	rig_drain(r);
	for (uint32_t n = 0; n < 2; n++) {	/* in two ACKs: not in three */
		struct rig_seg s = { .flags = A, .seq = 1, .ack = 1,
				     .wnd = 65535, .opt = { .nsack = 4 } };

		for (uint32_t i = 0; i < 4; i++) {
			uint32_t at = AT(1) + 100 * (n ? 7 - i : i);

			s.opt.sack[i] = (struct tcp_range){ at, at + 100 };
		}
		rig_in(r, &s);
	}
	rig_quiet(r);
	rig_done(r);

	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	rig_offer(r, k, 20 * MSS);
	rig_drain(r);
	sack_only(AT(0), AT(1), AT(3));
	rig_ack(r, AT(2), 20000);
	sack_only(AT(2), AT(5), AT(5) + 800);
	rig_flush(r);
	rig_quiet(r);
	assert_int_equal(count_get("tcp_fast_retransmits"), 0);
	rig_done(r);
}

/* RFC 6298 5.3 */
static void timer_restarts_with_progress(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 5 * MSS);
	rig_drain(r);
	for (uint32_t i = 1; i < 5; i++) {
		rig_run(r, 150);
		rig_seg(r, A, 1, AT(i), 0);
		rig_quiet(r);
	}
	rig_run(r, 190);
	rig_quiet(r);
	rig_run(r, 400);			/* 300 to 600 by now */
	assert_true(rig_drain(r) >= 1);
	rig_done(r);
}

/* Karn may leave a timeout of 60 s: 100 s are not enough to give up then */
static void patience_after_backoff(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 40 * MSS);
	rig_drain(r);
	for (uint32_t i = 1; i < 12; i++) {
		rig_run(r, 60001);
		assert_true(rig_drain(r) >= 1);
		rig_seg(r, A, 1, AT(i), 0);
		rig_drain(r);
	}
	rig_run(r, 170000);
	assert_false(k->closed);
	assert_in_range(rig_drain(r), 2, 3);
	rig_run(r, 130000);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_drain(r);
	rig_done(r);
}

/* --- the link ------------------------------------------------------------- */

/* What cannot be sent is nobody's silence: no back-off for it */
static void full_link_does_not_back_off(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, MSS);
	rig_drain(r);
	r->link.refuse = true;
	rig_run(r, 60000);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_expect(r, A | P, 1, 1, MSS);
	rig_run(r, 900);			/* one more, perhaps two */
	assert_in_range(rig_drain(r), 1, 2);
	rig_done(r);
}

/* Nor is the processor woken for what cannot be sent: data, probes, SYN-ACKs */
static void full_link_stops_the_timers(void **state)
{
	struct rig_conf conf = { .max_conns = 200, .keepalive_s = 7200 };
	unsigned int fired = 0;
	struct rig_conn *k;
	uint64_t due, end;

	(void)state;
	rig_init(r, &conf);
	for (uint16_t i = 0; i < 100; i++) {
		struct rig_seg s = { .flags = S, .wnd = i % 2 ? 65535 : 0,
				     .gport = (uint16_t)(1000 + i) };

		rig_run(r, 1);		/* no two timers fire at once */
		r->pisn_known = false;
		rig_in(r, &s);
		if (i % 4 == 3)
			continue;
		s = (struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				      .wnd = s.wnd, .gport = s.gport };
		rig_in(r, &s);
		rig_offer(r, &r->conn[i], MSS);
	}
	rig_drain(r);
	r->link.refuse = true;
	end = timerq_now(&r->tq) + 60 * NS_PER_S;
	while ((due = timerq_next(&r->tq)) < end) {
		timerq_run(&r->tq, due);
		rig_flush(r);
		fired++;
	}
	assert_in_range(fired, 1, 200);		/* two each, and no more */
	for (uint16_t i = 0; i < 100; i++)
		assert_false(r->conn[i].closed);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	assert_in_range(rig_drain(r), 100, 200);
	rig_run(r, 3000);			/* and they go on */
	assert_in_range(rig_drain(r), 100, 400);
	k = &r->conn[1];
	r->mute = true;
	rig_run(r, 200000);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_done(r);
}

static void link_up_leaves_the_unanswered(void **state)
{
	struct rig_conf conf = { .manual = true };
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	rig_seg(r, S, 0, 0, 0);
	k = &r->conn[0];
	tcp_accept(k->c);
	rig_flush(r);
	rig_expect(r, S | A, 0, 1, 0);
	rig_seg(r, A, 1, 1, 0);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 1, .gport = 5 });
	netif_detach(&r->netif);
	rig_offer(r, k, 10);
	netif_attach(&r->netif, &r->link.link);
	tcp_link_up(r->ts);
	rig_flush(r);
	while (r->head != r->tail)		/* an ACK as well: I am back */
		assert_int_equal(rig_out(r)->gport, RIG_GUEST_PORT);
	assert_string_equal(tcp_state_name(r->conn[1].c), "DIALLING");
	rig_done(r);
}

/* The first to notice brings everything back at once */
static void link_up_sends_at_once(void **state)
{
	unsigned int data = 0, rst = 0;
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 10);
	rig_expect(r, A | P, 1, 1, 10);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 1, .gport = 5 });
	rig_drain(r);
	netif_detach(&r->netif);
	tcp_abort(r->conn[1].c);
	rig_flush(r);
	netif_attach(&r->netif, &r->link.link);
	tcp_link_up(r->ts);
	rig_flush(r);
	while (r->head != r->tail) {
		const struct rig_seg *s = rig_out(r);

		data += s->gport == RIG_GUEST_PORT && s->len == 10;
		rst += s->gport == 5 && s->flags & R;
	}
	assert_true(data == 1 && rst == 1);
	rig_done(r);
}

int tcp_edge_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rst_at_the_edges),
		cmocka_unit_test(ack_range),
		cmocka_unit_test(not_unicast),
		cmocka_unit_test(old_timestamp_on_rst),
		cmocka_unit_test(paws_age),
		cmocka_unit_test(blocks_fit_the_header),
		cmocka_unit_test(largest_window),
		cmocka_unit_test(silly_window_after_zero),
		cmocka_unit_test(one_byte),
		cmocka_unit_test(whole_segments),
		cmocka_unit_test(a_hole_and_a_fin),
		cmocka_unit_test(sack_tells_more_later),
		cmocka_unit_test(scoreboard_forgets_the_lowest),
		cmocka_unit_test(ranges_count_once),
		cmocka_unit_test(timer_restarts_with_progress),
		cmocka_unit_test(patience_after_backoff),
		cmocka_unit_test(full_link_does_not_back_off),
		cmocka_unit_test(full_link_stops_the_timers),
		cmocka_unit_test(link_up_leaves_the_unanswered),
		cmocka_unit_test(link_up_sends_at_once),
	};

	return cmocka_run_group_tests_name("tcp_edge", tests, NULL, NULL);
}
