#ifndef LINK_FRAMED_H
#define LINK_FRAMED_H

#include "base/timer.h"
#include "link/framer.h"
#include "link/link.h"
#include "link/stream.h"
#include "proto/hello.h"

/*
 * framed - link over a stream: hello, records, keepalive
 *
 * Theory of operation
 * -------------------
 *	server: FIRST --"MSBL"--> HELLO --whole, accepted--> NATIVE
 *	        FIRST --anything else--> BARE
 *	        A hello may wait for its verdict: input rests meanwhile
 *	client: HELLO --answer--> NATIVE
 *
 * NATIVE records carry the 12-byte virtio_net_hdr_v1; BARE ones are a u32
 * big-endian length and the frame (QEMU -netdev stream, libkrun, passt), with
 * no offloads and no keepalive.  The first four bytes tell them apart, since
 * "MSBL" is no legal length.  In NATIVE a keepalive goes out after 5 s without a
 * record, and 15 s without any record take the link down with -ETIMEDOUT (not
 * while the link is paused: then we do not look).  A hello that does not end
 * within 5 s of its first byte takes it down too; a server waits for that byte
 * for ever, since a bare peer is silent until its guest boots.
 *
 * Features   What the answer says holds for both directions: the server takes
 *            what it answered, and sends what of it the client's hello had.
 * Before up  Sending gives -EAGAIN, and drained() comes after up().
 *
 * Ownership  framed owns the stream and closes it; the memory of both is the
 *            embedding object's.
 */

#define FRAMED_KEEPALIVE_S	5
#define FRAMED_DEAD_S		15
#define FRAMED_HELLO_S		5

enum framed_state {
	FRAMED_STATE_FIRST,
	FRAMED_STATE_HELLO,
	FRAMED_STATE_NATIVE,
	FRAMED_STATE_BARE,
};

struct framed;

/**
 * struct framed_cfg - How a framed link behaves
 * @server:	We are the gateway: we wait for the first bytes
 * @mtu:	IP MTU: a bare frame is at most this plus the Ethernet header
 *		and a VLAN tag
 * @features:	HELLO_F_* that we are ready to receive
 * @hello:	Server: a hello came. Fill in @answer (features are what was
 *		accepted) and return 0, or a negative errno to refuse: the link
 *		goes down with it and nothing is answered. -EINPROGRESS: not
 *		known yet, call framed_hello_again() when it is. Client: the
 *		answer came; @answer is NULL. Not called for a bare peer
 * @up:		The link carries frames from now on; may be NULL
 */
struct framed_cfg {
	bool server;
	uint16_t mtu;
	uint32_t features;
	int (*hello)(struct framed *f, const struct hello *in,
		     struct hello *answer);
	void (*up)(struct framed *f);
};

struct framed {
	struct link link;
	struct stream *stream;
	struct timerq *tq;
	struct framed_cfg cfg;
	enum framed_state state;
	struct framer framer;
	uint8_t first[HELLO_MAX];	/* what came before we were up */
	size_t first_len;
	struct timer keepalive, dead;
	uint64_t last_tx_ns, last_rx_ns;
	uint8_t *room_head;		/* of the room that is out, or NULL */
	bool paused;
	bool asked;			/* hello() said -EINPROGRESS */
};

/**
 * framed_init() - Set up a link over a stream
 * @f:		Zeroed, or with link callbacks already installed
 * @s:		Stream; its callbacks become ours. Owned by @f from here on
 * @tq:		For the keepalive; borrowed
 *
 * Return: 0; -ENOMEM
 */
int framed_init(struct framed *f, struct stream *s, struct timerq *tq,
		const struct framed_cfg *cfg);

/**
 * framed_hello() - Client: send our hello
 *
 * Return: 0; -EAGAIN, -ENOTCONN as of stream_send()
 */
int framed_hello(struct framed *f, const struct hello *h);

/**
 * framed_hello_again() - Server: ask hello() again about the one that waits
 *
 * Does nothing if none waits.  The limit of FRAMED_HELLO_S goes on meanwhile.
 */
void framed_hello_again(struct framed *f);

#endif /* LINK_FRAMED_H */
