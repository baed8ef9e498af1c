#include "tests/unit/guest.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/icmp.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ndp.h"

int netif_test(void);

#define G4	"100.96.0.2"
#define GW4	"100.96.0.1"
#define G6	"fd42:6d73:62::2"
#define GW6	"fd42:6d73:62::1"
#define FAR4	"198.51.100.7"
#define FAR6	"2001:db8::7"
#define LL6	"fe80::6d:73ff:fe00:2"

static struct {
	int calls, which;
	uint8_t proto, ttl;
	size_t len, l4_head;
	uint16_t csum_start;
	uint8_t data[70000];
	bool csum_ok;
	struct ipaddr src, dst;
} got;

static void note(int which, const struct pkt *p)
{
	size_t at = 0;

	got.calls++;
	got.which = which;
	got.proto = p->proto;
	got.ttl = p->ttl;
	got.len = p->len;
	got.l4_head = p->l4_head;
	got.csum_start = p->vh.csum_start;
	got.csum_ok = pkt_csum_ok(p);
	got.src = p->src;
	got.dst = p->dst;
	assert_ptr_equal(p->l4, p->iov[0].iov_base);
	assert_true(p->l4_head >= (p->len < 60 ? p->len : 60));
	for (int i = 0; i < p->n; i++) {
		memcpy(got.data + at, p->iov[i].iov_base, p->iov[i].iov_len);
		at += p->iov[i].iov_len;
	}
	assert_int_equal(at, p->len);
}

#define UP(name, which)							\
	static void name(void *arg, const struct pkt *p)		\
	{								\
		(void)arg;						\
		note(which, p);						\
	}
UP(up_tcp, NETIF_L4_TCP)
UP(up_udp, NETIF_L4_UDP)
UP(up_icmp, NETIF_L4_ICMP)
UP(up_dhcp, NETIF_L4_DHCP)

static struct guest *fresh(uint32_t features)
{
	struct guest *g = guest_new(features, 1500);

	netif_set_l4(&g->n, NETIF_L4_TCP, up_tcp, NULL);
	netif_set_l4(&g->n, NETIF_L4_UDP, up_udp, NULL);
	netif_set_l4(&g->n, NETIF_L4_ICMP, up_icmp, NULL);
	memset(&got, 0, sizeof(got));
	count_reset();
	return g;
}

/* Either it came up, or it was counted under the given name, and only there */
static void expect(const char *name, const char *counter)
{
	if (!counter) {
		if (got.calls != 1)
			fail_msg("%s: came up %d times", name, got.calls);
		return;
	}
	if (got.calls || count_get(counter) != 1)
		fail_msg("%s: up %d, %s %u", name, got.calls, counter,
			 (unsigned int)count_get(counter));
}

/* --- Ethernet ---------------------------------------------------------------- */

static void ethernet(void **state)
{
	static const struct {
		const char *name;
		size_t at;
		const char *bytes;
		size_t n, len;
		const char *counter;
	} cases[] = {
#define C(name, at, b, len, c)	{ name, at, b, sizeof(b) - 1, len, c }
		C("good", 0, "", 0, NULL),
		C("empty", 0, "", 1, "drop_eth_short"),
		C("short", 0, "", 13, "drop_eth_short"),
		C("vlan", 12, "\x81\0", 0, "drop_eth_vlan"),
		C("qinq", 12, "\x88\xa8", 0, "drop_eth_vlan"),
		C("unknown", 12, "\x88\xcc", 0, "drop_eth_type"),
		C("802.3 length", 12, "\0\x40", 0, "drop_eth_type"),
		C("elsewhere", 0, "\2\1\1\1\1\1", 0, "drop_eth_dest"),
		C("broadcast", 0, "\xff\xff\xff\xff\xff\xff", 0,
		  "drop_ip_link_group"),
		C("multicast", 0, "\1\0\x5e\0\0\1", 0,
		  "drop_ip_link_group"),
		C("from a group", 6, "\1\0\x5e\0\0\1", 0, "drop_eth_source"),
		C("from zero", 6, "\0\0\0\0\0\0", 0, "drop_eth_source"),
		C("from us", 6, "\2\x6d\x73\0\0\1", 0, "drop_eth_source"),
		C("other version", 14, "\x15", 0, "drop_ip_version"),
		C("header only", 0, "", 14, "drop_ip_version"),
#undef C
	};
	uint8_t b[128], l4[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest *g = fresh(0);
		size_t n = guest_udp(l4, G4, FAR4, 1, 2, "abc", 3);
		size_t len = guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n);

		memcpy(b + cases[i].at, cases[i].bytes, cases[i].n);
		guest_rx(g, NULL, b, cases[i].len ? cases[i].len : len, 0);
		expect(cases[i].name, cases[i].counter);
		assert_int_equal(g->nout, 0);
		assert_int_equal(count_get("rx_frames"), 1);
		guest_free(g);
	}
}

