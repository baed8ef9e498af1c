#include "tests/unit/guest.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/neigh.h"
#include "gateway/stack/nud.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/ndp.h"
#include "gateway/wire/udp.h"

int nud_test(void);

#define G4	"100.96.0.2"
#define GW4	"100.96.0.1"
#define G6	"fd42:6d73:62::2"
#define GW6	"fd42:6d73:62::1"
#define FAR4	"198.51.100.7"
#define FAR6	"2001:db8::7"
#define NODE6	"ff02::1:ff00:2"	/* the guest's solicited-node group */

static const uint8_t moved_mac[6] = { 2, 0x6d, 0x73, 0, 0, 9 };

static struct guest *fresh(void)
{
	struct guest *g = guest_new(0, 1500);

	g->n.conf.nud = true;
	count_reset();
	return g;
}

static void after(struct guest *g, uint64_t ns)
{
	timerq_run(&g->tq, timerq_now(&g->tq) + ns);
}

/* A datagram to the guest, with @mark in it */
static int send_mark(struct guest *g, bool v4, uint8_t mark)
{
	uint8_t d[9] = { 0, 1, 0, 2, 0, 9, 0, 0, mark };
	struct iovec iov = { .iov_base = d, .iov_len = sizeof(d) };
	struct ip_args a = { .src = guest_addr(v4 ? FAR4 : FAR6),
			     .dst = guest_addr(v4 ? G4 : G6),
			     .proto = IPPROTO_UDP };

	return ip_send(&g->n, &a, &iov, 1, UDP_CSUM_OFF);
}

static void expect_mark(const struct guest_frame *f, bool v4, uint8_t mark,
			const uint8_t *mac)
{
	const uint8_t *l4;

	assert_int_equal(guest_check_ip(f, v4 ? FAR4 : FAR6, v4 ? G4 : G6,
					IPPROTO_UDP, &l4), 9);
	assert_int_equal(l4[8], mark);
	assert_memory_equal(f->b, mac, 6);
}

/* It asks for the guest's MAC, there or everywhere */
static void expect_request(const struct guest_frame *f, bool v4, bool to_all)
{
	struct rd r = rd_init(f->b + ETH_HDR_LEN, f->len - ETH_HDR_LEN);
	const struct ipaddr guest = guest_addr(v4 ? G4 : G6);
	const uint8_t *l4;
	struct arp a;
	struct ndp m;
	size_t len;

	if (!to_all)
		assert_memory_equal(f->b, guest_mac, 6);
	if (v4) {
		if (to_all)
			assert_memory_equal(f->b, "\xff\xff\xff\xff\xff\xff", 6);
		assert_int_equal(arp_parse(&r, &a), 0);
		assert_int_equal(a.op, ARP_OP_REQUEST);
		assert_true(ipaddr_eq(&a.tpa, &guest));
		assert_memory_equal(a.sha, guest_gw_mac, 6);
		return;
	}
	if (to_all)
		assert_memory_equal(f->b, "\x33\x33\xff\0\0\2", 6);
	len = guest_check_ip(f, GW6, to_all ? NODE6 : G6, IPPROTO_ICMPV6, &l4);
	assert_int_equal(f->b[21], 255);
	assert_int_equal(ndp_parse(rd_init(l4, len), &m), 0);
	assert_int_equal(m.type, ICMP6_NS);
	assert_true(ipaddr_eq(&m.target, &guest) && m.has_mac);
	assert_memory_equal(m.mac, guest_gw_mac, 6);
}

static void rx_arp(struct guest *g, uint16_t op, const char *spa,
		   const char *tpa, const uint8_t *mac)
{
	struct arp a = { .op = op, .spa = guest_addr(spa),
			 .tpa = guest_addr(tpa) };
	uint8_t b[64];
	size_t at = guest_eth(b, ETH_TYPE_ARP);
	struct wr w = wr_init(b + at, ARP_LEN);

	memcpy(b + 6, mac, 6);
	memcpy(a.sha, mac, 6);
	memcpy(a.tha, guest_gw_mac, 6);
	arp_emit(&a, &w);
	guest_rx(g, NULL, b, at + ARP_LEN, 0);
}

