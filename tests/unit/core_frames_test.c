/*
 * Frames that a hostile guest may send, into the whole packet process
 *
 * Near what is valid, or nothing like it: ARP, NDP, both families with options,
 * extension headers and fragments, TCP, UDP, ICMP, DNS, offload metadata.  The
 * relays use real sockets, in a namespace of their own.  Every BATCH frames all
 * is over, and then no flow, timer, descriptor or buffer is left.  Choices come
 * from a seed; only the host's scheduling differs from run to run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/dns.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/icmp4.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/ndp.h"
#include "gateway/wire/tcp.h"
#include "gateway/wire/udp.h"
#include "tests/unit/core_rig.h"

int core_frames_test(void);

#define FRAMES	50000
#define BATCH	10000
#define PORTS	24
#define MTU	1500
#define SIZE	66000

/* One port of the guest: whom it talks to, and what fits next */
struct end {
	struct ipaddr src, dst;
	uint16_t dport;
	uint32_t seq, ack;
};

static struct frames {
	struct core c;
	uint64_t rng;
	struct end end[PORTS];
	struct ipaddr addr4[8], addr6[8];	/* where frames go */
	bool asked_arp, asked_ns;		/* by the gateway */
	uint8_t heard[80];			/* its latest UDP packet's head */
	size_t heard_len;
	bool deaf;		/* dials without answer cost a second each run */
	unsigned long left;
} fr;

static uint32_t roll(uint32_t below)
{
	fr.rng = fr.rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((fr.rng >> 33) % below);
}

static bool one_in(uint32_t n)
{
	return roll(n) == 0;
}

static void put_random(struct wr *w, size_t n)
{
	uint8_t *p = wr_room(w, n);

	for (size_t i = 0; p && i < n; i += 64)		/* enough to tell */
		p[i] = (uint8_t)roll(256);
}

/* --- what the gateway sends ------------------------------------------------ */

static void saw_tcp(struct rd r)
{
	struct tcp_hdr h;
	struct end *e;

	if (tcp_hdr_parse(r, &h))
		return;
	e = &fr.end[h.dport % PORTS];
	e->ack = h.seq + (uint32_t)(rd_left(&r) - h.hlen) +
		 !!(h.flags & (TCP_FLAG_SYN | TCP_FLAG_FIN));
	if (h.flags & TCP_FLAG_ACK)
		e->seq = h.ack;
}

static void saw_udp(const uint8_t *ip, size_t len)
{
	fr.heard_len = MIN(len, sizeof(fr.heard));
	memcpy(fr.heard, ip, fr.heard_len);
}

static void from_core(struct memlink *m, const struct link_vnet *vh,
		      const uint8_t *f, size_t len)
{
	struct rd r = rd_init(f, len);
	struct ip6_ext x;
	struct eth e;
	struct ip4 h4;
	struct ip6 h6;

	ASSERT(link_vnet_check(vh, len, m->link.can_send) == 0);
	ASSERT(vh->gso_type || len <= MTU + ETH_HDR_LEN);
	ASSERT(eth_parse(&r, &e) == 0);
	if (e.type == ETH_TYPE_ARP) {
		fr.asked_arp = true;
	} else if (e.type == ETH_TYPE_IP4) {
		ASSERT(ip4_parse(&r, &h4) == 0);
		ASSERT(h4.len == len - ETH_HDR_LEN);
		if (h4.proto == IPPROTO_TCP && !h4.off)
			saw_tcp(r);
		else if (h4.proto == IPPROTO_UDP)
			saw_udp(f + ETH_HDR_LEN, len - ETH_HDR_LEN);
	} else {
		ASSERT(e.type == ETH_TYPE_IP6 && ip6_parse(&r, &h6) == 0);
		ASSERT(h6.plen == rd_left(&r));
		ASSERT(ip6_ext_parse(&r, h6.next, &x) == 0);
		if (x.proto == IPPROTO_TCP)
			saw_tcp(r);
		else if (x.proto == IPPROTO_UDP)
			saw_udp(f + ETH_HDR_LEN, len - ETH_HDR_LEN);
		else if (x.proto == IPPROTO_ICMPV6 && rd_u8(&r) == ICMP6_NS)
			fr.asked_ns = true;
	}
}

/* --- frames ---------------------------------------------------------------- */

static struct link_vnet vnet;	/* of the frame that is being made */

