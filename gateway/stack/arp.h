#ifndef STACK_ARP_H
#define STACK_ARP_H

#include "base/rd.h"
#include "gateway/stack/netif.h"

/**
 * arp_input() - Take an ARP packet of the guest
 * @r:		Behind the Ethernet header
 *
 * The gateway answers for every unicast address but the guest's own.  A probe
 * (RFC 5227) is answered only if it is for the gateway's address, and an
 * announcement not at all: an answer would look like a conflict.  Who claims
 * the gateway's address is told otherwise, once in 10 s (RFC 5227 2.4 b).
 */
void arp_input(struct netif *n, struct rd r);

/** arp_request() - Ask for the guest's MAC: where it was last seen, or @to_all
 *
 * Return: 0; -EAGAIN, -ENOTCONN as link_send()
 */
int arp_request(struct netif *n, bool to_all);

/** arp_announce() - Say whose the gateway's address is */
void arp_announce(struct netif *n);

#endif /* STACK_ARP_H */