/* An advertisement; @how: any of s, o and m (solicited, override, MAC option) */
static void rx_advert(struct guest *g, const char *target, const char *how,
		      const uint8_t *mac)
{
	struct ndp m = { .type = ICMP6_NA, .target = guest_addr(target),
			 .solicited = strchr(how, 's'),
			 .override = strchr(how, 'o'),
			 .has_mac = strchr(how, 'm') };
	uint8_t b[128], l4[NDP_LEN_MAX];
	struct wr w = wr_init(l4, sizeof(l4));
	size_t len;

	memcpy(m.mac, mac, 6);
	ndp_emit(&m, &w);
	guest_l4_csum(G6, GW6, IPPROTO_ICMPV6, l4, wr_len(&w), 2);
	len = guest_ip(b, G6, GW6, IPPROTO_ICMPV6, l4, wr_len(&w));
	b[21] = 255;
	memcpy(b + 6, mac, 6);
	guest_rx(g, NULL, b, len, 0);
}

static void answer(struct guest *g, bool v4, const uint8_t *mac)
{
	if (v4)
		rx_arp(g, ARP_OP_REPLY, G4, GW4, mac);
	else
		rx_advert(g, G6, "som", mac);
}

/* A frame of the guest that says nothing about neighbours */
static void rx_data(struct guest *g, bool v4, const uint8_t *mac)
{
	uint8_t b[128], l4[32];
	const char *s = v4 ? G4 : G6, *d = v4 ? FAR4 : FAR6;
	size_t n = guest_udp(l4, s, d, 1, 2, "abc", 3);
	size_t len = guest_ip(b, s, d, IPPROTO_UDP, l4, n);

	memcpy(b + 6, mac, 6);
	guest_rx(g, NULL, b, len, 0);
}

/* --- tests ---------------------------------------------------------------- */

static void announced(void **state)
{
	struct guest *g = fresh();
	const uint8_t *l4;
	struct ndp m;
	struct arp a;
	struct rd r;
	size_t len;

	(void)state;
	assert_int_equal(g->nout, 0);		/* nud was off */
	netif_attach(&g->n, &g->mem.link);
	assert_int_equal(g->nout, 2);
	assert_memory_equal(g->out[0].b, "\xff\xff\xff\xff\xff\xff", 6);
	r = rd_init(g->out[0].b + 14, g->out[0].len - 14);
	assert_int_equal(arp_parse(&r, &a), 0);
	assert_int_equal(a.op, ARP_OP_REQUEST);
	assert_true(ipaddr_eq(&a.spa, &g->n.conf.gw4));
	assert_true(ipaddr_eq(&a.tpa, &g->n.conf.gw4));
	len = guest_check_ip(&g->out[1], GW6, "ff02::1", IPPROTO_ICMPV6, &l4);
	assert_memory_equal(g->out[1].b, "\x33\x33\0\0\0\1", 6);
	assert_int_equal(ndp_parse(rd_init(l4, len), &m), 0);
	assert_true(m.type == ICMP6_NA && m.override && !m.solicited);
	assert_true(ipaddr_eq(&m.target, &g->n.conf.gw6));
	assert_int_equal(g->tq.n, 0);
	guest_free(g);
}

static void is_there(void **state)
{
	(void)state;
	for (int v4 = 0; v4 < 2; v4++) {
		struct guest *g = fresh();

		assert_int_equal(send_mark(g, v4, 1), 0);
		expect_mark(&g->out[0], v4, 1, guest_mac);	/* at once */
		after(g, NUD_DELAY_NS - 1);
		assert_int_equal(g->nout, 1);
		after(g, 1);
		assert_int_equal(g->nout, 2);
		expect_request(&g->out[1], v4, false);
		assert_int_equal(g->n.nud[v4].state, NUD_PROBE);
		assert_int_equal(g->n.nud[!v4].state, NUD_STALE);
		answer(g, v4, guest_mac);
		assert_int_equal(g->n.nud[v4].state, NUD_REACHABLE);
		assert_int_equal(g->tq.n, 0);
		guest_clear(g);
		/* for 30 s nothing is asked, whatever is sent */
		for (int i = 0; i < 29; i++) {
			after(g, NS_PER_S);
			assert_int_equal(send_mark(g, v4, 2), 0);
		}
		assert_int_equal(g->nout, 29);
		assert_int_equal(g->tq.n, 0);
		after(g, NS_PER_S);
		send_mark(g, v4, 3);
		assert_int_equal(g->n.nud[v4].state, NUD_DELAY);
		after(g, NUD_DELAY_NS);
		expect_request(&g->out[g->nout - 1], v4, false);
		guest_free(g);
	}
}

