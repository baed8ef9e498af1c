#include "tests/unit/guest.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/frag.h"
#include "gateway/stack/icmp.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"

int frag_test(void);

#define G4	"100.96.0.2"
#define FAR4	"198.51.100.7"
#define G6	"fd42:6d73:62::2"
#define FAR6	"2001:db8::7"

static struct {
	int calls;
	size_t len;
	uint8_t data[70000];
	bool ok, was_frag;
	uint8_t tos, proto;
} got;

static uint8_t msg[65536];	/* a datagram, or just bytes */
static uint8_t proto4 = IPPROTO_UDP, tos4;

static void up(void *arg, const struct pkt *p)
{
	size_t at = 0;

	(void)arg;
	got.calls++;
	got.len = p->len;
	got.ok = pkt_csum_ok(p);
	got.was_frag = p->was_frag;
	got.tos = p->tos;
	got.proto = p->proto;
	for (int i = 0; i < p->n; i++) {
		memcpy(got.data + at, p->iov[i].iov_base, p->iov[i].iov_len);
		at += p->iov[i].iov_len;
	}
}

static struct guest *fresh(void)
{
	struct guest *g = guest_new(0, 1500);

	netif_set_l4(&g->n, NETIF_L4_UDP, up, NULL);
	netif_set_l4(&g->n, NETIF_L4_TCP, up, NULL);
	memset(&got, 0, sizeof(got));
	count_reset();
	return g;
}

/* Bytes [off, off+len) of msg as a fragment */
static void piece(struct guest *g, bool v6, uint32_t id, size_t off,
		  size_t len, bool mf)
{
	static uint8_t b[66000], l4[66000];
	size_t n;

	if (v6) {
		struct wr w = wr_init(l4, IP6_FRAG_LEN);

		ip6_frag_emit(IPPROTO_UDP, (uint16_t)off, mf, id, &w);
		memcpy(l4 + IP6_FRAG_LEN, msg + off, len);
		n = guest_ip(b, G6, FAR6, IPPROTO_FRAGMENT, l4,
			     len + IP6_FRAG_LEN);
	} else {
		n = guest_ip(b, G4, FAR4, proto4, msg + off, len);
		b[14 + 1] = tos4;
		b[14 + 4] = (uint8_t)(id >> 8);
		b[14 + 5] = (uint8_t)id;
		b[14 + 6] = (uint8_t)((mf ? 0x20 : 0) | off >> 11);
		b[14 + 7] = (uint8_t)(off >> 3);
		guest_ip4_fix(b);
	}
	guest_rx(g, NULL, b, n, n / 3 + 1);
}

/* A datagram of @len bytes in msg */
static void make(bool v6, size_t len)
{
	static uint8_t pay[65536];

	for (size_t i = 0; i < len; i++)
		pay[i] = (uint8_t)(i * 31 + i / 251);
	guest_udp(msg, v6 ? G6 : G4, v6 ? FAR6 : FAR4, 7, 9, pay, len - 8);
}

static void assert_whole(size_t len)
{
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, msg, len);
	assert_true(got.ok);
	assert_true(got.was_frag);
	got.calls = 0;
}

static void every_order(void **state)
{
	static const int order[][4] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 3, 0, 2 }, { 2, 0, 3, 1 },
		{ 3, 0, 1, 2 }, { 0, 2, 1, 3 }, { 1, 2, 3, 0 },
	};

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = fresh();

		make(v6, 700);
		for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
			for (int k = 0; k < 4; k++) {
				size_t off = (size_t)order[i][k] * 200;

				assert_int_equal(got.calls, 0);
				piece(g, v6, 77, off,
				      off == 600 ? 100 : 200, off != 600);
			}
			assert_whole(700);
		}
		assert_int_equal(count_get("frag_reassembled"),
				 ARRAY_SIZE(order));
		/* everything is given back: no timer, and nothing at the end */
		assert_int_equal(g->tq.n, 0);
		guest_free(g);
	}
}

static void interleaved_sets(void **state)
{
	struct guest *g = fresh();

	(void)state;
	make(false, 400);
	for (uint32_t id = 0; id < FRAG_SETS; id++)
		piece(g, false, id, 0, 200, true);
	for (uint32_t id = 0; id < FRAG_SETS; id++) {
		piece(g, false, id, 200, 200, false);
		assert_whole(400);
	}
	/* the same id means two sets of two protocols */
	proto4 = IPPROTO_TCP;
	piece(g, false, 5, 0, 200, true);
	proto4 = IPPROTO_UDP;
	piece(g, false, 5, 200, 200, false);
	assert_int_equal(got.calls, 0);
	piece(g, false, 5, 0, 200, true);
	assert_whole(400);
	/* and of two families */
	piece(g, false, 5, 0, 200, true);
	make(true, 400);
	piece(g, true, 5, 200, 200, false);
	assert_int_equal(got.calls, 0);
	piece(g, true, 5, 0, 200, true);
	assert_whole(400);
	guest_free(g);
}

