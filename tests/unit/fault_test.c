#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/util.h"
#include "link/fault.h"
#include "link/memlink.h"

int fault_test(void);

#define MANY	20000
#define LEN	60

/* What came out on either side, in order: a hash, and the frames' numbers */
struct out {
	int n, bad, late;
	uint32_t last;
	uint64_t hash;
};

static struct {
	struct memlink m;
	struct timerq tq;
	struct fault *f;
	struct out out, in;
	int done, drained, downs;
} T;

static void note(struct out *o, const uint8_t *p, size_t len)
{
	uint32_t id;

	for (size_t i = 0; i < len; i++)
		o->hash = (o->hash ^ p[i]) * 0x100000001b3ULL;
	o->hash ^= timerq_now(&T.tq);
	memcpy(&id, p, sizeof(id));
	o->late += id < o->last;
	o->last = MAX(o->last, id);
	o->n++;
	for (size_t i = LINK_FRAME_MIN; i < len; i++)
		if (p[i] != 0x55) {
			o->bad++;
			break;
		}
}

static void on_peer(struct memlink *m, const struct link_vnet *vh,
		    const uint8_t *frame, size_t len)
{
	(void)m;
	(void)vh;
	note(&T.out, frame, len);
}

static void on_input(struct link *l, const struct link_vnet *vh,
		     const struct iovec *iov, int n)
{
	(void)l;
	(void)vh;
	assert_int_equal(n, 1);
	note(&T.in, iov->iov_base, iov->iov_len);
}

static void on_done(struct link *l)
{
	(void)l;
	T.done++;
}

static void on_drained(struct link *l)
{
	(void)l;
	T.drained++;
}

static void on_down(struct link *l, int why)
{
	(void)l;
	(void)why;
	T.downs++;
}

static struct link *setup(const char *text)
{
	struct fault_cfg cfg;
	struct link *l;

	memset(&T, 0, sizeof(T));
	count_reset();
	assert_int_equal(fault_parse(text, &cfg), 0);
	assert_int_equal(timerq_init(&T.tq, 1), 0);	/* one timer is all */
	timerq_set_now(&T.tq, 5);
	memlink_init(&T.m, LINK_F_CSUM, on_peer, NULL);
	T.f = fault_new(&T.m.link, &T.tq, &cfg);
	assert_non_null(T.f);
	l = fault_link(T.f);
	l->input = on_input;
	l->input_done = on_done;
	l->drained = on_drained;
	l->down = on_down;
	assert_int_equal(l->can_send, LINK_F_CSUM);
	return l;
}

static void teardown(void)
{
	fault_free(T.f);
	assert_int_equal(T.tq.n, 0);
	timerq_free(&T.tq);
}

static void one(uint32_t id, bool out)
{
	uint8_t frame[LEN];
	struct iovec iov = { frame, sizeof(frame) };

	memset(frame, 0x55, sizeof(frame));
	memcpy(frame, &id, sizeof(id));
	if (out)
		assert_int_equal(link_send(fault_link(T.f), NULL, &iov, 1), 0);
	else
		memlink_deliver(&T.m, NULL, frame, sizeof(frame));
}

/* 10 us between frames; then all that is late */
static void run(int n)
{
	for (int i = 1; i <= n; i++) {
		one((uint32_t)i, true);
		one((uint32_t)i, false);
		timerq_run(&T.tq, T.tq.now_ns + 10 * NS_PER_US);
	}
	for (int i = 0; i < 1000 && T.tq.n; i++)
		timerq_run(&T.tq, T.tq.now_ns + NS_PER_MS);
	assert_int_equal(T.tq.n, 0);
}

#define MIX	"loss=2%,reorder=5%,dup=1%,corrupt=0.5%,delay=1ms"

static void test_same_seed(void **state)
{
	uint64_t out, in;

	(void)state;
	setup("seed=7," MIX);
	run(3000);
	out = T.out.hash;
	in = T.in.hash;
	teardown();
	assert_true(out != in);		/* each direction has its own luck */

	setup("seed=7," MIX);
	run(3000);
	assert_true(out == T.out.hash);
	assert_true(in == T.in.hash);
	teardown();

	setup("seed=8," MIX);
	run(3000);
	assert_true(out != T.out.hash);
	assert_true(in != T.in.hash);
	teardown();
}