static void has_gone(void **state)
{
	(void)state;
	for (int v4 = 0; v4 < 2; v4++) {
		struct guest *g = fresh();

		send_mark(g, v4, 0);
		after(g, NUD_DELAY_NS);
		for (int i = 1; i <= NUD_UNICAST; i++, after(g, NS_PER_S)) {
			assert_int_equal(g->nout, 1 + i);
			expect_request(&g->out[i], v4, false);
			/* until it is given up, it is sent */
			if (i == 1) {
				send_mark(g, v4, 9);
				expect_mark(&g->out[2], v4, 9, guest_mac);
				g->nout--;
				free(g->out[2].b);
			}
		}
		guest_clear(g);		/* the first to all is one of them */
		assert_int_equal(g->n.nud[v4].state, NUD_INCOMPLETE);
		assert_int_equal(g->n.nud[v4].asked, 1);
		for (uint8_t k = 1; k <= NUD_QUEUE + 2; k++)
			assert_int_equal(send_mark(g, v4, k), 0);
		assert_int_equal(g->nout, 0);
		assert_int_equal(count_get("drop_nud_queue"), 2);
		for (int i = 1; i < NUD_MULTICAST; i++) {
			after(g, NS_PER_S);
			assert_int_equal(g->nout, i);
			expect_request(&g->out[i - 1], v4, true);
		}
		after(g, NS_PER_S);
		assert_int_equal(g->n.nud[v4].state, NUD_FAILED);
		assert_int_equal(count_get("drop_nud_failed"), NUD_QUEUE);
		assert_int_equal(count_get("nud_failures"), 1);
		assert_int_equal(g->tq.n, 0);
		guest_clear(g);

		/* the next packet asks again, and waits; the answer frees it */
		send_mark(g, v4, 7);
		send_mark(g, v4, 8);
		assert_int_equal(g->nout, 1);
		expect_request(&g->out[0], v4, true);
		answer(g, v4, moved_mac);
		assert_int_equal(g->nout, 3);
		expect_mark(&g->out[1], v4, 7, moved_mac);
		expect_mark(&g->out[2], v4, 8, moved_mac);
		assert_int_equal(g->n.nud[v4].state, NUD_REACHABLE);
		assert_int_equal(g->tq.n, 0);
		guest_free(g);
	}
}

static struct guest *lost(bool v4)
{
	struct guest *g = fresh();

	send_mark(g, v4, 0);
	after(g, NUD_DELAY_NS);
	for (int i = 0; i < NUD_UNICAST; i++)
		after(g, NUD_RETRANS_NS);
	assert_int_equal(g->n.nud[v4].state, NUD_INCOMPLETE);
	send_mark(g, v4, 5);
	guest_clear(g);
	count_reset();
	return g;
}

/* Any valid frame says where it is, but not that it hears us */
static void heard_of(void **state)
{
	(void)state;
	for (int v4 = 0; v4 < 2; v4++) {
		struct guest *g = lost(v4);

		rx_data(g, v4, guest_mac);
		assert_int_equal(g->nout, 1);
		expect_mark(&g->out[0], v4, 5, guest_mac);
		assert_int_equal(g->n.nud[v4].state, NUD_STALE);
		assert_int_equal(g->tq.n, 0);
		guest_free(g);
	}
}

static void confirmed_by_tcp(void **state)
{
	struct guest *g = fresh();

	(void)state;
	send_mark(g, true, 0);
	after(g, NS_PER_S);
	nud_confirm(&g->n, true);
	after(g, 4 * NS_PER_S);
	assert_int_equal(g->nout, 1);			/* nobody asked */
	assert_int_equal(g->n.nud[true].state, NUD_REACHABLE);
	assert_int_equal(g->tq.n, 0);
	nud_confirm(&g->n, true);
	after(g, NUD_REACHABLE_NS - 1);
	send_mark(g, true, 0);
	assert_int_equal(g->tq.n, 0);
	after(g, 1);
	send_mark(g, true, 0);
	assert_int_equal(g->n.nud[true].state, NUD_DELAY);
	guest_free(g);

	g = lost(false);
	nud_confirm(&g->n, false);		/* of something long ago */
	assert_int_equal(g->n.nud[false].state, NUD_INCOMPLETE);
	assert_int_equal(send_mark(g, false, 6), 0);
	assert_int_equal(g->nout, 0);
	guest_free(g);
}