/* --- addresses --------------------------------------------------------------- */

static const struct {
	const char *src, *dst, *counter;
} addrs[] = {
	{ G4, FAR4, NULL },
	{ G4, GW4, NULL },
	{ G4, "169.254.169.254", NULL },	/* unicast: the policy's affair */
	{ G4, "100.96.0.4", NULL },		/* outside the /30 */
	{ GW4, FAR4, "drop_ip_source" },
	{ FAR4, GW4, "drop_ip_source" },
	{ "127.0.0.1", FAR4, "drop_ip_source" },
	{ "224.0.0.1", FAR4, "drop_ip_source" },
	{ "255.255.255.255", FAR4, "drop_ip_source" },
	{ "0.0.0.0", FAR4, "drop_ip_source_any" },
	{ "169.254.1.1", FAR4, "drop_ip_source_linklocal" },
	{ G4, G4, "drop_ip_dest_guest" },
	{ G4, "255.255.255.255", "drop_ip_dest_broadcast" },
	{ G4, "100.96.0.3", "drop_ip_dest_broadcast" },
	{ G4, "224.0.0.251", "drop_ip_dest_multicast" },
	{ G4, "239.255.255.250", "drop_ip_dest_multicast" },
	{ G4, "127.0.0.1", "drop_ip_dest_loopback" },
	{ G4, "0.0.0.0", "drop_ip_dest_any" },
	{ G4, "0.1.2.3", "drop_ip_dest_any" },
	{ G6, FAR6, NULL },
	{ G6, GW6, NULL },
	{ GW6, FAR6, "drop_ip_source" },
	{ "2001:db8::1", FAR6, "drop_ip_source" },
	{ "::1", FAR6, "drop_ip_source" },
	{ "::", FAR6, "drop_ip_source_any" },
	{ LL6, FAR6, "drop_ip_source_linklocal" },
	{ LL6, "ff02::1", "drop_ip_source_linklocal" },
	{ G6, G6, "drop_ip_dest_guest" },
	{ G6, "ff02::fb", "drop_ip_dest_multicast" },
	{ G6, "::1", "drop_ip_dest_loopback" },
	{ G6, "::", "drop_ip_dest_any" },
	{ G6, "fe80::1", "drop_ip_dest_linklocal" },
};

static void addresses(void **state)
{
	uint8_t b[128], l4[32];
	char name[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		const char *s = addrs[i].src, *d = addrs[i].dst;
		struct guest *g = fresh(0);
		size_t n = guest_udp(l4, s, d, 1, 2, "abc", 3);
		size_t len = guest_ip(b, s, d, IPPROTO_UDP, l4, n);

		snprintf(name, sizeof(name), "%s to %s", s, d);
		guest_rx(g, NULL, b, len, 0);
		expect(name, addrs[i].counter);
		assert_int_equal(g->nout, 0);
		guest_free(g);
	}
}

/* A /31 has no broadcast address (RFC 3021) */
static void point_to_point(void **state)
{
	uint8_t b[128], l4[32];
	struct guest *g = fresh(0);
	size_t n = guest_udp(l4, G4, "100.96.0.3", 1, 2, "abc", 3);

	(void)state;
	g->n.conf.plen4 = 31;
	guest_rx(g, NULL, b, guest_ip(b, G4, "100.96.0.3", 17, l4, n), 0);
	expect("/31", NULL);
	guest_free(g);
}

