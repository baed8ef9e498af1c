#ifndef AGENT_IFMON_H
#define AGENT_IFMON_H

#include "agent/nl.h"
#include "agent/report.h"
#include "base/ev.h"
#include "proto/env.h"

/*
 * ifmon - watch the interface, and configure it again when it returns
 *
 * Theory of operation
 * -------------------
 *	UP --deleted--> GONE --there again--> UP
 *	UP --taken down--> DOWN --brought up--> UP
 *	UP --no carrier--> CABLE --carrier--> UP
 *
 * The kernel tells of changes; what is to be done is decided by a look at what
 * is there now, so that lost and merged events do no harm.  Only one fact comes
 * from the events themselves: that the interface was down for a moment, by
 * which it has lost its IPv6 addresses and its routes.
 *
 * Repair     Everything ifup knows, which changes only what is missing.  Who
 *            takes the interface down means it: it stays down.  An MTU or an
 *            address that somebody else sets while it is up is left alone too.
 * Identity   A NIC that returns may have another index and another name; it is
 *            found as at the start.  Our TAP is found by its index: when it is
 *            deleted, fwd ends the agent.
 */

#define IFMON_CARRIER_NS	(300 * NS_PER_MS)

enum ifmon_state {
	IFMON_STATE_UP,
	IFMON_STATE_DOWN,
	IFMON_STATE_CABLE,
	IFMON_STATE_GONE,
	IFMON_STATE_NUM,
};

/**
 * struct ifmon - The watch
 * @index:	Of the interface as it was seen last
 * @fell:	It was down or deleted since the last repair
 * @late:	It has had no carrier for a while
 */
struct ifmon {
	struct ev *ev;
	struct nl *nl;
	struct report *report;
	const struct env *env;
	struct ev_src src;
	struct timer late;
	enum ifmon_state state;
	unsigned int index;
	bool fell;
};

/**
 * ifmon_start() - Begin to watch, and look at once
 * @m:		Set up completely
 * @nl:		Closed; opened for each repair
 * @e:		What the interface should be like; borrowed until the end
 * @index:	Of the interface, which is configured; 0 if it has not come yet
 *
 * The report gets IFACE_STATE, and STATE and the errors as they change.
 *
 * Return: 0; -errno, and it is not watched
 */
int ifmon_start(struct ifmon *m, struct ev *ev, struct nl *nl,
		struct report *r, const struct env *e, unsigned int index);

/** ifmon_stop() - End it; no effect if it has not been started */
void ifmon_stop(struct ifmon *m);

#endif /* AGENT_IFMON_H */
