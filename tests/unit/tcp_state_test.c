/*
 * Every state x every event (RFC 9293 3.10): what comes back, and what becomes of
 * the state
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tests/unit/tcp_rig.h"

int tcp_state_test(void);

static struct rig rig, *const r = &rig;

/* DIALLING is LISTEN for this pair of addresses: the SYN is not answered yet */
enum { CLOSED, DIALLING, SYN_SENT, SYN_RCVD, ESTAB, FIN_WAIT_1, FIN_WAIT_2,
       CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT, STATES };

static const struct {
	const char *name;
	uint32_t seq, ack;	/* the guest's next, and its next from us */
} states[STATES] = {
	[CLOSED]	= { "CLOSED", 1, 1 },
	[DIALLING]	= { "DIALLING", 1, 1 },
	[SYN_SENT]	= { "SYN-SENT", 1, 1 },
	[SYN_RCVD]	= { "SYN-RECEIVED", 1, 1 },
	[ESTAB]		= { "ESTABLISHED", 1, 1 },
	[FIN_WAIT_1]	= { "FIN-WAIT-1", 1, 2 },
	[FIN_WAIT_2]	= { "FIN-WAIT-2", 1, 2 },
	[CLOSE_WAIT]	= { "CLOSE-WAIT", 2, 1 },
	[CLOSING]	= { "CLOSING", 2, 2 },
	[LAST_ACK]	= { "LAST-ACK", 2, 2 },
	[TIME_WAIT]	= { "TIME-WAIT", 2, 2 },
};

#define NEXT		0	/* relative to what is next */
#define AGAIN		(-1)
#define OLD		(-100)
#define IN		1000
#define WND		65535	/* what we offer in each state */
#define FAR		200000
#define U		TCP_FLAG_URG

/*
 * A cell says what the engine sends, and the new state, if there is one:
 *
 *	-		nothing
 *	ack:N		an ACK of N more than was next before
 *	syn synack:N fin  the same with the SYN or FIN of ours
 *	rst		RST with the number that the segment acknowledges
 *	rstack:N	RST with ACK, number 0 if we have none
 *	gone		the connection is no more
 *
 * Numbers are relative to states[]; @ack is 0 where the guest has all of ours.
 */
