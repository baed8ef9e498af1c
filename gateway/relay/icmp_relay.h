#ifndef RELAY_ICMP_RELAY_H
#define RELAY_ICMP_RELAY_H

#include "base/ev.h"
#include "gateway/relay/dial.h"
#include "gateway/stack/icmp.h"

/*
 * icmp_relay - the guest pings the world through ping sockets
 *
 * One SOCK_DGRAM ICMP socket for each (destination, identifier), ended after 10 s
 * without a reply or request.  They are bounded: a new one ends the one that was
 * used least recently.  A guest that floods with new ones is held to a rate, but
 * for those that were answered.  Where the host does not allow ping
 * sockets (net.ipv4.ping_group_range) one line in the log says so, and echo
 * requests to others are dropped and counted.  The gateway itself always
 * answers, if the policy allows.  Time to live, traffic class and "don't
 * fragment" go along, and errors come back: see path.h.
 */

struct icmp_relay;

/** icmp_relay_new() - NULL with errno set; owned by the caller */
struct icmp_relay *icmp_relay_new(struct ev *ev, const struct dial *dial,
				  uint32_t max_flows);

/** icmp_relay_ops() - To be given to icmp_init(), with the relay as arg */
const struct icmp_ops *icmp_relay_ops(void);

/** icmp_relay_bind() - The module that the relay answers through; borrowed */
void icmp_relay_bind(struct icmp_relay *r, struct icmp *icmp);

void icmp_relay_free(struct icmp_relay *r);

#endif /* RELAY_ICMP_RELAY_H */
