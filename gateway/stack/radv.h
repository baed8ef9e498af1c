#ifndef STACK_RADV_H
#define STACK_RADV_H

#include "gateway/stack/netif.h"

/*
 * radv - router advertisements (RFC 4861 6.2, RFC 8106); off unless configured
 *
 * For guests whose network nobody sets up but their kernel: they learn the
 * default route, the MTU and the resolver.  The prefix is on the link, and not
 * for autoconfiguration: the guest has one address that the gateway knows, and
 * packets from any other are dropped.
 *
 *	a new link             -> to all nodes, at once
 *	a solicitation         -> to its sender, at once; to all nodes if it has
 *	                          no address yet, once in RADV_GAP_S
 *	every RADV_INTERVAL_S  -> to all nodes
 *	the end                -> to all nodes, with a lifetime of 0
 *
 * Without the RFC's jitter and its repeated first advertisements: there is one
 * router on this link, and it loses nothing.
 */

#define RADV_INTERVAL_S	600	/* MaxRtrAdvInterval */
#define RADV_GAP_S	3	/* MIN_DELAY_BETWEEN_RAS */
#define RADV_LIFETIME_S	1800

struct radv {
	struct netif *netif;
	struct timer timer;
	struct ipaddr from;	/* the gateway's link-local address */
	uint64_t sent_ns;	/* to all nodes; 0: never on this link */
};

/** radv_init() - Take over NETIF_L4_RS of @n, whose IPv6 is active */
void radv_init(struct radv *r, struct netif *n);

/** radv_link() - There is a link now, or none any more */
void radv_link(struct radv *r, bool up);

/** radv_done() - Say that the gateway is no router any more */
void radv_done(struct radv *r);

#endif /* STACK_RADV_H */