static void inactive_family(void **state)
{
	uint8_t b[128], l4[32];
	struct guest *g = fresh(0);
	size_t n = guest_udp(l4, G4, FAR4, 1, 2, "abc", 3);

	(void)state;
	g->n.conf.v4 = g->n.conf.v6 = false;
	guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n), 0);
	expect("v4", "drop_ip4_inactive");
	n = guest_udp(l4, G6, FAR6, 1, 2, "abc", 3);
	guest_rx(g, NULL, b, guest_ip(b, G6, FAR6, IPPROTO_UDP, l4, n), 0);
	expect("v6", "drop_ip6_inactive");
	guest_free(g);
}

static void dhcp(void **state)
{
	uint8_t b[128], l4[32];
	struct guest *g = fresh(0);
	size_t n = guest_udp(l4, "0.0.0.0", "255.255.255.255", 68, 67, "a", 1);
	size_t len = guest_ip(b, "0.0.0.0", "255.255.255.255", IPPROTO_UDP, l4,
			      n);

	(void)state;
	guest_rx(g, NULL, b, len, 0);
	expect("nobody serves", "drop_ip_unserved");
	netif_set_l4(&g->n, NETIF_L4_DHCP, up_dhcp, NULL);
	guest_rx(g, NULL, b, len, 0);
	expect("served", NULL);
	assert_int_equal(got.which, NETIF_L4_DHCP);
	n = guest_udp(l4, "0.0.0.0", "255.255.255.255", 68, 68, "a", 1);
	len = guest_ip(b, "0.0.0.0", "255.255.255.255", IPPROTO_UDP, l4, n);
	guest_rx(g, NULL, b, len, 0);
	assert_int_equal(count_get("drop_ip_source_any"), 1);
	guest_free(g);
}

/* --- IP ---------------------------------------------------------------------- */

static void lengths(void **state)
{
	uint8_t b[2000], l4[1500], pay[1400];

	(void)state;
	for (size_t i = 0; i < sizeof(pay); i++)
		pay[i] = (uint8_t)(i * 7);
	for (int v6 = 0; v6 < 2; v6++) {
		const char *s = v6 ? G6 : G4, *d = v6 ? FAR6 : FAR4;
		struct guest *g = fresh(0);
		size_t n = guest_udp(l4, s, d, 1, 2, pay, sizeof(pay));
		size_t len = guest_ip(b, s, d, IPPROTO_UDP, l4, n);

		/* padding behind the packet is cut off, in any pieces */
		memset(b + len, 0xee, 50);
		for (size_t step = 0; step < 300; step += 37) {
			got.calls = 0;
			guest_rx(g, NULL, b, len + 50, step);
			expect("padded", NULL);
			assert_int_equal(got.len, n);
			assert_true(got.csum_ok);
			assert_memory_equal(got.data, l4, n);
		}
		/* one byte missing */
		got.calls = 0;
		guest_rx(g, NULL, b, len - 1, 0);
		expect("cut off", v6 ? "drop_ip6_short" : "drop_ip4_short");
		/* all shorter ones are counted somewhere and do no harm */
		for (size_t k = 0; k < len; k++)
			guest_rx(g, NULL, b, k, 0);
		assert_int_equal(got.calls, 0);
		guest_free(g);
	}
}

static void ip4_headers(void **state)
{
	uint8_t b[256], l4[64];
	size_t n = guest_udp(l4, G4, FAR4, 1, 2, "abc", 3), len;
	struct guest *g = fresh(0);

	(void)state;
	len = guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n);
	b[14 + 8] ^= 1;
	guest_rx(g, NULL, b, len, 0);
	expect("checksum", "drop_ip4_csum");

	len = guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n);
	b[14] = 0x44;
	guest_rx(g, NULL, b, len, 0);
	expect("header length", "drop_ip4_malformed");

	/* with options: skipped, but for a source route */
	for (int sr = 0; sr < 2; sr++) {
		static const uint8_t ra[] = { 0x94, 4, 0, 0, 1, 1, 1, 0 };
		static const uint8_t lsrr[] = { 131, 7, 4, 1, 2, 3, 4, 0 };

		guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n);
		b[14] = 0x47;
		b[17] = (uint8_t)(28 + n);
		memcpy(b + 34, sr ? lsrr : ra, 8);
		memcpy(b + 42, l4, n);
		guest_ip4_fix(b);
		got.calls = 0;
		guest_rx(g, NULL, b, 42 + n, 0);
		expect("options", sr ? "drop_ip4_srcroute" : NULL);
		if (!sr)
			assert_memory_equal(got.data, l4, n);
	}
	guest_free(g);
}