/* In exactly its length, so that a read beyond it is seen, in up to 4 pieces */
static void deliver(const uint8_t *b, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct iovec iov[4];
	int n = 0;

	ASSERT(copy);
	memcpy(copy, b, len);
	for (uint32_t k = one_in(8) ? roll(4) : 0; len && k; k--) {
		const size_t most = one_in(2) ? 80 : SIZE;

		copy[roll((uint32_t)MIN(len, most))] ^=
			(uint8_t)(1u << roll(8));
	}
	if (one_in(30))
		len = roll((uint32_t)len + 1);
	for (size_t off = 0; off < len; n++) {
		size_t k = n < 3 && one_in(2) ? roll((uint32_t)(len - off)) :
						len - off;

		iov[n] = (struct iovec){ .iov_base = copy + off, .iov_len = k };
		off += k;
	}
	link_input(&fr.c.mem.link, &vnet, iov, n);
	link_input_done(&fr.c.mem.link);
	free(copy);
	fr.left -= fr.left > 0;
}

static void put_eth(struct wr *w, uint16_t type)
{
	struct eth e = { .type = type };

	memcpy(e.dst, fr.c.netif.conf.mac, 6);
	memcpy(e.src, fr.c.netif.conf.guest_mac, 6);
	if (one_in(100))
		e.src[5] ^= 1;
	if (one_in(100))
		memset(e.dst, 0xff, 6);
	eth_emit(&e, w);
}

/**
 * struct packet - What goes into one or more frames
 * @l4:		Upper layer, @len bytes
 */
struct packet {
	struct ipaddr src, dst;
	uint8_t proto, ttl;
	uint8_t l4[SIZE];
	size_t len;
};

static struct packet pk;

static void put_ip4(struct wr *w, size_t off, size_t len, bool mf, uint32_t id)
{
	const struct ip4 h = {
		.tos = (uint8_t)(one_in(8) ? roll(256) : 0), .ttl = pk.ttl,
		.proto = pk.proto, .src = pk.src, .dst = pk.dst,
		.id = (uint16_t)id, .off = (uint16_t)off, .mf = mf,
		.df = one_in(2), .len = (uint16_t)(IP4_HDR_LEN + len),
	};

	put_eth(w, ETH_TYPE_IP4);
	ip4_emit(&h, w);
	wr_bytes(w, pk.l4 + off, len);
}

static void put_ip6(struct wr *w, size_t off, size_t len, bool mf, uint32_t id)
{
	static const uint8_t pad[] = { 1, 4, 0, 0, 0, 0 };
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS,
					 IPPROTO_ROUTING };
	const bool frag = off || mf || one_in(40), ext = one_in(20);
	const uint8_t behind = frag ? IPPROTO_FRAGMENT : pk.proto;
	const uint8_t next = ext ? kinds[roll(3)] : behind;
	const struct ip6 h = {
		.hop = pk.ttl, .next = next, .src = pk.src, .dst = pk.dst,
		.plen = (uint16_t)(len + (frag ? 8 : 0) + (ext ? 8 : 0)),
		.flow = roll(1 << 20),
	};

	put_eth(w, ETH_TYPE_IP6);
	ip6_emit(&h, w);
	if (ext) {
		wr_u8(w, behind);
		wr_u8(w, 0);
		wr_bytes(w, pad, sizeof(pad));
	}
	if (frag)
		ip6_frag_emit(pk.proto, (uint16_t)off, mf, id, w);
	wr_bytes(w, pk.l4 + off, len);
}

static void send_piece(size_t off, size_t len, bool mf, uint32_t id)
{
	static uint8_t buf[SIZE + 200];
	struct wr w = wr_init(buf, sizeof(buf));

	if (ipaddr_is4(&pk.src))
		put_ip4(&w, off, len, mf, id);
	else
		put_ip6(&w, off, len, mf, id);
	ASSERT(!w.bad);
	deliver(buf, wr_len(&w));
}

/* Some lost, some twice, some overlapping, some in wrong order */
static void send_pieces(void)
{
	const size_t step = (size_t)8 * (1 + roll(one_in(9) ? 20 : 180));
	const uint32_t id = roll(12), order = roll(4);
	const size_t n = pk.len / step + 1;

	vnet = (struct link_vnet){ 0 };
	for (size_t k = 0; k < n && k < 50; k++) {
		size_t i = order ? k : n - 1 - k, off = i * step;
		size_t len = MIN(step, pk.len - off);

		if (one_in(40))
			continue;
		if (one_in(60) && off >= 8)
			off -= 8;
		send_piece(off, len, off + len < pk.len, id);
		if (one_in(60))
			send_piece(off, len, off + len < pk.len, id);
	}
}

