#ifndef LINK_LINK_H
#define LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * link - moves Ethernet frames to and from one peer, with offload metadata
 *
 * Theory of operation
 * -------------------
 * A frame is an iovec that is valid during the call, and beside it the metadata
 * of virtio-net: a checksum to complete, a GSO type, a segment size.
 *
 * Sending    link_send() gathers.  link_reserve() gives writable space in the
 *            peer's ring or in our send buffer, and link_commit() sends it, so
 *            that payload read from a socket lands where the peer reads it.  At
 *            most one room is out at a time; nothing else is sent meanwhile.
 *            link_flush() says that the batch is over: it kicks, or writes.
 * Full       -EAGAIN, and drained() is called once when there is room again.
 *            Nobody spins, and nobody drops without counting it.
 * Freeing    link_down() marks, and calls down() once; nothing is delivered
 *            afterwards.  The owner frees the link at the end of the turn.
 */

#define LINK_IOV_MAX	72	/* 64 KiB in pages, with headers and slack */
#define LINK_HEAD_MIN	256	/* contiguous at the start of a room */
#define LINK_FRAME_MAX	(65535 + 14)	/* Ethernet header and an IP packet */
#define LINK_FRAME_MIN	14

/* What may be sent over this link, in each direction */
#define LINK_F_CSUM	(1u << 0)	/* with a checksum to complete */
#define LINK_F_TSO4	(1u << 1)	/* equal to HELLO_F_*, proto/hello.h */
#define LINK_F_TSO6	(1u << 2)
#define LINK_F_USO4	(1u << 3)
#define LINK_F_USO6	(1u << 4)

/**
 * struct link_vnet - struct virtio_net_hdr_v1 in host order
 *
 * Values are those of linux/virtio_net.h (VIRTIO_NET_HDR_F_*, _GSO_*).
 */
struct link_vnet {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

#define LINK_VNET_LEN	12	/* on the wire, with num_buffers */

/* linux/virtio_net.h by our names: older headers lack the last one */
#define LINK_VNET_F_NEEDS_CSUM	1
#define LINK_VNET_F_DATA_VALID	2
#define LINK_VNET_GSO_NONE	0
#define LINK_VNET_GSO_TCPV4	1
#define LINK_VNET_GSO_TCPV6	4
#define LINK_VNET_GSO_UDP_L4	5

/**
 * struct link_room - Space to write one frame into
 * @iov:	Pieces; the first has at least LINK_HEAD_MIN bytes
 * @n:		Number of pieces
 * @len:	Sum of their lengths: what was asked for
 */
struct link_room {
	struct iovec iov[LINK_IOV_MAX];
	int n;
	size_t len;
};

struct link;

struct link_ops {
	int (*send)(struct link *l, const struct link_vnet *vh,
		    const struct iovec *iov, int n);
	int (*reserve)(struct link *l, size_t len, struct link_room *room);
	int (*commit)(struct link *l, struct link_room *room,
		      const struct link_vnet *vh, size_t len);
	void (*flush)(struct link *l);
	void (*pause)(struct link *l, bool on);
	void (*close)(struct link *l);
};

/**
 * struct link - Interface; embedded in each kind of link
 * @ops:	What the kind does; set by it
 * @input:	A frame came in; the pieces are borrowed during the call and may
 *		change under our feet if they lie in guest memory
 * @input_done:	The batch that input() was called for is over; may be NULL
 * @drained:	There is room again after -EAGAIN; may be NULL
 * @down:	The link is gone: negative errno; may be NULL
 * @user:	For whoever installed @input
 * @owner:	For whoever installed @down
 * @can_send:	LINK_F_* that the peer accepts from us
 * @can_recv:	LINK_F_* that we told the peer to send if it likes
 * @max_frame:	Longest frame that may be sent
 * @keeps:	A frame that @input got stays where it is, and unchanged by
 *		the link, until @input_done: it may be used until then
 * @is_down:	Set by link_down()
 * @full:	-EAGAIN was returned and drained() is still to come
 */
struct link {
	const struct link_ops *ops;
	void (*input)(struct link *l, const struct link_vnet *vh,
		      const struct iovec *iov, int n);
	void (*input_done)(struct link *l);
	void (*drained)(struct link *l);
	void (*down)(struct link *l, int why);
	void *user, *owner;
	uint32_t can_send, can_recv;
	size_t max_frame;
	bool keeps, is_down, full;
};

/**
 * link_send() - Send one frame
 * @vh:		Metadata; NULL for a plain frame
 * @iov:	Frame from its Ethernet header on; borrowed
 *
 * Return: 0; -EAGAIN if the link is full (nothing was sent); -EMSGSIZE if the
 *	   frame is longer than @max_frame or shorter than LINK_FRAME_MIN;
 *	   -EOPNOTSUPP if @vh asks for what the peer does not accept; -ENOTCONN
 *	   if the link is down
 */
int link_send(struct link *l, const struct link_vnet *vh,
	      const struct iovec *iov, int n);

/**
 * link_reserve() - Get space for a frame of up to @len bytes
 * @room:	Set on success
 *
 * Return: 0; -EAGAIN, -EMSGSIZE or -ENOTCONN as for link_send()
 */
int link_reserve(struct link *l, size_t len, struct link_room *room);

/**
 * link_commit() - Send the first @len bytes of a room
 * @len:	0 gives the room back and sends nothing
 *
 * Return: as link_send(), but never -EAGAIN
 */
int link_commit(struct link *l, struct link_room *room,
		const struct link_vnet *vh, size_t len);

/** link_flush() - The batch is over: hand everything to the peer */
void link_flush(struct link *l);

/**
 * link_pause() - Stop (or start again) to deliver input
 *
 * What the peer sends meanwhile waits with the peer: backpressure.  Used by a
 * forwarder whose other side is full.
 */
void link_pause(struct link *l, bool on);

/** link_down() - Mark the link as gone, and tell @down once */
void link_down(struct link *l, int why);

/** link_close() - Release what the link holds; the owner frees the memory */
void link_close(struct link *l);

/*
 * For those who implement a kind of link: each of these is silent once the link
 * is down, and where the callback is not installed.
 */

/** link_input() - Hand a frame up; @vh is not NULL */
void link_input(struct link *l, const struct link_vnet *vh,
		const struct iovec *iov, int n);

/** link_input_done() - The batch of link_input() is over */
void link_input_done(struct link *l);

/** link_drained() - There is room: tell, if -EAGAIN was returned since */
void link_drained(struct link *l);

/** link_vnet_get() - From the 12 bytes of virtio_net_hdr_v1, little-endian */
void link_vnet_get(const uint8_t b[static LINK_VNET_LEN], struct link_vnet *vh);

/** link_vnet_put() - To the 12 bytes; num_buffers is 0 */
void link_vnet_put(const struct link_vnet *vh, uint8_t b[static LINK_VNET_LEN]);

/**
 * link_vnet_check() - Whether metadata from a peer is usable with its frame
 * @len:	Length of the frame
 * @can:	LINK_F_* that the peer may use
 *
 * Refused: a GSO type without a segment size or without NEEDS_CSUM, a type or
 * checksum that was not offered, a checksum position outside the frame, a
 * header longer than the frame, a flag that we do not know.
 *
 * Return: 0; -EBADMSG
 */
int link_vnet_check(const struct link_vnet *vh, size_t len, uint32_t can);

#endif /* LINK_LINK_H */
