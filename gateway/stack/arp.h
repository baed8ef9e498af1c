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
 * announcement not at all: an answer would look like a conflict.
 */
void arp_input(struct netif *n, struct rd r);

#endif /* STACK_ARP_H */
