#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "base/wr.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/nud.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"

/* ip - output; input is in ip.c */

#define TTL_DEFAULT	64
#define L4_HEAD		60	/* copied, to put the checksum there */
#define HDR_MAX		(ETH_HDR_LEN + IP6_HDR_LEN + IP6_FRAG_LEN)

COUNT(tx_packets, "IP packets to the guest");
COUNT(tx_fragments, "Fragments to the guest");
COUNT(drop_tx_full, "IP packets to the guest lost because the link was full");
COUNT(drop_tx_partial, "Fragmented packets of which only a part was sent");

static size_t ip_hlen(bool v4)
{
	return v4 ? IP4_HDR_LEN : IP6_HDR_LEN;
}

/* Longest upper layer in a packet of this family */
static size_t l4_max(bool v4)
{
	return v4 ? IP4_LEN_MAX - IP4_HDR_LEN : IP4_LEN_MAX;
}

static void eth_dest(const struct netif *n, const struct ipaddr *dst,
		     uint8_t mac[static 6])
{
	static const uint8_t multicast6[2] = { 0x33, 0x33 };

	if (ipaddr_is_broadcast4(dst)) {
		memset(mac, 0xff, 6);
	} else if (!ipaddr_is4(dst) && ipaddr_is_multicast(dst)) {
		memcpy(mac, multicast6, 2);		/* RFC 2464 7 */
		memcpy(mac + 2, dst->b + 12, 4);
	} else {
		memcpy(mac, n->peer_mac, 6);
	}
}

/**
 * struct cut - Which part of the packet a frame carries
 * @len:	Bytes of upper layer in this frame
 * @frag:	It is a fragment: the rest has a meaning
 */
struct cut {
	size_t len, off;
	bool frag, mf;
	uint32_t id;
};

static void put_headers(struct netif *n, const struct ip_args *a,
			const struct cut *c, struct wr *w)
{
	uint8_t ttl = a->ttl ? a->ttl : TTL_DEFAULT;
	bool v4 = ipaddr_is4(&a->src);
	struct eth e = { .type = v4 ? ETH_TYPE_IP4 : ETH_TYPE_IP6 };

	eth_dest(n, &a->dst, e.dst);
	memcpy(e.src, n->conf.mac, sizeof(e.src));
	eth_emit(&e, w);
	if (v4) {
		struct ip4 h = { .tos = a->tos, .ttl = ttl,
				 .proto = a->proto, .df = !c->frag,
				 .len = (uint16_t)(IP4_HDR_LEN + c->len),
				 .id = c->frag ? (uint16_t)c->id : 0,
				 .off = (uint16_t)c->off, .mf = c->mf,
				 .src = a->src, .dst = a->dst };

		ip4_emit(&h, w);
	} else {
		size_t ext = c->frag ? IP6_FRAG_LEN : 0;
		struct ip6 h = { .tos = a->tos, .hop = ttl,
				 .next = c->frag ? IPPROTO_FRAGMENT : a->proto,
				 .plen = (uint16_t)(c->len + ext),
				 .src = a->src, .dst = a->dst };

		ip6_emit(&h, w);
		if (c->frag)
			ip6_frag_emit(a->proto, (uint16_t)c->off, c->mf, c->id,
				      w);
	}
	ASSERT(!w->bad);
}

static bool can_offload(const struct netif *n, uint8_t proto)
{
	return (n->link->can_send & LINK_F_CSUM) &&
	       (proto == IPPROTO_TCP || proto == IPPROTO_UDP);
}

static void put_u16(uint8_t *p, uint16_t v)
{
	struct wr w = wr_init(p, 2);

	wr_u16(&w, v);
}

/**
 * fill_csum() - Write the whole checksum into its field
 * @l4:		Upper layer; the first piece holds the field
 * @len:	Bytes of it that count
 */
static void fill_csum(const struct ip_args *a, const struct iovec *l4, int cnt,
		      size_t len, size_t csum_off)
{
	uint8_t *field = (uint8_t *)l4[0].iov_base + csum_off;
	struct csum c = { 0 };
	size_t left = len;
	uint16_t v;

	put_u16(field, 0);
	if (a->proto != IPPROTO_ICMP)
		csum_pseudo(&c, &a->src, &a->dst, a->proto, (uint32_t)len);
	for (int i = 0; i < cnt && left; i++) {
		size_t k = MIN(left, l4[i].iov_len);

		csum_add(&c, l4[i].iov_base, k);
		left -= k;
	}
	v = csum_final(&c);
	if (!v && a->proto == IPPROTO_UDP)
		v = 0xffff;	/* 0 says that there is none */
	put_u16(field, v);
}

