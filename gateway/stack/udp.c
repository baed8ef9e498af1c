#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "base/wr.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/udp.h"
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
	if (csum_ok_for(&q, &h))
		deliver(arg, &q, &h);
}

void udp_init(struct udp *u, struct netif *n,
	      void (*recv)(void *arg, const struct udp_dgram *d), void *arg)
{
	*u = (struct udp){ .netif = n, .recv = recv, .arg = arg };
	netif_set_l4(n, NETIF_L4_UDP, udp_input, u);
}

int udp_send(struct udp *u, const struct ipaddr *src, uint16_t sport,
	     const struct ipaddr *dst, uint16_t dport, const struct iovec *iov,
	     int n)
{
	struct ip_args a = { .src = *src, .dst = *dst, .proto = IPPROTO_UDP };
	struct udp_hdr h = { .sport = sport, .dport = dport };
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
