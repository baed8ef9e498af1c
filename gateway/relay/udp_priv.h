#ifndef RELAY_UDP_PRIV_H
#define RELAY_UDP_PRIV_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/slab.h"
#include "gateway/relay/flows.h"
#include "gateway/relay/path.h"
#include "gateway/relay/udp_relay.h"

/* udp_priv - shared by udp_relay.c, udp_up.c and udp_down.c, nobody else's */

/*
 * Datagrams or trains a system call.  CPU of the gateway for each datagram of
 * 1400 bytes, 100 000 a second, two busy cores: 1 makes it 2442 ns, 16 make it
 * 2065, 64 no less.  So reading one by one into the link's own room, without a
 * copy, would lose more than the copy costs.
 */
#define UDP_DOWN_BATCH	16
#define UDP_DGRAM_MAX	65536
#define UDP_UP_MSGS	32	/* trains a system call, of one flow */
#define UDP_UP_BUF	(128 * 1024)

/**
 * struct ukey - A guest port
 */
struct ukey {
	struct ipaddr guest;
	uint16_t port, pad[3];
};

/**
 * struct pkey - An endpoint that a flow has sent to
 * @host:	As the host sees it: loopback where the guest said gateway
 */
struct pkey {
	struct ipaddr host;
	uint32_t flow;
	uint16_t port, pad;
};

struct upeer {
	struct pkey key;
	struct ipaddr seen;		/* as the guest sees it */
	uint32_t newer, older;		/* in its flow's list, by slot */
};

/**
 * struct uflow - One guest port and its host socket
 * @path:	What is set on the socket
 * @train_max:	Longest datagram of which the host takes a train
 * @lost:	By the socket, for its buffer was full, as far as it was counted
 * @newest:	Of its endpoints, by last use; slots in the peer slab
 * @npeers:	How many endpoints it has
 * @stalled_next, @stalled_at: In the list of flows that wait for room in the link
 */
struct uflow {
	struct flow flow;
	struct udp_relay *r;
	struct ev_src src;
	struct timer idle;
	struct ukey key;
	struct path path;
	uint16_t train_max;
	uint32_t lost;
	uint64_t last_ns;
	uint32_t newest, oldest, npeers;
	struct uflow *stalled_next, **stalled_at;
	bool answered;
};

/**
 * struct up_train - Datagrams to one endpoint, of one size but for the last
 * @size:	Of the first
 * @off, @len:	Of all of them in the batch's buffer
 * @closed:	Nothing can be added
 */
struct up_train {
	struct ipaddr host, seen;
	uint16_t port, size, n;
	bool closed;
	size_t off, len;
};

/** struct up_batch - Small datagrams of one flow that wait to be sent */
struct up_batch {
	struct uflow *f;		/* NULL: empty */
	struct ev_task task;
	unsigned int n;
	size_t used;
	struct up_train train[UDP_UP_MSGS];
	uint8_t *buf;
};

/**
 * struct down_batch - What one recvmmsg() took
 * @flow:	Whose it is; goes stale with the flow
 * @next:	The first of @n that the guest has not got yet: the link was full
 * @off:	How much of it the guest has got
 */
struct down_batch {
	struct mmsghdr m[UDP_DOWN_BATCH];
	struct iovec iov[UDP_DOWN_BATCH];
	struct sockaddr_storage from[UDP_DOWN_BATCH];
	_Alignas(struct cmsghdr) char
		ctl[UDP_DOWN_BATCH][CMSG_SPACE(sizeof(int)) * 3];
	struct slab_id flow;
	unsigned int n, next;
	size_t off;
	bool tried;
	uint8_t *buf;
};

struct udp_relay {
	struct ev *ev;
	struct udp *udp;
	struct icmp *icmp;
	const struct dial *dial;
	struct udp_relay_cfg cfg;
	struct flows flows;
	struct slab peers;
	struct hash by_guest, by_peer;
	struct uflow *stalled, **stalled_end;
	struct ev_task unstall;
	struct dial_rate rate;
	uint32_t shared;	/* endpoints in use beyond the first of each flow */
	struct up_batch up;
	struct down_batch down;
	struct udp_relay_stats st;
};

/** udp_flow_answered() - Somebody answered: the flow was worth its price */
void udp_flow_answered(struct uflow *f);

/** udp_flow_used() - Now is when this flow was last used */
void udp_flow_used(struct uflow *f);

/** udp_flow_get() - The flow of a guest port, made if need be; NULL if it cannot
 * be
 */
struct uflow *udp_flow_get(struct udp_relay *r, const struct ukey *k,
			   bool make);

/** udp_peer_find() - An endpoint that the flow has sent to, or NULL */
struct upeer *udp_peer_find(struct uflow *f, const struct ipaddr *host,
			    uint16_t port);

/** udp_peer_get() - As udp_peer_find(), made if need be, now the newest
 *
 * @seen:	As the guest sees it
 */
struct upeer *udp_peer_get(struct uflow *f, const struct ipaddr *host,
			   uint16_t port, const struct ipaddr *seen);

/** udp_down_init() - Point the batch at its buffer */
void udp_down_init(struct down_batch *b);

/** udp_down_unstall() - Let flows in that waited for room in the link */
void udp_down_unstall(struct ev_task *t);

/** udp_down_ready() - Handler of a flow's socket */
void udp_down_ready(struct ev_src *src, uint32_t events);

/** udp_down_forget() - The flow ends: it waits for nothing */
void udp_down_forget(struct uflow *f);

/** udp_up_flush() - Send what waits */
void udp_up_flush(struct udp_relay *r);

/** udp_error() - Tell the guest about a datagram that is gone
 * @data:	What is known of its payload
 */
void udp_error(struct uflow *f, enum icmp_err what, const struct ipaddr *from,
	       const struct ipaddr *seen, uint16_t port, const void *data,
	       size_t len, uint32_t mtu);

#endif /* RELAY_UDP_PRIV_H */
