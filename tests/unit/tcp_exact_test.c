/* What one changed operator in the engine would break and nothing else shows */
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

int tcp_exact_test(void);

static struct rig rig, *const r = &rig;

/* A connection whose owner has so much room, from the SYN on */
static struct rig_conn *with_room(const struct tcp_opts *o, size_t room)
{
	struct rig_conf conf = { .manual = true };
	struct rig_seg s = { .flags = S, .wnd = 65535 };
	struct rig_conn *k = &r->conn[0];

	if (o)
		s.opt = *o;
	rig_init(r, &conf);
	rig_in(r, &s);
	k->room = room;
	tcp_accept(k->c);
	rig_flush(r);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 0);
	return k;
}

/* --- the table and its lists ---------------------------------------------- */

/* FIN-WAIT-2 lasts 60 s from when the owner goes, and no other state does */
static void owner_goes_late(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_eof(r, k);
	rig_seg(r, A, 1, 2, 0);
	rig_run(r, 100000);
	rig_drain(r);
	tcp_no_recv(k->c);
	rig_run(r, 59999);
	assert_false(k->closed);
	rig_run(r, 1);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_expect(r, R | A, 2, 1, 0);
	assert_int_equal(count_get("tcp_timed_out"), 1);
	assert_int_equal(count_get("tcp_aborted"), 0);
	k = rig_established(r, NULL, 65535);
	tcp_no_recv(k->c);
	rig_run(r, 1000000);
	assert_false(k->closed);
	tcp_abort(k->c);
	assert_int_equal(count_get("tcp_timed_out"), 1);
	assert_int_equal(count_get("tcp_aborted"), 1);
	rig_flush(r);
	rig_drain(r);
	rig_done(r);
}

static void nobody_to_wake(void **state)
{
	const struct tcp_opts scaled = { .mss = 1460, .has_wscale = true,
					 .wscale = 7 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	tcp_set_wake(r->ts, NULL, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 100);
	rig_expect(r, A | P, 1, 1, 100);
	rig_done(r);
	rig_init(r, NULL);		/* and not from within a flush */
	k = rig_established(r, &scaled, 8000);
	k->tx_len = 2 * TCP_BUDGET_BYTES;
	tcp_readable(k->c);
	r->wakes = 0;
	assert_true(tcp_flush(r->ts));
	assert_int_equal(r->wakes, 0);
	rig_drain(r);
	rig_done(r);
}

/* The link fills up while input made more to do: once in the list is enough */
static void dirty_in_its_turn(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	r->conn[0].room = 0;
	rig_seg(r, A, 1, 1, 100);
	rig_drain(r);
	rig_seg(r, A, 101, 1, 100);
	rig_drain(r);
	r->link.refuse = true;
	k->room = 1000;
	tcp_room_changed(k->c);
	rig_seg(r, A, 1, 1, 100);
	rig_flush(r);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_expect(r, A, 1, 201, 0);
	rig_quiet(r);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 1, .gport = 5 });
	assert_int_equal(rig_out(r)->flags, S | A);
	rig_done(r);
}

static void same_bucket(void **state)
{
	struct rig_conf conf = { .max_conns = 200 };

	(void)state;
	rig_init(r, &conf);
	for (uint16_t i = 1; i <= 200; i++) {
		struct rig_seg s = { .flags = S, .wnd = 1, .gport = i };

		rig_in(r, &s);
		assert_int_equal(rig_out(r)->flags, S | A);
		assert_int_equal(r->nconn, i);
	}
	rig_done(r);
}

/* Each pair of addresses has a clock of its own (RFC 7323 5.4) */
static void clocks_differ(void **state)
{
	struct rig_seg s = { .flags = S, .wnd = 1,
			     .opt = { .has_ts = true, .tsval = 1 } };
	uint32_t first = 0, same = 0;

	(void)state;
	rig_init(r, NULL);
	for (uint16_t i = 1; i <= 8; i++) {
		uint32_t tsval;

		s.gport = i;
		rig_in(r, &s);
		tsval = rig_out(r)->opt.tsval;
		same += tsval == first;
		first = tsval;
	}
	assert_true(same < 2);
	rig_done(r);
}

