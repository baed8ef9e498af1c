#ifndef STACK_NETIF_H
#define STACK_NETIF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/timer.h"
#include "link/link.h"

/*
 * netif - the gateway's interface to one guest: Ethernet in, IP packets up
 *
 * Theory of operation
 * -------------------
 * netif_attach() hangs the netif on a link; what comes in is parsed once.  The
 * first NETIF_HEAD bytes of a frame are copied, so that no header can change
 * between the check and its use; the rest stays where it is, in guest memory
 * perhaps, and only payload that nobody judges is read from there.
 *
 * Any-IP: a packet to any unicast address goes up; ARP and NDP answer for every
 * address but the guest's own.  A source other than the guest's own address is
 * dropped and counted, except what NDP, MLD, ARP probes and DHCP need.
 *
 *	link -> netif -> arp
 *	              -> ip -> (frag) -> l4[TCP], l4[UDP], l4[ICMP]
 *
 * Upwards there are only function pointers, installed by netif_set_l4().
 * Sending to the guest needs no neighbour resolution on the fast path: the
 * guest's MAC is that of its latest valid frame, at first the configured one;
 * nud.h is about a guest that has gone or moved.
 *
 * A netif lives as long as the sandbox; links come and go.  Without a link,
 * output fails with -ENOTCONN.
 */

#define NETIF_HEAD	256	/* Ethernet, IPv6 and TCP, with options */
#define NUD_QUEUE	3	/* see nud.h */

/**
 * struct netif_conf - Addresses of one guest; all fixed for its life
 * @mac:	The gateway's own
 * @guest_mac:	The guest's
 * @mtu:	IP MTU of the link
 * @v4:		IPv4 is active: @gw4, @guest4 and @plen4 are set
 * @v6:		IPv6 is active
 * @nud:	Speak up: announce ourselves, and find out whether the guest is
 *		there (nud.h); else only answer
 */
struct netif_conf {
	uint8_t mac[6], guest_mac[6];
	uint16_t mtu;
	bool v4, v6, nud;
	struct ipaddr gw4, guest4, gw6, guest6;
	uint8_t plen4, plen6;
};

/**
 * struct pkt - One IP packet from the guest, as its upper layer sees it
 * @src:	The guest's address
 * @dst:	Any unicast address, or a multicast group the gateway serves
 * @proto:	IPPROTO_TCP, _UDP, _ICMP or _ICMPV6, after extension headers
 * @ttl:	TTL or hop limit as received
 * @tos:	Traffic class
 * @vh:		Offload metadata of the frame; csum_start counts from @l4 here,
 *		and is 0: anything else was dropped
 * @l4:		Start of the upper layer, contiguous and safe for @l4_head bytes
 * @iov:	All of the upper layer, header included; the first piece is @l4
 * @len:	Bytes in @iov
 * @ip:		The packet from its IP header on, safe for @ip_head bytes: what
 *		an ICMP error quotes
 * @frame:	All of the frame it came in, @nframe pieces of the link's: stays
 *		as it is until the end of the batch. NULL if the link promises
 *		nothing of that kind, or it came in pieces
 * @was_frag:	It came with a fragment header, or in pieces
 * @df:		Nobody on the way may cut it
 *
 * Everything is borrowed during the call.
 */
struct pkt {
	struct ipaddr src, dst;
	uint8_t proto, ttl, tos;
	struct link_vnet vh;
	const uint8_t *l4;
	size_t l4_head;
	const struct iovec *iov;
	int n;
	size_t len;
	const uint8_t *ip;
	size_t ip_head, ip_len;
	const struct iovec *frame;
	int nframe;
	bool was_frag, df;
};

/*
 * Whatever TCP, UDP or ICMP header there is lies whole in @l4_head: at least 60
 * bytes, or all of @len.  The last two take what else only the gateway itself
 * could serve; without a handler it is dropped and counted.
 */
enum netif_l4 {
	NETIF_L4_TCP,
	NETIF_L4_UDP,
	NETIF_L4_ICMP,		/* both families */
	NETIF_L4_DHCP,		/* UDP to 255.255.255.255 port 67 */
	NETIF_L4_RS,		/* ICMPv6 router solicitation */
	NETIF_L4_NUM,
};

