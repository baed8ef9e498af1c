/* SACK in both directions, and what counts as a duplicate */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/count.h"
#include "base/util.h"
#include "tests/unit/tcp_rig.h"

int tcp_sack_test(void);

static struct rig rig, *const r = &rig;

/* --- reported to us ------------------------------------------------------- */

static void dup_acks(unsigned int n, uint32_t at, bool echo)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = at, .wnd = 65535 };

	s.opt.nsack = echo;			/* RFC 2883: seen twice */
	s.opt.sack[0] = (struct tcp_range){ 1, 1001 };
	while (n--)
		rig_in(r, &s);
}

/* RFC 6582 3.2 step 2: duplicates at the recovery point repair nothing */
static void echoes_of_a_repair(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &(struct tcp_opts){ .mss = 1000 }, 65535);
	rig_offer(r, k, 4000);
	rig_drain(r);
	rig_run(r, 201);
	rig_expect(r, A | P, 1, 1, 1000);
	rig_seg(r, A, 1, 4001, 0);		/* only the ACKs were lost */
	rig_offer(r, k, 3000);
	rig_drain(r);
	dup_acks(5, 4001, false);
	rig_quiet(r);
	rig_seg(r, A, 1, 5001, 0);
	dup_acks(3, 5001, false);		/* beyond it they count again */
	rig_expect(r, A | P, 5001, 1, 1000);
	rig_done(r);
}

/* RFC 6675 2: with SACK a duplicate has to tell something new */
static void duplicates_without_news(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &(struct tcp_opts){ .mss = 1000,
			    .sack_ok = true }, 65535);
	rig_offer(r, k, 6000);
	rig_drain(r);
	rig_seg(r, A, 1, 1001, 0);
	dup_acks(6, 1001, true);
	rig_quiet(r);
	for (uint32_t i = 0; i < 3; i++) {
		struct rig_seg s = { .flags = A, .seq = 1, .ack = 1001,
				     .wnd = 65535, .opt = { .nsack = 1 } };

		s.opt.sack[0] = (struct tcp_range){ 2001, 2101 + i * 10 };
		rig_quiet(r);
		rig_in(r, &s);
	}
	rig_expect(r, A | P, 1001, 1, 1000);	/* three with news */
	rig_done(r);
}

/* RFC 6675 2: whatever else the segment does: it has payload, another window */
static void news_is_a_duplicate(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1001, .len = 10,
			     .opt = { .nsack = 1 } };
	struct rig_conn *k;

	(void)state;
	for (int moves = 0; moves < 2; moves++) {
		rig_init(r, NULL);
		k = rig_established(r, &(struct tcp_opts){ .mss = 1000,
				    .sack_ok = true }, 65535);
		rig_offer(r, k, 6000);
		rig_drain(r);
		if (!moves)		/* the first moves the edge too */
			rig_seg(r, A, 1, 1001, 0);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(count_get("tcp_fast_retransmits"), 0);
			rig_drain(r);
			s.seq = 1 + i * 10;
			s.wnd = (uint16_t)(60000 + i);
			s.opt.sack[0] = (struct tcp_range){ 2001,
							    2101 + i * 10 };
			rig_in(r, &s);
		}
		rig_expect(r, A | P, 1001, 31, 1000);
		rig_done(r);
	}
	rig_init(r, NULL);		/* without anything outstanding */
	rig_established(r, &(struct tcp_opts){ .mss = 1000, .sack_ok = true },
			65535);
	for (s.seq = 1; s.seq < 101; s.seq += 10)
		rig_in(r, &s);
	assert_int_equal(count_get("tcp_dup_acks"), 0);
	rig_drain(r);
	rig_done(r);
}

/* The end of the stream is lost as well: each partial ACK sends the next */
static void tail_is_lost_too(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .wnd = 65535,
			     .opt = { .nsack = 1, .sack = { { 1001, 6001 } } } };
	struct rig_conn *k;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &(struct tcp_opts){ .mss = 1000,
			    .sack_ok = true }, 65535);
	rig_offer(r, k, 8000);
	rig_drain(r);
	rig_in(r, &s);
	rig_expect(r, A | P, 1, 1, 1000);
	rig_seg(r, A, 1, 6001, 0);
	rig_expect(r, A | P, 6001, 1, 1000);
	rig_quiet(r);
	rig_seg(r, A, 1, 7001, 0);
	rig_expect(r, A | P, 7001, 1, 1000);
	rig_seg(r, A, 1, 8001, 0);
	assert_int_equal(count_get("tcp_rtos"), 0);
	rig_done(r);
}