/* As fill_csum(), for the link to complete */
static void fill_partial(const struct ip_args *a, uint8_t *l4, size_t len,
			 size_t csum_off, struct link_vnet *vh)
{
	put_u16(l4 + csum_off,
		csum_partial(&a->src, &a->dst, a->proto, (uint32_t)len));
	vh->flags = LINK_VNET_F_NEEDS_CSUM;
	vh->csum_start = (uint16_t)(ETH_HDR_LEN +
				    ip_hlen(ipaddr_is4(&a->src)));
	vh->csum_offset = (uint16_t)csum_off;
}

int ip_reserve(struct netif *n, const struct ip_args *a, size_t l4_hlen,
	       size_t pay_len, struct ip_room *r)
{
	bool v4 = ipaddr_is4(&a->src);
	size_t hlen = ETH_HDR_LEN + ip_hlen(v4) + l4_hlen;
	struct iovec *first = &r->room.iov[0];
	int rc;

	ASSERT(l4_hlen <= L4_HEAD && v4 == ipaddr_is4(&a->dst));
	if (!n->link)
		return -ENOTCONN;
	if (pay_len > l4_max(v4) - l4_hlen)
		return -EMSGSIZE;
	rc = link_reserve(n->link, hlen + pay_len, &r->room);
	if (rc)
		return rc;
	ASSERT(r->room.n > 0 && first->iov_len >= hlen);
	r->args = *a;
	r->l4_hlen = l4_hlen;
	r->l4 = (uint8_t *)first->iov_base + hlen - l4_hlen;
	r->pay_len = pay_len;
	r->npay = 0;
	if (first->iov_len > hlen) {
		r->pay[0].iov_base = (uint8_t *)first->iov_base + hlen;
		r->pay[0].iov_len = first->iov_len - hlen;
		r->npay = 1;
	}
	for (int i = 1; i < r->room.n; i++)
		r->pay[r->npay++] = r->room.iov[i];
	return 0;
}

static void room_csum(const struct ip_room *r, size_t len, size_t csum_off)
{
	struct iovec l4[LINK_IOV_MAX + 1];

	l4[0].iov_base = r->l4;
	l4[0].iov_len = r->l4_hlen;
	memcpy(l4 + 1, r->pay, (size_t)r->npay * sizeof(*l4));
	fill_csum(&r->args, l4, r->npay + 1, len, csum_off);
}

static uint8_t gso_type(const struct ip_args *a)
{
	if (a->proto == IPPROTO_UDP)
		return LINK_VNET_GSO_UDP_L4;
	return ipaddr_is4(&a->src) ? LINK_VNET_GSO_TCPV4 : LINK_VNET_GSO_TCPV6;
}

/* The frame waits, and the room goes back; that is as good as sent */
static int hold_room(struct netif *n, struct ip_room *r,
		     const struct link_vnet *vh, size_t len)
{
	struct iovec iov[LINK_IOV_MAX];
	int cnt = iov_slice(r->room.iov, r->room.n, 0, len, iov, LINK_IOV_MAX);

	ASSERT(cnt >= 0);
	nud_hold(n, ipaddr_is4(&r->args.dst), vh, iov, cnt);
	return link_commit(n->link, &r->room, NULL, 0);
}

int ip_commit(struct netif *n, struct ip_room *r, size_t pay_len,
	      uint16_t csum_off, uint16_t gso_size)
{
	size_t hlen = ETH_HDR_LEN + ip_hlen(ipaddr_is4(&r->args.src));
	struct cut c = { .len = r->l4_hlen + pay_len };
	struct wr w = wr_init(r->l4 - hlen, hlen);
	struct link_vnet vh = { 0 };
	int rc;

	ASSERT(pay_len <= r->pay_len && csum_off + 2u <= r->l4_hlen);
	if (!n->link)
		return -ENOTCONN;
	put_headers(n, &r->args, &c, &w);
	if (can_offload(n, r->args.proto))
		fill_partial(&r->args, r->l4, c.len, csum_off, &vh);
	else
		room_csum(r, c.len, csum_off);
	if (gso_size && pay_len > gso_size) {
		vh.gso_type = gso_type(&r->args);
		vh.gso_size = gso_size;
		vh.hdr_len = (uint16_t)(hlen + r->l4_hlen);
	}
	if (nud_ready(n, ipaddr_is4(&r->args.dst)))
		rc = link_commit(n->link, &r->room, &vh, hlen + c.len);
	else
		rc = hold_room(n, r, &vh, hlen + c.len);
	if (rc == 0)
		count_inc(tx_packets);
	return rc;
}

void ip_cancel(struct netif *n, struct ip_room *r)
{
	if (n->link)
		link_commit(n->link, &r->room, NULL, 0);
}

