#ifndef TRANSPORT_VVSOCK_CONN_H
#define TRANSPORT_VVSOCK_CONN_H

#include "base/ring.h"
#include "base/slab.h"
#include "base/timer.h"
#include "gateway/transport/vvsock.h"

/*
 * vvsock_conn - one vsock connection, its output, and what it owes to the guest
 *
 * The inner side of vvsock, shared by vvsock.c (input, table, end of the turn)
 * and vvsock_conn.c (output); nobody else includes it.
 */

#define VVSOCK_TX_BUDGET	128	/* chains in one turn */
#define VVSOCK_TX_IOV		256	/* pieces of one batch */
#define VVSOCK_ROOM_CHAINS	LINK_IOV_MAX
#define VVSOCK_ROOM_IOV		(2 * LINK_IOV_MAX)

enum vvsock_state {
	VVSOCK_STATE_OPEN,
	VVSOCK_STATE_GONE,
	VVSOCK_STATE_CLOSED,
	VVSOCK_STATE_NUM,
};

/**
 * struct vvsock_conn - One connection
 * @port:	Ours
 * @peer:	The guest's port
 * @rx_cnt:	Bytes received
 * @fwd_cnt:	Bytes that the upper layer took
 * @fwd_told:	@fwd_cnt in our last packet
 * @tx_cnt:	Bytes sent
 * @peer_alloc:	The peer's buffer
 * @peer_fwd:	Bytes that it took
 * @owed:	1 << operation, for each that is to be sent
 * @keep:	Bytes that a paused stream did not take
 * @peer_shut:	VSOCK_SHUT_* that came
 * @shut:	We have ended our direction
 * @asked:	A CREDIT_REQUEST is under way
 * @touched:	Had input in this batch
 */
struct vvsock_conn {
	struct stream stream;
	struct vvsock *vv;
	struct vvsock_conn *next;
	enum vvsock_state state;
	uint32_t port, peer;
	uint32_t rx_cnt, fwd_cnt, fwd_told;
	uint32_t tx_cnt, peer_alloc, peer_fwd;
	uint32_t owed;
	struct ring keep;
	uint8_t peer_shut;
	bool paused, shut, eof_told, asked, touched;
};

/**
 * struct vvsock_room - Guest buffers for output
 * @owner:	Whose room is out, or NULL
 * @at:		First of the buffers that we hold, @n of them
 * @niov:	End of their pieces in @iov
 * @len:	Payload that they take together
 *
 * What was taken from the RX queue stays here until it is used: a sender reserves
 * a whole record even for a byte, and to walk the 17 chains of it and put 16 back
 * was most of the work of an answer (29400 instructions a round trip, now 13000).
 * Those held are always the newest that were popped.
 */
struct vvsock_room {
	struct vvsock_conn *owner;
	int at, n, niov;
	size_t len;
	struct vvsock_room_chain {
		uint16_t head;
		int first, n;	/* pieces; of the payload only, if @hdr is set */
		uint8_t *hdr;	/* NULL if the header goes into several */
		size_t len;	/* without the header */
	} chain[VVSOCK_ROOM_CHAINS];
	struct iovec iov[VVSOCK_ROOM_IOV];
};

/* Packets of one stream, to be handed up together */
struct vvsock_batch {
	struct vvsock_conn *conn;
	int n, nheads;
	size_t len;
	struct iovec iov[VVSOCK_TX_IOV];
	uint16_t heads[VVSOCK_TX_BUDGET];
};

struct vvsock {
	struct ev *ev;
	struct vvsock_cfg cfg;
	struct slab slab;
	struct vvsock_conn *conns;
	struct ev_task work;
	struct timer ask;
	uint64_t ask_ns;
	int broken;
	unsigned int nrsts;
	struct vvsock_rst {
		uint32_t port, peer;
	} rsts[VVSOCK_RSTS];
	struct vvsock_room room;
	struct vvsock_batch batch;
};

extern const struct stream_ops vvsock_conn_ops;

/** vvsock_work_soon() - Run the end-of-turn work */
static inline void vvsock_work_soon(struct vvsock *vv)
{
	ev_defer(vv->ev, &vv->work);
}

/** vvsock_conn_credit() - Bytes that the peer would still take */
static inline uint32_t vvsock_conn_credit(const struct vvsock_conn *c)
{
	uint32_t flying = c->tx_cnt - c->peer_fwd;

	return flying < c->peer_alloc ? c->peer_alloc - flying : 0;
}

/** vvsock_broken() - A ring makes no sense: drop the VMM at the turn's end */
void vvsock_broken(struct vvsock *vv, int why);

/** vvsock_conn_owe() - Have a packet without payload sent */
void vvsock_conn_owe(struct vvsock_conn *c, enum vsock_op op);

/** vvsock_conn_send_owed() - Send what is owed, as far as there are buffers */
void vvsock_conn_send_owed(struct vvsock_conn *c);

/** vvsock_conn_gone() - The peer is gone, or must go: then @rst
 *
 * No effect unless the connection is OPEN.
 */
void vvsock_conn_gone(struct vvsock_conn *c, int why, bool rst);

/** vvsock_conn_has_room() - Whether a whole record finds credit and buffers */
bool vvsock_conn_has_room(struct vvsock_conn *c);

/** vvsock_room_forget() - Put the buffers that we hold back into their queue */
void vvsock_room_forget(struct vvsock *vv);

/** vvsock_rst_later() - Answer a packet that belongs to no stream */
void vvsock_rst_later(struct vvsock *vv, const struct vsock_hdr *in);

/** vvsock_rsts_send() - Send those answers, as far as there are buffers */
void vvsock_rsts_send(struct vvsock *vv);

#endif /* TRANSPORT_VVSOCK_CONN_H */
