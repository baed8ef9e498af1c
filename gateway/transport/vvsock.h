#ifndef TRANSPORT_VVSOCK_H
#define TRANSPORT_VVSOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"
#include "gateway/transport/virtq.h"
#include "link/link.h"
#include "link/stream.h"

/*
 * vvsock - device side of virtio-vsock (virtio 1.2, 5.10)
 *
 * Theory of operation
 * -------------------
 * A connection is a struct stream in a slab of VVSOCK_STREAMS.
 *
 *	REQUEST --accept()--> OPEN --RST, reset, nonsense--> GONE
 *	OPEN, GONE --stream_close()--> CLOSED
 *
 * In GONE the owner has been told by down() and still holds the stream; CLOSED
 * ones are freed at the end of the turn, after the RST that they owe is out.
 *
 * Input      Packets of one stream that follow each other are handed up in one
 *            call, in place, so that few records are cut.  What a paused stream
 *            does not take waits in a ring of VVSOCK_BUF bytes, allocated on
 *            first use; our credit never promises more.
 * Output     A room is made of as many buffers of the guest's RX queue as it
 *            takes; commit writes a header into each that was used, and the
 *            others are held for the next one.  Without credit or buffers it is
 *            -EAGAIN, and drained() comes when a whole record fits.
 * Control    What a connection owes is a set of operations, sent when there is
 *            a buffer, before data.  RSTs to nobody wait in a short queue.
 * Credit     Linux tells us of progress only when less than 64 KiB of its
 *            buffer are free, which is less than a record: between the two it
 *            never would.  So we ask: when half of its buffer is in flight,
 *            and, while blocked, by a timer with back-off.
 * Not here   Sockets, and messages of the VMM: vhost_user.
 *
 * A room lives within one handler of the loop, and there is one at a time.
 */

#define VVSOCK_STREAMS		64	/* at once, of which */
#define VVSOCK_STREAMS_PORT	32	/* to one port */
/*
 * Receive window of a stream.  1 MiB made no difference that stood out of the
 * noise (150 to 520 against 210 to 570 MB/s from a guest without KVM)
 */
#define VVSOCK_BUF		(256u << 10)
#define VVSOCK_RSTS		64	/* waiting to be sent */

/* Most that is reserved at once: a frame, its vnet header and its length */
#define VVSOCK_RECORD		(LINK_FRAME_MAX + 16)

struct vvsock;

/**
 * struct vvsock_cfg - What carries the device, and who uses it
 * @rx:		The guest's receive queue; borrowed
 * @tx:		The guest's transmit queue; borrowed
 * @ports:	Accepting ports; borrowed for the device's life
 * @accept:	As in struct vhost_user_cfg
 * @broken:	A ring makes no sense, -errno; called at the end of a turn.  The
 *		callee unmaps the rings and calls vvsock_reset()
 */
struct vvsock_cfg {
	struct virtq *rx, *tx;
	uint64_t guest_cid;
	const uint32_t *ports;
	unsigned int nports;
	int (*accept)(void *arg, struct stream *s, uint32_t port);
	void *accept_arg;
	void (*broken)(void *arg, int why);
	void *broken_arg;
};

/** vvsock_new() - Make a device without streams; NULL with errno set */
struct vvsock *vvsock_new(struct ev *ev, const struct vvsock_cfg *cfg);

/** vvsock_free() - Take every stream down, and release their memory */
void vvsock_free(struct vvsock *vv);

/**
 * vvsock_tx_ready() - The guest may have sent something
 *
 * Return: whether there is more, for which to call again in the next turn
 */
bool vvsock_tx_ready(struct vvsock *vv);

/** vvsock_rx_ready() - The guest may have provided buffers */
void vvsock_rx_ready(struct vvsock *vv);

/**
 * vvsock_rx_moves() - The memory, or the RX ring in it, is about to be mapped anew
 *
 * Whatever was taken from the ring and not used is there again.
 */
void vvsock_rx_moves(struct vvsock *vv);

/** vvsock_reset() - The rings have stopped: take every stream down with @why */
void vvsock_reset(struct vvsock *vv, int why);

#endif /* TRANSPORT_VVSOCK_H */
