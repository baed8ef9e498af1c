#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "gateway/stack/arp.h"
#include "gateway/stack/frag.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/neigh.h"
#include "gateway/stack/netif.h"
#include "gateway/stack/nud.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"

COUNT(rx_frames, "Frames from the guest");
COUNT(rx_bytes, "Bytes in frames from the guest");
COUNT(drop_eth_short, "Frames shorter than an Ethernet header");
COUNT(drop_eth_pieces, "Frames in too many pieces");
COUNT(drop_eth_vlan, "Frames with a VLAN tag");
COUNT(drop_eth_type, "Frames that are neither IPv4, IPv6 nor ARP");
COUNT(drop_eth_dest, "Frames to a MAC that is not the gateway's");
COUNT(drop_eth_source, "Frames from a group's MAC, none, or the gateway's");
COUNT(drop_vnet, "Frames whose offload metadata make no sense");

static bool mac_is_group(const uint8_t mac[static 6])
{
	return mac[0] & 1;	/* multicast, broadcast among them */
}

static bool mac_ok(const struct netif *n, const struct eth *e)
{
	static const uint8_t none[6];

	if (!mac_is_group(e->dst) &&
	    memcmp(e->dst, n->conf.mac, sizeof(e->dst))) {
		count_inc(drop_eth_dest);
		return false;
	}
	if (mac_is_group(e->src) || !memcmp(e->src, none, sizeof(none)) ||
	    !memcmp(e->src, n->conf.mac, sizeof(e->src))) {
		count_inc(drop_eth_source);
		return false;
	}
	return true;
}

/**
 * input_ip() - Hand an IP packet up
 * @head:	Copy of the frame's first bytes
 * @have:	Length of the copy
 * @iov:	Frame
 * @len:	Of the frame
 */
static void input_ip(struct netif *n, const struct link_vnet *vh,
		     uint8_t *head, size_t have, const struct iovec *iov,
		     int cnt, size_t len)
{
	struct iovec all[LINK_IOV_MAX + 1];
	struct pkt p = { .vh = *vh, .ip = head + ETH_HDR_LEN,
			 .ip_head = have - ETH_HDR_LEN };
	int rest = 0;

	if (n->link->keeps) {
		p.frame = iov;
		p.nframe = cnt;
	}
	all[0].iov_base = head + ETH_HDR_LEN;
	all[0].iov_len = p.ip_head;
	if (have < len)
		rest = iov_slice(iov, cnt, have, len - have, all + 1,
				 LINK_IOV_MAX);
	if (rest < 0) {
		count_inc(drop_eth_pieces);
		return;
	}
	if (p.vh.flags & LINK_VNET_F_NEEDS_CSUM)
		p.vh.csum_start = (uint16_t)(p.vh.csum_start - ETH_HDR_LEN);
	ip_input(n, &p, all, rest + 1);
}

static void netif_input(struct link *l, const struct link_vnet *vh,
			const struct iovec *iov, int cnt)
{
	uint8_t head[NETIF_HEAD];	/* the one copy that is looked at */
	struct netif *n = l->user;
	size_t len = iov_len(iov, cnt);
	size_t have = iov_copy_out(iov, cnt, 0, head, sizeof(head));
	struct rd r = rd_init(head, have);
	struct eth e;

	count_inc(rx_frames);
	count_add(rx_bytes, len);
	if (eth_parse(&r, &e)) {
		count_inc(drop_eth_short);
		return;
	}
	if (link_vnet_check(vh, len, l->can_recv)) {
		count_inc(drop_vnet);
		return;
	}
	if (!mac_ok(n, &e))
		return;
	memcpy(n->rx_mac, e.src, sizeof(n->rx_mac));
	n->rx_group = mac_is_group(e.dst);
	switch (e.type) {
	case ETH_TYPE_IP4:
	case ETH_TYPE_IP6:
		input_ip(n, vh, head, have, iov, cnt, len);
		break;
	case ETH_TYPE_ARP:
		arp_input(n, r);
		break;
	case ETH_TYPE_VLAN:
	case ETH_TYPE_QINQ:
		count_inc(drop_eth_vlan);
		break;
	default:
		count_inc(drop_eth_type);
	}
}