/* The checksum at @at, by us or by whoever completes it */
static void finish(size_t at)
{
	const bool v4 = ipaddr_is4(&pk.src);
	struct csum c = { 0 };
	struct wr w = wr_init(pk.l4 + at, 2);
	bool whole = pk.len + 40 <= MTU && !one_in(15);

	wr_u16(&w, 0);
	w = wr_init(pk.l4 + at, 2);
	if (!vnet.gso_type && whole && one_in(3))
		vnet.flags = LINK_VNET_F_DATA_VALID;
	if (vnet.gso_type || (whole && pk.proto != IPPROTO_ICMP &&
			      fr.c.conf.features && one_in(4))) {
		vnet.flags = LINK_VNET_F_NEEDS_CSUM;
		vnet.csum_start = (uint16_t)(ETH_HDR_LEN + (v4 ? 20 : 40));
		vnet.csum_offset = (uint16_t)at;
		wr_u16(&w, csum_partial(&pk.src, &pk.dst, pk.proto,
					(uint32_t)pk.len));
	} else if (!one_in(40)) {
		if (pk.proto != IPPROTO_ICMP)
			csum_pseudo(&c, &pk.src, &pk.dst, pk.proto,
				    (uint32_t)pk.len);
		csum_add(&c, pk.l4, pk.len);
		wr_u16(&w, csum_final(&c));
	}
	if (vnet.gso_type || whole)
		send_piece(0, pk.len, false, 0);
	else
		send_pieces();
	vnet = (struct link_vnet){ 0 };
}

/* A source and a destination, mostly sensible ones */
static void put_addrs(void)
{
	const struct netif_conf *n = &fr.c.netif.conf;
	const bool v4 = one_in(2);
	const struct ipaddr *to = v4 ? fr.addr4 : fr.addr6;

	pk.src = v4 ? n->guest4 : n->guest6;
	pk.dst = to[roll(one_in(10) ? 8 : 3)];
	if (one_in(100))
		pk.src = to[roll(8)];
	pk.ttl = (uint8_t)(one_in(20) ? roll(4) : 64);
}

static uint16_t some_port(void)
{
	static const uint16_t ports[] = { CORE_PORT_ECHO, CORE_PORT_ECHO,
					  CORE_PORT_TALK, CORE_PORT_TALK,
					  53, 53, 1, 65535, CORE_PORT_DEAF };

	return ports[roll(ARRAY_SIZE(ports) - !fr.deaf)];
}

/* --- DNS ------------------------------------------------------------------- */

static void put_query(struct wr *w)
{
	static const uint16_t types[] = { 1, 28, 16, 65, 255, 41 };
	static const char *const names[] = { "a", "host.microvm.internal",
					     "some.name.example", "." };
	const struct dns_msg m = {
		.id = (uint16_t)roll(65536), .flags = DNS_F_RD,
		.opcode = (uint8_t)(one_in(40) ? roll(16) : 0),
		.count = { 1, 0, 0, one_in(40) },
	};

	dns_msg_emit(&m, w);
	dns_name_emit(names[roll(4)], w);
	wr_u16(w, types[roll(ARRAY_SIZE(types))]);
	wr_u16(w, 1);
}

/* --- the protocols --------------------------------------------------------- */

static void put_tcp_opts(struct tcp_opts *o, uint32_t ack)
{
	const uint32_t kind = roll(8);

	o->mss = kind == 1 ? (uint16_t)roll(3000) : 0;
	o->has_ts = kind == 2;
	o->tsval = (uint32_t)(timerq_now(fr.c.tq) / NS_PER_MS) - roll(3);
	o->sack_ok = kind == 3;
	o->has_wscale = kind == 4;
	o->wscale = (uint8_t)roll(20);
	o->nsack = kind == 5 ? (uint8_t)(1 + roll(3)) : 0;
	for (unsigned int b = 0; b < o->nsack; b++) {
		o->sack[b].start = ack - roll(30000);
		o->sack[b].end = o->sack[b].start + roll(5000);
	}
}