static const struct row {
	const char *name;
	uint8_t flags;
	int32_t seq, ack;
	size_t len;
	uint64_t ms;		/* instead of a segment: that much time */
	const char *want[STATES];
} rows[] = {
	{ "SYN next", S, NEXT, 0, 0, 0, {
	  "- DIALLING", "-", "synack:1 SYN-RECEIVED", "ack", "ack", "ack",
	  "ack", "ack", "ack", "ack", "ack" } },
	{ "SYN again", S, AGAIN, 0, 0, 0, {
	  "- DIALLING", "-", "synack SYN-RECEIVED", "synack", "ack", "ack",
	  "ack", "ack", "ack", "ack", "ack" } },
	{ "SYN old", S, OLD, 0, 0, 0, {
	  "- DIALLING", "-", "synack:-99 SYN-RECEIVED", "ack", "ack", "ack",
	  "ack", "ack", "ack", "ack", "ack" } },
	{ "SYN beyond", S, FAR, 0, 0, 0, {
	  "- DIALLING", "-", "synack:200001 SYN-RECEIVED", "ack", "ack", "ack",
	  "ack", "ack", "ack", "ack", "- DIALLING" } },
	{ "SYN with data", S, AGAIN, 0, 10, 0, {
	  "- DIALLING", "-", "synack SYN-RECEIVED", "synack", "ack", "ack",
	  "ack", "ack", "ack", "ack", "ack" } },
	{ "SYN+FIN", S | F, NEXT, 0, 0, 0, {
	  "-", "-", "synack:1 SYN-RECEIVED", "ack", "ack", "ack", "ack", "ack",
	  "ack", "ack", "ack" } },
	{ "SYN+RST", S | R, NEXT, 0, 0, 0, {
	  "-", "- gone", "-", "- gone", "- gone", "- gone", "- gone", "- gone",
	  "- gone", "- gone", "- gone" } },
	{ "SYN+ACK next", S | A, NEXT, 0, 0, 0, {
	  "rst", "rst", "ack:1 ESTABLISHED", "ack", "ack", "ack", "ack", "ack",
	  "ack", "ack", "ack" } },
	{ "SYN+ACK again", S | A, AGAIN, 0, 0, 0, {
	  "rst", "rst", "ack ESTABLISHED", "ack", "ack", "ack", "ack", "ack",
	  "ack", "ack", "ack" } },
	{ "SYN+ACK of another SYN", S | A, NEXT, 5, 0, 0, {
	  "rst", "rst", "rst", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "ACK next", A, NEXT, 0, 0, 0, {
	  "rst", "rst", "-", "- ESTABLISHED", "-", "- FIN-WAIT-2", "-", "-",
	  "- TIME-WAIT", "- gone", "-" } },
	{ "ACK of less", A, NEXT, -1, 0, 0, {
	  "rst", "rst", "rst", "rst", "-", "-", "-", "-", "-", "-", "-" } },
	{ "ACK old", A, OLD, 0, 0, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "ACK at the right edge", A, WND, 0, 0, 0, {
	  "rst", "rst", "-", "- ESTABLISHED", "-", "- FIN-WAIT-2", "-", "ack",
	  "ack", "ack", "ack" } },
	{ "ACK beyond", A, FAR, 0, 0, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "ACK of what was never sent", A, NEXT, 5, 0, 0, {
	  "rst", "rst", "rst", "rst", "ack", "ack", "ack", "ack", "ack", "ack",
	  "-" } },
	{ "ACK from before any window", A, NEXT, -1000000, 0, 0, {
	  "rst", "rst", "rst", "rst", "ack", "ack", "ack", "ack", "ack", "ack",
	  "-" } },
	{ "data with a bad ACK", A, NEXT, 5, 50, 0, {
	  "rst", "rst", "rst", "rst", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "no ACK bit", P, NEXT, 0, 10, 0, {
	  "rstack:10", "-", "-", "-", "-", "-", "-", "-", "-", "-", "ack" } },
	{ "nothing set", 0, NEXT, 0, 0, 0, {
	  "rstack", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-" } },
	{ "FIN next", A | F, NEXT, 0, 0, 0, {
	  "rst", "rst", "-", "ack:1 CLOSE-WAIT", "ack:1 CLOSE-WAIT",
	  "ack:1 TIME-WAIT", "ack:1 TIME-WAIT", "-", "- TIME-WAIT", "- gone",
	  "ack" } },
	{ "FIN again", A | F, AGAIN, 0, 0, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "FIN old", A | F, OLD, 0, 0, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "FIN early", A | F, IN, 0, 0, 0, {
	  "rst", "rst", "-", "ack ESTABLISHED", "ack", "ack FIN-WAIT-2", "ack",
	  "-", "- TIME-WAIT", "- gone", "ack" } },
	{ "FIN beyond", A | F, FAR, 0, 0, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "FIN with data", A | F | P, NEXT, 0, 20, 0, {
	  "rst", "rst", "-", "ack:21 CLOSE-WAIT", "ack:21 CLOSE-WAIT",
	  "ack:21 TIME-WAIT", "ack:21 TIME-WAIT", "-", "- TIME-WAIT", "- gone",
	  "ack" } },
	{ "FIN that does not answer ours", A | F, NEXT, -1, 0, 0, {
	  "rst", "rst", "rst", "rst", "ack:1 CLOSE-WAIT", "ack:1 CLOSING",
	  "ack:1 TIME-WAIT", "-", "-", "-", "ack" } },
	{ "FIN without ACK", F, NEXT, 0, 0, 0, {
	  "rstack:1", "-", "-", "-", "-", "-", "-", "-", "-", "-", "ack" } },
	{ "RST next", R, NEXT, 0, 0, 0, {
	  "-", "- gone", "-", "- gone", "- gone", "- gone", "- gone", "- gone",
	  "- gone", "- gone", "- gone" } },
	{ "RST+ACK next", R | A, NEXT, 0, 0, 0, {
	  "-", "- gone", "- gone", "- gone", "- gone", "- gone", "- gone",
	  "- gone", "- gone", "- gone", "- gone" } },
	{ "RST+ACK of another SYN", R | A, NEXT, 5, 0, 0, {
	  "-", "- gone", "-", "- gone", "- gone", "- gone", "- gone", "- gone",
	  "- gone", "- gone", "- gone" } },
	{ "RST in window", R, IN, 0, 0, 0, {
	  "-", "-", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "RST at the right edge", R, WND, 0, 0, 0, {
	  "-", "-", "-", "ack", "ack", "ack", "ack", "-", "-", "-", "-" } },
	{ "RST old", R, AGAIN, 0, 0, 0, {
	  "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-" } },
	{ "RST beyond", R, FAR, 0, 0, 0, {
	  "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-" } },
	{ "data next", A, NEXT, 0, 50, 0, {
	  "rst", "rst", "-", "ack:50 ESTABLISHED", "ack:50",
	  "ack:50 FIN-WAIT-2", "ack:50", "-", "- TIME-WAIT", "- gone",
	  "ack" } },
	{ "data across the left edge", A, -10, 0, 50, 0, {
	  "rst", "rst", "-", "ack:40 ESTABLISHED", "ack:40",
	  "ack:40 FIN-WAIT-2", "ack:40", "-", "- TIME-WAIT", "- gone",
	  "ack" } },
	{ "data old", A, OLD, 0, 50, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "old duplicate", A, OLD, -1, 50, 0, {
	  "rst", "rst", "rst", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "data early", A, IN, 0, 50, 0, {
	  "rst", "rst", "-", "ack ESTABLISHED", "ack", "ack FIN-WAIT-2", "ack",
	  "-", "- TIME-WAIT", "- gone", "ack" } },
	{ "data across the right edge", A, WND - 10, 0, 50, 0, {
	  "rst", "rst", "-", "ack ESTABLISHED", "ack", "ack FIN-WAIT-2", "ack",
	  "-", "- TIME-WAIT", "- gone", "ack" } },
	{ "data at the right edge", A, WND, 0, 50, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "data beyond", A, FAR, 0, 50, 0, {
	  "rst", "rst", "-", "ack", "ack", "ack", "ack", "ack", "ack", "ack",
	  "ack" } },
	{ "URG", A | U, NEXT, 0, 50, 0, {
	  "rst", "rst", "-", "ack:50 ESTABLISHED", "ack:50",
	  "ack:50 FIN-WAIT-2", "ack:50", "-", "- TIME-WAIT", "- gone",
	  "ack" } },
	{ "URG without data", A | U, NEXT, 0, 0, 0, {
	  "rst", "rst", "-", "- ESTABLISHED", "-", "- FIN-WAIT-2", "-", "-",
	  "- TIME-WAIT", "- gone", "-" } },
	{ "timeout", 0, 0, 0, 0, 1100, {
	  "-", "-", "syn", "synack", "-", "fin", "-", "-", "fin", "fin",
	  "-" } },
};

static void close_both(int st)
{
	struct rig_conn *k = &r->conn[0];

	if (st == CLOSE_WAIT || st == LAST_ACK)
		rig_seg(r, A | F, 1, 1, 0);
	if (st != ESTAB && st != CLOSE_WAIT)
		rig_eof(r, k);
	if (st == FIN_WAIT_2 || st == TIME_WAIT)
		rig_seg(r, A, 1, 2, 0);
	if (st == CLOSING)
		rig_seg(r, A | F, 1, 1, 0);
	if (st == TIME_WAIT)
		rig_seg(r, A | F, 1, 2, 0);
}

static void go_to(int st)
{
	struct rig_conf conf = { .manual = true };
	int err;

	rig_init(r, &conf);
	r->pisn_known = st <= DIALLING;		/* numbers as they are */
	if (st == SYN_SENT)
		assert_non_null(rig_connect(r, &err));
	else if (st != CLOSED)
		rig_seg(r, S, 0, 0, 0);
	if (st >= SYN_RCVD) {
		tcp_accept(r->conn[0].c);
		rig_flush(r);
	}
	if (st >= ESTAB) {
		rig_seg(r, A, 1, 1, 0);
		close_both(st);
	}
	rig_drain(r);
	if (st == CLOSED)
		assert_int_equal(tcp_count(r->ts), 0);
	else
		assert_string_equal(tcp_state_name(r->conn[0].c),
				    states[st].name);
}

/* The words for what was sent; numbers that are not as they should be show */
static void say(const struct rig_seg *s, const struct row *w, int st,
		char *out, size_t size)
{
	uint32_t up = s->ack - states[st].seq, mine = states[st].ack;
	const char *what = "?";

	if (s->flags == A && s->seq == mine)
		what = "ack";
	else if (s->flags == R && s->seq == mine + (uint32_t)w->ack)
		what = "rst";
	else if (s->flags == (R | A) && s->seq == (st < SYN_SENT ? 0 : mine))
		what = "rstack";
	else if (s->flags == S && s->seq == 0)
		what = "syn";
	else if (s->flags == (S | A) && s->seq == 0)
		what = "synack";
	else if (s->flags == (F | A) && s->seq == mine - 1)
		what = "fin";
	if (!strcmp(what, "?") || s->len)
		snprintf(out, size, "?flags %#x seq %u ack %u len %zu",
			 s->flags, s->seq, s->ack, s->len);
	else if (s->flags & A && up)
		snprintf(out, size, "%s:%d", what, (int)up);
	else
		snprintf(out, size, "%s", what);
}

static void outcome(const struct row *w, int st, char *out, size_t size)
{
	const char *now = "CLOSED";
	size_t n;

	snprintf(out, size, "-");
	if (r->head != r->tail)
		say(rig_out(r), w, st, out, size);
	n = strlen(out);
	if (tcp_count(r->ts))
		now = tcp_state_name(r->conn[r->nconn - 1].c);
	if (strcmp(now, states[st].name) != 0)
		snprintf(out + n, size - n, " %s",
			 strcmp(now, "CLOSED") != 0 ? now : "gone");
}

static void happen(const struct row *w, int st)
{
	struct rig_seg s = { .flags = w->flags, .len = w->len, .wnd = WND,
			     .seq = states[st].seq + (uint32_t)w->seq,
			     .ack = states[st].ack + (uint32_t)w->ack };
	uint64_t end = timerq_now(&r->tq) + w->ms * NS_PER_MS;

	s.urg = w->flags & U ? 7 : 0;
	if (!w->ms)
		rig_in(r, &s);
	/* until something is sent: the first timeout, and not the second */
	while (timerq_now(&r->tq) < end && r->head == r->tail)
		rig_run(r, 1);
}

static void every_state(void **state)
{
	unsigned int bad = 0;
	char have[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (int st = 0; st < STATES; st++) {
			go_to(st);
			happen(&rows[i], st);
			outcome(&rows[i], st, have, sizeof(have));
			if (!rows[i].want[st] ||
			    strcmp(have, rows[i].want[st]) != 0) {
				print_error("%s in %s: %s, not %s\n",
					    rows[i].name, states[st].name,
					    have, rows[i].want[st]);
				bad++;
			}
			rig_quiet(r);
			/* whatever it was, time ends it without a crash */
			rig_run(r, 20000);
			rig_drain(r);
			rig_done(r);
		}
	}
	assert_int_equal(bad, 0);
}

/* What becomes of each state if the guest never says anything again */
static void silence(void **state)
{
	static const struct {
		uint64_t ms;		/* 0: it lasts */
		int why;
		uint8_t last;		/* what the guest is sent then */
	} ends[STATES] = {
		[CLOSED]	= { 0, 0, 0 },
		[DIALLING]	= { 0, 0, 0 },
		[SYN_SENT]	= { 183000, -ETIMEDOUT, S },
		[SYN_RCVD]	= { 63000, -ETIMEDOUT, R | A },
		[ESTAB]		= { 0, 0, 0 },
		[FIN_WAIT_1]	= { 102200, -ETIMEDOUT, R | A },
		[FIN_WAIT_2]	= { 0, 0, 0 },
		[CLOSE_WAIT]	= { 0, 0, 0 },
		[CLOSING]	= { 102200, -ETIMEDOUT, R | A },
		[LAST_ACK]	= { 102200, -ETIMEDOUT, R | A },
		[TIME_WAIT]	= { 10000, 0, 0 },
	};
	uint8_t last;

	(void)state;
	for (int st = 0; st < STATES; st++) {
		go_to(st);
		if (ends[st].ms) {
			rig_run(r, ends[st].ms - 1);
			assert_int_equal(tcp_count(r->ts), 1);
			rig_run(r, 1);
			assert_int_equal(tcp_count(r->ts), 0);
			assert_true(r->conn[0].closed);
			assert_int_equal(r->conn[0].why, ends[st].why);
		} else {
			rig_run(r, 3600000);
			assert_int_equal(tcp_count(r->ts), st != CLOSED);
			assert_true(st == CLOSED || !r->conn[0].closed);
		}
		for (last = 0; r->head != r->tail; )
			last = rig_out(r)->flags;
		assert_int_equal(last, ends[st].last);
		rig_done(r);
	}
}

/* The owner hangs up, and then aborts: CLOSE and ABORT of RFC 9293 3.10 */
static void owner_ends(void **state)
{
	static const struct {
		const char *next;	/* NULL: as before */
		uint8_t on_eof, on_abort;
		uint32_t seq;		/* of that RST */
	} ends[STATES] = {
		[SYN_SENT]	= { NULL, 0, 0, 0 },
		[SYN_RCVD]	= { NULL, 0, R | A, 1 },
		[ESTAB]		= { "FIN-WAIT-1", F | A, R | A, 2 },
		[FIN_WAIT_1]	= { NULL, 0, R | A, 2 },
		[FIN_WAIT_2]	= { NULL, 0, R | A, 2 },
		[CLOSE_WAIT]	= { "LAST-ACK", F | A, R | A, 2 },
		[CLOSING]	= { NULL, 0, R | A, 2 },
		[LAST_ACK]	= { NULL, 0, R | A, 2 },
		[TIME_WAIT]	= { NULL, 0, 0, 0 },
	};

	(void)state;
	for (int st = SYN_SENT; st < STATES; st++) {
		struct tcp *c;

		go_to(st);
		c = r->conn[0].c;
		rig_eof(r, &r->conn[0]);
		assert_string_equal(tcp_state_name(c), ends[st].next ?
				    ends[st].next : states[st].name);
		if (ends[st].on_eof)
			rig_expect(r, ends[st].on_eof, states[st].ack,
				   states[st].seq, 0);
		rig_quiet(r);
		tcp_abort(c);
		rig_flush(r);
		if (ends[st].on_abort)
			rig_expect(r, ends[st].on_abort, ends[st].seq,
				   states[st].seq, 0);
		assert_int_equal(tcp_count(r->ts), st == TIME_WAIT);
		assert_int_equal(r->conn[0].why,
				 st == TIME_WAIT ? 0 : -ECONNABORTED);
		rig_done(r);
	}
}

int tcp_state_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state),
		cmocka_unit_test(silence),
		cmocka_unit_test(owner_ends),
	};

	return cmocka_run_group_tests_name("tcp_state", tests, NULL, NULL);
}