/* Pieces, in units of 8 bytes; what the last one comes to */
static const struct {
	const char *name;
	struct {
		uint16_t off, len;
		bool mf;
	} p[4];
	int n;
	const char *counter;
} bad[] = {
	{ "overlap at the end", { { 0, 16, 1 }, { 8, 16, 1 } }, 2,
	  "drop_frag_overlap" },
	{ "overlap at the start", { { 8, 16, 1 }, { 0, 16, 1 } }, 2,
	  "drop_frag_overlap" },
	{ "around", { { 8, 8, 1 }, { 0, 32, 1 } }, 2, "drop_frag_overlap" },
	{ "two in one", { { 0, 8, 1 }, { 16, 8, 1 }, { 0, 24, 1 } }, 3,
	  "drop_frag_overlap" },
	{ "duplicate", { { 8, 8, 1 }, { 8, 8, 1 } }, 2,
	  "drop_frag_duplicate" },
	{ "part of another", { { 0, 32, 1 }, { 8, 8, 1 } }, 2,
	  "drop_frag_duplicate" },
	{ "two ends", { { 16, 8, 0 }, { 24, 8, 0 } }, 2, "drop_frag_end" },
	{ "end before", { { 24, 8, 1 }, { 8, 8, 0 } }, 2, "drop_frag_end" },
	{ "more after the end", { { 16, 8, 0 }, { 24, 8, 1 } }, 2,
	  "drop_frag_end" },
	{ "more at the end", { { 16, 8, 0 }, { 16, 8, 1 } }, 2,
	  "drop_frag_end" },
	{ "odd length", { { 0, 9, 1 } }, 1, "drop_frag_size" },
	{ "empty", { { 0, 0, 1 } }, 1, "drop_frag_empty" },
	{ "empty end", { { 8, 0, 0 } }, 1, "drop_frag_empty" },
};

static void refused(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		make(v6, 600);
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			struct guest *g = fresh();

			for (int k = 0; k < bad[i].n; k++) {
				assert_int_equal(count_get(bad[i].counter), 0);
				piece(g, v6, 1, bad[i].p[k].off,
				      bad[i].p[k].len, bad[i].p[k].mf);
			}
			if (count_get(bad[i].counter) != 1 || got.calls)
				fail_msg("%s", bad[i].name);
			guest_free(g);
		}
	}
}

static void refused_set_stays_refused(void **state)
{
	struct guest *g = fresh();

	(void)state;
	make(false, 400);
	piece(g, false, 1, 0, 200, true);
	piece(g, false, 1, 8, 200, true);
	assert_int_equal(count_get("drop_frag_overlap"), 1);
	piece(g, false, 1, 0, 200, true);
	piece(g, false, 1, 200, 200, false);
	assert_int_equal(count_get("drop_frag_refused"), 2);
	assert_int_equal(got.calls, 0);
	/* until its time is over */
	timerq_run(&g->tq, (FRAG_LIFE_S + 2) * NS_PER_S);
	piece(g, false, 1, 0, 200, true);
	piece(g, false, 1, 200, 200, false);
	assert_whole(400);
	guest_free(g);
}

/* A repeat with other bytes is an attack, not a repeat */
static void changed_duplicate(void **state)
{
	struct guest *g = fresh();

	(void)state;
	make(false, 400);
	piece(g, false, 1, 0, 200, true);
	piece(g, false, 1, 0, 200, true);
	assert_int_equal(count_get("drop_frag_duplicate"), 1);
	msg[20] ^= 1;
	piece(g, false, 1, 0, 200, true);
	assert_int_equal(count_get("drop_frag_overlap"), 1);
	piece(g, false, 1, 200, 200, false);
	assert_int_equal(got.calls, 0);
	guest_free(g);
}

static void longest(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		size_t max = v6 ? 65535 : 65515, off = 0;
		struct guest *g = fresh();

		make(v6, max);
		for (; off + 1480 < max; off += 1480)
			piece(g, v6, 9, off, 1480, true);
		piece(g, v6, 9, off, max - off, false);
		assert_whole(max);
		/* one byte more */
		piece(g, v6, 9, off, max - off + 1, false);
		assert_int_equal(count_get("drop_frag_long"), 1);
		assert_int_equal(g->tq.n, 0);
		guest_free(g);
	}
}