static struct tcp_hdr tcp_header(unsigned int i, bool anew)
{
	static const uint8_t flags[] = {
		TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK,
		TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK,
		TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK,
		TCP_FLAG_ACK | TCP_FLAG_FIN, TCP_FLAG_SYN,
		TCP_FLAG_ACK | TCP_FLAG_URG,
	};
	struct end *e = &fr.end[i];
	struct tcp_hdr h = {
		.sport = (uint16_t)(PORTS * 40 + i), .dport = e->dport,
		.seq = e->seq, .ack = e->ack, .urg = (uint16_t)roll(2000),
		.flags = anew ? TCP_FLAG_SYN : one_in(30) ?
			 (uint8_t)roll(256) : flags[roll(ARRAY_SIZE(flags))],
		.wnd = (uint16_t)(one_in(4) ? roll(3000) : 60000),
	};

	if (one_in(8))
		h.seq += roll(5000) - 2000;
	if (one_in(8))
		h.ack -= roll(3000);
	if (one_in(60))
		h.flags = TCP_FLAG_RST;
	put_tcp_opts(&h.opt, e->ack);
	return h;
}

static void tcp_frame(void)
{
	const unsigned int i = roll(PORTS);
	const uint16_t full = one_in(2) ? TCP_FLAG_ACK : 0;
	struct end *e = &fr.end[i];
	bool anew = one_in(20);
	struct tcp_hdr h;
	struct wr w = wr_init(pk.l4, sizeof(pk.l4));
	size_t len = full ? roll(one_in(5) ? 60000 : 1300) : 0;

	if (anew) {
		put_addrs();
		e->src = pk.src;
		e->dst = pk.dst;
		e->dport = some_port();
		e->seq = roll(UINT32_MAX);
		e->ack = 0;
	}
	pk.src = e->src;
	pk.dst = e->dst;
	pk.ttl = 64;
	pk.proto = IPPROTO_TCP;
	h = tcp_header(i, anew);
	if (len > 1300 && (fr.c.conf.features & LINK_F_TSO4)) {
		vnet.gso_type = ipaddr_is4(&pk.src) ? LINK_VNET_GSO_TCPV4 :
						      LINK_VNET_GSO_TCPV6;
		vnet.gso_size = (uint16_t)(1 + roll(1460));
	} else {
		len = MIN(len, (size_t)1300);
	}
	tcp_hdr_emit(&w, &h);
	if (e->dport == 53 && len) {
		wr_u16(&w, (uint16_t)(17 + roll(30)));
		put_query(&w);
	} else {
		put_random(&w, len);
	}
	pk.len = wr_len(&w);
	finish(TCP_HDR_CSUM);
}

static void udp_frame(void)
{
	struct udp_hdr h = { .sport = (uint16_t)(1024 + roll(PORTS)),
			     .dport = some_port() };
	struct wr w = wr_init(pk.l4, sizeof(pk.l4)), f;
	size_t len = one_in(60) ? roll(65000) : roll(one_in(8) ? 5000 : 1400);

	put_addrs();
	pk.proto = IPPROTO_UDP;
	udp_emit(&h, &w);
	if (h.dport == 53 && !one_in(10))
		put_query(&w);
	else
		put_random(&w, len);
	pk.len = wr_len(&w);
	f = wr_init(pk.l4 + 4, 2);
	wr_u16(&f, (uint16_t)(one_in(60) ? roll(65536) : pk.len));
	if (pk.len > 200 && (fr.c.conf.features & LINK_F_USO4) && one_in(3)) {
		vnet.gso_type = LINK_VNET_GSO_UDP_L4;
		vnet.gso_size = (uint16_t)(1 + roll(1460));
	}
	finish(UDP_CSUM_OFF);
}

/* No socket has the port that the gateway's latest datagram went to */
static void port_unreachable(void)
{
	const bool v4 = fr.heard[0] >> 4 == 4;
	const uint8_t *dst = fr.heard + (v4 ? 12 : 8);
	struct wr w = wr_init(pk.l4, sizeof(pk.l4));

	pk.src = v4 ? fr.c.netif.conf.guest4 : fr.c.netif.conf.guest6;
	pk.dst = v4 ? ipaddr_v4(dst) : ipaddr_v6(dst);
	pk.ttl = 64;
	pk.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	wr_u8(&w, v4 ? ICMP4_UNREACH : ICMP6_UNREACH);
	wr_u8(&w, v4 ? ICMP4_UNREACH_PORT : ICMP6_UNREACH_PORT);
	wr_zero(&w, 6);
	wr_bytes(&w, fr.heard, fr.heard_len);
	pk.len = wr_len(&w);
	finish(2);
}