/* @ext stands between the IPv6 header and the datagram */
static size_t with_ext(uint8_t *b, uint8_t next, const void *ext, size_t elen)
{
	uint8_t l4[256], d[32];
	size_t n = guest_udp(d, G6, FAR6, 1, 2, "abc", 3);

	memcpy(l4, ext, elen);
	memcpy(l4 + elen, d, n);
	return guest_ip(b, G6, FAR6, next, l4, elen + n);
}

static void ip6_headers(void **state)
{
	static const struct {
		const char *name;
		uint8_t next;
		const char *ext;
		size_t n;
		const char *counter;
	} cases[] = {
#define C(name, next, e, c)	{ name, next, e, sizeof(e) - 1, c }
		C("none", 17, "", NULL),
		C("hop by hop", 0, "\x11\0\1\4\0\0\0\0", NULL),
		C("options", 60, "\x11\0\1\4\0\0\0\0", NULL),
		C("routing 0", 43, "\x11\0\0\0\0\0\0\0", "drop_ip6_routing"),
		C("bad option", 60, "\x11\0\xc2\4\0\0\0\0",
		  "drop_ip6_option"),
		C("torn", 60, "\x11\xff\1\4\0\0\0\0", "drop_ip6_ext"),
		C("atomic", 44, "\x11\0\0\0\1\2\3\4", NULL),
		C("no next", 59, "", "drop_ip_no_next"),
#undef C
	};
	uint8_t b[512], deep[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest *g = fresh(0);
		size_t len = with_ext(b, cases[i].next, cases[i].ext,
				      cases[i].n);

		guest_rx(g, NULL, b, len, 0);
		expect(cases[i].name, cases[i].counter);
		if (!cases[i].counter)
			assert_true(got.csum_ok);
		guest_free(g);
	}
	/* an extension header that goes on behind the packet, in its padding */
	for (uint8_t plen = 0; plen < 16; plen++) {
		struct guest *g = fresh(0);
		size_t len = with_ext(b, 60, "\x11\1\1\14\0\0\0\0"
				      "\0\0\0\0\0\0\0\0", 16);

		b[14 + 5] = plen;
		guest_rx(g, NULL, b, len, 0);
		expect("in the padding", "drop_ip6_ext");
		guest_free(g);
	}
	/* headers beyond the copied head */
	for (size_t units = 1; units < 25; units++) {
		struct guest *g = fresh(0);
		size_t elen = units * 8;

		memset(deep, 0, sizeof(deep));
		deep[0] = 17;
		deep[1] = (uint8_t)(units - 1);
		guest_rx(g, NULL, b, with_ext(b, 60, deep, elen), 0);
		expect("deep", 14 + 40 + elen + 11 <= NETIF_HEAD ?
		       NULL : "drop_ip6_ext");
		guest_free(g);
	}
}

static void unknown_protocol(void **state)
{
	static const uint8_t body[20] = { 1, 2, 3 };
	struct guest *g = fresh(0);
	const uint8_t *l4;
	struct icmp ic;
	uint8_t b[128];

	(void)state;
	icmp_init(&ic, &g->n, NULL, NULL);
	guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, 132, body, 20), 0);
	expect("sctp", "drop_ip_proto");
	assert_int_equal(g->nout, 1);
	assert_int_equal(guest_check_ip(&g->out[0], FAR4, G4, IPPROTO_ICMP,
					&l4), 8 + 40);
	assert_memory_equal(l4, "\3\2", 2);
	assert_memory_equal(l4 + 8, b + 14, 40);
	guest_clear(g);
	guest_rx(g, NULL, b, guest_ip(b, G6, FAR6, 132, body, 20), 0);
	assert_int_equal(g->nout, 1);
	assert_int_equal(guest_check_ip(&g->out[0], FAR6, G6, IPPROTO_ICMPV6,
					&l4), 8 + 60);
	assert_memory_equal(l4, "\4\1", 2);
	assert_memory_equal(l4 + 4, "\0\0\0\6", 4);
	guest_free(g);
}