static void many_stretches(void **state)
{
	struct guest *g = fresh();
	size_t off;

	(void)state;
	make(true, 16 * (FRAG_PIECES + 1));
	for (off = 0; off < 16 * FRAG_PIECES; off += 16)
		piece(g, true, 1, off, 8, true);
	assert_int_equal(count_get("drop_frag_pieces"), 0);
	piece(g, true, 1, off, 8, true);
	assert_int_equal(count_get("drop_frag_pieces"), 1);
	guest_free(g);
}

static void expiry(void **state)
{
	struct guest *g = fresh();

	(void)state;
	make(false, 400);
	piece(g, false, 1, 0, 200, true);
	timerq_run(&g->tq, 4 * NS_PER_S);
	piece(g, false, 2, 0, 200, true);
	timerq_run(&g->tq, 11 * NS_PER_S - 1);
	assert_int_equal(count_get("drop_frag_expired"), 0);
	timerq_run(&g->tq, 11 * NS_PER_S);
	assert_int_equal(count_get("drop_frag_expired"), 1);
	piece(g, false, 2, 200, 200, false);
	assert_whole(400);
	piece(g, false, 1, 200, 200, false);
	assert_int_equal(got.calls, 0);
	timerq_run(&g->tq, 30 * NS_PER_S);
	assert_int_equal(count_get("drop_frag_expired"), 2);
	assert_int_equal(g->tq.n, 0);
	guest_free(g);
}

static void eviction(void **state)
{
	struct guest *g = fresh();

	(void)state;
	make(false, 600);
	for (uint32_t id = 0; id < FRAG_SETS; id++)
		piece(g, false, id, 0, 200, true);
	piece(g, false, 0, 200, 200, true);	/* 0 is active, 1 is not */
	piece(g, false, 900, 0, 200, true);
	assert_int_equal(count_get("drop_frag_evicted"), 1);
	piece(g, false, 0, 400, 200, false);
	assert_whole(600);
	piece(g, false, 1, 200, 200, true);
	piece(g, false, 1, 400, 200, false);
	assert_int_equal(got.calls, 0);
	guest_free(g);
}

/* Fragments have to obey the rules for addresses, and carry no offload */
static void rules(void **state)
{
	static const struct link_vnet vh = { .flags = 1, .csum_start = 34,
					     .csum_offset = 6 };
	struct guest *g = guest_new(LINK_F_CSUM, 1500);
	uint8_t b[256];
	size_t n;

	(void)state;
	count_reset();
	n = guest_ip(b, FAR4, FAR4, IPPROTO_UDP, msg, 64);
	b[20] = 0x20;
	guest_ip4_fix(b);
	guest_rx(g, NULL, b, n, 0);
	assert_int_equal(count_get("drop_ip_source"), 1);
	n = guest_ip(b, G4, "224.0.0.1", IPPROTO_UDP, msg, 64);
	b[20] = 0x20;
	guest_ip4_fix(b);
	guest_rx(g, NULL, b, n, 0);
	assert_int_equal(count_get("drop_ip_dest_multicast"), 1);
	n = guest_ip(b, G4, FAR4, IPPROTO_UDP, msg, 64);
	b[20] = 0x20;
	guest_ip4_fix(b);
	guest_rx(g, &vh, b, n, 0);
	assert_int_equal(count_get("drop_ip_vnet_csum"), 1);
	assert_null(g->n.frag);		/* and nothing was allocated for them */
	guest_free(g);
}

/* RFC 792 and RFC 8200 4.5: who sent the first piece hears of the others */
static void expiry_is_told(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const size_t hlen = v6 ? 48 : 20;
		struct guest *g = fresh();
		const uint8_t *l4;
		struct icmp ic;
		size_t n;

		icmp_init(&ic, &g->n, NULL, NULL);
		make(v6, 400);
		piece(g, v6, 77, 200, 200, false);	/* no first piece */
		piece(g, v6, 78, 0, 200, true);
		piece(g, v6, 79, 0, 200, true);		/* refused */
		piece(g, v6, 79, 0, 208, true);
		timerq_run(&g->tq, timerq_now(&g->tq) +
			   FRAG_LIFE_S * NS_PER_S);
		assert_int_equal(count_get("drop_frag_expired"), 2);
		assert_int_equal(g->nout, 1);
		n = guest_check_ip(&g->out[0], v6 ? FAR6 : FAR4, v6 ? G6 : G4,
				   v6 ? 58 : 1, &l4);
		assert_int_equal(n, 8 + hlen + 200);
		assert_memory_equal(l4, v6 ? "\3\1" : "\13\1", 2);
		assert_memory_equal(l4 + 8 + hlen, msg, 200);
		if (v6)
			assert_memory_equal(l4 + 8 + 40, "\21\0\0\1\0\0\0\116",
					    8);
		else	/* identity, flags and offset */
			assert_memory_equal(l4 + 8 + 4, "\0\116\x20\0", 4);
		assert_int_equal(g->tq.n, 0);
		guest_free(g);
	}
}

