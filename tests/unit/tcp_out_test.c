/* Data to the guest: frames, windows, probes, a full link */
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

int tcp_out_test(void);

static struct rig rig, *const r = &rig;

static const struct tcp_opts scaled = { .mss = 1460, .has_wscale = true,
					.wscale = 7 };

/* Take everything sent so far; returns the bytes, checks that they are in order
 * from @from on and match the pattern */
static size_t take_all(uint32_t from)
{
	uint32_t at = from;

	while (r->head != r->tail) {
		const struct rig_seg *s = rig_out(r);

		assert_int_equal(s->seq, at);
		for (size_t i = 0; i < s->len; i++)
			assert_int_equal(s->data[i], rig_byte(at - 1 + i));
		at += (uint32_t)s->len;
	}
	return at - from;
}

static void plain_frames(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 10000);
	for (uint32_t i = 0; i < 6; i++)
		rig_expect(r, A | P, 1 + 1460 * i, 1, 1460);
	rig_expect(r, A | P, 8761, 1, 1240);
	rig_seg(r, A, 1, 10001, 0);
	assert_int_equal(k->tx_off, 10000);
	rig_run(r, 100000);		/* nothing is outstanding */
	rig_done(r);
}

static void gso_frames(void **state)
{
	struct rig_conf conf = { .features = LINK_F_CSUM | LINK_F_TSO4 |
					     LINK_F_TSO6 };
	struct tcp_opts o = scaled;

	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct rig_seg *s;
		struct rig_conn *k;
		size_t mss;

		conf.v6 = i & 1;
		o.mss = conf.v6 ? 1440 : 1460;
		o.has_ts = i & 2;
		mss = o.mss - (o.has_ts ? 12u : 0u);
		rig_init(r, &conf);
		k = rig_established(r, &o, 8000);	/* times 128 */
		rig_offer(r, k, 200000);
		s = rig_out(r);
		assert_true(s->len > 60000);
		assert_int_equal(s->len % mss, 0);
		assert_int_equal(s->gso_size, mss);
		r->head--;
		assert_int_equal(take_all(1), 200000);
		r->conn[0].tx_len += mss;		/* just one: no GSO */
		rig_offer(r, k, 0);
		assert_int_equal(rig_out(r)->gso_size, 0);
		rig_quiet(r);
		rig_done(r);
	}
}

static void budget(void **state)
{
	enum { SEGS = TCP_BUDGET_BYTES / 1460 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &scaled, 8000);		/* times 128 */
	k->tx_len = (2 * SEGS + 4) * 1460;
	tcp_readable(k->c);
	assert_int_equal(tcp_turn(k->c, 0), SEGS * 1460);
	assert_true(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), SEGS);
	assert_int_equal(tcp_turn(k->c, SEGS * 1460), SEGS * 1460);
	assert_true(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), SEGS);
	assert_false(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), 4);
	/* What is sent again fills holes, which are short */
	assert_int_equal(tcp_turn(k->c, 1460), TCP_BUDGET * 1460);
	rig_done(r);
}

/* Many together have no more than one alone, but each what long frames have */
static void budget_is_shared(void **state)
{
	enum { SEGS = TCP_BUDGET_BYTES / 1460, N = 8 };
	struct rig_seg s;

	(void)state;
	rig_init(r, NULL);
	for (int i = 0; i < N; i++) {
		s = (struct rig_seg){ .flags = S, .wnd = 8000, .opt = scaled,
				      .gport = (uint16_t)(50000 + i) };
		r->pisn_known = false;
		rig_in(r, &s);
		rig_out(r);
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
					     .wnd = 8000, .gport = s.gport });
		r->conn[i].tx_len = SEGS * 1460;
	}
	for (int i = 0; i < 3; i++)
		tcp_readable(r->conn[i].c);
	assert_true(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), SEGS / 3 * 3);
	for (int i = 0; i < N; i++)
		tcp_readable(r->conn[i].c);
	assert_true(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), N * TCP_BUDGET);
	rig_flush(r);
	rig_drain(r);
	rig_done(r);
}