/* --- the link ------------------------------------------------------------- */

static void back_and_full_again(void **state)
{
	struct rig_conn *k, *idle;

	(void)state;
	rig_init(r, NULL);
	idle = rig_established(r, NULL, 65535);
	tcp_set_user(idle->c, idle);
	r->gisn = 5000;
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 65535, .gport = 7 });
	r->pisn = r->out[(r->tail - 1) % RIG_QUEUE].seq + r->pisn;
	rig_drain(r);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 65535, .gport = 7 });
	k = &r->conn[1];
	assert_string_equal(tcp_state_name(k->c), "ESTABLISHED");
	rig_offer(r, k, 100);
	rig_run(r, 700);			/* 200 and 600 */
	assert_int_equal(rig_drain(r), 3);
	netif_detach(&r->netif);
	rig_run(r, 2000);
	netif_attach(&r->netif, &r->link.link);
	tcp_link_up(r->ts);
	rig_flush(r);
	/* the idle one shows itself, the other starts from the beginning; and
	 * its timer as well */
	assert_int_equal(r->tail - r->head, 2);
	for (int i = 0; i < 2; i++) {
		const struct rig_seg *s = rig_out(r);

		assert_int_equal(s->len, s->gport == 7 ? 100 : 0);
	}
	rig_run(r, 199);
	rig_quiet(r);
	rig_run(r, 2);
	assert_int_equal(rig_drain(r), 1);
	/* full is not down: nothing is sent again for that */
	r->link.refuse = true;
	rig_offer(r, k, 50);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_quiet(r);
	rig_done(r);
}

/* Full while only new data waits */
static void full_is_not_down(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 100);
	rig_drain(r);
	r->link.refuse = true;
	rig_offer(r, k, 50);
	rig_seg(r, A, 301, 1, 10);		/* its ACK waits as well */
	assert_int_equal(count_get("tcp_link_full"), 1);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_expect(r, A | P, 101, 1, 50);
	rig_quiet(r);
	r->link.refuse = true;
	rig_seg(r, A, 401, 1, 10);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_expect(r, A, 151, 1, 0);
	rig_done(r);
}

/* --- what comes in -------------------------------------------------------- */

static void dialling_takes_the_latest_syn(void **state)
{
	struct rig_conf conf = { .manual = true };

	(void)state;
	rig_init(r, &conf);
	rig_seg(r, S, 0, 0, 0);
	rig_seg(r, S, 500, 0, 0);
	tcp_accept(r->conn[0].c);
	rig_flush(r);
	rig_expect(r, S | A, 0, 501, 0);
	rig_done(r);
}

/* A frame as the guest made it, changed behind the checksum's back */
static void deliver(const struct rig_seg *s, size_t at, uint8_t to, size_t pad)
{
	uint8_t buf[200] = { 0 };
	struct link_vnet vh;
	size_t len = rig_frame(r, s, buf, sizeof(buf), &vh);

	buf[14 + 20 + at] = to;
	buf[14 + 20 + at + 1] &= at < 4 ? 0 : 255;
	vh = (struct link_vnet){ .flags = LINK_VNET_F_DATA_VALID };
	memlink_deliver(&r->link, &vh, buf, len + pad);
	rig_flush(r);
}

static void port_zero(void **state)
{
	const struct rig_conf conf = { .features = LINK_F_CSUM };
	const struct rig_seg s = { .flags = S, .wnd = 1 };

	(void)state;
	rig_init(r, &conf);
	deliver(&s, 0, 0, 0);			/* source */
	deliver(&s, 2, 0, 0);			/* destination */
	assert_int_equal(count_get("drop_tcp_port0"), 2);
	assert_int_equal(r->nconn, 0);
	deliver(&s, 12, 0xf0, 100);		/* a header made of padding */
	assert_int_equal(count_get("drop_tcp_header"), 1);
	assert_int_equal(r->nconn, 0);
	rig_done(r);
}