/* Of 20 000 frames each way; the bounds are six standard deviations wide */
static const struct {
	const char *cfg;
	int n_min, n_max, bad_min, bad_max, late_min, late_max;
} rates[] = {
	{ "seed=1", MANY, MANY, 0, 0, 0, 0 },
	{ "seed=3,loss=10%", 17740, 18260, 0, 0, 0, 0 },
	{ "seed=4,loss=100%", 0, 0, 0, 0, 0, 0 },
	{ "seed=5,dup=10%", 21740, 22260, 0, 0, 0, 0 },
	{ "seed=6,corrupt=10%", MANY, MANY, 1740, 2260, 0, 0 },
	{ "seed=7,reorder=10%,reorder-delay=1ms", MANY, MANY, 0, 0, 1740,
	  2260 },
	{ "seed=7,reorder=10%,delay=1ms,reorder-delay=3ms", MANY, MANY, 0, 0,
	  1740, 2260 },
	{ "seed=8,delay=3ms", MANY, MANY, 0, 0, 0, 0 },
	{ "seed=9,loss=0.5%", 19840, 19960, 0, 0, 0, 0 },
};

static void test_rates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		setup(rates[i].cfg);
		run(MANY);
		for (int d = 0; d < 2; d++) {
			const struct out *o = d ? &T.out : &T.in;

			if (o->n < rates[i].n_min || o->n > rates[i].n_max ||
			    o->bad < rates[i].bad_min ||
			    o->bad > rates[i].bad_max ||
			    o->late < rates[i].late_min ||
			    o->late > rates[i].late_max)
				fail_msg("%s: %d frames, %d bad, %d late",
					 rates[i].cfg, o->n, o->bad, o->late);
		}
		teardown();
	}
}

static void test_delay(void **state)
{
	struct link_room room;
	struct link *l = setup("delay=2ms");

	(void)state;
	assert_int_equal(link_reserve(l, 100, &room), 0);
	memset(room.iov[0].iov_base, 0x55, 100);
	assert_int_equal(link_commit(l, &room, NULL, 50), 0);
	one(1, false);
	timerq_run(&T.tq, 5 + 2 * NS_PER_MS - 1);
	assert_int_equal(T.out.n + T.in.n, 0);
	T.done = 0;
	timerq_run(&T.tq, 5 + 2 * NS_PER_MS);
	assert_int_equal(T.out.n, 1);
	assert_int_equal(T.in.n, 1);
	assert_int_equal(T.done, 1);

	/* A pause holds what is late, too */
	one(2, false);
	one(2, true);
	link_pause(l, true);
	timerq_run(&T.tq, NS_PER_S);
	assert_int_equal(T.in.n, 1);
	assert_int_equal(T.out.n, 2);
	link_pause(l, false);
	timerq_run(&T.tq, NS_PER_S + 1);
	assert_int_equal(T.in.n, 2);

	/* Only so many are late at one time */
	for (uint32_t i = 0; i < FAULT_QUEUE + 10; i++)
		one(i, true);
	assert_int_equal(count_get("drop_fault_queue"), 10);
	timerq_run(&T.tq, 2 * NS_PER_S);
	assert_int_equal(T.out.n, 2 + FAULT_QUEUE);

	/* Down: nothing comes any more, and what was late is released */
	one(3, false);
	link_down(&T.m.link, -EIO);
	assert_int_equal(T.downs, 1);
	timerq_run(&T.tq, 3 * NS_PER_S);
	assert_int_equal(T.in.n, 2);
	teardown();
}

/* A frame that is refused and tried again meets the same fate as otherwise */
static void test_full(void **state)
{
	uint8_t frame[LEN];
	struct iovec iov = { frame, sizeof(frame) };
	struct link *l;
	uint64_t hash;

	(void)state;
	for (int round = 0; round < 2; round++) {
		l = setup("seed=11,loss=30%,corrupt=20%");
		memset(frame, 0x55, sizeof(frame));
		for (uint32_t i = 0; i < 200; i++) {
			memcpy(frame, &i, sizeof(i));
			T.m.refuse = round && i % 3 == 0;
			if (link_send(l, NULL, &iov, 1) == -EAGAIN) {
				assert_true(l->full);
				T.m.refuse = false;
				link_drained(&T.m.link);
				assert_false(l->full);
				assert_int_equal(link_send(l, NULL, &iov, 1),
						 0);
			}
			T.m.refuse = false;
		}
		if (round == 0)
			hash = T.out.hash;
		else
			assert_true(T.drained > 10 && hash == T.out.hash);
		teardown();
	}
}

