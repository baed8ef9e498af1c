#include "tests/bench/vufront_net.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/udp.h"
#include "link/link.h"
#include "proto/hello.h"

#define ETH_AT		(4 + LINK_VNET_LEN)	/* in a record */
#define IP_AT		(ETH_AT + ETH_HDR_LEN)
#define L4_AT		(IP_AT + IP4_HDR_LEN)
#define TCP_LEN		(TCP_HDR_MIN + TCP_TS_LEN)

#define GUEST_PORT	50000
#define ISS		0x12345678u
#define WSCALE		10
#define WINDOW		3000		/* KiB: Linux's largest by default */
#define MSS		1460
#define RTO_MS		1000
#define QUIET_MAX	10		/* RTOs without a sign of life */

static const uint8_t guest_mac[6] = { 2, 0x6d, 0x73, 0, 0, 2 };
static const uint8_t gw_mac[6] = { 2, 0x6d, 0x73, 0, 0, 1 };
static const uint8_t guest_ip[4] = { 100, 96, 0, 2 };
static const uint8_t gw_ip[4] = { 100, 96, 0, 1 };

static uint32_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)((uint64_t)t.tv_sec * 1000 +
			  (uint64_t)t.tv_nsec / 1000000);
}

/* --- frames to the gateway ------------------------------------------------- */

/* What stands before the L4 header: record, metadata, Ethernet, IPv4 */
static void put_outer(const struct vf_net *n, uint8_t *rec, uint8_t proto,
		      size_t l4_hdr, size_t payload)
{
	size_t frame = L4_AT - ETH_AT + l4_hdr + payload;
	struct wr w = wr_init(rec, L4_AT);
	struct link_vnet vh = { 0 };
	struct eth e = { .type = ETH_TYPE_IP4 };
	struct ip4 ip = { .len = (uint16_t)(frame - ETH_HDR_LEN), .ttl = 64,
			  .proto = proto, .df = true,
			  .src = ipaddr_v4(guest_ip),
			  .dst = ipaddr_v4(gw_ip) };

	if (!n->csum) {
		vh.flags = LINK_VNET_F_NEEDS_CSUM;
		vh.csum_start = L4_AT - ETH_AT;
		vh.csum_offset = proto == IPPROTO_TCP ? TCP_HDR_CSUM :
							UDP_CSUM_OFF;
	}
	if (n->gso && payload > n->gso) {
		vh.gso_type = LINK_VNET_GSO_TCPV4;
		vh.gso_size = n->gso;
		vh.hdr_len = (uint16_t)(L4_AT - ETH_AT + l4_hdr);
	}
	wr_u32(&w, (uint32_t)(LINK_VNET_LEN + frame));
	link_vnet_put(&vh, wr_room(&w, LINK_VNET_LEN));
	memcpy(e.dst, gw_mac, sizeof(e.dst));
	memcpy(e.src, guest_mac, sizeof(e.src));
	eth_emit(&e, &w);
	ip4_emit(&ip, &w);
	ASSERT(!w.bad && !wr_left(&w));
}

static void put_csum(const struct vf_net *n, uint8_t *l4, size_t len,
		     uint8_t proto)
{
	const struct ipaddr src = ipaddr_v4(guest_ip), dst = ipaddr_v4(gw_ip);
	struct wr w = wr_init(l4 + (proto == IPPROTO_TCP ? TCP_HDR_CSUM :
							   UDP_CSUM_OFF), 2);
	struct csum c = { 0 };

	if (!n->csum) {
		wr_u16(&w, csum_partial(&src, &dst, proto, (uint32_t)len));
		return;
	}
	csum_pseudo(&c, &src, &dst, proto, (uint32_t)len);
	csum_add(&c, l4, len);
	wr_u16(&w, csum_final(&c));
}