static void fin_at_number_zero(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	r->gisn = UINT32_MAX - 100;
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A, 1, 1, 100);		/* the next number is 0 */
	rig_expect(r, A, 1, 101, 0);
	assert_false(k->got_fin);
	assert_string_equal(tcp_state_name(k->c), "ESTABLISHED");
	rig_done(r);
}

/* The owner never has to refuse: what is beyond the window is cut off before */
static void cut_at_the_window(void **state)
{
	struct rig_conn *k = with_room(NULL, 150);

	(void)state;
	rig_seg(r, A, 1, 1, 50);
	rig_expect(r, A, 1, 51, 0);
	rig_seg(r, A, 1, 1, 300);		/* head and tail are cut */
	rig_expect(r, A, 1, 151, 0);
	assert_true(k->rx_len == 150 && rig_rx_ok(k));
	assert_int_equal(count_get("tcp_recv_short"), 0);
	rig_done(r);
}

static void cut_at_the_fin(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A | F, 151, 1, 0);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 200);
	rig_expect(r, A, 1, 152, 0);
	assert_true(k->rx_len == 150 && k->got_fin);
	rig_done(r);
}

/* Half of it known, and it reaches what is kept: that is delivered as well */
static void overlap_fills_a_hole(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A, 1, 1, 100);
	rig_seg(r, A, 201, 1, 100);
	rig_drain(r);
	rig_seg(r, A, 51, 1, 150);
	rig_expect(r, A, 1, 301, 0);
	assert_true(k->rx_len == 300 && rig_rx_ok(k));
	assert_int_equal(count_get("tcp_recv_short"), 0);
	rig_done(r);
}

/* PAWS holds from the SYN on */
static void older_than_the_syn(void **state)
{
	struct rig_seg s = { .flags = S, .wnd = 1000, .opt = { .has_ts = true,
			     .tsval = 100 } };

	(void)state;
	rig_init(r, NULL);
	rig_in(r, &s);
	rig_drain(r);
	s.flags = A;
	s.seq = s.ack = 1;
	s.opt.tsval = 99;
	rig_in(r, &s);
	rig_expect(r, A, 1, 1, 0);
	assert_string_equal(tcp_state_name(r->conn[0].c), "SYN-RECEIVED");
	rig_done(r);
}

/* --- what is kept --------------------------------------------------------- */

static void kept_beyond_a_piece(void **state)
{
	const struct tcp_opts o = { .mss = 1460, .has_wscale = true };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &o, 65535);
	rig_seg(r, A, 1, 1, 1);			/* the window is large now */
	rig_seg(r, A, 101, 1, 1000);
	rig_seg(r, A, 90001, 1, 1000);	/* the next piece in the store */
	for (uint32_t i = 1; i < 80; i++)
		rig_seg(r, A, 101 + 1000 * i, 1, 1000);
	rig_seg(r, A, 80101, 1, 9900);
	rig_drain(r);
	assert_int_equal(count_get("drop_tcp_ooo_full"), 0);
	rig_seg(r, A, 2, 1, 99);
	rig_expect(r, A, 1, 91001, 0);
	assert_true(k->rx_len == 91000 && rig_rx_ok(k));
	rig_seg(r, A, 91101, 1, 100);
	rig_seg(r, A, 91101, 1, 100);
	assert_int_equal(count_get("drop_tcp_ooo_dup"), 1);
	rig_drain(r);
	rig_done(r);
}