static void netif_input_done(struct link *l)
{
	struct netif *n = l->user;

	if (n->l4_done)
		n->l4_done(n->l4_done_arg);
	if (n->batch)
		n->batch(n->arg);
	netif_flush(n);
}

static void netif_drained(struct link *l)
{
	struct netif *n = l->user;

	if (n->room)
		n->room(n->arg);
	netif_flush(n);
}

int netif_init(struct netif *n, const struct netif_conf *conf,
	       struct timerq *tq)
{
	*n = (struct netif){ .conf = *conf, .tq = tq, .ident4 = 1,
			     .ident6 = 1 };
	memcpy(n->peer_mac, conf->guest_mac, sizeof(n->peer_mac));
	nud_start(n);
	return 0;
}

void netif_done(struct netif *n)
{
	frag_done(n);
	nud_stop(n);
	n->link = NULL;
}

void netif_set_l4(struct netif *n, enum netif_l4 which,
		  void (*input)(void *arg, const struct pkt *p), void *arg)
{
	ASSERT(which < NETIF_L4_NUM);
	n->l4[which] = input;
	n->l4_arg[which] = arg;
}

void netif_set_l4_done(struct netif *n, void (*done)(void *arg), void *arg)
{
	n->l4_done = done;
	n->l4_done_arg = arg;
}

static void unhook(struct link *l)
{
	l->input = NULL;
	l->input_done = NULL;
	l->drained = NULL;
}

/*
 * A guest that was there before may know another MAC (RFC 5227 2.3, RFC 4861
 * 7.2.6).  Once is enough: the link loses nothing.
 */
static void announce(struct netif *n)
{
	if (n->conf.v4)
		arp_announce(n);
	if (n->conf.v6)
		neigh_announce(n);
	netif_flush(n);
}

void netif_attach(struct netif *n, struct link *l)
{
	if (n->link && n->link != l)
		unhook(n->link);
	n->link = l;
	l->user = n;
	l->input = netif_input;
	l->input_done = netif_input_done;
	l->drained = netif_drained;
	memcpy(n->peer_mac, n->conf.guest_mac, sizeof(n->peer_mac));
	nud_start(n);
	if (n->conf.nud)
		announce(n);
	if (n->updown)
		n->updown(n->arg, true);
}

void netif_detach(struct netif *n)
{
	if (!n->link)
		return;
	unhook(n->link);
	n->link = NULL;
	nud_stop(n);
	if (n->updown)
		n->updown(n->arg, false);
}

bool netif_is_gw(const struct netif *n, const struct ipaddr *a)
{
	return (n->conf.v4 && ipaddr_eq(a, &n->conf.gw4)) ||
	       (n->conf.v6 && ipaddr_eq(a, &n->conf.gw6));
}

bool netif_is_guest(const struct netif *n, const struct ipaddr *a)
{
	return (n->conf.v4 && ipaddr_eq(a, &n->conf.guest4)) ||
	       (n->conf.v6 && ipaddr_eq(a, &n->conf.guest6));
}

void netif_flush(struct netif *n)
{
	if (n->link)
		link_flush(n->link);
}

bool pkt_csum_ok(const struct pkt *p)
{
	struct csum c = { 0 };

	if (p->vh.flags & (LINK_VNET_F_NEEDS_CSUM | LINK_VNET_F_DATA_VALID))
		return true;
	if (p->proto != IPPROTO_ICMP)
		csum_pseudo(&c, &p->src, &p->dst, p->proto, (uint32_t)p->len);
	csum_add_iov(&c, p->iov, p->n);
	return csum_ok(&c);
}
