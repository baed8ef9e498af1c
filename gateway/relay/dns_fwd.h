#ifndef RELAY_DNS_FWD_H
#define RELAY_DNS_FWD_H

#include "base/ev.h"
#include "gateway/relay/dial.h"
#include "gateway/stack/tcp.h"
#include "gateway/stack/udp.h"

/*
 * dns_fwd - the guest's resolver: UDP and TCP port 53, to any address
 *
 * Theory of operation
 * -------------------
 * A query is parsed, judged, answered from here (host alias, family that is not
 * active, denial: NXDOMAIN), or sent on to the host's resolvers with a fresh random
 * ID from a socket with a random port; what comes back must match in address,
 * port, ID and question, gets the guest's ID back, and is relayed as it is.
 * Resolvers are tried in order, 2 s each; with no answer the guest gets SERVFAIL.
 * Queries a second are bounded, and so are those in flight: one too many, and
 * the oldest is answered SERVFAIL.  TCP: queries and answers with two-byte
 * length, pipelined, in a ring per connection; upstream over TCP too.  A truncated UDP
 * answer is relayed as it is: the guest asks again by TCP.
 */

#define DNS_SERVERS_MAX	4
#define DNS_CONNS_MAX	64	/* guest connections to port 53, a timer each */

struct dns_server {
	struct ipaddr addr;
	uint16_t port;
};

/**
 * struct dns_fwd_cfg - What is asked, and what is answered from here
 * @timeout_ms:	Per server
 * @alias:	Host alias, answered with the gateway's addresses; NULL for none
 */
struct dns_fwd_cfg {
	struct dns_server server[DNS_SERVERS_MAX];
	unsigned int nservers;
	uint32_t timeout_ms;
	uint32_t max_queries;
	const char *alias;
};

struct dns_fwd;

/**
 * dns_fwd_new() - NULL with errno set; owned by the caller
 *
 * The loop must have room for @max_queries and DNS_CONNS_MAX timers.
 */
struct dns_fwd *dns_fwd_new(struct ev *ev, struct udp *udp,
			    const struct dial *dial,
			    const struct dns_fwd_cfg *cfg);

void dns_fwd_free(struct dns_fwd *d);

/** dns_fwd_input() - A datagram of the guest to port 53 */
void dns_fwd_input(struct dns_fwd *d, const struct udp_dgram *q);

/** dns_fwd_tcp_ops() - For TCP port 53, with the forwarder as arg */
const struct tcp_ops *dns_fwd_tcp_ops(void);

/** dns_fwd_set_servers() - resolv.conf has changed */
void dns_fwd_set_servers(struct dns_fwd *d, const struct dns_server *s,
			 unsigned int n);

#endif /* RELAY_DNS_FWD_H */