/* --- reported by us ------------------------------------------------------- */

/* The SACK option of the next segment; the list ends with an empty range */
static void expect_blocks(const struct tcp_range *want, int line)
{
	const struct rig_seg *s = rig_out(r);
	unsigned int n = 0;

	for (; want[n].start; n++) {
		if (n < s->opt.nsack && s->opt.sack[n].start == want[n].start &&
		    s->opt.sack[n].end == want[n].end)
			continue;
		print_error("block %u is not %u to %u\n", n, want[n].start,
			    want[n].end);
		_fail(__FILE__, line);
	}
	if (s->opt.nsack != n)
		_fail(__FILE__, line);
}

#define BLOCKS(...)							\
	expect_blocks((const struct tcp_range[]){ __VA_ARGS__ }, __LINE__)

/* RFC 2018 4: the latest first, then those reported before it, latest first */
static void sack_blocks_by_age(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_established(r, &(struct tcp_opts){ .mss = 1460, .sack_ok = true },
			65535);
	rig_seg(r, A, 901, 1, 10);
	rig_drain(r);
	rig_seg(r, A, 501, 1, 10);
	rig_drain(r);
	rig_seg(r, A, 701, 1, 10);
	BLOCKS({ 701, 711 }, { 501, 511 }, { 901, 911 }, { 0 });
	rig_seg(r, A, 101, 1, 10);
	BLOCKS({ 101, 111 }, { 701, 711 }, { 501, 511 }, { 901, 911 }, { 0 });
	rig_seg(r, A, 301, 1, 10);
	BLOCKS({ 301, 311 }, { 101, 111 }, { 701, 711 }, { 501, 511 }, { 0 });
	rig_seg(r, A, 711, 1, 10);		/* grows: the latest again */
	BLOCKS({ 701, 721 }, { 301, 311 }, { 101, 111 }, { 501, 511 }, { 0 });
	rig_seg(r, A, 721, 1, 10);
	BLOCKS({ 701, 731 }, { 301, 311 }, { 101, 111 }, { 501, 511 }, { 0 });
	rig_seg(r, A, 111, 1, 190);		/* joins two */
	BLOCKS({ 101, 311 }, { 701, 731 }, { 501, 511 }, { 901, 911 }, { 0 });
	rig_seg(r, A, 1, 1, 100);		/* takes the first away */
	BLOCKS({ 701, 731 }, { 501, 511 }, { 901, 911 }, { 0 });
	rig_done(r);
	rig_init(r, NULL);			/* the fifth last is not lost */
	rig_established(r, &(struct tcp_opts){ .mss = 1460, .sack_ok = true },
			65535);
	for (uint32_t at = 101; at < 1000; at += 200)
		rig_seg(r, A, at, 1, 10);
	rig_drain(r);
	rig_seg(r, A, 711, 1, 190);
	BLOCKS({ 701, 911 }, { 501, 511 }, { 301, 311 }, { 101, 111 }, { 0 });
	rig_done(r);
}

