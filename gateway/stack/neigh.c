#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "base/rd.h"
#include "base/wr.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/neigh.h"
#include "gateway/stack/nud.h"
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
COUNT(drop_ndp_conflict, "NDP messages that claim the gateway's address");
COUNT(drop_ndp_no_mac, "Neighbour advertisements that do not say where");
COUNT(drop_ndp_no_override, "Neighbour advertisements that only raise doubts");
COUNT(drop_ndp_rs, "Router solicitations, which nobody serves");
COUNT(drop_ndp_type, "Router advertisements and redirects from the guest");
COUNT(drop_ndp_reply_full, "NDP advertisements lost because the link was full");

static const struct ipaddr all_nodes = { .b = { 0xff, 2, [15] = 1 } };

void neigh_learn(struct netif *n, bool v4)
{
	bool moved = memcmp(n->peer_mac, n->rx_mac, sizeof(n->peer_mac));
	char was[MAC_STRLEN], is[MAC_STRLEN];

	if (moved) {
		log_debug("guest's MAC was %s, is %s",
			  mac_fmt(n->peer_mac, was), mac_fmt(n->rx_mac, is));
		memcpy(n->peer_mac, n->rx_mac, sizeof(n->peer_mac));
	}
	nud_seen(n, v4, moved);
}

bool neigh_may_defend(struct netif *n, bool v4)
{
	const uint64_t now = timerq_now(n->tq);
	uint64_t *last = &n->defended_ns[v4];
	char mac[MAC_STRLEN];

	if (*last && now - *last < NEIGH_DEFEND_NS)
		return false;
	*last = now;
	log_warn("the guest at %s claims the gateway's IPv%c address",
		 mac_fmt(n->rx_mac, mac), v4 ? '4' : '6');
	return true;
}

bool neigh_is_ndp(uint8_t type)
{
	return type >= ICMP6_RS && type <= ICMP6_REDIRECT;
}

static int send_ndp(struct netif *n, const struct ipaddr *from,
		    const struct ipaddr *to, const struct ndp *m)
{
	uint8_t buf[NDP_LEN_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	const struct ip_args a = {
		.src = *from, .dst = *to, .ttl = HOP_LIMIT,
		.proto = IPPROTO_ICMPV6, .df = true,
		.direct = m->type == ICMP6_NS,
	};
	struct iovec iov = { .iov_base = buf };

	ndp_emit(m, &w);
	iov.iov_len = wr_len(&w);
	return ip_send(n, &a, &iov, 1, CSUM_OFF);
}

static void advertise(struct netif *n, const struct ipaddr *target,
		      const struct ipaddr *to, bool solicited)
{
	struct ndp m = {
		.type = ICMP6_NA,
		.router = true,
		.solicited = solicited,
		.override = netif_is_gw(n, target),
		.target = *target,
		.has_mac = true,
	};

	memcpy(m.mac, n->conf.mac, sizeof(m.mac));
	if (send_ndp(n, target, to, &m))
		count_inc(drop_ndp_reply_full);
}

/* ff02::1:ffXX:XXXX, with the last 24 bits of @a (RFC 4291 2.7.1) */
static struct ipaddr solicited_node(const struct ipaddr *a)
{
	struct ipaddr g = { .b = { 0xff, 2, [11] = 1, [12] = 0xff } };

	memcpy(g.b + 13, a->b + 13, 3);
	return g;
}

int neigh_solicit(struct netif *n, bool to_all)
{
	const struct ipaddr *guest = &n->conf.guest6;
	const struct ipaddr to = to_all ? solicited_node(guest) : *guest;
	struct ndp m = { .type = ICMP6_NS, .target = *guest, .has_mac = true };

	memcpy(m.mac, n->conf.mac, sizeof(m.mac));
	return send_ndp(n, &n->conf.gw6, &to, &m);
}

void neigh_announce(struct netif *n)
{
	advertise(n, &n->conf.gw6, &all_nodes, false);
}

/* Source is ::, so somebody wants to know if the target is taken */
/* Source is ::, so somebody wants to know if the target is taken */
static void duplicate(struct netif *n, const struct pkt *p,
		      const struct ndp *m)
{
	const struct ipaddr want = solicited_node(&p->dst);

	if (!ipaddr_eq(&p->dst, &want) || m->has_mac)
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
	neigh_learn(n, false);
	if (netif_is_guest(n, &m->target) || ipaddr_eq(&m->target, &p->src) ||
	    ipaddr_is_any(&m->target) || ipaddr_is_loopback(&m->target))
		count_inc(drop_ndp_target);
	else
		advertise(n, &m->target, &p->src, true);
}

/* Of one of the guest's own addresses (RFC 4861 7.2.5) */
static void take_advert(struct netif *n, const struct ndp *m)
{
	const bool entry = netif_is_guest(n, &m->target);
	const bool lost = n->nud[false].state == NUD_INCOMPLETE;

	if (entry && lost && !m->has_mac) {
		count_inc(drop_ndp_no_mac);
		return;
	}
	if (entry && !lost && !m->override && m->has_mac &&
	    memcmp(m->mac, n->peer_mac, sizeof(m->mac))) {
		count_inc(drop_ndp_no_override);
		nud_doubt(n, false);
		return;
	}
	if (m->has_mac)
		neigh_learn(n, false);
	if (entry && m->solicited)
		nud_answered(n, false);
}

static void advertised(struct netif *n, const struct pkt *p,
		       const struct ndp *m)
{
	if (ipaddr_is_any(&p->src)) {
		count_inc(drop_ndp_target);
	} else if (m->solicited && ipaddr_is_multicast(&p->dst)) {
		count_inc(drop_ndp_malformed);
	} else if (ipaddr_eq(&m->target, &n->conf.gw6)) {
		count_inc(drop_ndp_conflict);
		if (neigh_may_defend(n, false))
			neigh_announce(n);
	} else if (netif_is_guest(n, &m->target) ||
		   ipaddr_is_linklocal(&m->target)) {
		take_advert(n, m);
	} else {
		count_inc(drop_ndp_target);
	}
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