/* An echo request, or an error about something that was never sent */
static void icmp_frame(void)
{
	struct wr w = wr_init(pk.l4, sizeof(pk.l4));
	struct icmp4 m = { .rest = roll(4) << 16 | roll(8) };
	bool v4;

	if (fr.heard_len && one_in(8)) {
		port_unreachable();
		return;
	}
	put_addrs();
	v4 = ipaddr_is4(&pk.src);
	pk.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	m.type = v4 ? ICMP4_ECHO : ICMP6_ECHO;
	if (one_in(3))
		m.type = (uint8_t)roll(256);
	if (one_in(10))
		m.code = (uint8_t)roll(8);
	icmp4_emit(&m, &w);
	put_random(&w, roll(one_in(4) ? 4000 : 100));
	pk.len = wr_len(&w);
	finish(2);
}

static void other_frame(void)
{
	struct wr w = wr_init(pk.l4, sizeof(pk.l4));

	put_addrs();
	pk.proto = (uint8_t)roll(256);
	put_random(&w, roll(3000));
	pk.len = wr_len(&w);
	if (pk.len < 40)
		return;
	finish(6);
}

static void arp_frame(bool answer)
{
	const struct netif_conf *n = &fr.c.netif.conf;
	uint8_t buf[64];
	struct wr w = wr_init(buf, sizeof(buf));
	struct arp a = { .op = (uint16_t)(1 + roll(one_in(20) ? 9 : 2)),
			 .spa = n->guest4, .tpa = fr.addr4[roll(8)] };

	if (one_in(4))
		a.spa = fr.addr4[roll(8)];
	memcpy(a.sha, n->guest_mac, 6);
	if (answer) {
		a.op = ARP_OP_REPLY;
		a.spa = n->guest4;
		a.tpa = n->gw4;
	}
	put_eth(&w, ETH_TYPE_ARP);
	arp_emit(&a, &w);
	deliver(buf, wr_len(&w));
}

static void ndp_frame(bool answer)
{
	const struct netif_conf *n = &fr.c.netif.conf;
	struct wr w = wr_init(pk.l4, sizeof(pk.l4));
	struct ndp m = { .type = one_in(2) ? ICMP6_NS : ICMP6_NA,
			 .solicited = one_in(2), .override = one_in(2),
			 .target = fr.addr6[roll(8)], .has_mac = one_in(2) };

	memcpy(m.mac, n->guest_mac, 6);
	pk.proto = IPPROTO_ICMPV6;
	pk.src = n->guest6;
	pk.dst = fr.addr6[roll(8)];
	pk.ttl = one_in(20) ? 64 : 255;
	if (one_in(5))
		pk.src = fr.addr6[roll(8)];
	if (answer) {
		m = (struct ndp){ .type = ICMP6_NA, .solicited = true,
				  .target = n->guest6 };
		pk.src = n->guest6;
		pk.dst = n->gw6;
	}
	if (ipaddr_is_multicast(&m.target))
		m.target = n->gw6;
	ndp_emit(&m, &w);
	if (one_in(5)) {
		wr_u8(&w, (uint8_t)roll(6));
		wr_u8(&w, (uint8_t)roll(3));
		wr_zero(&w, 6);
	}
	pk.len = wr_len(&w);
	if (one_in(5))		/* RS, RA, redirect */
		pk.l4[0] = (uint8_t)(ICMP6_RS + roll(5));
	finish(2);
}

static void noise(void)
{
	uint8_t buf[2000];
	size_t len = roll(sizeof(buf));

	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)roll(256);
	if (len > 14 && one_in(2)) {
		memcpy(buf, fr.c.netif.conf.mac, 6);
		memcpy(buf + 6, fr.c.netif.conf.guest_mac, 6);
		memcpy(buf + 12, one_in(2) ? "\x08\x00" : "\x86\xdd", 2);
	}
	vnet = (struct link_vnet){
		.flags = (uint8_t)roll(4), .gso_type = (uint8_t)roll(7),
		.gso_size = (uint16_t)roll(3000),
		.hdr_len = (uint16_t)roll(100),
		.csum_start = (uint16_t)roll(100),
		.csum_offset = (uint16_t)roll(20),
	};
	deliver(buf, len);
	vnet = (struct link_vnet){ 0 };
}

static void frame(void)
{
	const uint32_t what = roll(100);

	if (fr.asked_arp && one_in(3))
		arp_frame(true);
	else if (fr.asked_ns && one_in(3))
		ndp_frame(true);
	fr.asked_arp = fr.asked_ns = false;
	if (what < 50)
		tcp_frame();
	else if (what < 72)
		udp_frame();
	else if (what < 82)
		icmp_frame();
	else if (what < 86)
		arp_frame(false);
	else if (what < 92)
		ndp_frame(false);
	else if (what < 95)
		other_frame();
	else
		noise();
}

