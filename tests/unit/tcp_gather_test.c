/* Payload of a batch that goes to the owner in one call */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "tests/unit/tcp_rig.h"

int tcp_gather_test(void);

static struct rig rig, *const r = &rig;
static struct rig_conn *k;

#define MANY	200
#define PIECES	64		/* most segments in one call */

static struct rig_seg batch[MANY];

static void start(bool keeps, uint32_t features)
{
	const struct rig_conf conf = { .features = features };

	rig_init(r, &conf);
	r->link.link.keeps = keeps;
	k = rig_established(r, NULL, 65535);
}

/* @n segments of @len bytes, in order from @seq on */
static void train(size_t n, uint32_t seq, size_t len)
{
	for (size_t i = 0; i < n; i++)
		batch[i] = (struct rig_seg){
			.flags = A, .ack = 1, .wnd = 65535, .len = len,
			.seq = seq + (uint32_t)(i * len),
		};
}

static void arrive(size_t n)
{
	rig_in_batch(r, batch, n, true);
	rig_flush(r);
}

static void all_came(size_t len, unsigned int calls)
{
	assert_int_equal(k->rx_len, len);
	assert_true(rig_rx_ok(k));
	assert_int_equal(k->recvs, calls);
}

static void one_call_for_a_batch(void **state)
{
	(void)state;
	start(true, 0);
	train(20, 1, 1460);
	rig_in_batch(r, batch, 20, true);
	all_came(20 * 1460, 1);			/* before any flush */
	rig_quiet(r);
	rig_flush(r);
	rig_expect(r, A, 1, 1 + 20 * 1460, 0);
	train(1, 1 + 20 * 1460, 7);
	arrive(1);
	rig_expect(r, A, 1, 8 + 20 * 1460, 0);
	all_came(20 * 1460 + 7, 2);
	rig_done(r);
}

static void link_keeps_nothing(void **state)
{
	(void)state;
	start(false, 0);
	train(20, 1, 1460);
	arrive(20);
	rig_expect(r, A, 1, 1 + 20 * 1460, 0);
	all_came(20 * 1460, 20);
	rig_done(r);
}

static void calls_are_bounded(void **state)
{
	(void)state;
	start(true, 0);
	train(MANY, 1, 300);
	arrive(MANY);
	rig_expect(r, A, 1, 1 + MANY * 300, 0);
	all_came((size_t)MANY * 300, (MANY + PIECES - 1) / PIECES);
	rig_done(r);
}

static void long_frames_too(void **state)
{
	(void)state;
	start(true, LINK_F_CSUM | LINK_F_TSO4);
	train(4, 1, 1000);
	batch[2].len = 20000;
	batch[3].seq += 19000;
	arrive(4);
	rig_expect(r, A, 1, 1 + 23000, 0);
	all_came(23000, 1);
	rig_done(r);
}

/* More pieces than there is room for */
static void crumbs_go_alone(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .len = 1400,
			     .wnd = 65535 };

	(void)state;
	start(true, 0);
	r->pieces = true;
	rig_in(r, &s);
	rig_expect(r, A, 1, 1401, 0);
	all_came(1400, 1);
	rig_done(r);
}

/* The same while others wait: those first, and the crumbs behind them */
static void crumbs_behind_others(void **state)
{
	struct rig_seg s = { .flags = A, .seq = 1, .ack = 1, .len = 100,
			     .wnd = 65535 };
	struct link_vnet vh;
	uint8_t first[300];
	struct iovec iov = { .iov_base = first };

	(void)state;
	start(true, 0);
	iov.iov_len = rig_frame(r, &s, first, sizeof(first), &vh);
	link_input(&r->link.link, &vh, &iov, 1);
	r->pieces = true;
	s.seq = 101;
	s.len = 1300;
	rig_in(r, &s);
	rig_expect(r, A, 1, 1401, 0);
	all_came(1400, 2);
	rig_done(r);
}

