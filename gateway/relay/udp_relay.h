#ifndef RELAY_UDP_RELAY_H
#define RELAY_UDP_RELAY_H

#include "base/ev.h"
#include "gateway/relay/dial.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/udp.h"

/*
 * udp_relay - one host socket for each guest address and port (RFC 4787)
 *
 * Theory of operation
 * -------------------
 * Mapping is endpoint-independent: all that a guest port sends leaves from one
 * host socket per family.  Filtering is address-and-port-dependent by default:
 * only an endpoint to which this guest port has sent under an allow verdict gets
 * in, the rest is counted.  A flow that only one side uses ends after 60 s, one
 * that both use after 180 s of silence.
 *
 * Full tables  A new flow ends the one that has been silent longest.  Each flow
 *           has an endpoint of its own, and what is beyond that they share; a flow
 *           may have a quarter of it.  Who finds no more room, or has his quarter,
 *           gives up his own endpoint that was used least recently, and nobody
 *           else's.
 * Floods    New flows are held to a rate, but for those that were answered.
 *
 * While the link is full no socket is read; when it has room again the flows that
 * wait are let in a few at a time, the longest waiting first, until it is full
 * again.
 *
 * Time to live, traffic class and "don't fragment" go along in the direction of
 * the host, the traffic class back as well.  Errors of the host's network
 * (IP_RECVERR) go to the guest as ICMP: see path.h.
 *
 * Port 53 never comes here: see dns_fwd.
 */

struct udp_relay;

struct udp_relay_cfg {
	uint32_t max_flows;		/* host sockets */
	uint32_t max_peers;		/* endpoints, at least @max_flows */
	bool endpoint_independent;	/* udp.filtering */
};

/** udp_relay_new() - NULL with errno set; owned by the caller */
struct udp_relay *udp_relay_new(struct ev *ev, struct udp *udp,
				struct icmp *icmp, const struct dial *dial,
				const struct udp_relay_cfg *cfg);

void udp_relay_free(struct udp_relay *r);

/** udp_relay_room() - The link has drained, or there is a new one */
void udp_relay_room(struct udp_relay *r);

/** udp_relay_input() - A datagram of the guest that is not for a service */
void udp_relay_input(struct udp_relay *r, const struct udp_dgram *d);

struct udp_relay_stats {
	uint64_t up_dgrams, down_dgrams, up_bytes, down_bytes, denied;
	uint32_t active;
};

void udp_relay_stats(const struct udp_relay *r, struct udp_relay_stats *st);

#endif /* RELAY_UDP_RELAY_H */
