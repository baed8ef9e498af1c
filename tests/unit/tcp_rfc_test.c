/* Single requirements of the RFCs; tcp_rfc.md says which test proves which */
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

int tcp_rfc_test(void);

static struct rig rig, *const r = &rig;

/* --- headers -------------------------------------------------------------- */

static void reserved_bits_and_urgent(void **state)
{
	struct rig_conf conf = { .features = LINK_F_CSUM };
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .wnd = 65535,
			     .len = 20 };
	struct rig_conn *k;
	uint8_t buf[2000];
	struct link_vnet vh;
	size_t len;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, NULL, 65535);
	s.flags |= 0xc0 | 0x20;			/* CWR, ECE, URG */
	len = rig_frame(r, &s, buf, sizeof(buf), &vh);
	buf[14 + 20 + 12] |= 0x0f;		/* reserved */
	buf[14 + 20 + 19] = 5;			/* urgent pointer */
	memlink_deliver(&r->link, &vh, buf, len);
	rig_flush(r);
	rig_expect(r, A, 1, 21, 0);
	assert_true(k->rx_len == 20 && rig_rx_ok(k));	/* in its place */
	rig_done(r);
}

/* Options are random bytes; whatever they say, it is a segment like others */
static void option_garbage(void **state)
{
	struct rig_conf conf = { .features = LINK_F_CSUM };
	uint32_t x = 1, at;
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, NULL, 65535);
	for (uint32_t i = 0; i < 3000; i++) {
		struct rig_seg s = { .flags = A, .seq = 1 + i, .ack = 1,
			.wnd = 65535, .len = 1, .opt = { .has_ts = true,
			.nsack = 1 + i % 3 } };
		uint8_t buf[200];
		struct link_vnet vh;
		size_t len;

		/* padded so that options of every length are overwritten */
		len = rig_frame(r, &s, buf, sizeof(buf), &vh);
		for (at = 14 + 40; at < len - 1; at++) {
			x = x * 1664525 + 1013904223;
			buf[at] = (uint8_t)(x >> 24 & (x & 64 ? 255 : 15));
		}
		memlink_deliver(&r->link, &vh, buf, len);
		rig_flush(r);
		rig_drain(r);
	}
	assert_true(k->rx_len == 3000 && rig_rx_ok(k) && !k->closed);
	assert_true(count_get("tcp_bad_options") > 100);
	rig_done(r);
	for (uint32_t i = 0; i < 300; i++) {	/* and in a SYN */
		struct rig_seg s = { .flags = S, .wnd = 65535, .opt = {
			.has_ts = true, .mss = 1, .has_wscale = true } };
		uint8_t buf[200];
		struct link_vnet vh;
		size_t len;

		rig_init(r, &conf);
		len = rig_frame(r, &s, buf, sizeof(buf), &vh);
		for (at = 14 + 40; at < len; at++) {
			x = x * 1664525 + 1013904223;
			buf[at] = (uint8_t)(x >> 24 & (x & 64 ? 255 : 15));
		}
		memlink_deliver(&r->link, &vh, buf, len);
		rig_flush(r);
		rig_expect(r, S | A, 0, 1, 0);
		rig_done(r);
	}
}

/* --- numbers -------------------------------------------------------------- */

static uint32_t isn_of(uint16_t gport)
{
	uint32_t isn;

	r->pisn_known = false;
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 9, .gport = gport });
	isn = r->pisn;
	rig_drain(r);
	tcp_abort(r->conn[(r->nconn - 1) % RIG_CONNS].c);
	rig_flush(r);
	rig_drain(r);
	return isn;
}

/* RFC 6528: one number each 4 us for a tuple, and no relation between two */
static void initial_numbers(void **state)
{
	uint32_t a, b, near = 0;

	(void)state;
	rig_init(r, NULL);
	a = isn_of(5);
	rig_run(r, 1000);
	b = isn_of(5);
	assert_int_equal(b - a, 250000);
	for (uint16_t i = 0; i < 50; i++)
		near += isn_of((uint16_t)(10 + i)) - b + (1u << 24) < 1u << 25;
	assert_true(near < 5);
	rig_done(r);
	rig_init(r, NULL);			/* another secret */
	assert_int_not_equal(isn_of(5), a);
	rig_done(r);
}