size_t ip_gso_max(const struct netif *n, bool v6)
{
	uint32_t want = LINK_F_CSUM | (v6 ? LINK_F_TSO6 : LINK_F_TSO4);
	size_t hlen = ip_hlen(!v6) + L4_HEAD, max;

	if (!n->link || (n->link->can_send & want) != want ||
	    n->link->max_frame < ETH_HDR_LEN + hlen)
		return 0;
	max = MIN(n->link->max_frame - ETH_HDR_LEN, (size_t)IP4_LEN_MAX);
	return max - hlen;
}

/* One frame: headers, then [@c->off, +@c->len) of the upper layer */
static int send_cut(struct netif *n, const struct ip_args *a,
		    const struct cut *c, const struct iovec *l4, int cnt,
		    const struct link_vnet *vh)
{
	struct iovec out[LINK_IOV_MAX + 2];
	uint8_t hdr[HDR_MAX];
	struct wr w = wr_init(hdr, sizeof(hdr));
	int k;

	put_headers(n, a, c, &w);
	out[0].iov_base = hdr;
	out[0].iov_len = wr_len(&w);
	k = iov_slice(l4, cnt, c->off, c->len, out + 1, LINK_IOV_MAX + 1);
	ASSERT(k >= 0);
	if (a->direct || !netif_is_guest(n, &a->dst) ||
	    nud_ready(n, ipaddr_is4(&a->dst)))
		return link_send(n->link, vh, out, k + 1);
	nud_hold(n, ipaddr_is4(&a->dst), vh, out, k + 1);
	return 0;
}

static int send_fragments(struct netif *n, const struct ip_args *a,
			  const struct iovec *l4, int cnt, size_t len)
{
	bool v4 = ipaddr_is4(&a->src);
	size_t hlen = ip_hlen(v4) + (v4 ? 0 : IP6_FRAG_LEN);
	size_t step = (n->conf.mtu - hlen) & ~(size_t)7;
	struct cut c = { .frag = true };

	ASSERT(n->conf.mtu >= hlen + 8);
	c.id = v4 ? n->ident4++ : n->ident6++;
	for (c.off = 0; c.off < len; c.off += step) {
		int rc;

		c.len = MIN(step, len - c.off);
		c.mf = c.off + c.len < len;
		rc = send_cut(n, a, &c, l4, cnt, NULL);
		if (rc && c.off)
			count_inc(drop_tx_partial);
		if (rc)
			return rc;
		count_inc(tx_fragments);
	}
	return 0;
}

/**
 * gather() - Upper layer with its first bytes copied to where we may write
 * @head:	Room for the copy
 * @out:	LINK_IOV_MAX + 1 pieces
 *
 * Return: number of pieces; -EMSGSIZE if there are too many
 */
static int gather(const struct iovec *iov, int cnt, size_t len,
		  uint8_t head[static L4_HEAD], struct iovec *out)
{
	size_t k = iov_copy_out(iov, cnt, 0, head, L4_HEAD);
	int rest = 0;

	out[0].iov_base = head;
	out[0].iov_len = k;
	if (k < len)
		rest = iov_slice(iov, cnt, k, len - k, out + 1, LINK_IOV_MAX);
	return rest < 0 ? -EMSGSIZE : rest + 1;
}

static int send_l4(struct netif *n, const struct ip_args *a, struct iovec *l4,
		   int cnt, size_t len, int csum_off)
{
	bool v4 = ipaddr_is4(&a->src);
	bool one = ip_hlen(v4) + len <= n->conf.mtu;
	struct link_vnet vh = { 0 };
	struct cut c = { .len = len };

	if (!one && a->df)
		return -EMSGSIZE;
	if (csum_off >= 0) {
		if (one && can_offload(n, a->proto))
			fill_partial(a, l4[0].iov_base, len, (size_t)csum_off,
				     &vh);
		else
			fill_csum(a, l4, cnt, len, (size_t)csum_off);
	}
	if (!one)
		return send_fragments(n, a, l4, cnt, len);
	return send_cut(n, a, &c, l4, cnt, &vh);
}

int ip_send(struct netif *n, const struct ip_args *a, const struct iovec *iov,
	    int cnt, int csum_off)
{
	size_t len = iov_len(iov, cnt);
	struct iovec l4[LINK_IOV_MAX + 1];
	uint8_t head[L4_HEAD];
	int rc;

	ASSERT(ipaddr_is4(&a->src) == ipaddr_is4(&a->dst));
	if (!n->link)
		return -ENOTCONN;
	if (len > l4_max(ipaddr_is4(&a->src)))
		return -EMSGSIZE;
	if (csum_off >= 0 && (size_t)csum_off + 2 > MIN(len, sizeof(head)))
		return -EINVAL;
	rc = gather(iov, cnt, len, head, l4);
	if (rc >= 0)
		rc = send_l4(n, a, l4, rc, len, csum_off);
	if (rc == 0)
		count_inc(tx_packets);
	else if (rc == -EAGAIN)
		count_inc(drop_tx_full);
	return rc;
}