/* --- offload metadata --------------------------------------------------------- */

static void offload(void **state)
{
#define ALL	(LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6 | LINK_F_USO4)
	static const struct {
		const char *name;
		uint32_t features;
		bool v6;
		uint8_t proto;
		struct link_vnet vh;
		const char *counter;
	} cases[] = {
		{ "udp", ALL, false, 17, { 1, 0, 0, 0, 34, 6 }, NULL },
		{ "udp6", ALL, true, 17, { 1, 0, 0, 0, 54, 6 }, NULL },
		{ "tcp", ALL, false, 6, { 1, 0, 0, 0, 34, 16 }, NULL },
		{ "tso4", ALL, false, 6, { 1, 1, 54, 9, 34, 16 }, NULL },
		{ "tso6", ALL, true, 6, { 1, 4, 74, 9, 54, 16 }, NULL },
		{ "uso", ALL, false, 17, { 1, 5, 42, 9, 34, 6 }, NULL },
		{ "valid", ALL, false, 17, { 2, 0, 0, 0, 0, 0 }, NULL },
		{ "not offered", 0, false, 17, { 1, 0, 0, 0, 34, 6 },
		  "drop_vnet" },
		{ "no size", ALL, false, 6, { 1, 1, 54, 0, 34, 16 },
		  "drop_vnet" },
		{ "in Ethernet", ALL, false, 17, { 1, 0, 0, 0, 8, 6 },
		  "drop_vnet" },
		{ "beyond", ALL, false, 17, { 1, 0, 0, 0, 34, 900 },
		  "drop_vnet" },
		{ "in IP", ALL, false, 17, { 1, 0, 0, 0, 14, 10 },
		  "drop_ip_vnet_csum" },
		{ "start", ALL, false, 17, { 1, 0, 0, 0, 36, 6 },
		  "drop_ip_vnet_csum" },
		{ "payload", ALL, false, 17, { 1, 0, 0, 0, 42, 0 },
		  "drop_ip_vnet_csum" },
		{ "ports", ALL, false, 17, { 1, 0, 0, 0, 34, 0 },
		  "drop_ip_vnet_csum" },
		{ "tcp's on udp", ALL, false, 17, { 1, 0, 0, 0, 34, 16 },
		  "drop_ip_vnet_csum" },
		{ "icmp", ALL, false, 1, { 1, 0, 0, 0, 34, 2 },
		  "drop_ip_vnet_csum" },
		{ "tso on udp", ALL, false, 17, { 1, 1, 42, 9, 34, 6 },
		  "drop_ip_vnet_gso" },
		{ "tso6 on v4", ALL, false, 6, { 1, 4, 54, 9, 34, 16 },
		  "drop_ip_vnet_gso" },
		{ "uso on tcp", ALL, false, 6, { 1, 5, 54, 9, 34, 16 },
		  "drop_ip_vnet_gso" },
	};
	uint8_t b[256], l4[60];

	(void)state;
	memset(l4, 0x11, sizeof(l4));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest *g = fresh(cases[i].features);
		size_t len = guest_ip(b, cases[i].v6 ? G6 : G4,
				      cases[i].v6 ? FAR6 : FAR4,
				      cases[i].proto, l4, sizeof(l4));

		guest_rx(g, &cases[i].vh, b, len, 0);
		expect(cases[i].name, cases[i].counter);
		if (!cases[i].counter) {
			assert_true(got.csum_ok);
			assert_int_equal(got.csum_start, 0);
		}
		guest_free(g);
	}
}

/* --- ARP --------------------------------------------------------------------- */

