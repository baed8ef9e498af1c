/* Repair of losses, to the segment: what one changed operator would show */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/count.h"
#include "base/util.h"
#include "tests/unit/tcp_rig.h"

int tcp_repair_test(void);

static struct rig rig, *const r = &rig;

/* After a timeout: two more for each that is acknowledged, or for the ACK */
static void pace_after_timeout(void **state)
{
	(void)state;
	rig_in_flight(r, &rig_plain, 40);
	rig_run(r, 201);
	assert_int_equal(rig_drain(r), 1);
	rig_seg(r, A, 1, 501, 0);		/* half: as for a segment */
	assert_int_equal(rig_drain(r), 3);	/* 3000 from 501 on */
	rig_seg(r, A, 1, 4001, 0);
	/* 3000 + 2 * 3500 bytes from there, of which none was sent */
	for (uint32_t at = 4001; at < 14001; at += MSS)
		rig_expect(r, A | P, at, 1, MSS);
	rig_quiet(r);
	rig_done(r);
}

/* Without SACK and congestion window the pace of a repair doubles */
static void pace_of_a_repair(void **state)
{
	static const uint32_t acks[] = { 1, 2, 4 };
	uint32_t sent = 1;

	(void)state;
	rig_in_flight(r, &rig_plain, 40);
	for (int i = 0; i < 3; i++)
		rig_seg(r, A, 1, 1, 0);
	assert_int_equal(rig_drain(r), 1);
	for (size_t i = 0; i < ARRAY_SIZE(acks); i++) {
		uint32_t upto = acks[i] + (2u << i);

		rig_seg(r, A, 1, AT(acks[i]), 0);
		assert_int_equal(rig_drain(r), upto - MAX(sent, acks[i]));
		sent = upto;
	}
	rig_done(r);
}

/* What left after the loss was found is not part of the repair (RFC 6582) */
static void repair_ends_where_it_began(void **state)
{
	struct rig_conn *k = rig_in_flight(r, &rig_plain, 6);

	(void)state;
	for (int i = 0; i < 3; i++)
		rig_seg(r, A, 1, 1, 0);
	rig_expect(r, A | P, AT(0), 1, MSS);
	rig_offer(r, k, 6 * MSS);
	assert_int_equal(rig_drain(r), 6);
	for (uint32_t at = 1; at < 6; at++) {
		rig_seg(r, A, 1, AT(at), 0);
		while (r->head != r->tail)
			assert_true(rig_out(r)->seq < AT(6));
	}
	rig_seg(r, A, 1, AT(6), 0);
	rig_quiet(r);
	rig_seg(r, A, 1, AT(12), 0);
	rig_done(r);
}

static void blocks_at(unsigned int n, const uint32_t *from, uint32_t len)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .wnd = 65535 };

	s.opt.nsack = (uint8_t)n;
	for (unsigned int i = 0; i < n; i++)
		s.opt.sack[i] = (struct tcp_range){ AT(from[i]),
						    AT(from[i]) + len };
	rig_in(r, &s);
}

/* Reported from the top down, and between two others: the holes are right */
static void blocks_in_any_order(void **state)
{
	static const uint32_t down[] = { 9, 3, 7, 5 }, want[] = { 0, 1, 2, 4, 6,
								  8 };

	(void)state;
	rig_in_flight(r, &rig_sacking, 12);
	blocks_at(4, down, MSS);
	/* three ranges above 5, no more than two segments above 7 */
	for (size_t i = 0; i < 4; i++)
		rig_expect(r, A | P, AT(want[i]), 1, MSS);
	rig_quiet(r);
	rig_done(r);
}

/* IsLost: three ranges, however small */
static void three_small_ranges(void **state)
{
	static const uint32_t two[] = { 2, 4 }, three[] = { 6 };

	(void)state;
	rig_in_flight(r, &rig_sacking, 12);
	blocks_at(2, two, 10);
	rig_quiet(r);
	blocks_at(1, three, 10);
	rig_expect(r, A | P, AT(0), 1, MSS);
	rig_drain(r);
	rig_done(r);
}

/* What is known already is no news, as a whole, at either end or inside */
static void known_is_no_news(void **state)
{
	static const struct tcp_range known[] = {
		{ 2001, 2501 }, { 2001, 2401 }, { 2101, 2501 }, { 2101, 2401 },
	};

	(void)state;
	rig_in_flight(r, &rig_sacking, 12);
	for (size_t i = 0; i < 12; i++) {
		struct rig_seg s = { .flags = A, .seq = 1, .ack = 1,
				     .wnd = 65535, .opt = { .nsack = 1 } };

		s.opt.sack[0] = known[i % ARRAY_SIZE(known)];
		rig_in(r, &s);
	}
	rig_quiet(r);
	rig_done(r);
}

/* Empty blocks are neither ranges nor news */
static void empty_blocks(void **state)
{
	static const uint32_t at[] = { 2, 4, 6 };

	(void)state;
	rig_in_flight(r, &rig_sacking, 12);
	blocks_at(3, at, 0);
	for (uint32_t i = 7; i < 11; i++)
		blocks_at(1, &i, 0);
	rig_quiet(r);
	rig_done(r);
}