/* RFC 9293 3.5: an old SYN gets a SYN-ACK, the guest's RST ends that */
static void old_duplicate_syn(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_seg(r, S, 90, 0, 0);
	rig_expect(r, S | A, 0, 91, 0);
	rig_seg(r, S, 100, 0, 0);		/* the real one: challenged */
	rig_expect(r, A, 1, 91, 0);
	rig_seg(r, R, 91, 0, 0);
	assert_int_equal(r->conn[0].why, -ECONNRESET);
	assert_int_equal(tcp_count(r->ts), 0);
	r->pisn_known = false;
	rig_seg(r, S, 100, 0, 0);		/* and comes again */
	rig_expect(r, S | A, 0, 101, 0);
	rig_seg(r, A, 101, 1, 0);
	assert_string_equal(tcp_state_name(r->conn[1].c), "ESTABLISHED");
	rig_done(r);
}

/* RFC 9293 3.5.1: the guest has crashed and comes back with the same port */
static void half_open(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, S, 70000, 0, 0);
	rig_expect(r, A, 1, 1, 0);
	rig_seg(r, R, 1, 0, 0);
	assert_int_equal(k->why, -ECONNRESET);
	rig_offer(r, rig_established(r, NULL, 65535), 100);
	rig_expect(r, A | P, 1, 1, 100);
	rig_seg(r, R, 1, 0, 0);			/* it knows of nothing */
	assert_int_equal(r->conn[1].why, -ECONNRESET);
	rig_done(r);
}

static void ack_of_nothing_for_long(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 100);
	rig_drain(r);
	for (uint32_t i = 1; i < 500; i++)
		rig_seg(r, A, 1, 101 + i * 4000000, 10);
	rig_expect(r, A, 101, 1, 0);		/* one challenge for all */
	rig_quiet(r);
	assert_int_equal(k->tx_off, 0);
	assert_int_equal(k->rx_len, 0);		/* the segment is dropped */
	rig_seg(r, A, 1, 101, 10);
	rig_expect(r, A, 101, 11, 0);
	assert_true(k->tx_off == 100 && !k->closed);
	rig_done(r);
}

/* --- time ----------------------------------------------------------------- */

/* RFC 6298 5.7, unless an echoed timestamp has measured the path */
static void timeout_after_lost_synack(void **state)
{
	struct tcp_opts o = { .mss = 1000 };
	uint32_t tsval;

	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		o.has_ts = ts;
		o.tsval = 1;
		rig_init(r, NULL);
		rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 9000,
					     .opt = o });
		rig_run(r, 1001);
		rig_out(r);
		tsval = rig_out(r)->opt.tsval;
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
			.wnd = 9000, .opt = { .has_ts = ts, .tsval = 2,
			.tsecr = tsval } });
		rig_offer(r, &r->conn[0], 100);
		rig_drain(r);
		rig_run(r, ts ? 199 : 2999);
		rig_quiet(r);
		rig_run(r, 2);
		assert_int_equal(rig_drain(r), 1);
		rig_done(r);
	}
}

/* RFC 6298 2: the first sample, then the averages; against a table */
static void round_trip_formula(void **state)
{
	/* ms measured, ms of timeout: srtt + 4 * rttvar, at least 200 */
	static const uint32_t steps[][2] = {
		{ 400, 1200 }, { 400, 1000 }, { 400, 850 }, { 1200, 1637 },
		{ 100, 1703 }, { 100, 1696 },
	};
	struct rig_conn *k;
	uint32_t at = 1;

	(void)state;
	rig_init(r, NULL);
	rig_seg(r, S, 0, 0, 0);
	rig_run(r, steps[0][0]);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 0);
	k = &r->conn[0];
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		uint32_t late = 0;

		if (i) {
			rig_offer(r, k, 100);
			rig_run(r, steps[i][0]);
			at += 100;
			rig_seg(r, A, 1, at, 0);
			rig_drain(r);
		}
		assert_int_equal(count_get("tcp_rtos"), 0);
		rig_offer(r, k, 100);	/* this one is lost */
		rig_drain(r);
		while (r->head == r->tail) {
			rig_run(r, 1);
			late++;
		}
		assert_in_range(late, steps[i][1] - 1, steps[i][1] + 1);
		/* answered, but measures nothing: Karn; and so once more */
		at += 100;
		rig_seg(r, A, 1, at, 0);
		rig_drain(r);
		count_reset();
	}
	rig_done(r);
}

