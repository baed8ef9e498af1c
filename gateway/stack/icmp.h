#ifndef STACK_ICMP_H
#define STACK_ICMP_H

#include "gateway/stack/netif.h"

/*
 * icmp - ICMP and ICMPv6 of the gateway itself (RFC 792, 1122, 4443)
 *
 * Echo requests to the gateway are answered here once @ping has allowed it;
 * those to other hosts go to @echo.  Errors toward the guest are built here.
 * Of the guest's own errors, one is heard: "port unreachable" about a datagram,
 * and only if it quotes one that we may have sent (RFC 5927); @unreach then
 * finds out whether it did.  MTUs, routes and errors about TCP are not the
 * guest's to tell: the link is ours, and TCP finds out by itself.
 * NDP messages never come here: netif hands them to ndp.
 */

/**
 * struct icmp_ops - What the relay installs
 * @ping:	May the guest ping the gateway at @p->dst?
 * @echo:	An echo request to somebody else: id, seq and data in pieces
 */
struct icmp_ops {
	bool (*ping)(void *arg, const struct pkt *p);
	void (*echo)(void *arg, const struct pkt *p, uint16_t id, uint16_t seq,
		     const struct iovec *data, int n);
};

/**
 * struct icmp_unreach - No socket of the guest has this port
 * @peer:	Who sent, as the guest sees it
 */
struct icmp_unreach {
	struct ipaddr guest, peer;
	uint16_t gport, pport;
};

struct icmp {
	struct netif *netif;
	void (*unreach)(void *arg, const struct icmp_unreach *u);
	void *unreach_arg;
	const struct icmp_ops *ops;
	void *arg;
	uint64_t err_tokens, err_ns;	/* rate limit of errors, RFC 4443 2.4 f */
};

/** icmp_init() - Take over NETIF_L4_ICMP of @n; @unreach is installed later */
void icmp_init(struct icmp *ic, struct netif *n, const struct icmp_ops *ops,
	       void *arg);

enum icmp_err {
	ICMP_ERR_NET_UNREACH,
	ICMP_ERR_HOST_UNREACH,
	ICMP_ERR_PORT_UNREACH,
	ICMP_ERR_PROTO_UNREACH,
	ICMP_ERR_ADMIN,		/* administratively prohibited */
	ICMP_ERR_TOO_BIG,	/* needs @info */
	ICMP_ERR_TTL,		/* time exceeded in transit */
	ICMP_ERR_REASSEMBLY,	/* time exceeded while fragments were awaited */
	ICMP_ERR_PARAM,		/* erroneous header field at @info; IPv6 only */
	ICMP_ERR_FIRST_FRAG,	/* not all headers in it; IPv6 only (RFC 7112) */
	ICMP_ERR_NUM,
};

/** icmp_err_of() - The error that says what a host errno said
 *
 * ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES/EPERM, EMSGSIZE; anything else
 * is ICMP_ERR_HOST_UNREACH.
 */
enum icmp_err icmp_err_of(int err);

/**
 * icmp_error() - Tell the guest why its packet went nowhere
 * @from:	Address the error comes from: the destination, or a router on the
 *		way
 * @quote:	The guest's packet from its IP header on: as much as there is
 * @info:	ICMP_ERR_TOO_BIG: the MTU; ICMP_ERR_PARAM: offset in @quote
 *
 * Rate limited.  Nothing is sent about a packet that must not cause errors
 * (RFC 1122 3.2.2, RFC 4443 2.4 e), and no MTU that no network can have: below
 * 68 (RFC 791) or 1280 (RFC 8201 4).
 *
 * Return: 0; -EAGAIN, -ENOTCONN of ip_send(); -EBUSY if over the rate limit
 */
int icmp_error(struct icmp *ic, enum icmp_err what, const struct ipaddr *from,
	       const uint8_t *quote, size_t len, uint32_t info);

/**
 * icmp_error_l4() - As icmp_error(), with a rebuilt quotation
 * @src:	The guest's address and @dst, @proto of its packet
 * @l4:		First bytes of its upper layer, at least 8
 *
 * For errors that come when the packet itself is long gone.  The quotation has
 * the time to live that such a packet had in the end; its length is that of
 * what is quoted.
 */
int icmp_error_l4(struct icmp *ic, enum icmp_err what,
		  const struct ipaddr *from, const struct ipaddr *src,
		  const struct ipaddr *dst, uint8_t proto, const uint8_t *l4,
		  size_t len, uint32_t mtu);

/**
 * icmp_hop() - Whether a packet of the guest may go on to another host
 *
 * Not if its time to live ends here: then the gateway says so, from its own
 * address, and the packet is counted as dropped.  What is for the gateway
 * itself always may.
 */
bool icmp_hop(struct icmp *ic, const struct pkt *p);

/**
 * icmp_echo_reply() - Answer an echo request in somebody's name
 * @from:	Who was pinged
 * @to:		The guest
 * @ttl:	Of the reply as it reached the host
 *
 * Return: as ip_send()
 */
int icmp_echo_reply(struct icmp *ic, const struct ipaddr *from,
		    const struct ipaddr *to, uint8_t ttl, uint16_t id,
		    uint16_t seq, const struct iovec *data, int n);

#endif /* STACK_ICMP_H */