/* First pieces of IPv6 that a host must not take (RFC 8200 4.5, RFC 7112 5) */
static void bad_first(void **state)
{
	static const struct {
		uint8_t proto;
		char data[5];
		size_t len;
		const char *icmp;	/* NULL: it is taken */
	} cases[] = {
		{ IPPROTO_TCP, "", 16, "\4\3" },
		{ IPPROTO_TCP, "", 24, NULL },
		{ IPPROTO_UDP, "", 8, NULL },
		{ IPPROTO_ICMPV6, "\200", 8, NULL },
		{ 132, "", 8, NULL },
		{ IPPROTO_DSTOPTS, "\21\0\1\4", 8, "\4\3" },
		{ IPPROTO_DSTOPTS, "\21\0\1\4", 16, NULL },
		{ IPPROTO_DSTOPTS, "\6\0\1\4", 24, "\4\3" },
		{ IPPROTO_DSTOPTS, "\21\1\1\14", 8, "\4\3" },
		{ IPPROTO_UDP, "", 9, "\4\0" },
	};
	uint8_t b[256], l4[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *want = cases[i].icmp;
		struct guest *g = fresh();
		struct wr w = wr_init(l4, 8);
		const uint8_t *said;
		struct icmp ic;
		size_t n;

		icmp_init(&ic, &g->n, NULL, NULL);
		memset(l4, 0, sizeof(l4));
		ip6_frag_emit(cases[i].proto, 0, true, 5, &w);
		memcpy(l4 + 8, cases[i].data, 4);
		n = guest_ip(b, G6, FAR6, IPPROTO_FRAGMENT, l4,
			     8 + cases[i].len);
		guest_rx(g, NULL, b, n, 0);
		if (g->nout != !!want ||
		    count_get("drop_frag_header") +
		    count_get("drop_frag_size") != !!want)
			fail_msg("case %zu", i);
		if (want) {
			guest_check_ip(&g->out[0], FAR6, G6, 58, &said);
			assert_memory_equal(said, want, 2);
			assert_int_equal(said[7], want[1] ? 0 : 4);
			assert_memory_equal(said + 8, b + 14, n - 14);
		}
		assert_int_equal(g->tq.n, !want);
		guest_free(g);
	}
}

static void ecn(void **state)
{
	static const struct {
		uint8_t first, last, whole;
		bool lost;
	} cases[] = {
		{ 0, 0, 0, false }, { 2, 2, 2, false }, { 2, 3, 3, false },
		{ 3, 1, 3, false }, { 0, 3, 0, true }, { 3, 0, 0, true },
		{ 0xb8, 0xb8, 0xb8, false }, { 0xba, 0xbb, 0xbb, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest *g = fresh();

		make(false, 400);
		tos4 = cases[i].first;
		piece(g, false, 1, 0, 200, true);
		tos4 = cases[i].last;
		piece(g, false, 1, 200, 200, false);
		tos4 = 0;
		assert_int_equal(got.calls, !cases[i].lost);
		assert_int_equal(count_get("drop_frag_ecn"), cases[i].lost);
		if (!cases[i].lost)
			assert_int_equal(got.tos, cases[i].whole);
		assert_int_equal(g->tq.n, 0);
		guest_free(g);
	}
}

/* RFC 6946: a whole packet has nothing to do with pieces of the same name */
static void atomic_one(void **state)
{
	struct guest *g = fresh();

	(void)state;
	make(true, 400);
	piece(g, true, 5, 0, 200, true);
	piece(g, true, 5, 0, 400, false);
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.len, 400);
	assert_true(got.was_frag);
	got.calls = 0;
	piece(g, true, 5, 200, 200, false);
	assert_whole(400);
	assert_int_equal(count_get("frag_reassembled"), 1);
	guest_free(g);
}

int frag_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order),
		cmocka_unit_test(interleaved_sets),
		cmocka_unit_test(refused),
		cmocka_unit_test(refused_set_stays_refused),
		cmocka_unit_test(changed_duplicate),
		cmocka_unit_test(longest),
		cmocka_unit_test(many_stretches),
		cmocka_unit_test(expiry),
		cmocka_unit_test(eviction),
		cmocka_unit_test(rules),
		cmocka_unit_test(expiry_is_told),
		cmocka_unit_test(bad_first),
		cmocka_unit_test(ecn),
		cmocka_unit_test(atomic_one),
	};

	return cmocka_run_group_tests_name("frag", tests, NULL, NULL);
}