/* An hour with a window of 0 while data is in flight: the guest dropped it */
static void window_shrinks_to_zero(void **state)
{
	uint64_t start;
	struct rig_conn *k;
	unsigned int n = 0;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 3000);
	assert_int_equal(rig_drain(r), 3);
	start = timerq_now(&r->tq);
	while (timerq_now(&r->tq) - start < 3600 * NS_PER_S) {
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1 });
		rig_run(r, 60001);
		n += rig_drain(r);
	}
	assert_true(n >= 55);
	assert_false(k->closed);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 65535 });
	for (uint32_t at = 1461; at <= 3001 && !k->closed; at += 770) {
		rig_run(r, 60001);
		rig_drain(r);
		rig_seg(r, A, 1, at, 0);
	}
	assert_int_equal(k->tx_off, 3000);
	rig_drain(r);
	rig_done(r);
}

static void no_keepalive_by_default(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_run(r, 7ULL * 86400 * 1000);
	rig_quiet(r);
	assert_false(k->closed);
	rig_done(r);
}

/* RFC 7323 3.2: in all segments or in none, the clock moves, the echo is right */
static void timestamps_everywhere(void **state)
{
	const struct tcp_opts o = { .mss = 1460, .has_ts = true, .tsval = 70 };
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .len = 10,
			     .wnd = 65535, .opt = o };
	uint32_t first, tsval;
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &o, 65535);
	first = r->out[0].opt.tsval;
	rig_run(r, 1234);
	s.opt = (struct tcp_opts){ .has_ts = true, .tsval = 80 };
	rig_in(r, &s);				/* ACK */
	tsval = rig_out(r)->opt.tsval;
	assert_int_equal(tsval - first, 1234);
	rig_offer(r, k, 10);			/* data, FIN, both again, RST */
	rig_eof(r, k);
	rig_run(r, 201);
	tcp_abort(k->c);
	rig_flush(r);
	assert_int_equal(r->tail - r->head, 5);
	while (r->head != r->tail) {
		const struct rig_seg *e = rig_out(r);

		assert_true(e->opt.has_ts && e->opt.tsecr == 80);
	}
	rig_done(r);
	rig_init(r, NULL);			/* not agreed on: ignored */
	k = rig_established(r, NULL, 65535);
	rig_in(r, &s);
	assert_false(rig_out(r)->opt.has_ts);
	assert_int_equal(k->rx_len, 10);
	rig_done(r);
}

/* --- closing -------------------------------------------------------------- */

/* The owner is gone, and what comes again is nothing new: no RST for that */
static void no_recv_forgives_old_payload(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A, 1, 1, 10);
	rig_expect(r, A, 1, 11, 0);
	tcp_no_recv(k->c);
	rig_seg(r, A, 1, 1, 10);
	rig_expect(r, A, 1, 11, 0);
	rig_seg(r, A | F, 1, 1, 10);
	rig_expect(r, A, 1, 12, 0);
	assert_string_equal(tcp_state_name(k->c), "CLOSE-WAIT");
	rig_done(r);
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A, 1, 1, 10);
	rig_drain(r);
	tcp_no_recv(k->c);
	rig_seg(r, A, 1, 1, 11);		/* one byte is new */
	rig_expect(r, R | A, 1, 11, 0);
	assert_int_equal(k->why, -ECONNABORTED);
	rig_done(r);
}

