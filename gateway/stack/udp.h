#ifndef STACK_UDP_H
#define STACK_UDP_H

#include "gateway/stack/netif.h"

/* udp - datagrams between the guest and whoever installed @recv (RFC 768) */

/**
 * struct udp_dgram - One whole datagram of the guest
 * @iov:	Payload; borrowed during the call
 * @gso_size:	Not 0: the payload is a train of datagrams of this size, the last
 *		one may be shorter (guest used UDP segmentation offload)
 * @pkt:	The packet, for an ICMP error about it
 */
struct udp_dgram {
	struct ipaddr src, dst;
	uint16_t sport, dport;
	const struct iovec *iov;
	int n;
	size_t len;
	uint16_t gso_size;
	const struct pkt *pkt;
};

struct udp {
	struct netif *netif;
	void (*recv)(void *arg, const struct udp_dgram *d);
	void *arg;
};

/** udp_init() - Take over NETIF_L4_UDP of @n; checksums are verified */
void udp_init(struct udp *u, struct netif *n,
	      void (*recv)(void *arg, const struct udp_dgram *d), void *arg);

/**
 * udp_send() - Send a datagram to the guest
 * @src:	Who the guest sees as the sender
 * @iov:	Payload; longer than the MTU is fragmented
 *
 * Return: 0; -EMSGSIZE above 65507 (IPv4) or 65527 (IPv6) bytes; -EAGAIN;
 *	   -ENOTCONN
 */
int udp_send(struct udp *u, const struct ipaddr *src, uint16_t sport,
	     const struct ipaddr *dst, uint16_t dport, const struct iovec *iov,
	     int n);

/**
 * struct udp_train - Datagrams of one size from one sender to the guest
 * @src:	Who the guest sees as the sender
 * @tos:	Traffic class
 * @data:	Payloads, one behind the other; borrowed during the call
 * @gso_size:	Length of each but the last, which may be shorter; 0: @data is
 *		one datagram
 * @off:	How much has been sent; at first 0
 */
struct udp_train {
	struct ipaddr src, dst;
	uint16_t sport, dport, gso_size;
	uint8_t tos;
	const uint8_t *data;
	size_t len, off;
};

/**
 * udp_send_train() - Send datagrams to the guest, from @t->off on
 *
 * In one frame where the link cuts it for us, else one by one.  @t->off advances
 * by what was sent, also on failure: after -EAGAIN the call can be repeated.
 *
 * Return: as udp_send()
 */
int udp_send_train(struct udp *u, struct udp_train *t);

#endif /* STACK_UDP_H */