static uint16_t ones_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static int flipped;

/* A checksum was completed, then broken, and no metadata tells to ignore it */
static void on_corrupt(struct memlink *m, const struct link_vnet *vh,
		       const uint8_t *frame, size_t len)
{
	static const struct link_vnet plain;

	(void)m;
	assert_memory_equal(vh, &plain, sizeof(plain));
	for (size_t i = 0; i < LINK_FRAME_MIN; i++)
		assert_int_equal(frame[i], i + 1);
	/* Where the checksum goes the pseudo-header's sum stood: 37, 38 */
	flipped += ones_sum(frame + 20, len - 20) != 0xffff - (37 << 8 | 38);
}

static void test_corrupt_offload(void **state)
{
	static const struct link_vnet vh = {
		.flags = LINK_VNET_F_NEEDS_CSUM, .csum_start = 20,
		.csum_offset = 16,
	};
	uint8_t frame[201];
	struct iovec iov = { frame, sizeof(frame) };
	struct link *l = setup("seed=2,corrupt=100%");

	(void)state;
	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i + 1);
	T.m.peer = on_corrupt;
	flipped = 0;
	for (int i = 0; i < 300; i++)
		assert_int_equal(link_send(l, &vh, &iov, 1), 0);
	/* 6 of the 187 bytes are before the checksummed part */
	assert_in_range(flipped, 270, 299);
	teardown();
}

static const struct {
	const char *text;
	int rc;
	struct fault_cfg cfg;	/* seed loss reorder dup corrupt delays */
} texts[] = {
	{ "seed=1,loss=2%,reorder=5%,dup=1%,corrupt=0.1%,delay=1ms,"
	  "reorder-delay=2ms", 0,
	  { 1, 20000, 50000, 10000, 1000, 1000000, 2000000 } },
	{ "loss=100%", 0, { 1, 1000000, 0, 0, 0, 0, 1000000 } },
	{ "loss=0.0001%", 0, { 1, 1, 0, 0, 0, 0, 1000000 } },
	{ "delay=3us", 0, { 1, 0, 0, 0, 0, 3000, 1000000 } },
	{ "delay=9ns,reorder-delay=2s", 0,
	  { 1, 0, 0, 0, 0, 9, 2000000000 } },
	{ "seed=18446744073709551615", 0,
	  { UINT64_MAX, 0, 0, 0, 0, 0, 1000000 } },
	{ "", -EINVAL, { 0 } }, { ",", -EINVAL, { 0 } },
	{ "loss", -EINVAL, { 0 } }, { "loss=", -EINVAL, { 0 } },
	{ "loss=2", -EINVAL, { 0 } }, { "loss=%", -EINVAL, { 0 } },
	{ "loss=.5%", -EINVAL, { 0 } }, { "loss=1.%", -EINVAL, { 0 } },
	{ "loss=100.1%", -EINVAL, { 0 } }, { "loss=101%", -EINVAL, { 0 } },
	{ "loss=-1%", -EINVAL, { 0 } }, { "loss=+1%", -EINVAL, { 0 } },
	{ "loss=0.00001%", -EINVAL, { 0 } }, { "loss=1%,", -EINVAL, { 0 } },
	{ "seed=x", -EINVAL, { 0 } }, { "lost=1%", -EINVAL, { 0 } },
	{ "delay=1", -EINVAL, { 0 } }, { "delay=ms", -EINVAL, { 0 } },
	{ "delay=61s", -EINVAL, { 0 } }, { "delay=1m", -EINVAL, { 0 } },
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct fault_cfg got;
		char *copy = strdup(texts[i].text);
		int rc = fault_parse(copy, &got);

		if (rc != texts[i].rc)
			fail_msg("\"%s\": %d", texts[i].text, rc);
		if (rc == 0)
			assert_memory_equal(&got, &texts[i].cfg, sizeof(got));
		free(copy);
	}
}

int fault_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_seed),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_corrupt_offload),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