/* A TCP frame whose payload is there; returns the length of its record */
static size_t put_tcp(const struct vf_net *n, uint8_t *rec, uint8_t flags,
		      uint32_t seq, size_t payload)
{
	struct tcp_hdr h = {
		.sport = GUEST_PORT,
		.dport = n->port,
		.seq = seq,
		.ack = flags & TCP_FLAG_ACK ? n->rcv_nxt : 0,
		.flags = flags,
		.wnd = WINDOW * 1024 >> WSCALE,
		.opt = { .has_ts = true, .tsval = now_ms(),
			 .tsecr = n->tsecr },
	};
	struct wr w = wr_init(rec + L4_AT, TCP_HDR_MAX);
	size_t hlen;

	if (flags & TCP_FLAG_SYN) {
		h.opt.mss = MSS;
		h.opt.sack_ok = h.opt.has_wscale = true;
		h.opt.wscale = WSCALE;
		h.wnd = UINT16_MAX;
	}
	tcp_hdr_emit(&w, &h);
	hlen = wr_len(&w);
	put_outer(n, rec, IPPROTO_TCP, hlen, payload);
	put_csum(n, rec + L4_AT, hlen + payload, IPPROTO_TCP);
	return L4_AT + hlen + payload;
}

static size_t put_udp(const struct vf_net *n, uint8_t *rec, size_t payload)
{
	struct wr w = wr_init(rec + L4_AT, UDP_HDR_LEN);
	const struct udp_hdr h = {
		.sport = GUEST_PORT, .dport = n->port,
		.len = (uint16_t)(UDP_HDR_LEN + payload),
	};

	udp_emit(&h, &w);
	put_outer(n, rec, IPPROTO_UDP, UDP_HDR_LEN, payload);
	put_csum(n, rec + L4_AT, UDP_HDR_LEN + payload, IPPROTO_UDP);
	return L4_AT + UDP_HDR_LEN + payload;
}

/* A TCP frame without payload; whether there was room for it */
static bool send_control(struct vf_net *n, uint8_t flags, uint32_t seq)
{
	unsigned int slot;
	uint8_t *rec = vf_dev_slot(&n->dev, &slot);

	if (!rec || vf_dev_credit(&n->dev) < VF_HEAD)
		return false;
	if (flags & TCP_FLAG_SYN)
		n->filled[slot] = false;	/* its header is longer */
	vf_dev_send(&n->dev, put_tcp(n, rec, flags, seq, 0));
	n->ack_due = false;
	return true;
}

/* How much payload the next frame carries; 0 if none may be sent */
static size_t next_len(const struct vf_net *n, uint64_t max)
{
	uint32_t flying = n->nxt - n->una;
	uint32_t room = n->wnd > flying ? n->wnd - flying : 0;
	size_t off = (size_t)(n->sent % n->seg);
	size_t want = (size_t)MIN(n->seg - off, max);

	if (n->udp)
		return want;
	if (room < want)	/* wait for a better window, or for any */
		return flying ? 0 : room;
	return want;
}

/* A frame of a packet; returns the length of its record */
static size_t put_data(struct vf_net *n, uint8_t *rec, unsigned int slot,
		       size_t len)
{
	size_t off = (size_t)(n->sent % n->seg);
	uint8_t *to = rec + L4_AT + (n->udp ? UDP_HDR_LEN : TCP_LEN);

	if (len != n->seg)		/* what stands behind it moves */
		n->filled[slot] = false;
	if (!n->filled[slot])
		memcpy(to, n->pattern + off, len);
	if (n->udp)
		return put_udp(n, rec, len);
	return put_tcp(n, rec, TCP_FLAG_ACK | TCP_FLAG_PSH, n->nxt, len);
}

