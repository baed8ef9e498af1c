#ifndef RELAY_TCP_RELAY_H
#define RELAY_TCP_RELAY_H

#include "base/ev.h"
#include "gateway/relay/dial.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/tcp.h"

/*
 * tcp_relay - each TCP connection of the guest goes on from a host socket
 *
 * Theory of operation
 * -------------------
 *	DIAL --connected--> SPLICE --both FINs--> (LINGER) --> gone
 *	     --refused----> RST, --unreachable--> ICMP and RST, --silence--> wait
 *
 * The host socket is connected first, and the guest's SYN is answered with what
 * came of it.  A spliced flow keeps no payload: host to guest is peeked from the
 * kernel's receive buffer (SO_PEEK_OFF) straight into the frame and dropped
 * when the guest has acknowledged it; guest to host is sent straight from the
 * frame, and acknowledged as far as the kernel took it.  Without SO_PEEK_OFF the
 * bytes in flight are bounded, since every peek copies them again.
 *
 * Each direction ends by itself: a FIN of the guest becomes shutdown(SHUT_WR), an
 * end of stream from the host becomes a FIN.  RST stays RST in both directions.
 *
 * After both, what the host has not taken yet waits in the socket.  That keeps
 * its place in the table until it is sent, nothing was taken for a minute, or a
 * new flow needs the place: the kernel has no bound for sockets that are closed.
 *
 * Port 53 never comes here: see dns_fwd.
 */

struct tcp_relay;

/**
 * struct tcp_relay_cfg - Sizes and choices
 * @max_flows:	Most flows at once
 * @max_dials:	Most dials in flight per destination address
 * @congestion:	Toward the guest
 * @no_peek_off: Do without SO_PEEK_OFF even where the kernel has it
 */
struct tcp_relay_cfg {
	uint32_t max_flows;
	uint32_t max_dials;
	enum tcp_cong congestion;
	bool no_peek_off;
};

/**
 * struct tcp_local - A service of the gateway itself behind the same engine
 * @ops:	As of struct tcp_ops, with the arg given here
 *
 * Connections to @port at any address go there: DNS over TCP.
 */
struct tcp_local {
	uint16_t port;
	const struct tcp_ops *ops;
	void *arg;
};

/**
 * tcp_relay_new() - Make the relay and its TCP engine
 *
 * The loop has room for two timers for each flow.
 *
 * @local:	Services of our own; @nlocal of them; borrowed
 *
 * Return: the relay, owned by the caller; NULL with errno set
 */
struct tcp_relay *tcp_relay_new(struct ev *ev, struct netif *n,
				struct icmp *icmp, const struct dial *dial,
				const struct tcp_relay_cfg *cfg,
				const struct tcp_local *local,
				unsigned int nlocal);

/** tcp_relay_free() - Reset every flow and release everything */
void tcp_relay_free(struct tcp_relay *r);

/**
 * tcp_relay_flush() - tcp_flush(), at the end of a turn
 *
 * What the turn has ended is freed here: nobody holds it any more, and a task
 * of the next turn would keep the loop from sleeping.
 */
bool tcp_relay_flush(struct tcp_relay *r);

/** tcp_relay_stack() - The engine, for tcp_link_up() */
struct tcp_stack *tcp_relay_stack(struct tcp_relay *r);

/** struct tcp_relay_stats - What the relay moved */
struct tcp_relay_stats {
	uint64_t flows, denied, refused, up_bytes, down_bytes;
	uint32_t active;
};

void tcp_relay_stats(const struct tcp_relay *r, struct tcp_relay_stats *st);

#endif /* RELAY_TCP_RELAY_H */
