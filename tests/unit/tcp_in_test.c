/* Segment arrival (RFC 9293 3.10.7); tcp_state_test.c has each state and event */
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

int tcp_in_test(void);

static struct rig rig, *const r = &rig;

/* --- attacks -------------------------------------------------------------- */

static void challenge_limit(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_established(r, NULL, 65535);
	for (int i = 0; i < 50; i++)
		rig_seg(r, R, 100, 0, 0);
	rig_expect(r, A, 1, 1, 0);
	rig_quiet(r);
	assert_int_equal(count_get("tcp_challenge_limited"), 49);
	rig_run(r, 501);
	rig_seg(r, S, 7, 0, 0);
	rig_expect(r, A, 1, 1, 0);
	/* A guest that has lost the connection answers that, and is believed */
	rig_seg(r, R, 1, 0, 0);
	assert_int_equal(r->conn[0].why, -ECONNRESET);
	rig_done(r);
}

static const struct tcp_opts with_ts = { .mss = 1460, .has_ts = true,
					 .tsval = 1000, .sack_ok = true };

static void ts_seg(uint32_t seq, size_t len, uint32_t tsval, bool ts)
{
	struct rig_seg s = { .flags = A, .seq = seq, .ack = 1, .len = len,
			     .wnd = 65535 };

	s.opt.has_ts = ts;
	s.opt.tsval = tsval;
	rig_in(r, &s);
}

static void paws(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &with_ts, 65535);
	ts_seg(1, 10, 1005, true);
	assert_int_equal(rig_out(r)->opt.tsecr, 1005);
	ts_seg(11, 10, 1004, true);		/* old: dropped, answered */
	rig_expect(r, A, 1, 11, 0);
	assert_int_equal(k->rx_len, 10);
	assert_int_equal(count_get("drop_tcp_paws"), 1);
	ts_seg(11, 10, 0, false);		/* RFC 7323 3.2 */
	rig_quiet(r);
	ts_seg(11, 10, 1005, true);
	rig_expect(r, A, 1, 21, 0);
	ts_seg(31, 10, 1500, true);		/* early: not remembered */
	assert_int_equal(rig_out(r)->opt.tsecr, 1005);
	ts_seg(21, 10, 1400, true);
	rig_expect(r, A, 1, 41, 0);
	/* A clock that stood or wrapped for longer than 24 days is believed */
	rig_run(r, 25ULL * 86400 * 1000);
	ts_seg(41, 10, 3, true);
	rig_expect(r, A, 1, 51, 0);
	assert_true(rig_rx_ok(k) && k->rx_len == 50);
	rig_done(r);
}

/* --- payload -------------------------------------------------------------- */

static void one_ack_for_a_batch(void **state)
{
	struct rig_seg s = { .flags = A, .ack = 1, .len = 1000, .wnd = 65535 };

	(void)state;
	rig_init(r, NULL);
	rig_established(r, NULL, 65535);
	for (uint32_t i = 0; i < 20; i++) {
		s.seq = 1 + i * 1000;
		rig_in_only(r, &s);
	}
	rig_quiet(r);
	rig_flush(r);
	rig_expect(r, A, 1, 20001, 0);
	assert_int_equal(r->conn[0].rx_len, 20000);
	assert_true(rig_rx_ok(&r->conn[0]));
	rig_done(r);
}

static void gso_from_guest(void **state)
{
	struct rig_conf conf = {
		.features = LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6,
	};

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		conf.v6 = v6;
		rig_init(r, &conf);
		rig_established(r, NULL, 65535);
		rig_seg(r, A | P, 1, 1, 60000);
		rig_expect(r, A, 1, 60001, 0);
		assert_int_equal(r->conn[0].rx_len, 60000);
		assert_true(rig_rx_ok(&r->conn[0]));
		rig_done(r);
	}
}

/* A guest cuts its frames as it likes, in order and early */
static void frames_in_pieces(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_established(r, NULL, 65535);
	r->pieces = true;
	rig_seg(r, A, 501, 1, 500);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 500);
	rig_expect(r, A, 1, 1001, 0);
	assert_int_equal(r->conn[0].rx_len, 1000);
	assert_true(rig_rx_ok(&r->conn[0]));
	rig_done(r);
}

static void overlaps(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A, 1, 1, 100);
	rig_seg(r, A, 51, 1, 100);	/* half of it known */
	rig_seg(r, A, 1, 1, 300);	/* and a larger retransmission */
	assert_int_equal(k->rx_len, 300);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 300);	/* nothing new */
	rig_expect(r, A, 1, 301, 0);
	assert_int_equal(k->rx_len, 300);
	assert_true(rig_rx_ok(k));
	rig_done(r);
}

