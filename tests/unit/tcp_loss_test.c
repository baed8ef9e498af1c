/* Loss toward the guest and how it is repaired */
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

int tcp_loss_test(void);

static struct rig rig, *const r = &rig;

static void backoff(void **state)
{
	static const uint32_t gaps[] = { 200, 400, 800, 1600, 3200, 6400,
					 12800, 25600, 51200 };
	struct rig_conn *k = rig_in_flight(r, &rig_plain, 3);
	uint32_t total = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
		rig_run(r, gaps[i] - 2);
		rig_quiet(r);
		rig_run(r, 2);
		total += gaps[i];
		if (total > 100200)
			break;
		rig_expect(r, A | P, AT(0), 1, MSS);
		rig_quiet(r);		/* only the first one */
	}
	rig_expect(r, R | A, AT(3), 1, 0);
	assert_int_equal(k->why, -ETIMEDOUT);
	rig_done(r);
}

static void backoff_ends_with_progress(void **state)
{
	struct rig_conn *k = rig_in_flight(r, &rig_plain, 2);

	(void)state;
	rig_run(r, 201 + 401 + 801);
	assert_int_equal(rig_drain(r), 3);
	rig_ack(r, AT(1), 65535);
	rig_expect(r, A | P, AT(1), 1, MSS);	/* the rest of the recovery */
	rig_ack(r, AT(2), 65535);
	rig_offer(r, k, MSS);
	rig_drain(r);
	rig_run(r, 1500);
	rig_quiet(r);			/* nothing was measured yet: Karn */
	rig_ack(r, AT(3), 65535);
	rig_offer(r, k, MSS);
	rig_drain(r);
	rig_run(r, 5000);
	assert_int_equal(rig_drain(r), 1);
	rig_done(r);
}

static void rto_goes_on_exponentially(void **state)
{
	(void)state;
	rig_in_flight(r, &rig_plain, 20);
	rig_run(r, 201);
	assert_int_equal(rig_drain(r), 1);
	rig_ack(r, AT(1), 65535);
	assert_int_equal(rig_drain(r), 3);
	rig_ack(r, AT(2), 65535);
	assert_int_equal(rig_drain(r), 3);
	rig_ack(r, AT(4), 65535);
	assert_true(rig_drain(r) >= 4);
	rig_ack(r, AT(20), 65535);
	rig_quiet(r);
	rig_run(r, 100000);
	rig_done(r);
}

static void fast_retransmit(void **state)
{
	struct rig_conn *k = rig_in_flight(r, &rig_plain, 10);

	(void)state;
	rig_ack(r, AT(2), 65535);
	rig_ack(r, AT(2), 65535);
	rig_ack(r, AT(2), 65535);
	rig_quiet(r);
	rig_ack(r, AT(2), 65535);		/* the third duplicate */
	rig_expect(r, A | P, AT(2), 1, MSS);
	for (int i = 0; i < 6; i++)
		rig_ack(r, AT(2), 65535);
	rig_quiet(r);			/* once is enough */
	rig_offer(r, k, MSS);		/* new data is not held up */
	rig_expect(r, A | P, AT(10), 1, MSS);
	rig_ack(r, AT(11), 65535);
	assert_int_equal(k->tx_off, 11 * MSS);
	rig_run(r, 100000);
	rig_done(r);
}

static void partial_acks(void **state)
{
	(void)state;
	rig_in_flight(r, &rig_plain, 12);	/* 2, 5 and 9 are lost */
	rig_ack(r, AT(2), 65535);
	rig_ack(r, AT(2), 65535);
	rig_ack(r, AT(2), 65535);
	rig_ack(r, AT(2), 65535);
	rig_expect(r, A | P, AT(2), 1, MSS);
	rig_ack(r, AT(5), 65535);	/* RFC 6582: at once, no timeout */
	rig_expect(r, A | P, AT(5), 1, 2 * MSS - MSS);
	rig_drain(r);
	rig_ack(r, AT(9), 65535);
	rig_expect(r, A | P, AT(9), 1, MSS);
	rig_drain(r);
	rig_ack(r, AT(12), 65535);
	rig_quiet(r);
	assert_int_equal(count_get("tcp_rtos"), 0);
	rig_done(r);
}

static void not_duplicates(void **state)
{
	(void)state;
	rig_in_flight(r, &rig_plain, 5);
	rig_ack(r, AT(1), 65535);
	for (uint16_t i = 0; i < 6; i++)	/* window updates */
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1,
			.ack = AT(1), .wnd = (uint16_t)(30000 + i) });
	rig_quiet(r);
	for (uint32_t i = 0; i < 6; i++) {	/* data of the guest's own */
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1 + i * 10,
			.ack = AT(1), .wnd = 30005, .len = 10 });
		rig_expect(r, A, AT(5), 11 + i * 10, 0);
	}
	rig_quiet(r);
	rig_done(r);
}

