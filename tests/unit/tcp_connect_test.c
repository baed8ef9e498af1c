/* tcp_connect(): SYN-SENT, simultaneous open (RFC 9293 3.5, 3.10.7.3) */
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

int tcp_connect_test(void);

static struct rig rig, *const r = &rig;

static struct rig_conn *begin(const struct rig_conf *conf)
{
	struct rig_conn *k;
	int err = 0;

	rig_init(r, conf);
	k = rig_connect(r, &err);
	assert_non_null(k);
	rig_expect(r, S, 0, 0, 0);
	assert_string_equal(tcp_state_name(k->c), "SYN-SENT");
	return k;
}

static void synack(const struct tcp_opts *o, uint16_t wnd)
{
	struct rig_seg s = { .flags = S | A, .seq = 0, .ack = 1, .wnd = wnd };

	if (o)
		s.opt = *o;
	rig_in(r, &s);
}

static void connect_and_talk(void **state)
{
	struct rig_conf conf = { 0 };
	struct rig_conn *k;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		conf.v6 = v6;
		k = begin(&conf);
		assert_false(k->connected);
		synack(&(struct tcp_opts){ .mss = 1400 }, 5000);
		rig_expect(r, A, 1, 1, 0);
		assert_true(k->connected);
		rig_seg(r, A | P, 1, 1, 100);
		rig_expect(r, A, 1, 101, 0);
		assert_true(k->rx_len == 100 && rig_rx_ok(k));
		rig_offer(r, k, 2000);
		rig_expect(r, A | P, 1, 101, 1400);
		rig_expect(r, A | P, 1401, 101, 600);
		rig_seg(r, A | F, 101, 2001, 0);
		rig_expect(r, A, 2001, 102, 0);
		rig_eof(r, k);
		rig_expect(r, F | A, 2001, 102, 0);
		rig_seg(r, A, 102, 2002, 0);
		assert_true(k->closed && !k->why && k->got_fin);
		assert_int_equal(tcp_count(r->ts), 0);
		rig_done(r);
	}
}

/* Everything is offered, and only what the guest takes up is used */
static void connect_options(void **state)
{
	const struct tcp_opts *o;
	struct rig_conn *k = begin(NULL);

	(void)state;
	o = &r->out[r->head - 1].opt;
	assert_int_equal(r->out[r->head - 1].wnd, 65535);
	assert_int_equal(o->mss, 1460);
	assert_true(o->has_ts && o->sack_ok && o->has_wscale);
	assert_int_equal(o->wscale, 7);
	assert_int_equal(o->tsecr, 0);
	synack(&(struct tcp_opts){ .mss = 1460, .has_ts = true, .tsval = 9,
	       .tsecr = o->tsval, .sack_ok = true, .has_wscale = true,
	       .wscale = 3 }, 3000);
	rig_expect(r, A, 1, 1, 0);
	assert_int_equal(r->out[r->head - 1].opt.tsecr, 9);
	assert_int_equal(r->out[r->head - 1].wnd, 65535 >> 7);
	rig_offer(r, k, 20000);		/* the window of a SYN has no scale */
	rig_expect(r, A | P, 1, 1, 1448);
	rig_expect(r, A | P, 1449, 1, 1448);
	rig_quiet(r);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 2897,
		.wnd = 1000, .opt = { .has_ts = true, .tsval = 10 } });
	assert_int_equal(rig_drain(r), 5);	/* and that of an ACK has */
	rig_done(r);

	k = begin(NULL);
	synack(NULL, 65535);
	rig_expect(r, A, 1, 1, 0);
	o = &r->out[r->head - 1].opt;
	assert_false(o->has_ts || o->nsack);
	assert_int_equal(r->out[r->head - 1].wnd, 65535);
	rig_offer(r, k, 1000);
	rig_expect(r, A | P, 1, 1, 536);
	rig_drain(r);
	rig_seg(r, A, 101, 1, 10);		/* early: no SACK */
	assert_int_equal(rig_out(r)->opt.nsack, 0);
	rig_done(r);
}

static void connect_refused(void **state)
{
	struct rig_conn *k = begin(NULL);

	(void)state;
	rig_seg(r, R | A, 0, 1, 0);
	assert_int_equal(k->why, -ECONNREFUSED);
	assert_false(k->connected);
	assert_int_equal(tcp_count(r->ts), 0);
	assert_int_equal(count_get("tcp_refused_by_guest"), 1);
	rig_run(r, 100000);
	rig_done(r);
}

