#include <errno.h>
#include <netinet/in.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "gateway/stack/frag.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/neigh.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/udp.h"

/* ip - input; output is in ip_out.c */

#define L4_HEAD		60	/* longest header: TCP with options */
#define TCP_CSUM_OFF	16
#define DHCP_SERVER	67

COUNT(drop_ip4_inactive, "IPv4 packets while IPv4 is off");
COUNT(drop_ip4_malformed, "IPv4 packets with a malformed header");
COUNT(drop_ip4_csum, "IPv4 packets with a wrong header checksum");
COUNT(drop_ip4_short, "IPv4 packets longer than their frame");
COUNT(drop_ip4_srcroute, "IPv4 packets with a source route");
COUNT(drop_ip6_inactive, "IPv6 packets while IPv6 is off");
COUNT(drop_ip6_malformed, "IPv6 packets with a malformed header");
COUNT(drop_ip6_short, "IPv6 packets longer than their frame");
COUNT(drop_ip6_ext, "IPv6 packets with bad or too many extension headers");
COUNT(drop_ip6_routing, "IPv6 packets with a routing header");
COUNT(drop_ip6_option, "IPv6 packets with an option that forbids to go on");
COUNT(drop_ip_version, "Packets of a version that is not that of the frame");
COUNT(drop_ip_source, "Packets from an address that is not the guest's");
COUNT(drop_ip_source_any, "Packets from the unspecified address");
COUNT(drop_ip_source_linklocal, "Packets from a link-local address");
COUNT(drop_ip_link_group, "Packets to one address, in frames to many MACs");
COUNT(drop_ip_dest_any, "Packets to 0.0.0.0/8 or ::");
COUNT(drop_ip_dest_loopback, "Packets to a loopback address");
COUNT(drop_ip_dest_multicast, "Packets to a multicast group");
COUNT(drop_ip_dest_broadcast, "Packets to a broadcast address");
COUNT(drop_ip_dest_guest, "Packets of the guest to itself");
COUNT(drop_ip_dest_linklocal, "Packets to an IPv6 link-local address");
COUNT(drop_ip_vnet_csum, "Packets with some other checksum to complete");
COUNT(drop_ip_vnet_gso, "Packets to be cut as another protocol's");
COUNT(drop_ip_proto, "Packets of an unknown upper-layer protocol");
COUNT(drop_ip_no_next, "IPv6 packets without an upper layer");
COUNT(drop_ip_unserved, "Packets to an upper layer that is not installed");
COUNT(mld_ignored, "Multicast listener reports, which nobody needs");

/* Metadata must speak of the upper layer, @at bytes behind the IP header */
static bool vnet_rebase(struct pkt *p, size_t at)
{
	bool v4 = ipaddr_is4(&p->dst);
	struct link_vnet *vh = &p->vh;
	uint8_t want = LINK_VNET_GSO_NONE;
	uint16_t off = UINT16_MAX;

	if (p->proto == IPPROTO_TCP) {
		off = TCP_CSUM_OFF;
		want = v4 ? LINK_VNET_GSO_TCPV4 : LINK_VNET_GSO_TCPV6;
	} else if (p->proto == IPPROTO_UDP) {
		off = UDP_CSUM_OFF;
		want = LINK_VNET_GSO_UDP_L4;
	} else if (p->proto == IPPROTO_ICMPV6) {
		off = 2;
	}
	if ((vh->flags & LINK_VNET_F_NEEDS_CSUM) &&
	    (vh->csum_start != at || vh->csum_offset != off)) {
		count_inc(drop_ip_vnet_csum);
		return false;
	}
	if (vh->gso_type != LINK_VNET_GSO_NONE && vh->gso_type != want) {
		count_inc(drop_ip_vnet_gso);
		return false;
	}
	vh->csum_start = 0;
	return true;
}

/* Keep @len bytes from @off of a packet whose first piece holds all headers */
static int trim(struct iovec *iov, int cnt, size_t off, size_t len)
{
	int i;

	iov[0].iov_base = (uint8_t *)iov[0].iov_base + off;
	iov[0].iov_len -= off;
	for (i = 0; i < cnt && len; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, len);
		len -= iov[i].iov_len;
	}
	return MAX(i, 1);
}

static bool is_mld(uint8_t type)
{
	return (type >= ICMP6_MLD_QUERY && type <= ICMP6_MLD_DONE) ||
	       type == ICMP6_MLD2_REPORT;
}

static void up(struct netif *n, enum netif_l4 which, const struct pkt *p)
{
	if (n->l4[which])
		n->l4[which](n->l4_arg[which], p);
	else
		count_inc(drop_ip_unserved);
}

static void unknown_proto(struct netif *n, const struct pkt *p)
{
	if (p->proto == IPPROTO_NONE) {
		count_inc(drop_ip_no_next);
		return;
	}
	count_inc(drop_ip_proto);
	if (n->icmp)
		icmp_error(n->icmp, ICMP_ERR_PROTO_UNREACH, &p->dst, p->ip,
			   p->ip_head, 0);
}