size_t vf_net_send(struct vf_net *n, uint64_t max)
{
	const size_t rec_max = L4_AT + TCP_LEN + n->seg;
	size_t used = 0, all = 0, len;
	unsigned int slot, k;
	uint8_t *rec = vf_dev_slot(&n->dev, &slot);

	for (k = 0; rec && k < n->pack; k++) {
		len = next_len(n, max - all);
		if (!len || used + rec_max > vf_dev_credit(&n->dev) ||
		    used + rec_max > VF_PACKET_MAX)
			break;
		used += put_data(n, rec + used, slot, len);
		n->nxt += (uint32_t)len;
		n->sent += len;
		n->most = MAX(n->most, n->sent);
		all += len;
		n->frames_out++;
	}
	if (!used)
		return 0;
	n->filled[slot] = all == k * n->seg && (n->filled[slot] ||
						k == n->pack);
	vf_dev_send(&n->dev, used);
	return all;
}

/* --- frames from the gateway ----------------------------------------------- */

static void go_back(struct vf_net *n)
{
	if (n->nxt == n->una)
		return;
	n->sent -= n->nxt - n->una;
	n->nxt = n->una;
	n->dups = 0;
	n->recover = n->most;
	n->again++;
}

static void tcp_acked(struct vf_net *n, const struct tcp_hdr *h, size_t len)
{
	uint32_t news = h->ack - n->una;
	uint32_t wnd = (uint32_t)h->wnd << n->wscale;

	if (news && news <= n->most - n->acked) {
		n->una = h->ack;
		n->acked += news;
		n->dups = 0;
		if (n->acked > n->sent) {	/* of before we went back */
			n->sent = n->acked;
			n->nxt = n->una;
		}
	} else if (!news && !len && wnd == n->wnd && n->nxt != n->una) {
		/* What we send again is answered by duplicates, too */
		if (++n->dups == 3 && n->acked >= n->recover)
			go_back(n);
	}
	n->wnd = wnd;
}

/* A segment; true if its payload is what comes next */
static bool tcp_segment(struct vf_net *n, const struct tcp_hdr *h, size_t len)
{
	if (h->flags & (TCP_FLAG_RST | TCP_FLAG_FIN))
		die("the gateway has ended the connection, flags %#x",
		    h->flags);
	n->tsecr = h->opt.tsval;
	if (h->flags & TCP_FLAG_SYN) {
		n->ack_due = true;
		if (n->estab)
			return false;
		n->estab = true;
		n->rcv_nxt = h->seq + 1;
		n->una = n->nxt = ISS + 1;
		n->wscale = h->opt.wscale;
		n->wnd = h->wnd;
		return false;
	}
	tcp_acked(n, h, len);
	if (!len)
		return false;
	n->ack_due = true;
	if (h->seq != n->rcv_nxt) {
		n->again++;
		return false;
	}
	n->rcv_nxt += (uint32_t)len;
	return true;
}

/* The payload of a frame, or what has come of it */
static void payload(struct vf_net *n, const uint8_t *p, size_t len)
{
	if (!n->fresh)
		return;
	if (n->check)
		for (size_t k, at = 0; at < len; at += k) {
			size_t off = (size_t)((n->got + at) % n->seg);

			k = MIN(len - at, n->seg - off);
			n->bad += memcmp(p + at, n->pattern + off, k) != 0;
		}
	n->got += len;
}

/* The headers of a frame have come, and the first bytes of what follows */
static void frame_head(struct vf_net *n)
{
	struct rd r = rd_init(n->head + ETH_AT, n->have - ETH_AT), l4;
	struct tcp_hdr h;
	struct udp_hdr u;
	struct eth e;
	struct ip4 ip;
	size_t hlen;

	n->fresh = false;
	if (n->have < ETH_AT || eth_parse(&r, &e) || e.type != ETH_TYPE_IP4 ||
	    ip4_parse(&r, &ip))
		return;
	l4 = r;
	if (ip.proto == IPPROTO_TCP && !n->udp && !tcp_hdr_parse(l4, &h) &&
	    h.dport == GUEST_PORT) {
		hlen = h.hlen;
		n->fresh = tcp_segment(n, &h, (size_t)ip.len - ip.hdr_len -
					      hlen);
	} else if (ip.proto == IPPROTO_UDP && n->udp && !udp_parse(&l4, &u)) {
		hlen = UDP_HDR_LEN;
		n->fresh = true;
	} else {
		return;
	}
	n->frames_in += n->fresh;
	rd_take(&r, hlen);
	payload(n, r.p, rd_left(&r));
}

