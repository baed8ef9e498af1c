#ifndef STACK_IP_H
#define STACK_IP_H

#include "gateway/stack/netif.h"

/*
 * ip - IPv4 and IPv6 output toward the guest, in two forms
 *
 * In place:  ip_reserve() gives room for an upper-layer header and payload,
 *            ip_commit() writes Ethernet and IP headers before it, completes or
 *            offloads the checksum, and sends.  Used by TCP.
 * Gathered:  ip_send() takes pieces, fragments if it must.  Used by UDP, ICMP.
 *
 * A packet that goes in one piece has DF set and ident 0 (RFC 6864 4.1).
 */

/**
 * struct ip_args - Header fields
 * @src:	Address the guest sees as the sender; decides the family
 * @dst:	The guest
 * @proto:	IPPROTO_*
 * @ttl:	0 means 64
 * @tos:	Traffic class
 * @df:		Never fragment: -EMSGSIZE instead
 * @direct:	Send now, even if it is not known where the guest is: this is how
 *		to find out
 */
struct ip_args {
	struct ipaddr src, dst;
	uint8_t proto, ttl, tos;
	bool df, direct;
};

/**
 * struct ip_room - Room for one packet
 * @l4:		Where the upper-layer header goes: @l4_hlen contiguous bytes
 * @pay:	Pieces for the payload, @npay of them, @pay_len bytes together
 */
struct ip_room {
	uint8_t *l4;
	size_t l4_hlen;
	struct iovec pay[LINK_IOV_MAX];
	int npay;
	size_t pay_len;
	struct link_room room;		/* of the link; private */
	struct ip_args args;		/* private */
};

/**
 * ip_reserve() - Get room for one packet
 * @l4_hlen:	Upper-layer header, at most 60 bytes
 * @pay_len:	Most payload that will be written; 0 is fine
 *
 * Return: 0; -EAGAIN if the link is full; -EMSGSIZE if longer than the link
 *	   takes; -ENOTCONN without a link
 */
int ip_reserve(struct netif *n, const struct ip_args *a, size_t l4_hlen,
	       size_t pay_len, struct ip_room *r);

/**
 * ip_commit() - Send what was written into the room
 * @pay_len:	Payload actually written
 * @csum_off:	Offset of the checksum field in the upper-layer header; the field
 *		is filled in here, in full or as the link's offload wants it
 * @gso_size:	Segment size if the payload is longer than one segment and the
 *		link cuts it; 0 otherwise
 *
 * Return: 0; -errno of link_commit()
 */
int ip_commit(struct netif *n, struct ip_room *r, size_t pay_len,
	      uint16_t csum_off, uint16_t gso_size);

/** ip_cancel() - Give the room back, send nothing */
void ip_cancel(struct netif *n, struct ip_room *r);

/**
 * ip_gso_max() - Most TCP payload in one packet of this family
 *
 * 65535 less headers where the link does TSO for it; else 0: at most one
 * segment.
 */
size_t ip_gso_max(const struct netif *n, bool v6);

/**
 * ip_send() - Send one packet, in fragments if it is longer than the MTU
 * @iov:	Upper layer, header included
 * @csum_off:	Offset of the checksum field from the start of @iov, computed and
 *		written here into a copy of the header; -1 leaves it alone
 *
 * Return: 0; -EMSGSIZE if longer than an IP packet can be, or than the MTU with
 *	   @a->df; -EAGAIN (also if only some fragments went); -ENOTCONN; -EINVAL
 *	   if @csum_off lies beyond the first 60 bytes
 */
int ip_send(struct netif *n, const struct ip_args *a, const struct iovec *iov,
	    int cnt, int csum_off);

/**
 * ip_input() - Take one packet; called by netif.c and frag.c
 * @p:		@ip, @ip_head, @vh and @was_frag are set; csum_start counts from
 *		@ip
 * @iov:	The packet from its IP header on, link padding included: the
 *		first piece is @ip_head bytes at @ip. Changed during the call
 */
void ip_input(struct netif *n, struct pkt *p, struct iovec *iov, int cnt);

#endif /* STACK_IP_H */