static void dispatch(struct netif *n, const struct pkt *p)
{
	bool v4 = ipaddr_is4(&p->dst);

	if (p->proto == IPPROTO_TCP)
		up(n, NETIF_L4_TCP, p);
	else if (p->proto == IPPROTO_UDP)
		up(n, NETIF_L4_UDP, p);
	else if (p->proto == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		up(n, NETIF_L4_ICMP, p);
	else
		unknown_proto(n, p);
}

/* 0.0.0.0 or the guest asks every DHCP server */
static bool is_dhcp(const struct netif *n, const struct pkt *p)
{
	struct rd r = rd_init(p->l4, p->l4_head);
	struct udp_hdr h;

	return p->proto == IPPROTO_UDP && ipaddr_is_broadcast4(&p->dst) &&
	       (ipaddr_is_any(&p->src) || netif_is_guest(n, &p->src)) &&
	       udp_parse(&r, &h) == 0 && h.dport == DHCP_SERVER;
}

/* Nor may anything be said about a frame that was for many (RFC 1122 3.3.6) */
static bool source_ok(const struct netif *n, const struct pkt *p)
{
	if (n->rx_group && !ipaddr_is_multicast(&p->dst)) {
		count_inc(drop_ip_link_group);
		return false;
	}
	if (netif_is_guest(n, &p->src))
		return true;
	if (ipaddr_is_any(&p->src))
		count_inc(drop_ip_source_any);
	else if (ipaddr_is_linklocal(&p->src))
		count_inc(drop_ip_source_linklocal);
	else
		count_inc(drop_ip_source);
	return false;
}

/* The last address of the guest's own subnet; /31 and /32 have none */
static bool subnet_broadcast(const struct netif *n, const struct ipaddr *a)
{
	unsigned int plen = n->conf.plen4;

	if (plen > 30 || !ipaddr_in(a, &n->conf.guest4, plen))
		return false;
	return (ipaddr_to_host4(a) | ~(UINT32_MAX >> plen)) == UINT32_MAX;
}

static bool dest4_ok(const struct netif *n, const struct ipaddr *a)
{
	if (ipaddr_is_multicast(a))
		count_inc(drop_ip_dest_multicast);
	else if (ipaddr_is_broadcast4(a) || subnet_broadcast(n, a))
		count_inc(drop_ip_dest_broadcast);
	else if (ipaddr_to_host4(a) >> 24 == 0)
		count_inc(drop_ip_dest_any);
	else if (ipaddr_is_loopback(a))
		count_inc(drop_ip_dest_loopback);
	else if (netif_is_guest(n, a))
		count_inc(drop_ip_dest_guest);
	else
		return true;
	return false;
}

static bool dest6_ok(const struct netif *n, const struct ipaddr *a)
{
	if (ipaddr_is_multicast(a))
		count_inc(drop_ip_dest_multicast);
	else if (ipaddr_is_any(a))
		count_inc(drop_ip_dest_any);
	else if (ipaddr_is_loopback(a))
		count_inc(drop_ip_dest_loopback);
	else if (ipaddr_is_linklocal(a))
		count_inc(drop_ip_dest_linklocal);
	else if (netif_is_guest(n, a))
		count_inc(drop_ip_dest_guest);
	else
		return true;
	return false;
}

/**
 * set_l4() - Point @p at its upper layer, @at bytes behind the IP header
 *
 * Return: false, and counted, if its header cannot be looked at or the metadata
 *	   speak of something else
 */
static bool set_l4(struct pkt *p, struct iovec *iov, int cnt, size_t at)
{
	size_t len = p->ip_len - at;

	if (p->ip_head < p->ip_len && p->ip_head - at < L4_HEAD) {
		count_inc(drop_ip6_ext);	/* only these can be so long */
		return false;
	}
	if (!vnet_rebase(p, at))
		return false;
	p->l4 = p->ip + at;
	p->l4_head = MIN(p->ip_head, p->ip_len) - at;
	p->ip_head = MIN(p->ip_head, p->ip_len);
	p->n = trim(iov, cnt, at, len);
	p->iov = iov;
	p->len = len;
	return true;
}

static void to_frag(struct netif *n, const struct frag_piece *f,
		    const struct pkt *p, struct iovec *iov, int cnt, size_t at)
{
	bool ok = source_ok(n, p) && (ipaddr_is4(&p->dst) ?
				      dest4_ok(n, &p->dst) :
				      dest6_ok(n, &p->dst));
	size_t len = p->ip_len - at;
	struct frag_piece piece = *f;

	if (!ok)
		return;
	piece.quote = p->ip;
	piece.quote_len = MIN(p->ip_head, p->ip_len);
	if (p->vh.flags & LINK_VNET_F_NEEDS_CSUM) {
		count_inc(drop_ip_vnet_csum);
		return;
	}
	neigh_learn(n, ipaddr_is4(&p->dst));
	cnt = trim(iov, cnt, at, len);
	frag_input(n, &piece, iov, cnt, len);
}

static bool parse4(struct pkt *p, size_t have, struct ip4 *h)
{
	struct rd r = rd_init(p->ip, p->ip_head);
	int rc = ip4_parse(&r, h);

	if (rc == -EILSEQ)
		count_inc(drop_ip4_csum);
	else if (rc)
		count_inc(drop_ip4_malformed);
	else if (h->len > have)
		count_inc(drop_ip4_short);
	else if (h->srcroute)
		count_inc(drop_ip4_srcroute);
	else
		return true;
	return false;
}

static void input4(struct netif *n, struct pkt *p, struct iovec *iov, int cnt)
{
	struct ip4 h;

	if (!n->conf.v4) {
		count_inc(drop_ip4_inactive);
		return;
	}
	if (!parse4(p, iov_len(iov, cnt), &h))
		return;
	p->src = h.src;
	p->dst = h.dst;
	p->proto = h.proto;
	p->ttl = h.ttl;
	p->tos = h.tos;
	p->ip_len = h.len;
	p->df = h.df && !p->was_frag;
	if (h.mf || h.off) {
		struct frag_piece f = { .src = h.src, .dst = h.dst,
			.proto = h.proto, .ttl = h.ttl, .tos = h.tos,
			.id = h.id, .off = h.off, .mf = h.mf };

		to_frag(n, &f, p, iov, cnt, h.hdr_len);
		return;
	}
	if (!set_l4(p, iov, cnt, h.hdr_len))
		return;
	if (is_dhcp(n, p)) {
		up(n, NETIF_L4_DHCP, p);
		return;
	}
	if (!source_ok(n, p) || !dest4_ok(n, &p->dst))
		return;
	neigh_learn(n, true);
	dispatch(n, p);
}

static bool parse6(struct pkt *p, size_t have, struct ip6 *h,
		   struct ip6_ext *x)
{
	struct rd r = rd_init(p->ip, p->ip_head);
	int rc;

	if (ip6_parse(&r, h)) {
		count_inc(drop_ip6_malformed);
		return false;
	}
	if (h->plen > have - IP6_HDR_LEN) {
		count_inc(drop_ip6_short);
		return false;
	}
	/* Extension headers end with the packet, not with the frame */
	r = rd_sub(&r, MIN(rd_left(&r), h->plen));
	rc = ip6_ext_parse(&r, h->next, x);
	if (rc == -EPERM)
		count_inc(drop_ip6_routing);
	else if (rc == -EOPNOTSUPP)
		count_inc(drop_ip6_option);
	else if (rc)
		count_inc(drop_ip6_ext);
	return rc == 0;
}

/* What only the link itself is concerned with; its rules for sources differ */
static bool link_message(struct netif *n, const struct pkt *p)
{
	if (p->proto != IPPROTO_ICMPV6 || !p->l4_head ||
	    !(neigh_is_ndp(p->l4[0]) || is_mld(p->l4[0])))
		return false;
	if (!netif_is_guest(n, &p->src) && !ipaddr_is_any(&p->src) &&
	    !ipaddr_is_linklocal(&p->src))
		count_inc(drop_ip_source);
	else if (is_mld(p->l4[0]))
		count_inc(mld_ignored);
	else
		neigh_input(n, p);
	return true;
}

static void input6(struct netif *n, struct pkt *p, struct iovec *iov, int cnt)
{
	struct ip6_ext x;
	struct ip6 h;
	size_t at;

	if (!n->conf.v6) {
		count_inc(drop_ip6_inactive);
		return;
	}
	if (!parse6(p, iov_len(iov, cnt), &h, &x))
		return;
	at = IP6_HDR_LEN + x.len;
	p->src = h.src;
	p->dst = h.dst;
	p->proto = x.proto;
	p->ttl = h.hop;
	p->tos = h.tos;
	p->ip_len = (size_t)IP6_HDR_LEN + h.plen;
	p->was_frag = p->was_frag || x.atomic;
	p->df = !p->was_frag;
	if (x.frag) {
		struct frag_piece f = { .src = h.src, .dst = h.dst,
			.proto = x.proto, .ttl = h.hop, .tos = h.tos,
			.id = x.id, .off = x.off, .mf = x.mf };

		to_frag(n, &f, p, iov, cnt, at);
		return;
	}
	if (!set_l4(p, iov, cnt, at) || link_message(n, p))
		return;
	if (!source_ok(n, p) || !dest6_ok(n, &p->dst))
		return;
	neigh_learn(n, false);
	dispatch(n, p);
}

void ip_input(struct netif *n, struct pkt *p, struct iovec *iov, int cnt)
{
	uint8_t version = p->ip_head ? p->ip[0] >> 4 : 0;

	if (version == 4)
		input4(n, p, iov, cnt);
	else if (version == 6)
		input6(n, p, iov, cnt);
	else
		count_inc(drop_ip_version);
}