/* Four connections take all of the store, and give it back */
static void store_is_shared(void **state)
{
	(void)state;
	rig_init(r, NULL);
	for (int round = 0; round < 2; round++) {
		count_reset();
		for (uint16_t c = 1; c <= 5; c++) {
			struct rig_seg s = { .flags = S, .wnd = 65535,
					     .gport = c };

			r->pisn_known = false;
			rig_in(r, &s);
			s.flags = A;
			s.seq = s.ack = 1;
			rig_in(r, &s);
			s.len = 10;
			for (uint32_t i = 1; i <= 16; i++) {
				s.seq = 1 + 100 * i;
				rig_in(r, &s);
			}
		}
		assert_int_equal(count_get("tcp_ooo_kept"), 64);
		assert_int_equal(count_get("drop_tcp_ooo_full"), 16);
		for (unsigned int i = r->nconn - 5; i < r->nconn; i++)
			tcp_abort(r->conn[i].c);
		rig_flush(r);
		rig_drain(r);
	}
	rig_done(r);
}

/* An older segment may come later: what it says of the window is older too */
static void older_segment_tells_no_window(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 101, .ack = 1, .wnd = 7000,
			     .len = 100 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 7000);
	rig_in(r, &s);
	s.seq = 1;
	s.wnd = 3000;
	rig_in(r, &s);
	rig_drain(r);
	rig_offer(r, k, 7000);
	assert_int_equal(rig_drain(r), 7);
	rig_done(r);
}

/* Kept, and next in order, but the owner is full: that is no block */
static void kept_for_a_full_owner(void **state)
{
	struct rig_conn *k;
	const struct rig_seg *s;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	k->room = 100;
	rig_seg(r, A, 101, 1, 100);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 100);
	s = rig_out(r);
	assert_int_equal(s->ack, 101);
	assert_int_equal(s->opt.nsack, 0);
	k->abort_in_recv = true;	/* and ends it when it has room */
	k->room = 1000;
	tcp_room_changed(k->c);
	rig_flush(r);
	rig_expect(r, R | A, 1, 101, 0);
	assert_int_equal(k->closes, 1);
	rig_done(r);
}

/* --- the window we offer -------------------------------------------------- */

/* RFC 9293 3.8.6.2.2; the buffer is the most room there ever was */
static void worth_an_update(void **state)
{
	static const struct {
		size_t buffer, first, room;
		bool tell;
	} cases[] = {
		/* closed: a segment, or half of the buffer */
		{ 8000, 0, 1459, false }, { 8000, 0, 1460, true },
		{ 1000, 0, 499, false }, { 1000, 0, 500, true },
		{ 1, 0, 1, true },
		/* not even a segment left: by another */
		{ 8000, 1459, 2918, false }, { 8000, 1459, 2919, true },
		/* open: two segments, or half of the buffer */
		{ 8000, 1460, 4379, false }, { 8000, 1460, 4380, true },
		{ 4000, 1460, 3459, false }, { 4000, 1460, 3460, true },
		{ 1000, 499, 998, false }, { 1000, 499, 999, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig_conn *k = with_room(NULL, cases[i].buffer);

		for (size_t left = cases[i].buffer - cases[i].first, n; left;
		     left -= n) {
			n = MIN(left, 1460);
			rig_seg(r, A, 1 + (uint32_t)k->rx_len, 1, n);
		}
		rig_drain(r);
		k->room = cases[i].room;
		tcp_room_changed(k->c);
		rig_flush(r);
		assert_int_equal(r->tail - r->head, cases[i].tell);
		if (cases[i].tell)
			assert_int_equal(rig_out(r)->wnd, cases[i].room);
		rig_done(r);
	}
}

/* An ACK that goes out anyway tells what is a segment more, and no less */
static void told_by_the_way(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		struct rig_conn *k = with_room(NULL, 8000);

		rig_seg(r, A, 1, 1, 1460);
		rig_drain(r);
		k->room = 6540 - 100 + 1460 - !more + 100;
		rig_seg(r, A, 1461, 1, 100);
		assert_int_equal(rig_out(r)->wnd, more ? 7900 : 6440);
		rig_done(r);
	}
}

/* --- what we send --------------------------------------------------------- */