/* RFC 2883: what came twice is reported once, first, wherever it lies */
static void twice_is_reported(void **state)
{
	(void)state;
	rig_init(r, NULL);
	rig_established(r, &(struct tcp_opts){ .mss = 1460, .sack_ok = true },
			65535);
	rig_seg(r, A, 1, 1, 500);
	BLOCKS({ 0 });
	rig_seg(r, A, 101, 1, 200);		/* 4.1: old */
	BLOCKS({ 101, 301 }, { 0 });
	rig_seg(r, A, 401, 1, 200);		/* in part: the head was there */
	BLOCKS({ 401, 501 }, { 0 });
	rig_seg(r, A, 601, 1, 10);		/* once: it is not said again */
	BLOCKS({ 0 });
	rig_seg(r, A, 1001, 1, 100);
	BLOCKS({ 1001, 1101 }, { 0 });
	rig_seg(r, A, 1001, 1, 50);	/* 4.1.3: and what it belongs to */
	BLOCKS({ 1001, 1051 }, { 1001, 1101 }, { 0 });
	rig_seg(r, A, 1051, 1, 100);		/* the head of an early one */
	BLOCKS({ 1051, 1101 }, { 1001, 1151 }, { 0 });
	rig_seg(r, A, 2001, 1, 100);
	BLOCKS({ 2001, 2101 }, { 1001, 1151 }, { 0 });
	rig_seg(r, A, 11, 1, 10);
	BLOCKS({ 11, 21 }, { 2001, 2101 }, { 1001, 1151 }, { 0 });
	rig_seg(r, A, 90000, 1, 10);		/* beyond is not twice */
	BLOCKS({ 2001, 2101 }, { 1001, 1151 }, { 0 });
	rig_seg(r, A, 11, 1, 0);		/* nothing was in it */
	BLOCKS({ 2001, 2101 }, { 1001, 1151 }, { 0 });
	rig_done(r);
	rig_init(r, NULL);			/* only if SACK was agreed on */
	rig_established(r, NULL, 65535);
	rig_seg(r, A, 1, 1, 500);
	BLOCKS({ 0 });
	rig_seg(r, A, 1, 1, 500);
	BLOCKS({ 0 });
	rig_done(r);
}

/* Several before an ACK went: one for each, those that touch together */
static void each_twice_is_reported(void **state)
{
	const uint32_t at[] = { 101, 201, 501, 401, 801 };
	struct rig_seg s = { .flags = A, .ack = 1, .len = 100, .wnd = 65535 };

	(void)state;
	rig_init(r, NULL);
	rig_established(r, &(struct tcp_opts){ .mss = 1460, .sack_ok = true },
			65535);
	rig_seg(r, A, 1, 1, 1000);
	rig_drain(r);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		s.seq = at[i];
		rig_in_only(r, &s);
	}
	rig_flush(r);
	BLOCKS({ 101, 301 }, { 0 });
	BLOCKS({ 501, 601 }, { 0 });
	BLOCKS({ 401, 501 }, { 0 });
	BLOCKS({ 801, 901 }, { 0 });
	rig_quiet(r);
	s.seq = 101;
	rig_in_only(r, &s);
	s.seq = 1001;				/* no reason for one more */
	rig_in(r, &s);
	BLOCKS({ 101, 201 }, { 0 });
	rig_quiet(r);
	rig_done(r);
}

/* What was sent again overtook it, so that its timestamp is old by now */
static void overtaken_is_twice(void **state)
{
	struct rig_seg s = { .flags = A, .ack = 1, .wnd = 65535,
			     .opt = { .has_ts = true } };
	const struct rig_seg in[] = {
		{ .seq = 1, .len = 500, .opt.tsval = 1005 },
		{ .seq = 101, .len = 50, .opt.tsval = 1004 },
		{ .seq = 451, .len = 100, .opt.tsval = 1004 },
		{ .seq = 501, .len = 10, .opt.tsval = 1004 },
	};
	const struct tcp_range want[][2] = {
		{ { 0 } }, { { 101, 151 } }, { { 451, 501 } }, { { 0 } },
	};

	(void)state;
	rig_init(r, NULL);
	rig_established(r, &(struct tcp_opts){ .mss = 1460, .sack_ok = true,
			    .has_ts = true, .tsval = 1000 }, 65535);
	for (unsigned int i = 0; i < ARRAY_SIZE(in); i++) {
		s.seq = in[i].seq;
		s.len = in[i].len;
		s.opt.tsval = in[i].opt.tsval;
		rig_in(r, &s);
		expect_blocks(want[i], __LINE__);
		rig_quiet(r);
	}
	assert_int_equal(count_get("drop_tcp_paws"), 3);
	rig_done(r);
}

int tcp_sack_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_of_a_repair),
		cmocka_unit_test(duplicates_without_news),
		cmocka_unit_test(news_is_a_duplicate),
		cmocka_unit_test(tail_is_lost_too),
		cmocka_unit_test(sack_blocks_by_age),
		cmocka_unit_test(twice_is_reported),
		cmocka_unit_test(each_twice_is_reported),
		cmocka_unit_test(overtaken_is_twice),
	};

	return cmocka_run_group_tests_name("tcp_sack", tests, NULL, NULL);
}