/* RFC 9293 3.10.7.4: only the FIN itself starts the 10 s anew */
static void time_wait_restarts_by_fin(void **state)
{
	static const struct {
		uint32_t seq;
		size_t len;
		bool longer;
	} fins[] = { { 11, 0, true }, { 1, 10, true }, { 12, 0, false },
		     { 10, 0, false }, { 11, 1, false }, { 900, 0, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fins); i++) {
		struct rig_conn *k;

		rig_init(r, NULL);
		k = rig_established(r, NULL, 65535);
		rig_eof(r, k);
		rig_seg(r, A | F, 1, 2, 10);
		assert_string_equal(tcp_state_name(k->c), "TIME-WAIT");
		rig_drain(r);
		rig_run(r, 9000);
		rig_seg(r, A | F, fins[i].seq, 2, fins[i].len);
		rig_expect(r, A, 2, 12, 0);
		rig_run(r, 5000);
		assert_int_equal(tcp_count(r->ts), fins[i].longer);
		rig_done(r);
	}
}

/* --- windows that shrink -------------------------------------------------- */

/* What an old ACK says of the window is older than what we know */
static void old_ack_tells_no_window(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 2001, .wnd = 5000,
			     .len = 10 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &(struct tcp_opts){ .mss = 1000 }, 5000);
	rig_offer(r, k, 4000);
	rig_drain(r);
	rig_in(r, &s);
	s.seq = 11;
	s.ack = 1001;
	s.wnd = 0;
	rig_in(r, &s);
	rig_drain(r);
	rig_offer(r, k, 1000);
	rig_expect(r, A | P, 4001, 21, 1000);
	s.seq = 21;
	s.ack = 2001;		/* but one that is not old does */
	rig_in(r, &s);
	rig_drain(r);
	rig_offer(r, k, 1000);
	rig_quiet(r);
	rig_done(r);
}

/* It dropped what was in flight, and says when it has room: no use waiting */
static void window_opens_after_shrinking(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 3000);
	rig_eof(r, k);
	rig_drain(r);
	rig_in(r, &s);
	rig_run(r, 20000);		/* the timeout is 25.6 s by now */
	rig_drain(r);
	s.wnd = 65535;
	rig_in(r, &s);
	rig_expect(r, A | P, 1, 1, 1460);
	rig_seg(r, A, 1, 1461, 0);
	rig_expect(r, A | P, 1461, 1, 1460);
	rig_expect(r, A | P, 2921, 1, 80);
	rig_expect(r, A | F, 3001, 1, 0);
	rig_run(r, 201);		/* and the timeout is short again */
	assert_int_equal(rig_drain(r), 1);
	rig_done(r);
}

/* An ACK has to fit into the guest's window, or the guest drops it */
static void acks_fit_a_shrunk_window(void **state)
{
	struct rig_conn *k;
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .len = 10 };

	(void)state;
	for (uint16_t shift = 0; shift <= 7; shift += 7) {
		struct tcp_opts o = { .mss = 1000, .has_wscale = shift != 0,
				      .wscale = (uint8_t)shift };

		rig_init(r, NULL);
		k = rig_established(r, &o, 65535);
		rig_offer(r, k, 3000);
		rig_drain(r);
		s.seq = 1;
		s.wnd = (uint16_t)(1024 >> shift);
		rig_in(r, &s);
		rig_expect(r, A, 1025, 11, 0);
		s.seq = 11;
		/* below the unit of the scale nobody can tell */
		s.wnd = shift ? 23 : 2999;
		rig_in(r, &s);
		rig_expect(r, A, shift ? 3001 : 3000, 21, 0);
		tcp_abort(k->c);
		rig_flush(r);
		rig_expect(r, R | A, shift ? 3001 : 3000, 21, 0);
		rig_done(r);
	}
	rig_init(r, NULL);		/* a FIN is let in beyond the edge */
	k = rig_established(r, &(struct tcp_opts){ .mss = 1000 }, 1000);
	rig_offer(r, k, 1000);
	rig_eof(r, k);
	rig_drain(r);
	s = (struct rig_seg){ .flags = A, .seq = 1, .ack = 1001, .len = 10 };
	rig_in(r, &s);
	rig_expect(r, A | F, 1001, 11, 0);
	s.seq = 11;
	rig_in(r, &s);
	rig_expect(r, A, 1002, 21, 0);
	rig_done(r);
}

/* --- loops ---------------------------------------------------------------- */

