/* Handshake, end of a connection, table */
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

static struct rig rig, *const r = &rig;

/* --- handshake ------------------------------------------------------------ */

static const struct {
	const char *name;
	bool v6;
	uint16_t mtu;
	struct tcp_opts in;
	struct tcp_opts out;	/* mss, has_wscale, wscale, sack_ok, has_ts */
	size_t seg;		/* payload of a full segment then */
} handshakes[] = {
	{ "no options", false, 1500, { 0 }, { .mss = 1460 }, 536 },
	{ "no options, IPv6", true, 1500, { 0 }, { .mss = 1440 }, 1220 },
	{ "mss", false, 1500, { .mss = 1400 }, { .mss = 1460 }, 1400 },
	{ "mss above ours", false, 1400, { .mss = 8960 }, { .mss = 1360 },
	  1360 },
	{ "tiny mss", false, 1500, { .mss = 1 }, { .mss = 1460 }, 48 },
	{ "scale", false, 1500, { .mss = 1460, .has_wscale = true,
	  .wscale = 3 }, { .mss = 1460, .has_wscale = true, .wscale = 7 },
	  1460 },
	{ "scale beyond 14", false, 1500, { .mss = 1460, .has_wscale = true,
	  .wscale = 200 }, { .mss = 1460, .has_wscale = true, .wscale = 7 },
	  1460 },
	{ "sack", false, 1500, { .mss = 1460, .sack_ok = true },
	  { .mss = 1460, .sack_ok = true }, 1460 },
	{ "timestamps", false, 1500, { .mss = 1460, .has_ts = true,
	  .tsval = 77 }, { .mss = 1460, .has_ts = true, .tsecr = 77 }, 1448 },
	{ "all, IPv6", true, 1500, { .mss = 1440, .has_ts = true, .tsval = 5,
	  .sack_ok = true, .has_wscale = true },
	  { .mss = 1440, .has_ts = true, .tsecr = 5, .sack_ok = true,
	    .has_wscale = true, .wscale = 7 }, 1428 },
};

static void handshake(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(handshakes); i++) {
		struct rig_conf conf = { .v6 = handshakes[i].v6,
					 .mtu = handshakes[i].mtu };
		const struct tcp_opts *o, *want = &handshakes[i].out;
		struct rig_seg s = { .flags = S, .wnd = 65535,
				     .opt = handshakes[i].in };
		struct rig_conn *k;

		print_message("  %s\n", handshakes[i].name);
		rig_init(r, &conf);
		rig_in(r, &s);
		o = &r->out[r->head].opt;
		assert_int_equal(r->out[r->head].wnd, 65535);
		rig_expect(r, S | A, 0, 1, 0);
		assert_int_equal(o->mss, want->mss);
		assert_int_equal(o->has_wscale, want->has_wscale);
		assert_int_equal(o->wscale, want->wscale);
		assert_int_equal(o->sack_ok, want->sack_ok);
		assert_int_equal(o->has_ts, want->has_ts);
		assert_int_equal(o->tsecr, want->tsecr);
		s.flags = A;
		s.seq = s.ack = 1;
		s.opt = (struct tcp_opts){ .has_ts = want->has_ts,
			.tsval = s.opt.tsval + 1, .tsecr = o->tsval };
		rig_in(r, &s);
		k = &r->conn[0];
		assert_string_equal(tcp_state_name(k->c), "ESTABLISHED");
		rig_offer(r, k, 3000);
		assert_int_equal(rig_out(r)->len, handshakes[i].seg);
		rig_drain(r);
		rig_done(r);
	}
}

