#ifndef RELAY_PATH_H
#define RELAY_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "gateway/stack/icmp.h"

/*
 * path - what a host socket does for the guest's packets on their way
 *
 * The gateway is a router to its guest: time to live (less one), traffic class
 * and "don't fragment" of the guest's packets hold on the host's network too,
 * and what routers there say about them comes back.
 *
 * The three are kept on the socket and set when they change, not sent along with
 * each datagram: a guest that changes them for each packet is tracing a route,
 * any other one never pays again after the first.
 *
 * Don't fragment  IP_PMTUDISC_DO: what is longer than the path is refused with
 *            EMSGSIZE, and the guest hears "too big" and the MTU; so it does its
 *            own path MTU discovery, on what the host has learnt already.
 *            Otherwise IP_PMTUDISC_DONT: the host and every router may cut.
 */

struct path {
	uint8_t ttl, tos;
	bool df, set;
};

/** path_open() - Ask a new socket to report what the network says */
void path_open(int fd, bool v4);

/** path_of() - What the host's network shall see of this packet */
struct path path_of(const struct pkt *p);

/** path_is() - Whether nothing need be set */
bool path_is(const struct path *now, const struct path *want);

/** path_set() - Set on the socket what differs from @now, and update it */
void path_set(int fd, bool v4, struct path *now, const struct path *want);

/**
 * struct path_error - What the network, or the host, said about a packet
 * @local:	The host itself refused it
 * @from:	Who said so, if @told
 * @mtu:	For ICMP_ERR_TOO_BIG
 * @to:		Where the packet went
 * @len:	How much of it came back, of its upper layer's payload (UDP) or
 *		message (ICMP)
 */
struct path_error {
	enum icmp_err what;
	bool local, told;
	struct ipaddr from;
	uint32_t mtu;
	struct sockaddr_storage to;
	size_t len;
};

/**
 * path_error() - Take one entry of a socket's error queue
 * @buf:	Where the part of the packet goes
 *
 * Return: 1; 0 if it was nothing to tell; -errno of recvmsg(), -EAGAIN if the
 *	   queue is empty
 */
int path_error(int fd, void *buf, size_t size, struct path_error *e);

#endif /* RELAY_PATH_H */