static void sack_holes_only(void **state)
{
	struct rig_conn *k = rig_in_flight(r, &rig_sacking, 12);

	(void)state;
	rig_sack(r, AT(2), AT(3), AT(5)); /* 2 lost; not much above it yet */
	rig_quiet(r);
	rig_sack(r, AT(2), AT(6), AT(9));		/* 5 lost as well */
	rig_expect(r, A | P, AT(2), 1, MSS);
	rig_expect(r, A | P, AT(5), 1, MSS);
	rig_quiet(r);
	rig_sack(r, AT(2), AT(6), AT(12));
	rig_quiet(r);
	rig_sack(r, AT(5), AT(6), AT(12));
	rig_quiet(r);			/* 5 is on its way already */
	rig_ack(r, AT(12), 65535);
	rig_run(r, 100000);
	rig_quiet(r);
	assert_int_equal(k->tx_off, 12 * MSS);
	rig_done(r);
}

static void sack_by_bytes(void **state)
{
	struct rig_conf conf = { .features = LINK_F_CSUM | LINK_F_TSO4 };
	struct rig_conn *k;

	(void)state;
	rig_init(r, &conf);
	k = rig_established(r, &(struct tcp_opts){ .mss = MSS, .sack_ok = true,
			    .has_wscale = true, .wscale = 7 }, 4000);
	rig_offer(r, k, 180 * MSS);
	assert_int_equal(rig_drain(r), 3);	/* three frames of 64 KiB */
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
		.wnd = 4000, .opt = { .nsack = 1,
		.sack = { { AT(65), AT(130) } } } });
	assert_int_equal(rig_out(r)->seq, 1);	/* one duplicate is enough */
	assert_int_equal(r->out[r->head - 1].len, 65 * MSS);
	rig_quiet(r);
	rig_done(r);
	/* a hole of two frames: both are cut into whole segments */
	rig_init(r, &conf);
	k = rig_established(r, &(struct tcp_opts){ .mss = MSS, .sack_ok = true,
			    .has_wscale = true, .wscale = 7 }, 4000);
	rig_offer(r, k, 180 * MSS);
	rig_drain(r);
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 1,
		.wnd = 4000, .opt = { .nsack = 1,
		.sack = { { AT(130), AT(180) } } } });
	assert_int_equal(rig_out(r)->len, 65 * MSS);
	assert_int_equal(rig_out(r)->len, 65 * MSS);
	rig_quiet(r);
	rig_done(r);
}

static void recovery_keeps_to_the_window(void **state)
{
	(void)state;
	rig_in_flight(r, &rig_plain, 30);
	rig_run(r, 201);
	rig_drain(r);
	for (uint32_t n = 1; n < 8; n++) {	/* allows a lot, by itself */
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1,
			.ack = AT(n), .wnd = 2 * MSS });
		while (r->head != r->tail)
			assert_true(rig_out(r)->seq < AT(n + 2));
	}
	rig_done(r);
}

static void sack_is_forgotten_after_timeout(void **state)
{
	(void)state;
	rig_in_flight(r, &rig_sacking, 6);
	rig_sack(r, AT(0), AT(1), AT(3));
	rig_run(r, 201);
	rig_expect(r, A | P, AT(0), 1, MSS);
	rig_ack(r, AT(1), 65535);		/* it reneged */
	rig_expect(r, A | P, AT(1), 1, MSS);
	rig_drain(r);
	rig_ack(r, AT(6), 65535);
	rig_done(r);
}

static void nonsense_sack(void **state)
{
	static const struct tcp_range bad[] = {
		{ 0, 5000 }, { 5000, 5000 }, { 5000, 4000 }, { 5000, 10002 },
		{ 90000, 100000 }, { 0x80000000, 5 }, { 1, 0x80000001 },
	};
	struct rig_conn *k = rig_in_flight(r, &rig_sacking, 10);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = AT(0),
			.wnd = (uint16_t)(50000 + i),
			.opt = { .nsack = 1, .sack = { bad[i] } } });
		rig_quiet(r);
	}
	for (uint32_t i = 0; i < 4000; i++)	/* many small ranges */
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = AT(0),
			.wnd = 40000, .opt = { .nsack = 1, .sack = {
			{ AT(1) + i * 2 % 8000,
			  AT(1) + i * 2 % 8000 + 1 } } } }),
		rig_drain(r);
	rig_ack(r, AT(10), 65535);
	assert_int_equal(k->tx_off, 10 * MSS);
	rig_done(r);
}

