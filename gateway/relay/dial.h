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
 *
 * It also holds back a guest that floods.  A new flow costs ten system calls, a
 * packet of an old one at most one; so new flows are counted against a rate, and
 * those that lead to something are given back.  A guest that talks to who answers
 * never meets the limit, a flood or a port scan costs no more than the limit.
 */

#define DIAL_OWN_MAX	16
#define DIAL_BURST_MIN	1024	/* new flows at once, however small the table */
#define DIAL_BUCKETS	4096	/* destinations, by hash */

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

/**
 * struct dial_rate - At most so many new flows, but for those that are given back
 * @step_ns:	A flow uses up the time of that many nanoseconds
 * @burst_ns:	This much time may be used up in advance
 * @used_ns:	When all that was used up will have passed
 */
struct dial_rate {
	uint64_t step_ns, burst_ns, used_ns;
};

/** dial_rate_init() - @per_s flows a second, @burst of them at once */
void dial_rate_init(struct dial_rate *r, uint32_t per_s, uint32_t burst);

/** dial_rate_take() - Whether one more is within the rate; it counts then */
bool dial_rate_take(struct dial_rate *r, uint64_t now_ns);

/** dial_rate_give() - One that was taken has led to something */
void dial_rate_give(struct dial_rate *r);

/**
 * struct dial_gate - Dials of TCP
 * @max:	In flight to one destination, so that one that is silent does not
 *		take the place of all others
 * @dials:	In flight, by destination
 * @credit:	Handshakes that the guest has finished: dials to such a
 *		destination pass when the rate is exhausted
 */
struct dial_gate {
	struct dial_rate rate;
	uint32_t max;
	uint16_t dials[DIAL_BUCKETS];
	uint8_t credit[DIAL_BUCKETS];
	uint8_t key[16];
};

/** dial_gate_init() - @max dials to one destination, @flows in all */
void dial_gate_init(struct dial_gate *g, uint32_t max, uint32_t flows);

/** dial_gate_bucket() - Number of a destination, for the functions below */
uint32_t dial_gate_bucket(const struct dial_gate *g, const struct ipaddr *a);

/**
 * dial_gate_check() - May there be one more dial?  It counts against the rate then
 *
 * Return: 0; -EBUSY: too many in flight to this destination; -EAGAIN: beyond the
 *	   rate
 */
int dial_gate_check(struct dial_gate *g, uint32_t bucket, uint64_t now_ns);

/** dial_gate_enter() - A dial is in flight until dial_gate_leave() */
void dial_gate_enter(struct dial_gate *g, uint32_t bucket);

/** dial_gate_leave() - The host has answered, or the dial was given up */
void dial_gate_leave(struct dial_gate *g, uint32_t bucket);

/** dial_gate_proved() - And the guest has finished the handshake */
void dial_gate_proved(struct dial_gate *g, uint32_t bucket);

/** dial_retry() - Whether a failure with @err makes the next address worthwhile
 *
 * ECONNREFUSED, EADDRNOTAVAIL, ENETUNREACH.
 */
bool dial_retry(int err);

#endif /* RELAY_DIAL_H */