static void arp(void **state)
{
	static const struct {
		const char *name;
		uint16_t op;
		const char *spa, *tpa;
		bool other_mac;
		const char *counter;	/* NULL: an answer */
	} cases[] = {
		{ "gateway", 1, G4, GW4, false, NULL },
		{ "anybody", 1, G4, FAR4, false, NULL },
		{ "on the link", 1, G4, "100.96.0.3", false, NULL },
		{ "own address", 1, G4, G4, false, "" },
		{ "broadcast", 1, G4, "255.255.255.255", false,
		  "drop_arp_target" },
		{ "group", 1, G4, "224.0.0.1", false, "drop_arp_target" },
		{ "spoofed", 1, FAR4, GW4, false, "drop_arp_source" },
		{ "spoofed near", 1, "100.96.0.3", GW4, false,
		  "drop_arp_source" },
		{ "probe gateway", 1, "0.0.0.0", GW4, false, NULL },
		{ "probe own", 1, "0.0.0.0", G4, false, "drop_arp_probe" },
		{ "probe other", 1, "0.0.0.0", FAR4, false, "drop_arp_probe" },
		{ "other sender", 1, G4, GW4, true, "drop_arp_mac" },
		{ "reply", 2, G4, GW4, false, "" },
		{ "spoofed reply", 2, FAR4, GW4, false, "drop_arp_source" },
		{ "rarp", 3, G4, GW4, false, "drop_arp_op" },
	};
	uint8_t b[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest *g = fresh(0);
		struct arp a = { .op = cases[i].op,
				 .spa = guest_addr(cases[i].spa),
				 .tpa = guest_addr(cases[i].tpa) }, back;
		size_t at = guest_eth(b, ETH_TYPE_ARP);
		struct wr w = wr_init(b + at, ARP_LEN);
		struct rd r;

		memcpy(a.sha, guest_mac, 6);
		a.sha[5] = (uint8_t)(a.sha[5] + cases[i].other_mac);
		arp_emit(&a, &w);
		guest_rx(g, NULL, b, at + ARP_LEN, 0);
		if (cases[i].counter) {
			if (g->nout || (cases[i].counter[0] &&
					count_get(cases[i].counter) != 1))
				fail_msg("%s", cases[i].name);
			guest_free(g);
			continue;
		}
		if (g->nout != 1)
			fail_msg("%s: no answer", cases[i].name);
		assert_memory_equal(g->out[0].b, guest_mac, 6);
		assert_memory_equal(g->out[0].b + 6, guest_gw_mac, 6);
		r = rd_init(g->out[0].b + 14, g->out[0].len - 14);
		assert_int_equal(arp_parse(&r, &back), 0);
		assert_int_equal(back.op, ARP_OP_REPLY);
		assert_memory_equal(back.sha, guest_gw_mac, 6);
		assert_true(ipaddr_eq(&back.spa, &a.tpa));
		assert_true(ipaddr_eq(&back.tpa, &a.spa));
		guest_free(g);
	}
	for (size_t k = 0; k < ARP_LEN; k++) {
		struct guest *g = fresh(0);

		guest_rx(g, NULL, b, 14 + k, 0);
		expect("short", "drop_arp_malformed");
		guest_free(g);
	}
}

/* --- NDP --------------------------------------------------------------------- */

static size_t ndp_frame(uint8_t *b, const char *src, const char *dst,
			uint8_t hop, const struct ndp *m)
{
	uint8_t l4[NDP_LEN_MAX];
	struct wr w = wr_init(l4, sizeof(l4));
	size_t len;

	ndp_emit(m, &w);
	guest_l4_csum(src, dst, IPPROTO_ICMPV6, l4, wr_len(&w), 2);
	len = guest_ip(b, src, dst, IPPROTO_ICMPV6, l4, wr_len(&w));
	b[14 + 7] = hop;
	return len;
}