/* --- a run ----------------------------------------------------------------- */

static void set_up(uint64_t seed)
{
	static const uint32_t features[] = {
		0, LINK_F_CSUM, LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6,
		LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6 | LINK_F_USO4 |
		LINK_F_USO6,
	};
	static const char *const addr4[8] = {
		CORE_GW4, CORE_FAR4, CORE_NOWHERE4, CORE_DENIED4,
		"255.255.255.255", "224.0.0.1", CORE_GUEST4, "127.0.0.1",
	};
	static const char *const addr6[8] = {
		CORE_GW6, CORE_FAR6, CORE_NOWHERE6, CORE_DENIED6, "ff02::1",
		"ff02::1:ff00:1", CORE_GUEST6, "::",
	};
	struct core_conf conf = { .roll = roll, .peer = from_core };

	memset(&fr, 0, sizeof(fr));
	fr.rng = seed;
	conf.features = features[roll(ARRAY_SIZE(features))];
	conf.no_peek_off = one_in(3);
	conf.reno = one_in(2);
	conf.endpoint_independent = one_in(2);
	conf.nud = !one_in(4);
	conf.ra = one_in(2);
	fr.deaf = one_in(8);
	for (size_t i = 0; i < 8; i++) {
		fr.addr4[i] = core_addr(addr4[i]);
		fr.addr6[i] = core_addr(addr6[i]);
	}
	for (size_t i = 0; i < PORTS; i++)
		fr.end[i] = (struct end){ .src = core_addr(CORE_GUEST4),
					  .dst = fr.addr4[0], .dport = 7 };
	core_open(&fr.c, &conf);
}

static void batch(uint64_t seed, unsigned long n)
{
	set_up(seed);
	fr.left = n;
	while (fr.left) {
		const uint32_t what = roll(128);

		frame();
		if (what < 24)
			core_turn(&fr.c);
		else if (what < 28)
			core_sleep(&fr.c, roll(2000) * NS_PER_MS);
		else if (what == 28)
			fr.c.mem.refuse = true;
		if (what >= 100 && fr.c.mem.refuse) {
			fr.c.mem.refuse = false;
			link_drained(&fr.c.mem.link);
		}
	}
	core_settle(&fr.c);
	core_close(&fr.c);
}

/* It would prove nothing if all were dropped at the door */
static void check_reached(unsigned long n)
{
	static const struct {
		const char *name;
		unsigned long per;
	} want[] = {
		{ "tcp_segs_in", 5 }, { "tcp_opens", 100 },
		{ "frag_reassembled", 2000 }, { "icmp_errors", 200 },
		{ "drop_frag_overlap", 5000 }, { "udp_guest_unreach", 5000 },
		{ "tx_fragments", 1000 }, { "tx_packets", 20 },
	};

	bool bad = false;

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		const uint64_t got = count_get(want[i].name);

		printf("  %s: %llu\n", want[i].name, (unsigned long long)got);
		bad |= want[i].per && got < n / want[i].per;
	}
	fflush(stdout);
	ASSERT(!bad);
}

static void run(void)
{
	const char *one = getenv("CORE_SEED"), *many = getenv("CORE_FRAMES");
	unsigned long n = many ? strtoul(many, NULL, 10) : FRAMES;

	log_init(STDERR_FILENO, "core", LOG_SINK_TEXT, LOG_LEVEL_ERR);
	if (one) {
		batch(strtoull(one, NULL, 10), BATCH);
		return;
	}
	count_reset();
	for (unsigned long i = 0; i < n; i += BATCH) {
		if (i % 200000 == 0) {
			printf("  core_frames: CORE_SEED=%lu\n", i / BATCH);
			fflush(stdout);
		}
		batch(i / BATCH, MIN(n - i, BATCH));
	}
	printf("  %lu frames\n", n);
	check_reached(n);
}

/* What a namespace does to a process it does to all tests after this one */
static void random_frames(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (!core_namespace())
			_exit(77);
		run();
		exit(0);		/* where leaks are looked for */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("  no namespaces for us: skipped\n");
		skip();
	}
	assert_int_equal(status, 0);
}

int core_frames_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_frames),
	};

	return cmocka_run_group_tests_name("core_frames", tests, NULL, NULL);
}
