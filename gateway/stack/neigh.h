#ifndef STACK_NEIGH_H
#define STACK_NEIGH_H

#include "gateway/stack/netif.h"

/*
 * neigh - the guest's MAC, and the messages of neighbour discovery (RFC 4861)
 *
 * There is one neighbour, the guest; its MAC is that of its latest valid frame.
 * Whether it still hears us is the affair of nud.h.
 */

#define NEIGH_DEFEND_NS	(10 * NS_PER_S)	/* RFC 5227 2.4: DEFEND_INTERVAL */

/** neigh_learn() - The frame being handled is valid: its sender is the guest
 *
 * @v4:		Family of what is in it
 */
void neigh_learn(struct netif *n, bool v4);

/** neigh_may_defend() - Whether to contradict who claims the gateway's address
 *
 * True once in NEIGH_DEFEND_NS and family; then it is logged, too.
 */
bool neigh_may_defend(struct netif *n, bool v4);

/** neigh_solicit() - Ask for the guest's MAC: where it was last seen, or @to_all
 *
 * Return: 0; as ip_send()
 */
int neigh_solicit(struct netif *n, bool to_all);

/** neigh_announce() - Say whose the gateway's address is (RFC 4861 7.2.6) */
void neigh_announce(struct netif *n);

/** neigh_is_ndp() - Whether an ICMPv6 type belongs to neighbour discovery */
bool neigh_is_ndp(uint8_t type);

/**
 * neigh_input() - Take a message of neighbour discovery
 * @p:		ICMPv6 packet whose type is neigh_is_ndp(); nothing else is
 *		checked yet
 *
 * The gateway answers for every address but the guest's own.  A solicitation
 * that detects duplicates is answered only if it is for the gateway's address.
 * Who claims that address is told otherwise, once in 10 s.
 */
void neigh_input(struct netif *n, const struct pkt *p);

#endif /* STACK_NEIGH_H */