static void silly_once(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 10000);
	rig_ack(r, 1, 100);
	rig_offer(r, k, 5000);
	rig_run(r, 201);
	rig_expect(r, A | P, 1, 1, 100);
	rig_ack(r, 101, 100);		/* and the next waits again */
	rig_quiet(r);
	rig_run(r, 199);
	rig_quiet(r);
	rig_run(r, 2);
	rig_expect(r, A | P, 101, 1, 100);
	rig_done(r);
	rig_init(r, NULL);		/* a single byte is no exception */
	k = rig_established(r, NULL, 10000);
	rig_ack(r, 1, 1);
	rig_offer(r, k, 10);
	rig_quiet(r);
	rig_run(r, 201);
	rig_expect(r, A | P, 1, 1, 1);
	assert_int_equal(count_get("tcp_rtos"), 0);	/* that was the first */
	rig_ack(r, 2, 10000);
	rig_expect(r, A | P, 2, 1, 9);
	rig_done(r);
	rig_init(r, NULL);			/* nor is what would fit */
	k = rig_established(r, &rig_plain, 1000);
	rig_offer(r, k, 900);
	rig_drain(r);
	rig_offer(r, k, 50);
	rig_quiet(r);
	rig_ack(r, 901, 1000);
	rig_expect(r, A | P, 901, 1, 50);
	rig_done(r);
	rig_init(r, NULL);			/* half of the largest it had */
	k = rig_established(r, NULL, 900);
	rig_ack(r, 1, 449);
	rig_offer(r, k, 5000);
	rig_quiet(r);
	rig_ack(r, 1, 450);
	rig_expect(r, A | P, 1, 1, 450);
	rig_done(r);
}

/* Nothing to send into a silly window: no timer runs, nobody is asked again */
static void silly_and_nothing(void **state)
{
	struct rig_conn *k;
	unsigned int peeks;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 10000);
	rig_ack(r, 1, 10);
	rig_offer(r, k, 0);
	rig_run(r, 5000);
	assert_int_equal(count_get("tcp_rtos"), 0);
	assert_int_equal(count_get("tcp_window_probes"), 0);
	rig_ack(r, 1, 10000);
	rig_offer(r, k, 0);
	peeks = k->peeks;
	for (int i = 0; i < 5; i++)
		rig_ack(r, 1, (uint16_t)(10001 + i));
	assert_int_equal(k->peeks, peeks);
	rig_done(r);
}

/* Blocks are for bare ACKs: full segments stay full */
static void no_blocks_with_payload(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_sacking, 65535);
	rig_seg(r, A, 101, 1, 100);
	assert_int_equal(rig_out(r)->opt.nsack, 1);
	rig_offer(r, k, MSS);
	assert_int_equal(r->out[r->head % RIG_QUEUE].len, MSS);
	assert_int_equal(rig_out(r)->opt.nsack, 0);
	rig_done(r);
}

int tcp_exact_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owner_goes_late),
		cmocka_unit_test(nobody_to_wake),
		cmocka_unit_test(dirty_in_its_turn),
		cmocka_unit_test(same_bucket),
		cmocka_unit_test(clocks_differ),
		cmocka_unit_test(back_and_full_again),
		cmocka_unit_test(full_is_not_down),
		cmocka_unit_test(dialling_takes_the_latest_syn),
		cmocka_unit_test(port_zero),
		cmocka_unit_test(fin_at_number_zero),
		cmocka_unit_test(cut_at_the_window),
		cmocka_unit_test(cut_at_the_fin),
		cmocka_unit_test(overlap_fills_a_hole),
		cmocka_unit_test(older_than_the_syn),
		cmocka_unit_test(kept_beyond_a_piece),
		cmocka_unit_test(store_is_shared),
		cmocka_unit_test(older_segment_tells_no_window),
		cmocka_unit_test(kept_for_a_full_owner),
		cmocka_unit_test(worth_an_update),
		cmocka_unit_test(told_by_the_way),
		cmocka_unit_test(silly_once),
		cmocka_unit_test(silly_and_nothing),
		cmocka_unit_test(no_blocks_with_payload),
	};

	return cmocka_run_group_tests_name("tcp_exact", tests, NULL, NULL);
}
