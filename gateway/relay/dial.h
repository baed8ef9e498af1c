#ifndef RELAY_DIAL_H
#define RELAY_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "gateway/policy/match.h"

/*
 * dial - where a guest's destination really is, and whether it may go there
 *
 * Policy is asked about the address that the guest sees; only then is the
 * gateway's own address turned into the host's loopback.  The gateway's own
 * listeners are never dialled for a guest.
 */

#define DIAL_OWN_MAX	16

/**
 * struct dial - What every relay consults
 * @policy:	Borrowed
 * @gw4:	The gateway's addresses, valid if @v4, @v6: they mean the host
 * @own:	Listeners of this gateway on TCP or UDP, never dialled
 */
struct dial {
	const struct policy *policy;
	struct ipaddr gw4, gw6;
	bool v4, v6;
	struct {
		struct ipaddr addr;
		uint16_t port;
	} own[DIAL_OWN_MAX];
	unsigned int nown;
};

/**
 * struct dial_target - Result of a decision
 * @verdict:	Allowed or not, and why
 * @addr:	Host addresses to try, in this order
 * @n:		1 or 2
 */
struct dial_target {
	struct verdict verdict;
	struct ipaddr addr[2];
	unsigned int n;
	uint16_t port;
};

/**
 * dial_resolve() - Decide about one destination
 * @fallback:	The second loopback family may be tried as well (TCP)
 *
 * Return: 0; -EACCES if the policy denies it; -EHOSTUNREACH if it is a listener
 *	   of the gateway itself, or of a family that is not active
 */
int dial_resolve(const struct dial *d, const struct ipaddr *dst, uint16_t port,
		 enum policy_proto proto, bool fallback,
		 struct dial_target *out);

/** dial_is_host() - Whether @a is an address of the gateway itself */
bool dial_is_host(const struct dial *d, const struct ipaddr *a);

/** dial_retry() - Whether a failure with @err makes the next address worthwhile
 *
 * ECONNREFUSED, EADDRNOTAVAIL, ENETUNREACH.
 */
bool dial_retry(int err);

#endif /* RELAY_DIAL_H */