/* Not one byte beyond the window, however many there are before the flush */
static void window_cuts(void **state)
{
	(void)state;
	start(true, 0);
	k->room_fixed = true;
	train(MANY, 1, 1000);
	arrive(MANY);
	all_came(65535, 3);		/* 64, 1 and a part of one */
	rig_drain(r);
	rig_done(r);
}

/* The guest has told already where its stream ends */
static void early_fin_cuts(void **state)
{
	(void)state;
	start(true, 0);
	train(3, 1, 1000);
	batch[0] = (struct rig_seg){ .flags = A | F, .ack = 1, .wnd = 65535,
				     .seq = 1501 };
	batch[1].seq = 1;
	batch[2].seq = 1001;
	arrive(3);
	rig_expect(r, A, 1, 1, 0);
	rig_expect(r, A, 1, 1502, 0);
	assert_true(k->got_fin);
	all_came(1500, 2);
	rig_done(r);
}

static void nobody_takes_it(void **state)
{
	(void)state;
	start(true, 0);
	tcp_no_recv(k->c);
	train(3, 1, 1000);
	arrive(1);
	rig_expect(r, R | A, 1, 1, 0);
	all_came(0, 0);
	rig_done(r);
}

static void owner_takes_a_part_of_it(void **state)
{
	(void)state;
	start(true, 0);
	k->recv_max = 2500;
	train(5, 1, 1000);
	arrive(5);
	rig_expect(r, A, 1, 2501, 0);
	k->recv_max = 0;
	train(3, 2001, 1000);		/* the first is half known */
	arrive(3);
	rig_expect(r, A, 1, 5001, 0);
	assert_int_equal(k->rx_len, 5000);
	assert_true(rig_rx_ok(k));
	rig_done(r);
}

/* FIN behind payload: the payload first, and both within the batch */
static void fin_comes_behind(void **state)
{
	(void)state;
	start(true, 0);
	train(4, 1, 1000);
	batch[3].flags |= F;
	arrive(4);
	rig_expect(r, A, 1, 4002, 0);
	assert_true(k->got_fin);
	all_came(4000, 2);
	rig_done(r);
}

static void rst_comes_behind(void **state)
{
	(void)state;
	start(true, 0);
	train(4, 1, 1000);
	batch[3] = (struct rig_seg){ .flags = R, .seq = 3001 };
	arrive(4);
	all_came(3000, 1);
	assert_true(k->closed);
	assert_int_equal(k->why, -ECONNRESET);
	rig_done(r);
}

/* A gap, its filling, and what was there already */
static void order_is_kept(void **state)
{
	(void)state;
	start(true, 0);
	train(8, 1, 1000);
	batch[3].seq = 4001;		/* early */
	batch[4].seq = 3001;		/* fills the gap */
	batch[5].seq = 1;		/* again */
	batch[6].seq = 5001;
	batch[7].seq = 6001;
	arrive(8);
	rig_drain(r);
	assert_int_equal(k->rx_len, 7000);
	assert_true(rig_rx_ok(k));
	assert_true(k->recvs < 7);
	rig_done(r);
}

/* More connections than there are places: each byte where it belongs */
static void connections_interleave(void **state)
{
	const unsigned int conns = 11, segs = 5;
	struct rig_conn *c[16];
	uint32_t isn[16];
	size_t n = 0;

	(void)state;
	start(true, 0);
	for (unsigned int i = 0; i < conns; i++) {
		struct rig_seg s = { .flags = S, .wnd = 65535 };

		s.gport = (uint16_t)(50000 + i);
		r->pisn_known = false;
		rig_in(r, &s);
		rig_out(r);
		s.flags = A;
		s.seq = s.ack = 1;
		rig_in(r, &s);
		c[i] = &r->conn[1 + i];
		isn[i] = r->pisn;
	}
	for (unsigned int s = 0; s < segs; s++)
		for (unsigned int i = 0; i < conns; i++)
			batch[n++] = (struct rig_seg){
				.flags = A, .seq = 1 + s * 1000, .len = 1000,
				.wnd = 65535, .gport = (uint16_t)(50000 + i),
				.ack = 1 + isn[i] - r->pisn,
			};
	r->mute = true;			/* their numbers differ */
	arrive(n);
	for (unsigned int i = 0; i < conns; i++) {
		assert_int_equal(c[i]->rx_len, segs * 1000);
		assert_true(rig_rx_ok(c[i]));
	}
	rig_done(r);
}