static void early_segments(void **state)
{
	const struct rig_seg *s;
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &(struct tcp_opts){ .mss = 1460,
			    .sack_ok = true }, 65535);
	rig_seg(r, A, 101, 1, 100);
	s = rig_out(r);
	assert_int_equal(s->ack, 1);
	assert_int_equal(s->opt.nsack, 1);
	assert_int_equal(s->opt.sack[0].start, 101);
	assert_int_equal(s->opt.sack[0].end, 201);
	rig_seg(r, A, 301, 1, 100);
	s = rig_out(r);
	assert_int_equal(s->opt.nsack, 2);	/* the latest one first */
	assert_int_equal(s->opt.sack[0].start, 301);
	assert_int_equal(s->opt.sack[1].start, 101);
	rig_seg(r, A | F, 501, 1, 100);
	rig_drain(r);
	rig_seg(r, A, 151, 1, 200);		/* joins two, overlaps both */
	s = rig_out(r);
	assert_int_equal(s->opt.nsack, 3);	/* what came twice, RFC 2883 */
	assert_int_equal(s->opt.sack[0].start, 151);
	assert_int_equal(s->opt.sack[0].end, 201);
	assert_int_equal(s->opt.sack[1].start, 101);
	assert_int_equal(s->opt.sack[1].end, 401);
	rig_seg(r, A, 1, 1, 100);
	rig_expect(r, A, 1, 401, 0);
	assert_int_equal(k->rx_len, 400);
	assert_false(k->got_fin);
	rig_seg(r, A, 401, 1, 100);		/* and the FIN was remembered */
	rig_expect(r, A, 1, 602, 0);
	assert_true(k->got_fin && rig_rx_ok(k) && k->rx_len == 600);
	rig_done(r);
}

static void early_store_is_bounded(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	for (uint32_t i = 0; i < 40; i++)	/* 40 holes, room for 16 */
		rig_seg(r, A, 101 + 200 * i, 1, 100);
	assert_int_equal(rig_drain(r), 40);	/* each is answered at once */
	assert_int_equal(count_get("tcp_ooo_kept"), 16);
	assert_int_equal(count_get("drop_tcp_ooo_full"), 24);
	for (uint32_t i = 0; i < 80; i++)
		rig_seg(r, A, 1 + 100 * i, 1, 100);
	assert_int_equal(k->rx_len, 8000);
	assert_true(rig_rx_ok(k));
	rig_drain(r);
	rig_done(r);
}

static void small_early_segments_share(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_established(r, NULL, 65535);
	for (uint32_t i = 1; i < 600; i++) {
		rig_seg(r, A, 1 + 100 * i, 1, 100);
		rig_drain(r);
	}
	assert_int_equal(count_get("drop_tcp_ooo_full"), 0);
	rig_seg(r, A, 1, 1, 100);
	rig_expect(r, A, 1, 60001, 0);
	assert_true(rig_rx_ok(&r->conn[0]));
	rig_done(r);
}

static void nothing_behind_the_fin(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A, 101, 1, 100);		/* early; its tail is a lie */
	rig_seg(r, A | F, 151, 1, 0);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 100);
	rig_expect(r, A, 1, 152, 0);
	assert_int_equal(k->rx_len, 150);
	assert_true(k->got_fin);
	tcp_room_changed(k->c);
	rig_flush(r);
	assert_int_equal(k->rx_len, 150);
	rig_done(r);
}

/* It filled the window and lost the first segment: its ACKs count */
static void ack_at_the_right_edge(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 100);
	rig_expect(r, A | P, 1, 1, 100);
	rig_seg(r, A, 65536, 101, 0);
	assert_int_equal(k->tx_off, 100);
	rig_seg(r, A, 65537, 101, 0);
	rig_expect(r, A, 101, 1, 0);
	rig_done(r);
}

static void owner_takes_a_part(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	k->recv_max = 300;
	rig_seg(r, A | F, 1, 1, 1000);
	rig_expect(r, A, 1, 301, 0);
	assert_false(k->got_fin);
	rig_seg(r, A | F, 1, 1, 1000);
	rig_expect(r, A, 1, 601, 0);
	rig_seg(r, A, 701, 1, 300);	/* early, kept */
	rig_expect(r, A, 1, 601, 0);
	k->recv_max = 100;
	rig_seg(r, A, 601, 1, 100);
	rig_expect(r, A, 1, 801, 0);	/* 100, and 100 of what was kept */
	k->recv_max = 0;
	tcp_room_changed(k->c);		/* the rest needs no retransmission */
	rig_flush(r);
	rig_expect(r, A, 1, 1002, 0);
	assert_true(k->got_fin && k->rx_len == 1000 && rig_rx_ok(k));
	rig_done(r);
}