struct netif;
struct frag;
struct icmp;
struct nud_frame;

enum nud_state {
	NUD_STALE,
	NUD_REACHABLE,
	NUD_DELAY,
	NUD_PROBE,
	NUD_INCOMPLETE,
	NUD_FAILED,
	NUD_NUM,
};

/**
 * struct nud_entry - What is known of the guest's presence; see nud.h
 * @asked:	Requests in this state
 * @reachable_ns: Until then it is REACHABLE, whatever @state says
 * @due_ns:	End of DELAY, next request of PROBE and INCOMPLETE
 */
struct nud_entry {
	enum nud_state state;
	uint8_t asked, nqueue;
	uint64_t reachable_ns, due_ns;
	struct nud_frame *queue[NUD_QUEUE];
};

struct netif {
	struct netif_conf conf;
	struct link *link;
	struct timerq *tq;
	void (*l4[NETIF_L4_NUM])(void *arg, const struct pkt *p);
	void *l4_arg[NETIF_L4_NUM];
	void (*l4_done)(void *arg);	/* the same, of the first to know */
	void *l4_done_arg;
	void (*batch)(void *arg);	/* the end of a batch of input */
	void (*room)(void *arg);	/* a full link has drained */
	void (*updown)(void *arg, bool up);
	void *arg;
	struct frag *frag;		/* NULL until the first fragment */
	struct icmp *icmp;		/* NULL until icmp_init() */
	uint16_t ident4;
	uint32_t ident6;
	uint8_t peer_mac[6];		/* where our frames go */
	uint8_t rx_mac[6];		/* sender of the frame being handled */
	bool rx_group;			/* it was sent to a group of MACs */
	struct nud_entry nud[2];	/* of IPv6, of IPv4 */
	struct timer nud_timer;
	uint64_t defended_ns[2];	/* when our address was, of IPv6, IPv4 */
};

/**
 * netif_init() - Set up; every address is copied
 * @tq:		Borrowed for the netif's life
 *
 * Return: 0; -ENOMEM
 */
int netif_init(struct netif *n, const struct netif_conf *conf,
	       struct timerq *tq);

/** netif_done() - Release what netif_init() took; the link is not touched */
void netif_done(struct netif *n);

/** netif_set_l4() - Install the handler of an upper layer */
void netif_set_l4(struct netif *n, enum netif_l4 which,
		  void (*input)(void *arg, const struct pkt *p), void *arg);

/** netif_set_l4_done() - Be told, before @batch, that a batch of input is over */
void netif_set_l4_done(struct netif *n, void (*done)(void *arg), void *arg);

/** netif_attach() - Use this link from now on, in place of any other
 *
 * Its input, input_done and drained callbacks and its user pointer become ours;
 * its down callback stays with the caller, who then calls netif_detach().
 */
void netif_attach(struct netif *n, struct link *l);

/** netif_detach() - There is no link any more */
void netif_detach(struct netif *n);

/** netif_is_gw() - Whether @a is one of the gateway's own active addresses */
bool netif_is_gw(const struct netif *n, const struct ipaddr *a);

/** netif_is_guest() - Whether @a is one of the guest's own active addresses */
bool netif_is_guest(const struct netif *n, const struct ipaddr *a);

/** netif_flush() - End of a batch of output: link_flush() if there is a link */
void netif_flush(struct netif *n);

/** netif_is_full() - Whether output waits for the link to drain */
static inline bool netif_is_full(const struct netif *n)
{
	return n->link && n->link->full;
}

/**
 * pkt_csum_ok() - Whether the upper-layer checksum of a packet holds
 *
 * Vouched for by the link (NEEDS_CSUM, DATA_VALID) or computed, with the pseudo
 * header (RFC 9293 3.1, RFC 768, RFC 8200 8.1).  An absent UDP checksum over
 * IPv4 is the caller's affair.
 */
bool pkt_csum_ok(const struct pkt *p);

#endif /* STACK_NETIF_H */