static void lost_fin(void **state)
{
	struct rig_conn *k = rig_in_flight(r, &rig_sacking, 4);

	(void)state;
	rig_eof(r, k);
	rig_expect(r, F | A, AT(4), 1, 0);
	rig_sack(r, AT(0), AT(1), AT(4));	/* 0 and the FIN are lost */
	rig_expect(r, A | P, AT(0), 1, MSS);
	rig_ack(r, AT(4), 65535);
	rig_expect(r, F | A, AT(4), 1, 0);
	rig_seg(r, A, 1, AT(4) + 1, 0);
	assert_string_equal(tcp_state_name(k->c), "FIN-WAIT-2");
	assert_int_equal(k->tx_off, 4 * MSS);
	rig_done(r);
}

static void round_trip(void **state)
{
	struct rig_conn *k;
	uint32_t n = 0;

	(void)state;
	rig_init(r, NULL);
	k = rig_established(r, &rig_plain, 65535);
	for (; n < 40; n++) {		/* the path takes 300 ms, steadily */
		rig_offer(r, k, MSS);
		rig_run(r, n ? 300 : 150);
		rig_drain(r);
		rig_ack(r, AT(n + 1), 65535);
	}
	count_reset();
	rig_offer(r, k, MSS);
	rig_run(r, 295);
	assert_int_equal(count_get("tcp_rtos"), 0);
	rig_run(r, 100);
	assert_int_equal(count_get("tcp_rtos"), 1);
	rig_drain(r);
	rig_done(r);
}

/* Karn: an ACK that may be for either transmission measures nothing, unless
 * an echoed timestamp tells */
static void karn(void **state)
{
	struct tcp_opts o = rig_plain;
	uint32_t tsval = 0;
	struct rig_conn *k;

	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		o.has_ts = ts;
		o.tsval = 1;
		rig_init(r, NULL);
		k = rig_established(r, &o, 65535);
		rig_offer(r, k, 900);
		rig_run(r, 150);
		tsval = rig_out(r)->opt.tsval;
		rig_run(r, 800);	/* 200 and 600 */
		assert_int_equal(rig_drain(r), 2);
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = 901,
			.wnd = 65535, .opt = { .has_ts = ts, .tsval = 2,
			.tsecr = tsval } });
		rig_offer(r, k, 900);
		rig_drain(r);
		rig_run(r, 900);	/* 950 ms were measured, or nothing */
		assert_int_equal(rig_drain(r), !ts);
		rig_done(r);
	}
}

static void owner_without_its_data(void **state)
{
	struct rig_conn *k = rig_in_flight(r, &rig_plain, 2);

	(void)state;
	k->tx_len = 0;			/* upstream has reset, it is gone */
	rig_run(r, 201);
	rig_expect(r, R | A, AT(2), 1, 0);
	assert_int_equal(k->why, -ECONNABORTED);
	assert_int_equal(count_get("tcp_owner_lost_data"), 1);
	rig_done(r);
}

static void our_numbers_wrap(void **state)
{
	struct rig_conn *k;
	uint32_t at = 1;

	(void)state;
	rig_init(r, NULL);
	/* The clock behind the ISN: 4 us a step, once around in 4.77 h */
	for (int i = 0; i < 200; i++) {
		rig_run(r, 100000);
		k = rig_established(r, &(struct tcp_opts){ .mss = 1460,
				    .has_wscale = true, .wscale = 14 }, 10);
		if (r->pisn > UINT32_MAX - (30u << 20))
			break;
		tcp_abort(k->c);
		rig_flush(r);
		rig_drain(r);
	}
	assert_true(r->pisn > UINT32_MAX - (30u << 20));
	r->mute = true;
	k->tx_len = 40 << 20;
	tcp_readable(k->c);
	while (at < 40u << 20) {
		rig_flush(r);
		at += 60000;
		at = MIN(at, (40u << 20) + 1);
		rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = at,
					     .wnd = 10 });
	}
	rig_flush(r);
	assert_int_equal(k->tx_off, 40 << 20);
	rig_done(r);
}

int tcp_loss_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff),
		cmocka_unit_test(backoff_ends_with_progress),
		cmocka_unit_test(rto_goes_on_exponentially),
		cmocka_unit_test(fast_retransmit),
		cmocka_unit_test(partial_acks),
		cmocka_unit_test(not_duplicates),
		cmocka_unit_test(sack_holes_only),
		cmocka_unit_test(sack_by_bytes),
		cmocka_unit_test(recovery_keeps_to_the_window),
		cmocka_unit_test(sack_is_forgotten_after_timeout),
		cmocka_unit_test(nonsense_sack),
		cmocka_unit_test(lost_fin),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(karn),
		cmocka_unit_test(owner_without_its_data),
		cmocka_unit_test(our_numbers_wrap),
	};

	return cmocka_run_group_tests_name("tcp_loss", tests, NULL, NULL);
}