static void syn_waits_for_owner(void **state)
{
	struct rig_conf conf = { .manual = true };
	uint8_t head[8];

	(void)state;
	rig_init(r, &conf);
	rig_seg(r, S, 0, 0, 0);
	rig_quiet(r);
	assert_int_equal(r->nconn, 1);
	assert_string_equal(tcp_state_name(r->conn[0].c), "DIALLING");
	rig_seg(r, S, 0, 0, 0);		/* again: absorbed */
	rig_seg(r, S, 0, 0, 100);	/* with data, ignored */
	rig_run(r, 200000);		/* the owner's patience, not ours */
	assert_int_equal(r->nconn, 1);
	rig_quiet(r);
	tcp_syn_header(r->conn[0].c, head);
	assert_int_equal(head[0] << 8 | head[1], RIG_GUEST_PORT);
	assert_int_equal(head[2] << 8 | head[3], RIG_PEER_PORT);
	assert_int_equal(head[6] << 8 | head[7], 1000);
	rig_seg(r, A, 1, 1, 0);		/* of what? */
	rig_expect(r, R, 1, 0, 0);
	tcp_accept(r->conn[0].c);
	assert_true(r->wakes > 0);
	rig_flush(r);
	rig_expect(r, S | A, 0, 1, 0);
	rig_seg(r, S, 0, 0, 0);		/* ours was lost */
	rig_expect(r, S | A, 0, 1, 0);
	rig_seg(r, A, 1, 1, 0);
	assert_string_equal(tcp_state_name(r->conn[0].c), "ESTABLISHED");
	rig_done(r);
}

