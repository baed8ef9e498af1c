#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/rd.h"
#include "base/util.h"
#include "base/wr.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/neigh.h"
#include "gateway/stack/radv.h"
#include "gateway/wire/ndp.h"

#define HOP_LIMIT	255
#define CSUM_OFF	2

COUNT(radv_sent, "Router advertisements to the guest");
COUNT(drop_ndp_rs_malformed, "Router solicitations that are malformed");
COUNT(drop_radv_full, "Router advertisements lost because the link was full");

static const struct ipaddr all_nodes = { .b = { 0xff, 2, [15] = 1 } };

static void send_ra(struct radv *r, const struct ipaddr *to, uint16_t lifetime)
{
	const struct netif_conf *c = &r->netif->conf;
	struct ndp_ra ra = {
		.hop = 64, .lifetime_s = lifetime, .mtu = c->mtu,
		.prefix = c->gw6, .plen = c->plen6, .dns = c->gw6,
	};
	const struct ip_args a = { .src = r->from, .dst = *to,
				   .ttl = HOP_LIMIT, .df = true,
				   .proto = IPPROTO_ICMPV6 };
	uint8_t buf[NDP_RA_LEN];
	struct wr w = wr_init(buf, sizeof(buf));
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	memcpy(ra.mac, c->mac, sizeof(ra.mac));
	ndp_ra_emit(&ra, &w);
	ASSERT(!w.bad && wr_len(&w) == sizeof(buf));
	if (ip_send(r->netif, &a, &iov, 1, CSUM_OFF))
		count_inc(drop_radv_full);
	else
		count_inc(radv_sent);
}

static void tell_all(struct radv *r)
{
	const uint64_t now = timerq_now(r->netif->tq);

	r->sent_ns = now;
	send_ra(r, &all_nodes, RADV_LIFETIME_S);
	timer_set(r->netif->tq, &r->timer, now + RADV_INTERVAL_S * NS_PER_S);
}

static void on_due(struct timer *t)
{
	struct radv *r = container_of(t, struct radv, timer);

	tell_all(r);
	netif_flush(r->netif);
}

/* The checks that RFC 4861 6.1.1 wants; neigh_input() has made the others */
static void on_solicit(void *arg, const struct pkt *p)
{
	struct radv *r = arg;
	struct ndp_rs rs;
	uint64_t next;

	if (ndp_rs_parse(rd_init(p->l4, p->len), &rs) ||
	    (rs.has_mac && ipaddr_is_any(&p->src))) {
		count_inc(drop_ndp_rs_malformed);
		return;
	}
	if (!ipaddr_is_any(&p->src)) {
		neigh_learn(r->netif, false);
		send_ra(r, &p->src, RADV_LIFETIME_S);
		return;
	}
	next = r->sent_ns + RADV_GAP_S * NS_PER_S;
	if (next <= timerq_now(r->netif->tq))
		tell_all(r);
	else
		timer_set(r->netif->tq, &r->timer, next);
}

void radv_init(struct radv *r, struct netif *n)
{
	const uint8_t *m = n->conf.mac;

	ASSERT(n->conf.v6);
	*r = (struct radv){ .netif = n, .timer = { .fire = on_due } };
	/* fe80::/64 and the modified EUI-64 of the MAC (RFC 4291, appendix A) */
	r->from = (struct ipaddr){ .b = { 0xfe, 0x80, [8] = m[0] ^ 2, m[1],
					  m[2], 0xff, 0xfe, m[3], m[4],
					  m[5] } };
	netif_set_l4(n, NETIF_L4_RS, on_solicit, r);
}

void radv_link(struct radv *r, bool up)
{
	timer_del(r->netif->tq, &r->timer);
	if (up)
		tell_all(r);
}

void radv_done(struct radv *r)
{
	timer_del(r->netif->tq, &r->timer);
	if (r->netif->link)
		send_ra(r, &all_nodes, 0);
	netif_set_l4(r->netif, NETIF_L4_RS, NULL, NULL);
}