static void ndp(void **state)
{
#define SOL	"ff02::1:ff00:1"
#define SOL2	"ff02::1:ff00:2"
#define SOL7	"ff02::1:ff00:7"
#define NS_	ICMP6_NS
#define NA_	ICMP6_NA
	static const struct {
		const char *name;
		uint8_t type;
		const char *src, *dst, *target;
		int mac;		/* 1: the guest's, 2: another one */
		uint8_t hop;
		const char *counter;	/* NULL: an answer; "": none */
	} cases[] = {
		{ "gateway", NS_, G6, SOL, GW6, 1, 255, NULL },
		{ "no option", NS_, G6, SOL, GW6, 0, 255, NULL },
		{ "from link-local", NS_, LL6, SOL, GW6, 1, 255, NULL },
		{ "unicast", NS_, G6, GW6, GW6, 0, 255, NULL },
		{ "anybody", NS_, G6, SOL7, FAR6, 1, 255, NULL },
		{ "own", NS_, G6, SOL2, G6, 1, 255, "drop_ndp_target" },
		{ "own ll", NS_, LL6, SOL2, LL6, 1, 255, "drop_ndp_target" },
		{ "hop limit", NS_, G6, SOL, GW6, 1, 254,
		  "drop_ndp_hop_limit" },
		{ "other mac", NS_, G6, SOL, GW6, 2, 255, "drop_ndp_mac" },
		{ "spoofed", NS_, FAR6, SOL, GW6, 1, 255, "drop_ip_source" },
		{ "dad gateway", NS_, "::", SOL, GW6, 0, 255, NULL },
		{ "dad own", NS_, "::", SOL2, G6, 0, 255, "drop_ndp_dad" },
		{ "dad ll", NS_, "::", SOL2, LL6, 0, 255, "drop_ndp_dad" },
		{ "dad with option", NS_, "::", SOL, GW6, 1, 255,
		  "drop_ndp_malformed" },
		{ "dad to all", NS_, "::", "ff02::1", GW6, 0, 255,
		  "drop_ndp_malformed" },
		{ "dad unicast", NS_, "::", GW6, GW6, 0, 255,
		  "drop_ndp_malformed" },
		{ "advert", NA_, G6, "ff02::1", G6, 1, 255, "" },
		{ "advert of ll", NA_, LL6, GW6, LL6, 1, 255, "" },
	};
	uint8_t b[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool dad = !strcmp(cases[i].src, "::");
		struct guest *g = fresh(0);
		struct ndp back, m = { .type = cases[i].type,
				       .has_mac = cases[i].mac > 0,
				       .target = guest_addr(cases[i].target) };
		const uint8_t *l4;
		size_t len;

		memcpy(m.mac, guest_mac, 6);
		m.mac[3] = cases[i].mac == 2;
		len = ndp_frame(b, cases[i].src, cases[i].dst, cases[i].hop,
				&m);
		guest_rx(g, NULL, b, len, 0);
		if (cases[i].counter) {
			if (g->nout || (cases[i].counter[0] &&
					count_get(cases[i].counter) != 1))
				fail_msg("%s", cases[i].name);
			guest_free(g);
			continue;
		}
		if (g->nout != 1)
			fail_msg("%s: no answer", cases[i].name);
		len = guest_check_ip(&g->out[0], cases[i].target,
				     dad ? "ff02::1" : cases[i].src,
				     IPPROTO_ICMPV6, &l4);
		assert_memory_equal(g->out[0].b,
				    dad ? (const uint8_t *)"\x33\x33\0\0\0\1" :
				    guest_mac, 6);
		assert_int_equal(g->out[0].b[14 + 7], 255);
		assert_int_equal(ndp_parse(rd_init(l4, len), &back), 0);
		assert_int_equal(back.type, ICMP6_NA);
		assert_int_equal(back.solicited, !dad);
		assert_true(back.router);
		assert_int_equal(back.override,
				 !strcmp(cases[i].target, GW6));
		assert_true(back.has_mac);
		assert_memory_equal(back.mac, guest_gw_mac, 6);
		guest_free(g);
	}
}