static void refuse_and_drop(void **state)
{
	struct rig_conf conf = { .manual = true };
	struct slab_id id;

	(void)state;
	rig_init(r, &conf);
	rig_seg(r, S, 0, 0, 0);
	id = r->conn[0].id;
	assert_ptr_equal(tcp_get(r->ts, id), r->conn[0].c);
	tcp_refuse(r->conn[0].c);
	assert_null(tcp_get(r->ts, id));
	rig_flush(r);
	r->pisn_known = false;
	rig_expect(r, R | A, 0, 1, 0);
	rig_seg(r, S, 0, 0, 0);
	assert_int_equal(r->nconn, 2);
	tcp_drop(r->conn[1].c);
	rig_flush(r);
	rig_quiet(r);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_seg(r, S, 0, 0, 0);
	tcp_abort(r->conn[2].c);
	assert_int_equal(r->conn[2].why, -ECONNABORTED);
	rig_flush(r);
	rig_expect(r, R | A, 0, 1, 0);
	rig_seg(r, S, 0, 0, 0);
	rig_seg(r, R, 1, 0, 0);		/* the guest has given up */
	assert_int_equal(r->conn[3].why, -ECONNRESET);
	assert_int_equal(r->conn[0].closes + r->conn[1].closes, 0);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void synack_retransmission(void **state)
{
	static const uint32_t at_ms[] = { 1000, 2000, 4000, 8000, 16000 };

	(void)state;
	rig_init(r, NULL);
	rig_seg(r, S, 0, 0, 0);
	rig_expect(r, S | A, 0, 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(at_ms); i++) {
		rig_run(r, at_ms[i] - 2);
		rig_quiet(r);
		rig_run(r, 2);
		rig_expect(r, S | A, 0, 1, 0);
	}
	rig_run(r, 32001);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(r->conn[0].why, -ETIMEDOUT);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void bad_syns(void **state)
{
	struct rig_seg s = { .flags = S, .wnd = 1000 };
	uint8_t buf[2000];
	struct link_vnet vh;
	size_t len;

	(void)state;
	rig_init(r, NULL);
	len = rig_frame(r, &s, buf, sizeof(buf), &vh);
	buf[len - 3] ^= 1;		/* urgent pointer, so the checksum */
	memlink_deliver(&r->link, &vh, buf, len);
	assert_int_equal(count_get("drop_tcp_csum"), 1);
	rig_seg(r, S | F, 0, 0, 0);
	rig_seg(r, S | R, 0, 0, 0);
	assert_int_equal(r->nconn, 0);
	rig_quiet(r);
	rig_seg(r, S | A, 0, 55, 0);
	r->pisn_known = true;
	rig_expect(r, R, 55, 0, 0);
	rig_seg(r, A, 5, 77, 10);
	rig_expect(r, R, 77, 0, 0);
	rig_seg(r, 0, 5, 0, 10);
	rig_expect(r, R | A, 0, 15, 0);
	rig_seg(r, F, 5, 0, 10);
	rig_expect(r, R | A, 0, 16, 0);
	rig_seg(r, R, 5, 0, 0);
	rig_seg(r, R | A, 5, 7, 0);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void handshake_ack_must_fit(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_seg(r, S, 0, 0, 0);
	rig_expect(r, S | A, 0, 1, 0);
	rig_seg(r, A, 1, 2, 0);
	rig_expect(r, R, 2, 0, 0);
	rig_seg(r, A, 1, 0, 0);
	rig_expect(r, R, 0, 0, 0);
	assert_string_equal(tcp_state_name(r->conn[0].c), "SYN-RECEIVED");
	rig_seg(r, A | P | F, 1, 1, 10);	/* all in one */
	assert_int_equal(r->conn[0].rx_len, 10);
	assert_true(r->conn[0].got_fin);
	rig_expect(r, A, 1, 12, 0);
	rig_done(r);
}

/* --- the end -------------------------------------------------------------- */

static void guest_closes_first(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_seg(r, A | F, 1, 1, 0);
	rig_expect(r, A, 1, 2, 0);
	assert_true(k->got_fin);
	assert_string_equal(tcp_state_name(k->c), "CLOSE-WAIT");
	rig_offer(r, k, 100);		/* the other direction lives on */
	rig_expect(r, A | P, 1, 2, 100);
	rig_seg(r, A, 2, 101, 0);
	assert_int_equal(k->tx_off, 100);
	rig_eof(r, k);
	rig_expect(r, F | A, 101, 2, 0);
	assert_string_equal(tcp_state_name(k->c), "LAST-ACK");
	assert_false(k->closed);
	rig_seg(r, A, 2, 102, 0);
	assert_true(k->closed && !k->why);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void owner_closes_first(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	k->tx_len = 50;
	rig_eof(r, k);
	rig_expect(r, A | P, 1, 1, 50);
	rig_expect(r, F | A, 51, 1, 0);
	assert_string_equal(tcp_state_name(k->c), "FIN-WAIT-1");
	rig_seg(r, A, 1, 52, 0);
	assert_string_equal(tcp_state_name(k->c), "FIN-WAIT-2");
	assert_int_equal(k->tx_off, 50);
	rig_run(r, 24 * 3600 * 1000);	/* half-closed is no reason to end */
	rig_seg(r, A | P, 1, 52, 300);
	assert_int_equal(k->rx_len, 300);
	rig_expect(r, A, 52, 301, 0);
	rig_seg(r, A | F, 301, 52, 0);
	rig_expect(r, A, 52, 302, 0);
	assert_true(k->got_fin && k->closed && !k->why);
	assert_string_equal(tcp_state_name(k->c), "TIME-WAIT");
	assert_null(tcp_get(r->ts, k->id));
	rig_run(r, 6000);
	rig_seg(r, A | F, 301, 52, 0);	/* our ACK was lost: 10 s more */
	rig_expect(r, A, 52, 302, 0);
	rig_run(r, 9999);
	assert_int_equal(tcp_count(r->ts), 1);
	rig_run(r, 2);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void simultaneous_close(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_eof(r, k);
	rig_expect(r, F | A, 1, 1, 0);
	rig_seg(r, A | F, 1, 1, 0);	/* it has not seen ours */
	rig_expect(r, A, 2, 2, 0);
	assert_string_equal(tcp_state_name(k->c), "CLOSING");
	assert_true(k->got_fin && !k->closed);
	rig_seg(r, A, 2, 2, 0);
	assert_true(k->closed && !k->why);
	assert_string_equal(tcp_state_name(k->c), "TIME-WAIT");
	rig_run(r, 10001);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

static void fin_answers_fin(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_eof(r, k);
	rig_expect(r, F | A, 1, 1, 0);
	rig_seg(r, A | F, 1, 2, 0);	/* ACK and FIN in one */
	rig_expect(r, A, 2, 2, 0);
	assert_true(k->closed && !k->why && k->got_fin);
	assert_string_equal(tcp_state_name(k->c), "TIME-WAIT");
	rig_done(r);
}

static void fin_is_retransmitted(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	rig_eof(r, k);
	rig_expect(r, F | A, 1, 1, 0);
	rig_run(r, 201);
	rig_expect(r, F | A, 1, 1, 0);
	rig_run(r, 200000);
	assert_int_equal(k->why, -ETIMEDOUT);
	assert_true(rig_drain(r) > 6);
	rig_done(r);
}

static void no_recv(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	tcp_no_recv(k->c);
	rig_eof(r, k);
	rig_expect(r, F | A, 1, 1, 0);
	rig_seg(r, A, 1, 2, 0);
	rig_run(r, 59000);
	assert_false(k->closed);
	rig_run(r, 1001);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_expect(r, R | A, 2, 1, 0);
	k = rig_established(r, NULL, 65535);
	tcp_no_recv(k->c);
	rig_seg(r, A | P, 1, 1, 5);
	assert_int_equal(k->rx_len, 0);
	assert_int_equal(k->why, -ECONNABORTED);
	rig_expect(r, R | A, 1, 1, 0);
	rig_done(r);
}

static void owner_errors(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, NULL, 65535);
	k->fail_recv = -EPIPE;
	rig_seg(r, A | P, 1, 1, 5);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(k->why, -ECONNABORTED);
	k = rig_established(r, NULL, 65535);
	k->fail_peek = -ECONNRESET;
	rig_offer(r, k, 10);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(k->why, -ECONNABORTED);
	k = rig_established(r, NULL, 65535);
	k->abort_in_peek = true;
	rig_offer(r, k, 10);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(k->closes, 1);
	k = rig_established(r, NULL, 65535);
	k->abort_in_recv = true;
	rig_seg(r, A | P, 1, 1, 5);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(k->closes, 1);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

/* --- TIME-WAIT and the table ---------------------------------------------- */

static struct rig_conn *to_time_wait(const struct tcp_opts *o)
{
	struct rig_conn *k = rig_established(r, o, 65535);
	struct rig_seg s = { .flags = A | F, .seq = 1, .ack = 2,
			     .wnd = 65535 };

	if (o && o->has_ts) {
		s.opt.has_ts = true;
		s.opt.tsval = o->tsval;
	}
	rig_eof(r, k);
	rig_expect(r, F | A, 1, 1, 0);
	rig_in(r, &s);
	rig_expect(r, A, 2, 2, 0);
	assert_string_equal(tcp_state_name(k->c), "TIME-WAIT");
	return k;
}

static void time_wait_reuse(void **state)
{
	struct rig_seg s = { .flags = S, .seq = 100, .wnd = 65535 };
	const struct tcp_opts o = { .mss = 1460, .has_ts = true, .tsval = 50 };

	(void)state;
	rig_init(r, NULL);
	to_time_wait(NULL);
	rig_seg(r, S, (uint32_t)-50, 0, 0);	/* old: the ACK of TIME-WAIT */
	rig_expect(r, A, 2, 2, 0);
	assert_int_equal(r->nconn, 1);
	r->head = r->tail;
	rig_in(r, &s);
	assert_int_equal(r->nconn, 2);
	assert_int_equal(count_get("tcp_tw_reused"), 1);
	assert_true(r->out[r->head].seq > 2 &&
		    r->out[r->head].seq < 1u << 31);	/* beyond the old one */
	rig_drain(r);
	rig_done(r);

	rig_init(r, NULL);
	to_time_wait(&o);
	s = (struct rig_seg){ .flags = S, .seq = (uint32_t)-5000,
			      .wnd = 1000, .opt = o };
	s.opt.tsval = 49;
	rig_in(r, &s);
	rig_expect(r, A, 2, 2, 0);
	assert_int_equal(r->nconn, 1);
	s.opt.tsval = 51;		/* RFC 6191: the clock decides */
	rig_in(r, &s);
	assert_int_equal(r->nconn, 2);
	rig_drain(r);
	rig_done(r);
}

static void time_wait_rst(void **state)
{
	(void)state;
	rig_init(r, NULL);
	to_time_wait(NULL);
	rig_seg(r, R, 3, 0, 0);
	rig_expect(r, A, 2, 2, 0);
	assert_int_equal(tcp_count(r->ts), 1);
	rig_seg(r, A, 2, 2, 0);		/* nothing to answer */
	rig_quiet(r);
	rig_seg(r, R, 2, 0, 0);
	assert_int_equal(tcp_count(r->ts), 0);
	rig_done(r);
}

/* A SYN from this port, and the ACK of the answer */
static void opens(uint16_t gport, bool finish)
{
	struct rig_seg s = { .flags = S, .wnd = 1000, .gport = gport };

	r->pisn_known = false;
	rig_in(r, &s);
	if (!finish)
		return;
	assert_int_equal(rig_out(r)->flags, S | A);
	s = (struct rig_seg){ .flags = A, .seq = 1, .ack = 1, .wnd = 1000,
			      .gport = gport };
	rig_in(r, &s);
}

static void table_full(void **state)
{
	struct rig_conf conf = { .max_conns = 3 };

	(void)state;
	rig_init(r, &conf);
	for (uint16_t i = 0; i < 3; i++) {
		opens(1000 + i, true);
		assert_true(r->conn[i].established);
	}
	opens(1003, false);
	rig_expect(r, R | A, 0, 1, 0);
	assert_int_equal(count_get("drop_tcp_full"), 1);
	assert_int_equal(tcp_count(r->ts), 3);
	assert_int_equal(r->nconn, 3);
	tcp_abort(r->conn[1].c);
	rig_flush(r);
	rig_drain(r);
	opens(1003, false);
	assert_int_equal(r->nconn, 4);
	rig_drain(r);
	rig_done(r);
}

static void time_wait_gives_way(void **state)
{
	struct rig_conf conf = { .max_conns = 2 };

	(void)state;
	rig_init(r, &conf);
	to_time_wait(NULL);
	for (uint16_t i = 0; i < 3; i++)
		opens(1000 + i, i < 2);
	assert_int_equal(r->nconn, 3);
	assert_int_equal(count_get("tcp_tw_evicted"), 1);
	assert_int_equal(count_get("drop_tcp_full"), 1);
	rig_drain(r);
	rig_done(r);
}

static void gone(unsigned int i)
{
	assert_true(r->conn[i].closed);
	assert_int_equal(r->conn[i].why, -ECONNABORTED);
	rig_quiet(r);				/* nobody is told */
}

/* Who has waited longest for an answer, of either side, makes room */
static void unfinished_give_way(void **state)
{
	struct rig_conf conf = { .max_conns = 3, .manual = true };
	struct rig_seg s = { .flags = S, .wnd = 1000 };

	(void)state;
	rig_init(r, &conf);
	opens(1000, false);
	opens(1001, false);
	opens(1002, false);
	tcp_accept(r->conn[2].c);
	rig_flush(r);
	rig_expect(r, S | A, 0, 1, 0);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 1000, .gport = 1002 });
	tcp_accept(r->conn[0].c);
	rig_flush(r);
	assert_int_equal(rig_out(r)->flags, S | A);
	opens(1003, false);
	gone(1);
	assert_int_equal(count_get("tcp_dial_evicted"), 1);
	opens(1004, false);
	gone(0);
	assert_int_equal(count_get("tcp_half_open_evicted"), 1);
	for (s.gport = 1005; s.gport < 1015; s.gport++)
		rig_in_only(r, &s);		/* within one batch as well */
	for (unsigned int i = 3; i < 13; i++)
		gone(i);
	rig_flush(r);
	assert_int_equal(tcp_count(r->ts), 3);
	assert_int_equal(r->nconn, 15);
	assert_false(r->conn[2].closed);
	assert_int_equal(count_get("drop_tcp_full"), 0);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
				     .wnd = 1000, .gport = 1000 });
	assert_int_equal(rig_out(r)->flags, R);	/* it was given up */
	tcp_refuse(r->conn[14].c);
	rig_flush(r);
	rig_drain(r);
	rig_done(r);
}

/* A full link: what has its SYN-ACK still to be sent is not among them */
static void unsent_stay(void **state)
{
	struct rig_conf conf = { .max_conns = 2 };

	(void)state;
	rig_init(r, &conf);
	r->link.refuse = true;
	opens(1000, false);
	opens(1001, false);
	opens(1002, false);
	assert_int_equal(r->nconn, 2);
	r->link.refuse = false;
	tcp_link_up(r->ts);
	rig_flush(r);
	assert_int_equal(rig_drain(r), 2);
	opens(1002, false);
	assert_int_equal(rig_out(r)->flags, S | A);
	gone(0);
	rig_done(r);
}

/* The owner decides before anybody has to make room */
static void admission(void **state)
{
	struct rig_conf conf = { .max_conns = 1 };

	(void)state;
	rig_init(r, &conf);
	opens(1000, false);
	rig_drain(r);
	r->admit = TCP_ADMIT_DROP;
	opens(1001, false);
	rig_quiet(r);
	r->admit = TCP_ADMIT_RST;
	opens(1002, false);
	rig_expect(r, R | A, 0, 1, 0);
	assert_int_equal(r->nconn, 1);
	assert_false(r->conn[0].closed);
	r->admit = TCP_ADMIT_OPEN;
	opens(1003, false);
	assert_int_equal(rig_drain(r), 1);
	gone(0);
	rig_done(r);
}

/* The owner may hold the struct tcp until the flush */
static void time_wait_lasts_for_a_batch(void **state)
{
	struct rig_conf conf = { .max_conns = 1 };
	struct rig_seg s = { .flags = A | F, .seq = 1, .ack = 2, .wnd = 1000 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, NULL, 65535);
	rig_eof(r, k);
	rig_expect(r, F | A, 1, 1, 0);
	rig_in_only(r, &s);
	rig_expect(r, A, 2, 2, 0);
	s = (struct rig_seg){ .flags = S, .gport = 7, .wnd = 1000 };
	rig_in_only(r, &s);
	assert_int_equal(rig_out(r)->flags, R | A);
	assert_string_equal(tcp_state_name(k->c), "TIME-WAIT");
	rig_flush(r);
	rig_in(r, &s);
	assert_int_equal(rig_out(r)->flags, S | A);
	rig_done(r);
}

static void count_one(void *arg, struct tcp *c)
{
	assert_true(tcp_tuple(c)->guest_port >= 1000);
	++*(unsigned int *)arg;
}

static void each(void **state)
{
	struct rig_seg s = { .flags = S, .wnd = 1000 };
	unsigned int n = 0;

	(void)state;
	rig_init(r, NULL);
	for (uint16_t i = 0; i < 5; i++) {
		s.gport = (uint16_t)(1000 + i);
		rig_in(r, &s);
	}
	tcp_abort(r->conn[2].c);
	tcp_each(r->ts, count_one, &n);
	assert_int_equal(n, 4);
	rig_flush(r);
	rig_drain(r);
	rig_done(r);
}

static void keepalive(void **state)
{
	struct rig_conf conf = { .keepalive_s = 60 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, NULL, 65535);
	rig_run(r, 30000);
	rig_seg(r, A | P, 1, 1, 1);
	rig_expect(r, A, 1, 2, 0);
	rig_run(r, 59000);
	rig_quiet(r);
	rig_run(r, 2000);
	rig_expect(r, A, 0, 2, 0);
	rig_seg(r, A, 2, 1, 0);
	rig_run(r, 90000);
	rig_expect(r, A, 0, 2, 0);
	rig_run(r, 900000);
	assert_int_equal(k->why, -ETIMEDOUT);
	assert_int_equal(rig_drain(r), 8 + 1);
	rig_done(r);
}

int tcp_test(void);

int tcp_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake),
		cmocka_unit_test(syn_waits_for_owner),
		cmocka_unit_test(refuse_and_drop),
		cmocka_unit_test(synack_retransmission),
		cmocka_unit_test(bad_syns),
		cmocka_unit_test(handshake_ack_must_fit),
		cmocka_unit_test(guest_closes_first),
		cmocka_unit_test(owner_closes_first),
		cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(fin_answers_fin),
		cmocka_unit_test(fin_is_retransmitted),
		cmocka_unit_test(no_recv),
		cmocka_unit_test(owner_errors),
		cmocka_unit_test(time_wait_reuse),
		cmocka_unit_test(time_wait_rst),
		cmocka_unit_test(table_full),
		cmocka_unit_test(time_wait_gives_way),
		cmocka_unit_test(unfinished_give_way),
		cmocka_unit_test(unsent_stay),
		cmocka_unit_test(admission),
		cmocka_unit_test(time_wait_lasts_for_a_batch),
		cmocka_unit_test(each),
		cmocka_unit_test(keepalive),
	};

	return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
