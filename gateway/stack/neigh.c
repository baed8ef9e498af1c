#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "base/rd.h"
#include "base/wr.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/neigh.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ndp.h"

#define HOP_LIMIT	255	/* no router can have passed it on */
#define CSUM_OFF	2

COUNT(drop_ndp_malformed, "NDP messages that are malformed");
COUNT(drop_ndp_csum, "NDP messages with a wrong checksum");
COUNT(drop_ndp_hop_limit, "NDP messages with a hop limit other than 255");
COUNT(drop_ndp_frag, "NDP messages in fragments (RFC 6980)");
COUNT(drop_ndp_mac, "NDP messages whose link-layer option is not the frame's");
COUNT(drop_ndp_target, "NDP messages about an address of the wrong side");
COUNT(drop_ndp_dad, "NDP duplicate detection not for the gateway's address");
COUNT(drop_ndp_rs, "Router solicitations, which nobody serves");
COUNT(drop_ndp_type, "Router advertisements and redirects from the guest");
COUNT(drop_ndp_reply_full, "NDP advertisements lost because the link was full");

static const struct ipaddr all_nodes = { .b = { 0xff, 2, [15] = 1 } };

void neigh_learn(struct netif *n)
{
	char was[MAC_STRLEN], is[MAC_STRLEN];

	if (!memcmp(n->peer_mac, n->rx_mac, sizeof(n->peer_mac)))
		return;
	log_debug("guest's MAC was %s, is %s", mac_fmt(n->peer_mac, was),
		  mac_fmt(n->rx_mac, is));
	memcpy(n->peer_mac, n->rx_mac, sizeof(n->peer_mac));
}

bool neigh_is_ndp(uint8_t type)
{
	return type >= ICMP6_RS && type <= ICMP6_REDIRECT;
}

static void advertise(struct netif *n, const struct ipaddr *target,
		      const struct ipaddr *to, bool solicited)
{
	uint8_t buf[NDP_LEN_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	struct ip_args a = { .src = *target, .dst = *to, .ttl = HOP_LIMIT,
			     .proto = IPPROTO_ICMPV6, .df = true };
	struct ndp m = {
		.type = ICMP6_NA,
		.router = true,
		.solicited = solicited,
		.override = netif_is_gw(n, target),
		.target = *target,
		.has_mac = true,
	};
	struct iovec iov = { .iov_base = buf };

	memcpy(m.mac, n->conf.mac, sizeof(m.mac));
	ndp_emit(&m, &w);
	iov.iov_len = wr_len(&w);
	if (ip_send(n, &a, &iov, 1, CSUM_OFF))
		count_inc(drop_ndp_reply_full);
}

/* Source is ::, so somebody wants to know if the target is taken */
static void duplicate(struct netif *n, const struct pkt *p,
		      const struct ndp *m)
{
	if (!ipaddr_is_multicast(&p->dst) || m->has_mac)
		count_inc(drop_ndp_malformed);
	else if (!ipaddr_eq(&m->target, &n->conf.gw6))
		count_inc(drop_ndp_dad);
	else
		advertise(n, &m->target, &all_nodes, false);
}

static void solicited(struct netif *n, const struct pkt *p,
		      const struct ndp *m)
{
	if (ipaddr_is_any(&p->src)) {
		duplicate(n, p, m);
		return;
	}
	neigh_learn(n);
	if (netif_is_guest(n, &m->target) || ipaddr_eq(&m->target, &p->src) ||
	    ipaddr_is_any(&m->target) || ipaddr_is_loopback(&m->target))
		count_inc(drop_ndp_target);
	else
		advertise(n, &m->target, &p->src, true);
}

static void advertised(struct netif *n, const struct pkt *p,
		       const struct ndp *m)
{
	bool own = netif_is_guest(n, &m->target) ||
		   ipaddr_is_linklocal(&m->target);

	if (ipaddr_is_any(&p->src) || !own)
		count_inc(drop_ndp_target);
	else if (m->solicited && ipaddr_is_multicast(&p->dst))
		count_inc(drop_ndp_malformed);
	else
		neigh_learn(n);
}

/* The checks that RFC 4861 6.1 and 7.1 want of every message */
static bool acceptable(const struct pkt *p)
{
	if (p->was_frag)
		count_inc(drop_ndp_frag);
	else if (p->ttl != HOP_LIMIT)
		count_inc(drop_ndp_hop_limit);
	else if (p->l4_head < p->len || p->l4[1])
		count_inc(drop_ndp_malformed);
	else if (!pkt_csum_ok(p))
		count_inc(drop_ndp_csum);
	else
		return true;
	return false;
}

void neigh_input(struct netif *n, const struct pkt *p)
{
	uint8_t type = p->l4[0];
	struct ndp m;

	if (!acceptable(p))
		return;
	if (type == ICMP6_RS) {
		if (n->l4[NETIF_L4_RS])
			n->l4[NETIF_L4_RS](n->l4_arg[NETIF_L4_RS], p);
		else
			count_inc(drop_ndp_rs);
		return;
	}
	if (type != ICMP6_NS && type != ICMP6_NA) {
		count_inc(drop_ndp_type);
		return;
	}
	if (ndp_parse(rd_init(p->l4, p->len), &m)) {
		count_inc(drop_ndp_malformed);
		return;
	}
	if (m.has_mac && memcmp(m.mac, n->rx_mac, sizeof(m.mac))) {
		count_inc(drop_ndp_mac);
		return;
	}
	if (type == ICMP6_NS)
		solicited(n, p, &m);
	else
		advertised(n, p, &m);
}