/* Up to @n bytes of a record; how many it took */
static size_t record_bytes(struct vf_net *n, const uint8_t *p, size_t len)
{
	size_t k;

	if (n->have < n->want) {
		k = MIN(len, n->want - n->have);
		memcpy(n->head + n->have, p, k);
		n->have += k;
		if (n->have == 4 && n->want == 4) {
			struct rd r = rd_init(n->head, 4);
			size_t rest = rd_u32(&r);

			n->want = 4 + MIN(rest, VF_HEAD - 4);
			n->left = rest - (n->want - 4);
			if (!rest)
				n->have = 0;	/* keepalive */
		} else if (n->have == n->want) {
			frame_head(n);
		}
	} else {
		k = MIN(len, n->left);
		payload(n, p, k);
		n->left -= k;
	}
	if (n->have > 4 && n->have == n->want && !n->left) {
		n->have = 0;
		n->want = 4;
		if (n->ack_due && !n->lazy_ack)
			send_control(n, TCP_FLAG_ACK, n->nxt);
	}
	return k;
}

static size_t hello_bytes(struct vf_net *n, const uint8_t *p, size_t len)
{
	size_t k = MIN(len, HELLO_LEN - n->have);
	struct hello h;

	memcpy(n->head + n->have, p, k);
	n->have += k;
	if (n->have == HELLO_LEN) {
		if (hello_parse(rd_init(n->head, HELLO_LEN), &h))
			die("the answer to our hello makes no sense");
		n->up = true;
		n->have = 0;
		n->want = 4;
	}
	return k;
}

static void input(void *arg, const uint8_t *p, size_t len)
{
	struct vf_net *n = arg;

	while (len) {
		size_t k = n->up ? record_bytes(n, p, len) :
				   hello_bytes(n, p, len);

		p += k;
		len -= k;
	}
}

/* --- */

void vf_net_step(struct vf_net *n, bool tx)
{
	static int quiet;

	if (n->ack_due && !n->lazy_ack)
		send_control(n, TCP_FLAG_ACK, n->nxt);
	vf_dev_kick(&n->dev);
	if (vf_dev_poll(&n->dev))
		return;
	if (vf_dev_wait(&n->dev, tx || !n->dev.nfree, RTO_MS)) {
		quiet = 0;
		return;
	}
	if (++quiet == QUIET_MAX)
		die("nothing happens any more: sent %llu, acknowledged %llu, "
		    "received %llu, window %u, credit %u, slots %u",
		    (unsigned long long)n->sent, (unsigned long long)n->acked,
		    (unsigned long long)n->got, n->wnd,
		    vf_dev_credit(&n->dev), n->dev.nfree);
	if (n->up && !n->udp && !n->estab)
		send_control(n, TCP_FLAG_SYN, ISS);
	go_back(n);
}

static void say_hello(struct vf_net *n)
{
	const struct hello h = { .version = HELLO_VERSION,
				 .features = HELLO_F_ALL, .mtu = 1500,
				 .mac = { 2, 0x6d, 0x73, 0, 0, 2 } };
	unsigned int slot;
	struct wr w = wr_init(vf_dev_slot(&n->dev, &slot), HELLO_LEN);

	hello_emit(&w, &h);
	ASSERT(!w.bad);
	vf_dev_send(&n->dev, wr_len(&w));
	while (!n->up)
		vf_net_step(n, false);
}

void vf_net_open(struct vf_net *n, const char *path)
{
	n->dev.input = input;
	n->dev.arg = n;
	vf_dev_open(&n->dev, path);
	vf_dev_stream(&n->dev);
	say_hello(n);
	if (n->udp)
		return;
	send_control(n, TCP_FLAG_SYN, ISS);
	while (!n->estab)
		vf_net_step(n, false);
	send_control(n, TCP_FLAG_ACK, n->nxt);
}