/* Two ends that disagree about numbers must not answer each other for ever */
static void empty_segments_are_not_echoed(void **state)
{
	const struct tcp_opts o = { .mss = 1460, .has_ts = true, .tsval = 50 };
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .wnd = 65535,
			     .opt = { .has_ts = true, .tsval = 4 } };

	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		rig_init(r, NULL);
		rig_established(r, ts ? &o : NULL, 65535);
		s.opt.has_ts = ts;
		if (!ts)
			s.seq = 90000;
		for (int i = 0; i < 50; i++)
			rig_in(r, &s);
		rig_expect(r, A, 1, 1, 0);
		rig_quiet(r);
		rig_run(r, 500);
		rig_in(r, &s);
		rig_expect(r, A, 1, 1, 0);
		s.len = 1;			/* payload is no echo */
		rig_in(r, &s);
		rig_in(r, &s);
		s.len = 0;
		s.flags |= F;
		rig_in(r, &s);
		s.flags = A;
		s.seq = 1;
		assert_int_equal(rig_drain(r), 3);
		rig_done(r);
	}
}

/* --- TIME-WAIT ------------------------------------------------------------ */

static const struct {
	const char *name;
	bool ts_before, ts_now;
	int32_t tsval, seq;	/* relative to the last ones */
	bool reuse;
} again[] = {
	{ "clock moved on", true, true, 1, -5000, true },
	{ "clock the same, number above", true, true, 0, 5, true },
	{ "clock the same, number not above", true, true, 0, 0, false },
	{ "clock the same, number below", true, true, 0, -5, false },
	{ "clock went back", true, true, -1, 5000, false },
	{ "no clock any more, number above", true, false, 0, 5, true },
	{ "no clock any more, number below", true, false, 0, -5, false },
	{ "a clock now", false, true, 1, -5000, true },
	{ "no clock, number above", false, false, 0, 1, true },
	{ "no clock, number not above", false, false, 0, 0, false },
	{ "no clock, number below", false, false, 0, -1, false },
};

/* RFC 6191 2 */
static void port_comes_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(again); i++) {
		struct rig_seg s = { .flags = A | F, .seq = 1, .ack = 2,
				     .wnd = 65535 };
		struct tcp_opts o = { .mss = 1460, .tsval = 50 };
		struct rig_conn *k;

		print_message("  %s\n", again[i].name);
		o.has_ts = again[i].ts_before;
		rig_init(r, NULL);
		k = rig_established(r, &o, 65535);
		rig_eof(r, k);
		rig_drain(r);
		s.opt = o;
		rig_in(r, &s);
		rig_expect(r, A, 2, 2, 0);
		s = (struct rig_seg){ .flags = S, .wnd = 9000,
			.seq = 2 + (uint32_t)again[i].seq };
		s.opt.has_ts = again[i].ts_now;
		s.opt.tsval = 50 + (uint32_t)again[i].tsval;
		rig_in(r, &s);
		assert_int_equal(r->nconn, 1 + again[i].reuse);
		assert_int_equal(rig_out(r)->flags,
				 again[i].reuse ? S | A : A);
		rig_done(r);
	}
}

int tcp_rfc_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserved_bits_and_urgent),
		cmocka_unit_test(option_garbage),
		cmocka_unit_test(initial_numbers),
		cmocka_unit_test(old_duplicate_syn),
		cmocka_unit_test(half_open),
		cmocka_unit_test(ack_of_nothing_for_long),
		cmocka_unit_test(timeout_after_lost_synack),
		cmocka_unit_test(round_trip_formula),
		cmocka_unit_test(window_shrinks_to_zero),
		cmocka_unit_test(no_keepalive_by_default),
		cmocka_unit_test(timestamps_everywhere),
		cmocka_unit_test(no_recv_forgives_old_payload),
		cmocka_unit_test(time_wait_restarts_by_fin),
		cmocka_unit_test(old_ack_tells_no_window),
		cmocka_unit_test(window_opens_after_shrinking),
		cmocka_unit_test(acks_fit_a_shrunk_window),
		cmocka_unit_test(empty_segments_are_not_echoed),
		cmocka_unit_test(port_comes_again),
	};

	return cmocka_run_group_tests_name("tcp_rfc", tests, NULL, NULL);
}