/* RFC 4861 7.2.5, the whole table */
static void adverts(void **state)
{
	static const struct {
		const char *name, *how;
		bool lost, moved;
		enum nud_state then;
		bool takes;		/* the MAC that it tells */
		const char *counter;
	} cases[] = {
		{ "lost, solicited", "sm", true, true, NUD_REACHABLE, true,
		  "" },
		{ "lost, unsolicited", "m", true, true, NUD_STALE, true, "" },
		{ "lost, no MAC", "so", true, false, NUD_INCOMPLETE, false,
		  "drop_ndp_no_mac" },
		{ "same, solicited", "sm", false, false, NUD_REACHABLE, true,
		  "" },
		{ "same, unsolicited", "m", false, false, NUD_PROBE, true,
		  "" },
		{ "no MAC, solicited", "s", false, false, NUD_REACHABLE, true,
		  "" },
		{ "other, no override", "sm", false, true, NUD_PROBE, false,
		  "drop_ndp_no_override" },
		{ "other, override", "om", false, true, NUD_STALE, true, "" },
		{ "other, both", "som", false, true, NUD_REACHABLE, true, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t *mac = cases[i].moved ? moved_mac : guest_mac;
		struct guest *g = lost(false);

		if (!cases[i].lost) {
			answer(g, false, guest_mac);
			after(g, NUD_REACHABLE_NS);
			send_mark(g, false, 0);
			after(g, NUD_DELAY_NS);
			assert_int_equal(g->n.nud[false].state, NUD_PROBE);
		}
		rx_advert(g, G6, cases[i].how, mac);
		if (g->n.nud[false].state != cases[i].then ||
		    !memcmp(g->n.peer_mac, mac, 6) !=
			    (cases[i].takes || !cases[i].moved) ||
		    (*cases[i].counter && count_get(cases[i].counter) != 1))
			fail_msg("%s: state %d", cases[i].name,
				 (int)g->n.nud[false].state);
		guest_free(g);
	}
}

/* REACHABLE, and somebody says something else without insisting on it */
static void doubt(void **state)
{
	struct guest *g = fresh();

	(void)state;
	answer(g, false, guest_mac);
	rx_advert(g, G6, "m", moved_mac);
	assert_int_equal(g->n.nud[false].state, NUD_STALE);
	assert_memory_equal(g->n.peer_mac, guest_mac, 6);
	/* of an address that the entry is not about */
	rx_advert(g, "fe80::6d:73ff:fe00:2", "som", guest_mac);
	assert_int_equal(g->n.nud[false].state, NUD_STALE);
	send_mark(g, false, 1);
	assert_int_equal(g->n.nud[false].state, NUD_DELAY);
	/* no option: nothing to doubt */
	answer(g, false, guest_mac);
	rx_advert(g, G6, "s", guest_mac);
	assert_int_equal(g->n.nud[false].state, NUD_REACHABLE);
	guest_free(g);
}

/* The guest has another MAC now: in an announcement, or in any frame */
static void has_moved(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		struct guest *g = fresh();

		answer(g, true, guest_mac);
		answer(g, false, guest_mac);
		if (how == 0)
			rx_arp(g, ARP_OP_REQUEST, G4, G4, moved_mac);
		else if (how == 1)
			rx_arp(g, ARP_OP_REPLY, G4, G4, moved_mac);
		else if (how == 2)
			rx_advert(g, G6, "om", moved_mac);
		else
			rx_data(g, true, moved_mac);
		assert_int_equal(g->nout, 0);
		assert_memory_equal(g->n.peer_mac, moved_mac, 6);
		assert_int_equal(g->n.nud[0].state, NUD_STALE);
		assert_int_equal(g->n.nud[1].state, NUD_STALE);
		send_mark(g, false, 1);
		expect_mark(&g->out[0], false, 1, moved_mac);
		guest_free(g);
	}
}

