#include <string.h>

#include "base/count.h"
#include "gateway/stack/arp.h"
#include "gateway/stack/neigh.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/eth.h"

COUNT(drop_arp_malformed, "ARP packets that are cut off or not for IPv4");
COUNT(drop_arp_inactive, "ARP packets while IPv4 is off");
COUNT(drop_arp_op, "ARP packets that are no request and no reply");
COUNT(drop_arp_mac, "ARP packets whose sender is not the frame's");
COUNT(drop_arp_source, "ARP packets from an address not the guest's");
COUNT(drop_arp_target, "ARP requests for the guest's own or a group's address");
COUNT(drop_arp_probe, "ARP probes for an address not the gateway's");
COUNT(drop_arp_reply_full, "ARP replies lost because the link was full");

static void reply(struct netif *n, const struct arp *q)
{
	uint8_t frame[ETH_HDR_LEN + ARP_LEN];
	struct wr w = wr_init(frame, sizeof(frame));
	struct iovec iov = { .iov_base = frame, .iov_len = sizeof(frame) };
	struct eth e = { .type = ETH_TYPE_ARP };
	struct arp a = { .op = ARP_OP_REPLY, .spa = q->tpa, .tpa = q->spa };

	memcpy(e.dst, q->sha, sizeof(e.dst));
	memcpy(e.src, n->conf.mac, sizeof(e.src));
	memcpy(a.sha, n->conf.mac, sizeof(a.sha));
	memcpy(a.tha, q->sha, sizeof(a.tha));
	eth_emit(&e, &w);
	arp_emit(&a, &w);
	if (link_send(n->link, NULL, &iov, 1))
		count_inc(drop_arp_reply_full);
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
	neigh_learn(n);
	if (answerable(n, &q->tpa))
		reply(n, q);
	else if (!ipaddr_eq(&q->tpa, &q->spa))	/* not an announcement */
		count_inc(drop_arp_target);
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
	if (a.op == ARP_OP_REQUEST) {
		request(n, &a);
	} else if (a.op != ARP_OP_REPLY) {
		count_inc(drop_arp_op);
	} else if (netif_is_guest(n, &a.spa)) {
		neigh_learn(n);
	} else {
		count_inc(drop_arp_source);
	}
}