/* Long frames are counted: a few of them have many bytes */
static void budget_of_long_frames(void **state)
{
	const struct rig_conf large = { .mtu = 16000 };
	const struct rig_conf gso = { .features = LINK_F_CSUM | LINK_F_TSO4 };
	struct tcp_opts o = scaled;
	struct rig_conn *k;
	size_t turn, len;

	(void)state;
	rig_init(r, &large);
	o.mss = 15960;
	k = rig_established(r, &o, 8000);
	k->tx_len = 10 * 15960;
	tcp_readable(k->c);
	assert_true(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), TCP_BUDGET);
	assert_false(tcp_flush(r->ts));
	assert_int_equal(rig_drain(r), 2);
	rig_done(r);

	rig_init(r, &gso);
	k = rig_established(r, &scaled, 8000);
	k->tx_len = 900000;
	tcp_readable(k->c);
	turn = tcp_turn(k->c, 0);
	assert_true(tcp_flush(r->ts));
	len = rig_out(r)->len;
	assert_true(len > 60000);
	assert_int_equal(rig_drain(r), TCP_BUDGET - 1);
	assert_int_equal(turn, TCP_BUDGET * len);
	rig_flush(r);
	rig_drain(r);
	rig_done(r);
}

/* Never more than the guest has room for, or the path */
static void turn_fits_window(void **state)
{
	struct rig_conf conf = { .congestion = TCP_CONG_RENO };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 4000);
	assert_int_equal(tcp_turn(k->c, 0), 2 * 1460);
	rig_offer(r, k, 10000);
	assert_int_equal(rig_drain(r), 2);
	assert_int_equal(tcp_turn(k->c, 2 * 1460), 0);
	rig_done(r);

	rig_init(r, &conf);
	k = rig_established(r, &scaled, 8000);
	assert_in_range(tcp_turn(k->c, 0), 1460, 10 * 1460);
	rig_done(r);
}

static void window_limits(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 4000);
	rig_offer(r, k, 10000);
	assert_int_equal(take_all(1), 2920);	/* no silly third segment */
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1461,
				     .wnd = 2540 });	/* same right edge */
	rig_quiet(r);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 2921,
				     .wnd = 4000 });
	assert_int_equal(take_all(2921), 2920);
	/* the guest takes window back; an ACK in the past changes nothing */
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 5841,
				     .wnd = 0 });
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 2921,
				     .wnd = 60000 });
	rig_quiet(r);
	assert_int_equal(k->tx_off, 5840);
	rig_seg(r, A, 1, 5841, 0);
	assert_int_equal(take_all(5841), 4160);
	rig_done(r);
}

static void zero_window(void **state)
{
	uint64_t start, gap, last, want = 400;
	struct rig_conn *k;
	unsigned int n = 0;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 1460);
	rig_offer(r, k, 3000);
	assert_int_equal(take_all(1), 1460);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1461 });
	rig_quiet(r);
	start = last = timerq_now(&r->tq);
	/* An hour; the guest answers each probe: still closed */
	while (timerq_now(&r->tq) - start < 3600 * NS_PER_S) {
		const struct rig_seg *s;

		rig_run(r, 1);
		if (r->head == r->tail)
			continue;
		s = rig_out(r);
		assert_int_equal(s->len, 0);
		assert_int_equal(s->seq, 1460);	/* must be answered */
		gap = (timerq_now(&r->tq) - last) / NS_PER_MS;
		if (n)
			assert_true(gap >= MIN(want, 60000) &&
				    gap <= MIN(want, 60000) + 2);
		want = n++ && want < 60000 ? want * 2 : want;
		last = timerq_now(&r->tq);
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1,
					     .ack = 1461 });
	}
	assert_true(n > 60 && n < 75);
	assert_false(k->closed);
	rig_seg(r, A, 1, 1461, 0);
	assert_int_equal(take_all(1461), 1540);
	rig_done(r);
}

static void unanswered_probes(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 0);
	rig_offer(r, k, 100);
	rig_run(r, 90000);
	assert_false(k->closed);
	rig_run(r, 120000);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_drain(r);
	rig_done(r);
}

static void zero_window_nothing_to_send(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 0);
	rig_run(r, 100000);
	rig_quiet(r);
	rig_eof(r, k);			/* a FIN needs no window */
	rig_expect(r, F | A, 1, 1, 0);
	rig_done(r);
}

