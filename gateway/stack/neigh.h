#ifndef STACK_NEIGH_H
#define STACK_NEIGH_H

#include "gateway/stack/netif.h"

/*
 * neigh - the guest's MAC, and neighbour discovery (RFC 4861)
 *
 * There is one neighbour, the guest; its MAC is that of its latest valid frame,
 * so nothing is ever asked, and nothing expires.
 */

/** neigh_learn() - The frame being handled is valid: its sender is the guest */
void neigh_learn(struct netif *n);

/** neigh_is_ndp() - Whether an ICMPv6 type belongs to neighbour discovery */
bool neigh_is_ndp(uint8_t type);

/**
 * neigh_input() - Take a message of neighbour discovery
 * @p:		ICMPv6 packet whose type is neigh_is_ndp(); nothing else is
 *		checked yet
 *
 * The gateway answers for every address but the guest's own.  A solicitation
 * that detects duplicates is answered only if it is for the gateway's address.
 */
void neigh_input(struct netif *n, const struct pkt *p);

#endif /* STACK_NEIGH_H */