static void sequence_wrap(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	r->gisn = UINT32_MAX - 1500;
	k = rig_established(r, NULL, 65535);
	for (uint32_t i = 0; i < 30; i += 2) {
		rig_seg(r, A, 101 + 100 * i, 1, 100);	/* pairs, swapped */
		rig_seg(r, A, 1 + 100 * i, 1, 100);
	}
	rig_drain(r);
	assert_int_equal(k->rx_len, 3000);
	assert_true(rig_rx_ok(k));
	rig_seg(r, A | F, 3001, 1, 0);
	rig_expect(r, A, 1, 3002, 0);
	rig_done(r);
}

/* --- the window we offer -------------------------------------------------- */

static void window_closes_and_opens(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	r->conf.manual = true;
	rig_seg(r, S, 0, 0, 0);
	k = &r->conn[0];
	k->room = 4000;
	tcp_accept(k->c);
	rig_flush(r);
	assert_int_equal(rig_out(r)->wnd, 4000);
	rig_seg(r, A, 1, 1, 0);
	rig_seg(r, A, 1, 1, 1460);
	assert_int_equal(rig_out(r)->wnd, 2540);
	rig_seg(r, A, 1461, 1, 2540);
	assert_int_equal(rig_out(r)->wnd, 0);
	rig_seg(r, A, 4001, 1, 1);		/* probes */
	assert_int_equal(rig_out(r)->wnd, 0);
	rig_seg(r, A, 4000, 1, 0);
	assert_int_equal(rig_out(r)->wnd, 0);
	assert_int_equal(k->rx_len, 4000);
	k->room = 700;				/* too little to tell */
	tcp_room_changed(k->c);
	rig_flush(r);
	rig_quiet(r);
	rig_seg(r, A, 4001, 1, 1);
	assert_int_equal(rig_out(r)->wnd, 0);
	k->room = 1500;
	tcp_room_changed(k->c);
	rig_flush(r);
	assert_int_equal(rig_out(r)->wnd, 1500);
	k->room = 2500;
	tcp_room_changed(k->c);
	rig_flush(r);
	rig_quiet(r);
	k->room = 4000;
	tcp_room_changed(k->c);
	rig_flush(r);
	assert_int_equal(rig_out(r)->wnd, 4000);
	k->room = 100;				/* the owner takes room back */
	rig_seg(r, A, 4001, 1, 50);
	assert_int_equal(rig_out(r)->wnd, 3950);	/* we do not */
	rig_done(r);
}

/* @shrink: the owner takes up to 5000 bytes of room back, now and then */
static void edges(size_t shrink)
{
	const struct tcp_opts o = { .mss = 1460, .has_wscale = true };
	const uint32_t unit = 1 << 7;
	uint32_t edge = 0, seq = 1, slack = shrink ? unit - 1 : 0;
	struct rig_conn *k;

	rig_init(r, NULL);
	k = rig_established(r, &o, 65535);
	k->room_fixed = true;
	k->room = 3 << 20;
	for (int i = 0; i < 3000; i++) {
		size_t len = 1 + (size_t)i * 7919 % 1460;
		const struct rig_seg *s;

		k->room = (3u << 20) - (size_t)i * 104729 % (shrink + 1);
		rig_seg(r, A, seq, 1, len);
		seq += (uint32_t)len;
		s = rig_out(r);
		assert_int_equal(s->ack, seq);
		assert_true(s->ack + s->wnd * unit + slack >= edge);
		edge = s->ack + s->wnd * unit;
	}
	assert_true(edge - seq > 3 << 19);
	rig_done(r);
}

/* But for the rounding of RFC 7323 2.4, and that only if there is no room */
static void right_edge_stays(void **state)
{
	(void)state;
	edges(0);
	edges(5000);
}

static void small_buffers_open_too(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	r->conf.manual = true;
	rig_seg(r, S, 0, 0, 0);
	k = &r->conn[0];
	k->room = 512;			/* less than a segment, always */
	tcp_accept(k->c);
	rig_flush(r);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 0);
	rig_seg(r, A, 1, 1, 512);
	assert_int_equal(rig_out(r)->wnd, 0);
	k->room = 512;
	tcp_room_changed(k->c);
	rig_flush(r);
	assert_int_equal(rig_out(r)->wnd, 512);
	rig_done(r);
}

int tcp_in_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenge_limit),
		cmocka_unit_test(paws),
		cmocka_unit_test(one_ack_for_a_batch),
		cmocka_unit_test(gso_from_guest),
		cmocka_unit_test(frames_in_pieces),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(early_segments),
		cmocka_unit_test(early_store_is_bounded),
		cmocka_unit_test(small_early_segments_share),
		cmocka_unit_test(nothing_behind_the_fin),
		cmocka_unit_test(ack_at_the_right_edge),
		cmocka_unit_test(owner_takes_a_part),
		cmocka_unit_test(sequence_wrap),
		cmocka_unit_test(window_closes_and_opens),
		cmocka_unit_test(right_edge_stays),
		cmocka_unit_test(small_buffers_open_too),
	};

	return cmocka_run_group_tests_name("tcp_in", tests, NULL, NULL);
}