static void silly_window(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 10000);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 100 });
	rig_offer(r, k, 5000);
	rig_quiet(r);
	rig_run(r, 201);		/* the override timeout */
	rig_expect(r, A | P, 1, 1, 100);
	rig_done(r);
	/* all of it fits: no reason to wait */
	rig_init(r, NULL);
	k = rig_established(r, NULL, 10000);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 100 });
	rig_offer(r, k, 99);
	rig_expect(r, A | P, 1, 1, 99);
	rig_done(r);
}

static void tiny_window_is_used(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 500);	/* it never had more */
	rig_offer(r, k, 1000);
	rig_expect(r, A | P, 1, 1, 500);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 501,
				     .wnd = 500 });
	rig_expect(r, A | P, 501, 1, 500);
	rig_done(r);
}

/* --- the link ------------------------------------------------------------- */

static void link_full(void **state)
{
	struct rig_conn *k;
	unsigned int peeks;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	r->link.refuse = true;
	k->tx_len = 4000;
	tcp_readable(k->c);
	assert_false(tcp_flush(r->ts));		/* nobody comes back */
	peeks = k->peeks;
	rig_seg(r, A | P, 1, 1, 100);		/* input goes on */
	assert_int_equal(k->rx_len, 100);
	for (int i = 0; i < 100; i++)
		assert_false(tcp_flush(r->ts));
	assert_int_equal(k->peeks, peeks);
	assert_int_equal(count_get("tcp_link_full"), 1);
	rig_run(r, 5000);
	rig_quiet(r);
	r->link.refuse = false;
	r->wakes = 0;
	tcp_link_up(r->ts);
	assert_true(r->wakes > 0);
	rig_flush(r);
	assert_int_equal(take_all(1), 4000);
	rig_done(r);
}

static void link_full_keeps_control(void **state)
{
	struct rig_seg s = { .flags = S, .wnd = 1000 };
	struct rig_conn *k;
	uint8_t seen = 0;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	r->link.refuse = true;
	s.gport = 1;
	rig_in(r, &s);				/* SYN-ACK waits */
	tcp_abort(k->c);			/* RST waits */
	assert_true(k->closed);
	rig_flush(r);
	assert_int_equal(tcp_count(r->ts), 1);
	rig_run(r, 300000);			/* not the guest's fault */
	assert_int_equal(tcp_count(r->ts), 1);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	assert_int_equal(r->tail - r->head, 2);
	for (int i = 0; i < 2; i++)
		seen |= rig_out(r)->flags;
	assert_int_equal(seen, R | A | S);
	rig_done(r);
}

static void link_down_and_up(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_offer(r, k, 3000);
	assert_int_equal(take_all(1), 3000);
	netif_detach(&r->netif);
	rig_run(r, 3600 * 1000);		/* the guest is suspended */
	assert_false(k->closed);
	netif_attach(&r->netif, &r->link.link);
	tcp_link_up(r->ts);
	rig_flush(r);				/* at once, from the start */
	rig_expect(r, A | P, 1, 1, 1460);
	rig_seg(r, A, 1, 1461, 0);
	assert_int_equal(take_all(1461), 1540);
	rig_seg(r, A, 1, 3001, 0);
	assert_int_equal(k->tx_off, 3000);
	rig_done(r);
}

int tcp_out_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_frames),
		cmocka_unit_test(gso_frames),
		cmocka_unit_test(budget),
		cmocka_unit_test(budget_is_shared),
		cmocka_unit_test(budget_of_long_frames),
		cmocka_unit_test(turn_fits_window),
		cmocka_unit_test(window_limits),
		cmocka_unit_test(zero_window),
		cmocka_unit_test(unanswered_probes),
		cmocka_unit_test(zero_window_nothing_to_send),
		cmocka_unit_test(silly_window),
		cmocka_unit_test(tiny_window_is_used),
		cmocka_unit_test(link_full),
		cmocka_unit_test(link_full_keeps_control),
		cmocka_unit_test(link_down_and_up),
	};

	return cmocka_run_group_tests_name("tcp_out", tests, NULL, NULL);
}