static void full_link(void **state)
{
	struct guest *g = fresh();

	(void)state;
	send_mark(g, true, 0);
	g->mem.refuse = true;
	after(g, NUD_DELAY_NS);
	for (int i = 0; i < 20; i++)
		after(g, NUD_RETRANS_NS);
	assert_int_equal(g->n.nud[true].state, NUD_PROBE);
	assert_int_equal(g->n.nud[true].asked, 0);
	g->mem.refuse = false;
	after(g, NUD_RETRANS_NS);
	assert_int_equal(g->nout, 2);
	expect_request(&g->out[1], true, false);
	guest_free(g);

	/* what waited has no second chance */
	g = lost(true);
	g->mem.refuse = true;
	answer(g, true, guest_mac);
	assert_int_equal(count_get("drop_nud_link"), 1);
	guest_free(g);
}

static void no_link(void **state)
{
	struct guest *g = lost(true);

	(void)state;
	netif_detach(&g->n);
	assert_int_equal(g->tq.n, 0);
	assert_int_equal(g->n.nud[true].nqueue, 0);
	g->n.conf.nud = false;
	netif_attach(&g->n, &g->mem.link);
	assert_int_equal(g->n.nud[true].state, NUD_STALE);
	assert_int_equal(send_mark(g, true, 1), 0);
	assert_int_equal(g->nout, 1);
	assert_int_equal(g->tq.n, 0);		/* nobody asks */
	guest_free(g);

	/* the end comes while something waits */
	guest_free(lost(false));
}

/* As TCP sends */
static void in_place(void **state)
{
	struct ip_args a = { .src = guest_addr(FAR4), .dst = guest_addr(G4),
			     .proto = IPPROTO_UDP };
	struct guest *g = lost(true);
	struct ip_room r;

	(void)state;
	assert_int_equal(ip_reserve(&g->n, &a, 8, 1, &r), 0);
	memcpy(r.l4, "\0\1\0\2\0\11\0\0", 8);
	*(uint8_t *)r.pay[0].iov_base = 66;
	assert_int_equal(ip_commit(&g->n, &r, 1, UDP_CSUM_OFF, 0), 0);
	assert_int_equal(g->nout, 0);
	answer(g, true, moved_mac);
	assert_int_equal(g->nout, 2);
	expect_mark(&g->out[0], true, 5, moved_mac);
	expect_mark(&g->out[1], true, 66, moved_mac);
	guest_free(g);
}

/* RFC 5227 2.4 b; nobody fights */
static void conflicts(void **state)
{
	struct guest *g = fresh();

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++) {
			rx_arp(g, i & 1 ? ARP_OP_REPLY : ARP_OP_REQUEST, GW4,
			       i == 2 ? G4 : GW4, guest_mac);
			rx_advert(g, GW6, i ? "om" : "m", guest_mac);
		}
		assert_int_equal(g->nout, 2);
		assert_memory_equal(g->out[0].b, "\xff\xff\xff\xff\xff\xff", 6);
		assert_memory_equal(g->out[0].b + 28, g->out[0].b + 38, 4);
		guest_check_ip(&g->out[1], GW6, "ff02::1", IPPROTO_ICMPV6,
			       NULL);
		guest_clear(g);
		after(g, NEIGH_DEFEND_NS - 1);
		rx_arp(g, ARP_OP_REPLY, GW4, G4, guest_mac);
		assert_int_equal(g->nout, 0);
		after(g, 1);
	}
	assert_int_equal(count_get("drop_arp_conflict"), 8);
	assert_int_equal(count_get("drop_ndp_conflict"), 6);
	assert_memory_equal(g->n.peer_mac, guest_mac, 6);
	guest_free(g);
}

int nud_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announced),
		cmocka_unit_test(is_there),
		cmocka_unit_test(has_gone),
		cmocka_unit_test(heard_of),
		cmocka_unit_test(confirmed_by_tcp),
		cmocka_unit_test(adverts),
		cmocka_unit_test(doubt),
		cmocka_unit_test(has_moved),
		cmocka_unit_test(full_link),
		cmocka_unit_test(no_link),
		cmocka_unit_test(in_place),
		cmocka_unit_test(conflicts),
	};

	return cmocka_run_group_tests_name("nud", tests, NULL, NULL);
}