static void owner_fails(void **state)
{
	(void)state;
	start(true, 0);
	k->fail_recv = -EPIPE;
	train(5, 1, 1000);
	arrive(5);
	rig_expect(r, R | A, 1, 1, 0);
	assert_int_equal(k->why, -ECONNABORTED);
	assert_int_equal(k->recvs, 1);
	rig_done(r);

	start(true, 0);
	k->abort_in_recv = true;
	train(5, 1, 1000);
	batch[4].flags |= F;		/* ends it while the batch goes on */
	arrive(5);
	assert_true(k->closed);
	r->mute = true;
	rig_done(r);
}

/* What was gathered from a link that went down lies in memory that is gone */
static void link_goes_down(void **state)
{
	(void)state;
	start(true, 0);
	train(5, 1, 1000);
	rig_in_batch(r, batch, 5, false);
	rig_flush(r);
	all_came(0, 0);
	train(5, 1, 1000);
	arrive(5);
	rig_expect(r, A, 1, 5001, 0);
	all_came(5000, 1);

	train(5, 5001, 1000);
	rig_in_batch(r, batch, 5, false);
	tcp_abort(k->c);		/* before the flush */
	rig_flush(r);
	rig_expect(r, R | A, 1, 5001, 0);
	rig_run(r, 1000);		/* the connection is freed */
	rig_done(r);
}

/* Go-back-N over batches that lose, repeat, swap and split */
static void anything_arrives(void **state)
{
	const uint32_t total = 150000;
	uint64_t dice = 1;

	(void)state;
	start(true, 0);
	r->mute = true;
	k->room = total;
	while (k->rx_len < total) {
		uint32_t seq = 1 + (uint32_t)k->rx_len;
		size_t n = 0;

		while (n < 40 && seq <= total) {
			uint32_t roll, len;

			dice = dice * 6364136223846793005u + 1442695040888963407u;
			roll = (uint32_t)(dice >> 40);
			len = MIN(1 + roll % 1460, total + 1 - seq);
			batch[n] = (struct rig_seg){
				.flags = roll & 64 ? A | P : A, .seq = seq,
				.ack = 1, .wnd = 65535, .len = len,
			};
			seq += len;
			if (roll % 37 == 0)
				continue;		/* lost */
			n++;
			if (roll % 41 == 0) {		/* twice */
				batch[n] = batch[n - 1];
				n++;
			} else if (roll % 43 == 0 && n > 1) {
				struct rig_seg s = batch[n - 1];

				batch[n - 1] = batch[n - 2];
				batch[n - 2] = s;
			} else if (roll % 47 == 0) {
				seq -= len / 2;		/* overlaps */
			}
		}
		arrive(n);
		rig_drain(r);
	}
	assert_true(rig_rx_ok(k));
	assert_true(k->recvs < 100);
	rig_done(r);
}

int tcp_gather_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_call_for_a_batch),
		cmocka_unit_test(link_keeps_nothing),
		cmocka_unit_test(calls_are_bounded),
		cmocka_unit_test(long_frames_too),
		cmocka_unit_test(crumbs_go_alone),
		cmocka_unit_test(crumbs_behind_others),
		cmocka_unit_test(window_cuts),
		cmocka_unit_test(early_fin_cuts),
		cmocka_unit_test(nobody_takes_it),
		cmocka_unit_test(owner_takes_a_part_of_it),
		cmocka_unit_test(fin_comes_behind),
		cmocka_unit_test(rst_comes_behind),
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(connections_interleave),
		cmocka_unit_test(owner_fails),
		cmocka_unit_test(link_goes_down),
		cmocka_unit_test(anything_arrives),
	};

	return cmocka_run_group_tests_name("tcp_gather", tests, NULL, NULL);
}
