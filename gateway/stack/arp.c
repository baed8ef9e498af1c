#include <errno.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/arp.h"
#include "gateway/stack/neigh.h"
#include "gateway/stack/nud.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/eth.h"

COUNT(drop_arp_malformed, "ARP packets that are cut off or not for IPv4");
COUNT(drop_arp_inactive, "ARP packets while IPv4 is off");
COUNT(drop_arp_op, "ARP packets that are no request and no reply");
COUNT(drop_arp_mac, "ARP packets whose sender is not the frame's");
COUNT(drop_arp_source, "ARP packets from an address not the guest's");
COUNT(drop_arp_conflict, "ARP packets from the gateway's own address");
COUNT(drop_arp_target, "ARP requests for the guest's own or a group's address");
COUNT(drop_arp_probe, "ARP probes for an address not the gateway's");
COUNT(drop_arp_reply_full, "ARP replies lost because the link was full");

static int send_arp(struct netif *n, const uint8_t dst[static 6],
		    const struct arp *a)
{
	uint8_t frame[ETH_HDR_LEN + ARP_LEN];
	struct wr w = wr_init(frame, sizeof(frame));
	struct iovec iov = { .iov_base = frame, .iov_len = sizeof(frame) };
	struct eth e = { .type = ETH_TYPE_ARP };

	if (!n->link)
		return -ENOTCONN;
	memcpy(e.dst, dst, sizeof(e.dst));
	memcpy(e.src, n->conf.mac, sizeof(e.src));
	eth_emit(&e, &w);
	arp_emit(a, &w);
	return link_send(n->link, NULL, &iov, 1);
}

static void reply(struct netif *n, const struct arp *q)
{
	struct arp a = { .op = ARP_OP_REPLY, .spa = q->tpa, .tpa = q->spa };

	memcpy(a.sha, n->conf.mac, sizeof(a.sha));
	memcpy(a.tha, q->sha, sizeof(a.tha));
	if (send_arp(n, q->sha, &a))
		count_inc(drop_arp_reply_full);
}

static const uint8_t everybody[6] = { 255, 255, 255, 255, 255, 255 };

int arp_request(struct netif *n, bool to_all)
{
	struct arp a = { .op = ARP_OP_REQUEST, .spa = n->conf.gw4,
			 .tpa = n->conf.guest4 };

	memcpy(a.sha, n->conf.mac, sizeof(a.sha));
	return send_arp(n, to_all ? everybody : n->peer_mac, &a);
}

void arp_announce(struct netif *n)
{
	struct arp a = { .op = ARP_OP_REQUEST, .spa = n->conf.gw4,
			 .tpa = n->conf.gw4 };

	memcpy(a.sha, n->conf.mac, sizeof(a.sha));
	if (send_arp(n, everybody, &a))
		count_inc(drop_arp_reply_full);
}

/* RFC 5227 2.4 b: defend it, but do not fight */
static void conflict(struct netif *n)
{
	count_inc(drop_arp_conflict);
	if (neigh_may_defend(n, true))
		arp_announce(n);
}

static bool answerable(const struct netif *n, const struct ipaddr *target)
{
	return !netif_is_guest(n, target) && !ipaddr_is_any(target) &&
	       !ipaddr_is_multicast(target) && !ipaddr_is_broadcast4(target);
}

static void request(struct netif *n, const struct arp *q)
{
	if (ipaddr_is_any(&q->spa)) {
		if (ipaddr_eq(&q->tpa, &n->conf.gw4))
			reply(n, q);
		else
			count_inc(drop_arp_probe);
		return;
	}
	if (!netif_is_guest(n, &q->spa)) {
		count_inc(drop_arp_source);
		return;
	}
	neigh_learn(n, true);
	if (answerable(n, &q->tpa))
		reply(n, q);
	else if (!ipaddr_eq(&q->tpa, &q->spa))	/* not an announcement */
		count_inc(drop_arp_target);
}

/* Perhaps nobody asked: then it says where the guest is, not that it hears us */
static void replied(struct netif *n, const struct arp *a)
{
	if (!netif_is_guest(n, &a->spa)) {
		count_inc(drop_arp_source);
		return;
	}
	neigh_learn(n, true);
	if (ipaddr_eq(&a->tpa, &n->conf.gw4) &&
	    !memcmp(a->tha, n->conf.mac, sizeof(a->tha)))
		nud_answered(n, true);
}

void arp_input(struct netif *n, struct rd r)
{
	struct arp a;

	if (arp_parse(&r, &a)) {
		count_inc(drop_arp_malformed);
		return;
	}
	if (!n->conf.v4) {
		count_inc(drop_arp_inactive);
		return;
	}
	if (memcmp(a.sha, n->rx_mac, sizeof(a.sha))) {
		count_inc(drop_arp_mac);
		return;
	}
	if (a.op != ARP_OP_REQUEST && a.op != ARP_OP_REPLY)
		count_inc(drop_arp_op);
	else if (ipaddr_eq(&a.spa, &n->conf.gw4))
		conflict(n);
	else if (a.op == ARP_OP_REQUEST)
		request(n, &a);
	else
		replied(n, &a);
}