/* One that begins in front of another, and ends in it */
static void block_grows_downward(void **state)
{
	static const uint32_t high[] = { 5 }, low[] = { 4 };

	(void)state;
	rig_in_flight(r, &rig_sacking, 12);
	blocks_at(1, high, 2 * MSS);
	rig_quiet(r);
	blocks_at(1, low, 2 * MSS);
	for (uint32_t i = 0; i < 4; i++)
		rig_expect(r, A | P, AT(i), 1, MSS);
	rig_quiet(r);
	rig_seg(r, A, 1, AT(3), 0);		/* from there it is partial */
	rig_quiet(r);
	rig_done(r);
}

/* An ACK takes away what lies before it, and nothing else */
static void blocks_outlive_an_ack(void **state)
{
	static const uint32_t first[] = { 1, 5, 8 }, last[] = { 10 };

	(void)state;
	rig_in_flight(r, &rig_sacking, 12);
	blocks_at(2, first + 1, 10);
	rig_seg(r, A, 1, AT(1), 0);
	rig_seg(r, A, 1, AT(2), 0);
	rig_quiet(r);
	{
		struct rig_seg s = { .flags = A, .seq = 1, .ack = AT(2),
				     .wnd = 65535, .opt = { .nsack = 1 } };

		s.opt.sack[0] = (struct tcp_range){ AT(last[0]),
						    AT(last[0]) + 10 };
		rig_in(r, &s);
	}
	for (uint32_t i = 2; i < 5; i++)
		rig_expect(r, A | P, AT(i), 1, MSS);
	rig_quiet(r);
	rig_done(r);
}

/* 128 ranges are known: a lower one is forgotten, nothing else is touched */
static void full_scoreboard(void **state)
{
	static const uint32_t low[] = { 2 }, high[] = { 18 };
	const struct rig_seg *s;

	(void)state;
	rig_in_flight(r, &rig_sacking, 20);
	for (uint32_t at = AT(4); at < AT(4) + 128 * 100; at += 100)
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
			.wnd = 65535, .opt = { .nsack = 1,
			.sack = { { at, at + 10 } } } });
	assert_int_equal(count_get("tcp_sack_forgotten"), 0);
	assert_true(rig_drain(r) > 0);
	blocks_at(1, low, 10);
	blocks_at(1, high, 10);
	assert_int_equal(count_get("tcp_sack_forgotten"), 2);
	rig_drain(r);
	rig_seg(r, A, 1, 1, 10);
	s = rig_out(r);
	assert_int_equal(s->ack, 11);
	assert_int_equal(s->opt.nsack, 0);
	rig_done(r);
}

/* --- tcp.congestion = reno ------------------------------------------------ */

static struct rig_conf reno = { .congestion = TCP_CONG_RENO };

/* RFC 3042: two segments, and no more for echoes of a repair */
static void limited_transmit(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, &reno);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 3 * MSS);
	rig_drain(r);
	rig_run(r, 201);
	rig_drain(r);
	rig_ack(r, AT(3), 65535);		/* cwnd 2, ssthresh 2 */
	rig_offer(r, k, 100 * MSS);
	assert_int_equal(rig_drain(r), 2);
	for (int i = 0; i < 8; i++)
		rig_ack(r, AT(3), 65535);
	assert_int_equal(rig_drain(r), 2);
	rig_done(r);
}

/* A partial ACK of more than the window deflates it to a segment and one */
static void deflated_to_the_last(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, &reno);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100 * MSS);
	assert_int_equal(rig_drain(r), 10);
	for (int i = 0; i < 3; i++)
		rig_ack(r, AT(0), 65535);
	assert_int_equal(rig_drain(r), 3);
	rig_ack(r, AT(11), 65535);
	rig_expect(r, A | P, AT(11), 1, MSS);
	rig_expect(r, A | P, AT(12), 1, MSS);
	rig_quiet(r);
	rig_done(r);
}

/* A partial ACK of just a segment gives that one back */
static void deflated_by_one(void **state)
{
	struct rig_conn *k;

	(void)state;
	rig_init(r, &reno);
	k = rig_established(r, &rig_plain, 65535);
	rig_offer(r, k, 100 * MSS);
	assert_int_equal(rig_drain(r), 10);
	for (int i = 0; i < 6; i++)		/* 5 + 3 + 3, 12 are out */
		rig_ack(r, AT(0), 65535);
	assert_int_equal(rig_drain(r), 3);
	rig_ack(r, AT(1), 65535);		/* 11: as many as are out */
	rig_expect(r, A | P, AT(1), 1, MSS);
	rig_quiet(r);
	rig_ack(r, AT(1), 65535);
	rig_expect(r, A | P, AT(12), 1, MSS);
	rig_done(r);
}

int tcp_repair_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pace_after_timeout),
		cmocka_unit_test(pace_of_a_repair),
		cmocka_unit_test(repair_ends_where_it_began),
		cmocka_unit_test(blocks_in_any_order),
		cmocka_unit_test(three_small_ranges),
		cmocka_unit_test(known_is_no_news),
		cmocka_unit_test(empty_blocks),
		cmocka_unit_test(block_grows_downward),
		cmocka_unit_test(blocks_outlive_an_ack),
		cmocka_unit_test(full_scoreboard),
		cmocka_unit_test(limited_transmit),
		cmocka_unit_test(deflated_to_the_last),
		cmocka_unit_test(deflated_by_one),
	};

	return cmocka_run_group_tests_name("tcp_repair", tests, NULL, NULL);
}
