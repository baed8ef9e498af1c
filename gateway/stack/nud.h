#ifndef STACK_NUD_H
#define STACK_NUD_H

#include "base/util.h"
#include "gateway/stack/netif.h"

/*
 * nud - whether the guest hears us (RFC 4861 7.3; RFC 1122 2.3.2.1 for ARP)
 *
 * Theory of operation
 * -------------------
 * One entry for each family.  The guest's MAC is one for both: that of its
 * latest valid frame, and at first the configured one, so an entry begins as
 * STALE and the first packet need not wait.  What is not NUD_INCOMPLETE or
 * NUD_FAILED sends at once.
 *
 *	REACHABLE --30 s--> STALE --a packet--> DELAY --5 s--> PROBE
 *	PROBE --3 unicast requests unanswered--> INCOMPLETE
 *	INCOMPLETE --3 to all unanswered--> FAILED --a packet--> INCOMPLETE
 *	any --answer, or an ACK of new data--> REACHABLE
 *	any --another MAC--> STALE; INCOMPLETE, FAILED --any frame--> STALE
 *
 * The last one is ours: a frame with the guest's address and MAC says as much as
 * a solicitation with that option would.  It does not say that the guest hears
 * us, so it makes nothing REACHABLE.
 *
 * REACHABLE ends by looking at the clock, so confirmation by TCP costs a store,
 * not a timer.  Times are the RFC's, without its jitter: nobody else is on this
 * link with whom to get into step.  A request that the link had no room for does
 * not count as unanswered.
 *
 * Bounds     While INCOMPLETE, the NUD_QUEUE latest packets of each family wait
 *            (RFC 4861 7.2.2); the oldest gives way.  Whatever fails is counted:
 *            nobody is told, since what was lost comes from other hosts.
 */

#define NUD_REACHABLE_NS	(30 * NS_PER_S)	/* RFC 4861 10 */
#define NUD_DELAY_NS		(5 * NS_PER_S)
#define NUD_RETRANS_NS		NS_PER_S
#define NUD_UNICAST		3	/* MAX_UNICAST_SOLICIT */
#define NUD_MULTICAST		3	/* MAX_MULTICAST_SOLICIT */

/** nud_start() - There is a link: both entries are STALE */
void nud_start(struct netif *n);

/** nud_stop() - There is none: nothing waits, no timer runs */
void nud_stop(struct netif *n);

/** nud_use() - The part of nud_ready() that is not always needed */
bool nud_use(struct netif *n, bool v4);

/**
 * nud_ready() - A packet goes to the guest
 *
 * Return: false if its frame has to wait: give it to nud_hold()
 */
static inline bool nud_ready(struct netif *n, bool v4)
{
	return !n->conf.nud ||
	       timerq_now(n->tq) < n->nud[v4].reachable_ns || nud_use(n, v4);
}

/** nud_hold() - Keep a copy of a frame until it is known where it goes */
void nud_hold(struct netif *n, bool v4, const struct link_vnet *vh,
	      const struct iovec *iov, int cnt);

/** nud_seen() - A valid frame of the guest came; @moved: from another MAC */
void nud_seen(struct netif *n, bool v4, bool moved);

/** nud_answered() - The guest has answered a request: it hears us */
void nud_answered(struct netif *n, bool v4);

/** nud_doubt() - The guest may have moved, but we do not know where */
void nud_doubt(struct netif *n, bool v4);

/** nud_confirm() - An upper layer made progress: the guest hears us
 *
 * No news while the entry is INCOMPLETE or FAILED: then what came says so itself.
 */
static inline void nud_confirm(struct netif *n, bool v4)
{
	struct nud_entry *e = &n->nud[v4];

	if (e->state != NUD_INCOMPLETE && e->state != NUD_FAILED)
		e->reachable_ns = timerq_now(n->tq) + NUD_REACHABLE_NS;
}

#endif /* STACK_NUD_H */