static void connect_silence(void **state)
{
	struct rig_conn *k = begin(NULL);
	uint32_t gap = 1000;

	(void)state;
	for (int i = 0; i < 7; i++) {
		rig_run(r, gap - 1);
		rig_quiet(r);
		rig_run(r, 1);
		rig_expect(r, S, 0, 0, 0);
		gap = MIN(2 * gap, 60000);
	}
	rig_run(r, 59999);
	assert_false(k->closed);
	rig_run(r, 1);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_done(r);			/* and no RST */
}

static void connect_wrong_answers(void **state)
{
	struct rig_conn *k = begin(NULL);

	(void)state;
	rig_seg(r, A, 5, 0, 0);			/* an old duplicate */
	rig_expect(r, R, 0, 0, 0);
	rig_seg(r, A, 5, 2, 0);
	rig_expect(r, R, 2, 0, 0);
	rig_seg(r, S | A, 0, 2, 0);
	rig_expect(r, R, 2, 0, 0);
	rig_seg(r, R | A, 0, 0, 0);
	rig_seg(r, R | A, 0, 2, 0);
	rig_seg(r, R, 0, 0, 0);
	rig_seg(r, A, 1, 1, 10);
	rig_seg(r, F | A, 1, 1, 0);
	rig_seg(r, 0, 1, 1, 10);
	rig_quiet(r);
	assert_string_equal(tcp_state_name(k->c), "SYN-SENT");
	assert_false(k->closed || k->connected);
	synack(NULL, 1000);
	rig_expect(r, A, 1, 1, 0);
	assert_true(k->connected);
	rig_done(r);
}

static void simultaneous_open(void **state)
{
	struct rig_conn *k = begin(NULL);
	const struct tcp_opts o = { .mss = 1460, .has_wscale = true,
				    .wscale = 7 };

	(void)state;
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 3000, .opt = o });
	rig_expect(r, S | A, 0, 1, 0);
	assert_string_equal(tcp_state_name(k->c), "SYN-RECEIVED");
	assert_int_equal(r->nconn, 1);
	synack(&o, 3000);
	rig_expect(r, A, 1, 1, 0);
	assert_string_equal(tcp_state_name(k->c), "ESTABLISHED");
	assert_true(k->connected);
	rig_offer(r, k, 9000);			/* 3000, not times 128 */
	assert_int_equal(rig_drain(r), 2);
	rig_seg(r, A | P, 1, 1, 50);
	assert_int_equal(k->rx_len, 50);
	rig_drain(r);
	rig_done(r);
}

static void simultaneous_open_by_ack(void **state)
{
	struct rig_conn *k = begin(NULL);

	(void)state;
	rig_seg(r, S, 0, 0, 0);
	rig_expect(r, S | A, 0, 1, 0);
	rig_run(r, 1001);			/* lost, and sent again */
	rig_expect(r, S | A, 0, 1, 0);
	synack(NULL, 1000);
	rig_expect(r, A, 1, 1, 0);
	synack(NULL, 1000);			/* again: a challenge */
	rig_expect(r, A, 1, 1, 0);
	assert_true(k->connected && !k->closed);
	rig_done(r);

	k = begin(NULL);
	rig_seg(r, S, 0, 0, 0);
	rig_expect(r, S | A, 0, 1, 0);
	rig_seg(r, S | A, 7, 1, 0);		/* another SYN than before */
	rig_expect(r, A, 1, 1, 0);
	rig_seg(r, S | A, 0, 2, 0);		/* another ACK than due */
	rig_quiet(r);				/* the rate limit */
	rig_seg(r, A, 1, 1, 0);
	assert_true(k->connected);
	rig_done(r);
}

static void refused_after_crossing(void **state)
{
	struct rig_conn *k = begin(NULL);

	(void)state;
	rig_seg(r, S, 0, 0, 0);
	rig_expect(r, S | A, 0, 1, 0);
	rig_seg(r, R, 1, 0, 0);			/* RFC 9293 3.10.7.4 */
	assert_int_equal(k->why, -ECONNREFUSED);
	rig_done(r);
	k = begin(NULL);
	synack(NULL, 1000);
	rig_expect(r, A, 1, 1, 0);
	rig_seg(r, R, 1, 0, 0);
	assert_int_equal(k->why, -ECONNRESET);
	rig_done(r);
}

