#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "base/wr.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/udp.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/udp.h"

COUNT(drop_udp_short, "UDP datagrams whose header is cut off or malformed");
COUNT(drop_udp_len, "UDP datagrams longer than their packet");
COUNT(drop_udp_csum, "UDP datagrams with a wrong checksum");
COUNT(drop_udp_no_csum, "UDP datagrams over IPv6 without a checksum");
COUNT(drop_udp_port, "UDP datagrams to port 0");
COUNT(drop_udp_segments, "UDP trains of more datagrams than anybody sends");
COUNT(drop_udp_unserved, "UDP datagrams that nobody takes");

/* UDP_MAX_SEGMENTS of Linux.  64 KiB in single bytes would be 65507 datagrams,
 * each with system calls of its own, for one frame */
#define SEGMENTS_MAX	128

/* 0 says "none", but in a checksum to complete it is a value like any other */
static bool csum_ok_for(const struct pkt *p, const struct udp_hdr *h)
{
	if (!h->csum && !(p->vh.flags & LINK_VNET_F_NEEDS_CSUM)) {
		if (ipaddr_is4(&p->src))
			return true;
		count_inc(drop_udp_no_csum);
		return false;
	}
	if (pkt_csum_ok(p))
		return true;
	count_inc(drop_udp_csum);
	return false;
}

static void deliver(struct udp *u, const struct pkt *p,
		    const struct udp_hdr *h)
{
	struct iovec pay[LINK_IOV_MAX + 1];
	struct udp_dgram d = { .src = p->src, .dst = p->dst,
			       .sport = h->sport, .dport = h->dport,
			       .iov = pay, .len = h->len - UDP_HDR_LEN,
			       .pkt = p };

	if (p->vh.gso_type == LINK_VNET_GSO_UDP_L4 &&
	    d.len > p->vh.gso_size)
		d.gso_size = p->vh.gso_size;
	if (d.gso_size && d.len > (size_t)SEGMENTS_MAX * d.gso_size) {
		count_inc(drop_udp_segments);
		return;
	}
	d.n = iov_slice(p->iov, p->n, UDP_HDR_LEN, d.len, pay,
			(int)ARRAY_SIZE(pay));
	ASSERT(d.n >= 0);
	if (u->recv)
		u->recv(u->arg, &d);
	else
		count_inc(drop_udp_unserved);
}

static void udp_input(void *arg, const struct pkt *p)
{
	struct rd r = rd_init(p->l4, p->l4_head);
	struct iovec cut[LINK_IOV_MAX + 1];
	struct pkt q = *p;
	struct udp *u = arg;
	struct udp_hdr h;

	if (udp_parse(&r, &h)) {
		count_inc(drop_udp_short);
		return;
	}
	if (h.len > p->len) {
		count_inc(drop_udp_len);
		return;
	}
	if (!h.dport) {
		count_inc(drop_udp_port);
		return;
	}
	if (h.len < p->len) {	/* what follows is no part of the datagram */
		q.n = iov_slice(p->iov, p->n, 0, h.len, cut,
				(int)ARRAY_SIZE(cut));
		ASSERT(q.n > 0);
		q.iov = cut;
		q.len = h.len;
		q.l4_head = MIN(q.l4_head, q.len);
	}
	if (!csum_ok_for(&q, &h))
		return;
	if (u->netif->icmp && !icmp_hop(u->netif->icmp, &q))
		return;
	deliver(u, &q, &h);
}

void udp_init(struct udp *u, struct netif *n,
	      void (*recv)(void *arg, const struct udp_dgram *d), void *arg)
{
	*u = (struct udp){ .netif = n, .recv = recv, .arg = arg };
	netif_set_l4(n, NETIF_L4_UDP, udp_input, u);
}

/* One datagram; longer than the MTU it goes in fragments */
static int send_one(struct udp *u, const struct udp_train *t,
		    const struct iovec *iov, int n)
{
	struct ip_args a = { .src = t->src, .dst = t->dst, .tos = t->tos,
			     .proto = IPPROTO_UDP };
	struct udp_hdr h = { .sport = t->sport, .dport = t->dport };
	size_t len = iov_len(iov, n) + UDP_HDR_LEN;
	struct iovec all[LINK_IOV_MAX + 1];
	uint8_t hdr[UDP_HDR_LEN];
	struct wr w = wr_init(hdr, sizeof(hdr));

	if (len > UINT16_MAX || n > LINK_IOV_MAX)
		return -EMSGSIZE;
	h.len = (uint16_t)len;
	udp_emit(&h, &w);
	all[0].iov_base = hdr;
	all[0].iov_len = sizeof(hdr);
	if (n)
		memcpy(all + 1, iov, (size_t)n * sizeof(*iov));
	return ip_send(u->netif, &a, all, n + 1, UDP_CSUM_OFF);
}

int udp_send(struct udp *u, const struct ipaddr *src, uint16_t sport,
	     const struct ipaddr *dst, uint16_t dport, const struct iovec *iov,
	     int n)
{
	const struct udp_train t = { .src = *src, .dst = *dst,
				     .sport = sport, .dport = dport };

	return send_one(u, &t, iov, n);
}

/**
 * frame_max() - Most payload of a train that one frame carries
 *
 * Return: a multiple of the datagrams' size; 0 if the link cuts no trains, or
 *	   not into datagrams of this size
 */
static size_t frame_max(const struct netif *n, const struct udp_train *t)
{
	const bool v4 = ipaddr_is4(&t->src);
	const uint32_t want = LINK_F_CSUM | (v4 ? LINK_F_USO4 : LINK_F_USO6);
	const size_t hlen = (v4 ? IP4_HDR_LEN : IP6_HDR_LEN) + UDP_HDR_LEN;
	size_t max;

	if (!n->link || (n->link->can_send & want) != want ||
	    hlen + t->gso_size > n->conf.mtu ||
	    n->link->max_frame < ETH_HDR_LEN + hlen)
		return 0;
	max = MIN(n->link->max_frame - ETH_HDR_LEN, (size_t)IP4_LEN_MAX) - hlen;
	return max - max % t->gso_size;
}

static int send_frame(struct udp *u, const struct udp_train *t, size_t len)
{
	const struct ip_args a = { .src = t->src, .dst = t->dst,
				   .tos = t->tos, .proto = IPPROTO_UDP };
	const struct udp_hdr h = { .sport = t->sport, .dport = t->dport,
				   .len = (uint16_t)(UDP_HDR_LEN + len) };
	struct ip_room room;
	struct wr w;
	int rc = ip_reserve(u->netif, &a, UDP_HDR_LEN, len, &room);

	if (rc)
		return rc;
	w = wr_init(room.l4, UDP_HDR_LEN);
	udp_emit(&h, &w);
	iov_copy_in(room.pay, room.npay, 0, t->data + t->off, len);
	return ip_commit(u->netif, &room, len, UDP_CSUM_OFF, t->gso_size);
}

int udp_send_train(struct udp *u, struct udp_train *t)
{
	size_t max = t->gso_size ? frame_max(u->netif, t) : 0;
	int rc = 0;

	do {
		size_t left = t->len - t->off;
		size_t len = t->gso_size ? MIN(left, (size_t)t->gso_size) :
					   left;
		struct iovec iov = {
			.iov_base = (void *)(uintptr_t)(t->data + t->off),
			.iov_len = len,
		};

		if (max && left > t->gso_size) {
			len = MIN(left, max);
			rc = send_frame(u, t, len);
		} else {
			rc = send_one(u, t, &iov, 1);
		}
		if (rc == 0)
			t->off += len;
	} while (rc == 0 && t->off < t->len);
	return rc;
}