static void ndp_others(void **state)
{
	static const uint8_t rs[8] = { ICMP6_RS }, ra[16] = { ICMP6_RA };
	static const uint8_t mld[28] = { ICMP6_MLD2_REPORT };
	struct ndp m = { .type = ICMP6_NS, .target = guest_addr(GW6) };
	struct guest *g = fresh(0);
	uint8_t b[256], l4[64];
	size_t len;

	(void)state;
	memcpy(l4, rs, 8);
	guest_l4_csum(LL6, "ff02::2", IPPROTO_ICMPV6, l4, 8, 2);
	len = guest_ip(b, LL6, "ff02::2", IPPROTO_ICMPV6, l4, 8);
	b[21] = 255;
	guest_rx(g, NULL, b, len, 0);
	expect("rs", "drop_ndp_rs");

	memcpy(l4, ra, 16);
	guest_l4_csum(LL6, "ff02::1", IPPROTO_ICMPV6, l4, 16, 2);
	len = guest_ip(b, LL6, "ff02::1", IPPROTO_ICMPV6, l4, 16);
	b[21] = 255;
	guest_rx(g, NULL, b, len, 0);
	expect("ra", "drop_ndp_type");

	len = guest_ip(b, "::", "ff02::16", IPPROTO_ICMPV6, mld, sizeof(mld));
	guest_rx(g, NULL, b, len, 0);
	expect("mld", "mld_ignored");

	len = ndp_frame(b, G6, GW6, 255, &m);
	b[14 + 40 + 2] ^= 1;
	guest_rx(g, NULL, b, len, 0);
	expect("checksum", "drop_ndp_csum");

	/* an atomic fragment (RFC 6980) */
	ndp_frame(b, G6, GW6, 255, &m);
	memcpy(l4, "\x3a\0\0\0\0\0\0\1", 8);
	memcpy(l4 + 8, b + 54, 24);
	len = guest_ip(b, G6, GW6, IPPROTO_FRAGMENT, l4, 32);
	b[21] = 255;
	guest_rx(g, NULL, b, len, 0);
	expect("fragment", "drop_ndp_frag");
	assert_int_equal(g->nout, 0);
	guest_free(g);
}

/* --- the guest's MAC; attach and detach ---------------------------------------- */

static int ups, downs, batches;

static void updown(void *arg, bool up)
{
	(void)arg;
	ups += up;
	downs += !up;
}

static void batch(void *arg)
{
	(void)arg;
	batches++;
}

static void learning(void **state)
{
	struct guest *g = fresh(0);
	uint8_t b[128], l4[32];
	size_t n = guest_udp(l4, G4, FAR4, 1, 2, "abc", 3);
	size_t len = guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n);

	(void)state;
	ups = downs = batches = 0;
	g->n.updown = updown;
	g->n.batch = batch;
	assert_memory_equal(g->n.peer_mac, guest_mac, 6);
	b[11] = 9;
	guest_rx(g, NULL, b, len, 0);
	assert_int_equal(g->n.peer_mac[5], 9);
	assert_int_equal(batches, 1);
	/* a frame that is refused teaches nothing */
	len = guest_ip(b, FAR4, GW4, IPPROTO_UDP, l4, n);
	b[11] = 8;
	guest_rx(g, NULL, b, len, 0);
	assert_int_equal(g->n.peer_mac[5], 9);

	netif_detach(&g->n);
	netif_detach(&g->n);
	assert_int_equal(downs, 1);
	got.calls = 0;
	guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n), 0);
	assert_int_equal(got.calls, 0);
	netif_flush(&g->n);
	netif_attach(&g->n, &g->mem.link);
	assert_int_equal(ups, 1);
	guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, IPPROTO_UDP, l4, n), 0);
	assert_int_equal(got.calls, 1);
	g->n.updown = NULL;
	guest_free(g);
}

int netif_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet),
		cmocka_unit_test(addresses),
		cmocka_unit_test(point_to_point),
		cmocka_unit_test(inactive_family),
		cmocka_unit_test(dhcp),
		cmocka_unit_test(lengths),
		cmocka_unit_test(ip4_headers),
		cmocka_unit_test(ip6_headers),
		cmocka_unit_test(unknown_protocol),
		cmocka_unit_test(offload),
		cmocka_unit_test(arp),
		cmocka_unit_test(ndp),
		cmocka_unit_test(ndp_others),
		cmocka_unit_test(learning),
	};

	return cmocka_run_group_tests_name("netif", tests, NULL, NULL);
}