static void synack_with_data_and_fin(void **state)
{
	struct rig_conn *k = begin(NULL);
	struct rig_seg s = { .flags = S | A | F, .ack = 1, .wnd = 1000,
			     .len = 10, .data = (uint8_t *)"0123456789" };

	(void)state;
	rig_in(r, &s);
	assert_true(k->connected && k->got_fin && k->rx_len == 10);
	assert_memory_equal(k->rx, "0123456789", 10);
	rig_expect(r, A, 1, 12, 0);
	assert_string_equal(tcp_state_name(k->c), "CLOSE-WAIT");
	rig_done(r);
}

static void data_before_the_answer(void **state)
{
	struct rig_conn *k = begin(NULL);

	(void)state;
	rig_offer(r, k, 100);
	rig_eof(r, k);
	tcp_room_changed(k->c);
	rig_flush(r);
	rig_quiet(r);				/* it waits */
	synack(NULL, 1000);
	rig_expect(r, A | P, 1, 1, 100);
	rig_expect(r, F | A, 101, 1, 0);
	assert_string_equal(tcp_state_name(k->c), "FIN-WAIT-1");
	rig_done(r);
}

static void connect_fails_at_once(void **state)
{
	struct rig_conf conf = { .max_conns = 1 };
	int err = 0;

	(void)state;
	begin(&conf);
	assert_null(rig_connect(r, &err));
	assert_int_equal(err, -EADDRINUSE);
	rig_done(r);
	rig_init(r, &conf);
	rig_in(r, &(struct rig_seg){ .flags = S, .wnd = 1, .gport = 9 });
	assert_int_equal(rig_out(r)->flags, S | A);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1, .wnd = 1,
				     .gport = 9 });
	assert_null(rig_connect(r, &err));
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(tcp_count(r->ts), 1);
	rig_done(r);
}

/* A dial gives way, but not one that a callback may have in its hands */
static void connect_makes_room(void **state)
{
	struct rig_conf conf = { .max_conns = 1, .manual = true };
	struct rig_seg syn = { .flags = S, .wnd = 1, .gport = 9 };
	int err = 0;

	(void)state;
	rig_init(r, &conf);
	rig_in_only(r, &syn);
	assert_null(rig_connect(r, &err));
	assert_int_equal(err, -ENOBUFS);
	assert_false(r->conn[0].closed);
	rig_done(r);
	rig_init(r, &conf);
	rig_in(r, &syn);
	assert_non_null(rig_connect(r, &err));
	assert_true(r->conn[0].closed);
	assert_int_equal(count_get("tcp_dial_evicted"), 1);
	rig_expect(r, S, 0, 0, 0);
	rig_done(r);
}

static void abort_while_connecting(void **state)
{
	struct rig_conn *k = begin(NULL);

	(void)state;
	tcp_abort(k->c);
	rig_flush(r);
	assert_int_equal(k->why, -ECONNABORTED);
	rig_quiet(r);
	assert_int_equal(tcp_count(r->ts), 0);
	synack(NULL, 1000);			/* too late */
	rig_expect(r, R, 1, 0, 0);
	rig_done(r);
	k = begin(NULL);
	k->abort_in_connected = true;
	synack(NULL, 1000);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(k->closes, 1);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void connect_without_link(void **state)
{
	struct rig_conn *k;
	int err = 0;

	(void)state;
	rig_init(r, NULL);
	netif_detach(&r->netif);
	k = rig_connect(r, &err);
	assert_non_null(k);
	rig_run(r, 300000);
	assert_false(k->closed);
	netif_attach(&r->netif, &r->link.link);
	tcp_link_up(r->ts);
	rig_flush(r);
	rig_expect(r, S, 0, 0, 0);
	synack(NULL, 1000);
	rig_expect(r, A, 1, 1, 0);
	assert_true(k->connected);
	rig_done(r);
}

int tcp_connect_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connect_and_talk),
		cmocka_unit_test(connect_options),
		cmocka_unit_test(connect_refused),
		cmocka_unit_test(connect_silence),
		cmocka_unit_test(connect_wrong_answers),
		cmocka_unit_test(simultaneous_open),
		cmocka_unit_test(simultaneous_open_by_ack),
		cmocka_unit_test(refused_after_crossing),
		cmocka_unit_test(synack_with_data_and_fin),
		cmocka_unit_test(data_before_the_answer),
		cmocka_unit_test(connect_fails_at_once),
		cmocka_unit_test(connect_makes_room),
		cmocka_unit_test(abort_while_connecting),
		cmocka_unit_test(connect_without_link),
	};

	return cmocka_run_group_tests_name("tcp_connect", tests, NULL, NULL);
}
