#include "gateway/transport/vvsock_conn.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "proto/ports.h"

COUNT(drop_vvsock_rst, "vsock resets lost because too many were waiting");
COUNT(vvsock_asked, "vsock credit requests sent");

/* The operations that a connection may owe, in the order in which they go */
static const uint16_t owed_order[] = {
	VSOCK_OP_RESPONSE, VSOCK_OP_CREDIT_UPDATE, VSOCK_OP_CREDIT_REQUEST,
	VSOCK_OP_SHUTDOWN, VSOCK_OP_RST,
};

static struct vvsock_conn *conn_of(struct stream *s)
{
	return container_of(s, struct vvsock_conn, stream);
}

void vvsock_broken(struct vvsock *vv, int why)
{
	if (!vv->broken)
		vv->broken = why;
	vvsock_work_soon(vv);
}

static void conn_set_state(struct vvsock_conn *c, enum vvsock_state to)
{
	static const char *const names[] = { "OPEN", "GONE", "CLOSED" };

	static_assert(ARRAY_SIZE(names) == VVSOCK_STATE_NUM, "a name for each");
	ASSERT(to > c->state);
	log_debug("vsock %u from %u: %s -> %s", c->port, c->peer,
		  names[c->state], names[to]);
	c->state = to;
}

void vvsock_conn_owe(struct vvsock_conn *c, enum vsock_op op)
{
	c->owed |= 1u << op;
	vvsock_work_soon(c->vv);
}

/* The peer is gone, or must go: then @rst */
void vvsock_conn_gone(struct vvsock_conn *c, int why, bool rst)
{
	if (c->state != VVSOCK_STATE_OPEN)
		return;
	c->owed = 0;
	if (rst)
		vvsock_conn_owe(c, VSOCK_OP_RST);
	conn_set_state(c, VVSOCK_STATE_GONE);
	stream_down(&c->stream, why);
}

/* --- packets to the guest ------------------------------------------------ */

static void hdr_put(uint8_t b[static VSOCK_HDR_LEN], const struct vvsock *vv,
		    const struct vsock_hdr *part)
{
	struct wr w = wr_init(b, VSOCK_HDR_LEN);
	struct vsock_hdr h = *part;

	h.src_cid = PROTO_CID_HOST;
	h.dst_cid = vv->cfg.guest_cid;
	h.type = VSOCK_TYPE_STREAM;
	vsock_hdr_emit(&w, &h);
	ASSERT(!w.bad && !wr_left(&w));
}

/* A header for @c, which tells of our credit */
static struct vsock_hdr conn_hdr(struct vvsock_conn *c, enum vsock_op op)
{
	struct vsock_hdr h = {
		.src_port = c->port,
		.dst_port = c->peer,
		.op = (uint16_t)op,
		.buf_alloc = VVSOCK_BUF,
		.fwd_cnt = c->fwd_cnt,
	};

	c->fwd_told = c->fwd_cnt;
	c->owed &= ~(1u << VSOCK_OP_CREDIT_UPDATE);
	return h;
}

/* Move the buffers that we hold to the front of their tables */
static void room_compact(struct vvsock_room *r)
{
	int by = r->n ? r->chain[r->at].first : r->niov;

	memmove(r->chain, r->chain + r->at,
		(size_t)r->n * sizeof(r->chain[0]));
	memmove(r->iov, r->iov + by,
		(size_t)(r->niov - by) * sizeof(r->iov[0]));
	for (int i = 0; i < r->n; i++)
		r->chain[i].first -= by;
	r->niov -= by;
	r->at = 0;
}

/* Split header and payload, if the first piece holds the whole header */
static void chain_split(struct vvsock_room_chain *ch, struct iovec *iov)
{
	if (iov->iov_len < VSOCK_HDR_LEN)
		return;
	ch->hdr = iov->iov_base;
	iov->iov_base = ch->hdr + VSOCK_HDR_LEN;
	iov->iov_len -= VSOCK_HDR_LEN;
	if (!iov->iov_len) {
		ch->first++;
		ch->n--;
	}
}

/**
 * room_grow() - Take one more buffer from the RX queue
 *
 * Return: 0; -EAGAIN if there is none; -EMSGSIZE if we hold as many as we can;
 *	   -EPROTO if the ring is broken
 */
static int room_grow(struct vvsock *vv)
{
	struct vvsock_room *r = &vv->room;
	struct vvsock_room_chain *to;
	struct virtq_chain ch;
	int rc;

	if (r->n == VVSOCK_ROOM_CHAINS)
		return -EMSGSIZE;
	if (r->at + r->n == VVSOCK_ROOM_CHAINS)
		room_compact(r);
	rc = virtq_pop(vv->cfg.rx, &ch, r->iov + r->niov,
		       VVSOCK_ROOM_IOV - r->niov);
	if (rc == -E2BIG && r->at) {
		room_compact(r);
		rc = virtq_pop(vv->cfg.rx, &ch, r->iov + r->niov,
			       VVSOCK_ROOM_IOV - r->niov);
	}
	if (rc > 0 && (ch.n_out || ch.in_len <= VSOCK_HDR_LEN)) {
		virtq_unpop(vv->cfg.rx, 1);
		rc = -EPROTO;
	}
	if (rc == 0 || rc == -E2BIG)
		return rc ? -EMSGSIZE : -EAGAIN;
	if (rc < 0) {
		vvsock_broken(vv, rc);
		return -EPROTO;
	}
	to = &r->chain[r->at + r->n++];
	*to = (struct vvsock_room_chain){ ch.head, r->niov, ch.n_in, NULL,
					  ch.in_len - VSOCK_HDR_LEN };
	r->niov += ch.n_in;
	r->len += to->len;
	chain_split(to, r->iov + to->first);
	return 0;
}

/* Fill the first buffer that we hold: its payload is there */
static void room_use(struct vvsock *vv, const uint8_t hdr[static VSOCK_HDR_LEN],
		     uint32_t len)
{
	struct vvsock_room *r = &vv->room;
	const struct vvsock_room_chain *ch = &r->chain[r->at];

	if (ch->hdr)
		memcpy(ch->hdr, hdr, VSOCK_HDR_LEN);
	else
		iov_copy_in(r->iov + ch->first, ch->n, 0, hdr, VSOCK_HDR_LEN);
	virtq_put(vv->cfg.rx, ch->head, VSOCK_HDR_LEN + len);
	r->len -= ch->len;
	r->at++;
	if (--r->n == 0)
		r->at = r->niov = 0;
}

void vvsock_room_forget(struct vvsock *vv)
{
	struct vvsock_room *r = &vv->room;

	virtq_unpop(vv->cfg.rx, (unsigned int)r->n);
	r->owner = NULL;
	r->at = r->n = r->niov = 0;
	r->len = 0;
}

/* A packet without payload.  0; -EAGAIN if there is no buffer */
static int ctl_send(struct vvsock *vv, const struct vsock_hdr *h)
{
	uint8_t b[VSOCK_HDR_LEN];
	int rc = vv->room.n ? 0 : room_grow(vv);

	ASSERT(!vv->room.owner);
	if (rc) {
		if (rc == -EMSGSIZE)
			vvsock_broken(vv, rc);
		return -EAGAIN;
	}
	hdr_put(b, vv, h);
	room_use(vv, b, 0);
	return 0;
}

void vvsock_conn_send_owed(struct vvsock_conn *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(owed_order) && c->owed; i++) {
		enum vsock_op op = (enum vsock_op)owed_order[i];
		struct vsock_hdr h;

		if (!(c->owed & 1u << op))
			continue;
		h = conn_hdr(c, op);
		if (op == VSOCK_OP_SHUTDOWN)
			h.flags = VSOCK_SHUT_SEND;
		if (ctl_send(c->vv, &h)) {
			c->owed |= 1u << op;	/* also CREDIT_UPDATE again */
			return;
		}
		c->owed &= ~(1u << op);
		if (op == VSOCK_OP_CREDIT_REQUEST)
			count_inc(vvsock_asked);
		if (op == VSOCK_OP_SHUTDOWN)
			vvsock_work_soon(c->vv);	/* both ended? */
	}
}

void vvsock_rst_later(struct vvsock *vv, const struct vsock_hdr *in)
{
	if (in->op == VSOCK_OP_RST)
		return;				/* never a reset for a reset */
	if (vv->nrsts == VVSOCK_RSTS) {
		count_inc(drop_vvsock_rst);
		return;
	}
	vv->rsts[vv->nrsts++] = (struct vvsock_rst){ in->dst_port,
						     in->src_port };
	vvsock_work_soon(vv);
}

void vvsock_rsts_send(struct vvsock *vv)
{
	unsigned int i;

	for (i = 0; i < vv->nrsts; i++) {
		struct vsock_hdr h = { .src_port = vv->rsts[i].port,
				       .dst_port = vv->rsts[i].peer,
				       .op = VSOCK_OP_RST };

		if (ctl_send(vv, &h))
			break;
	}
	vv->nrsts -= i;
	memmove(vv->rsts, vv->rsts + i, vv->nrsts * sizeof(vv->rsts[0]));
}

/* --- output -------------------------------------------------------------- */

/**
 * room_take() - Hold buffers for @len bytes of payload
 *
 * Return: 0; -EAGAIN; -EMSGSIZE if buffers are too small to be worth it;
 *	   -EPROTO if the ring is broken
 */
static int room_take(struct vvsock *vv, size_t len)
{
	int rc = 0;

	while (!rc && vv->room.len < len)
		rc = room_grow(vv);
	/* The whole ring is ours, and still it is not enough */
	if (rc == -EAGAIN && vv->room.n == vv->cfg.rx->num)
		rc = -EMSGSIZE;
	return rc;
}

/* Append @len bytes of a buffer's payload; pieces in all, or -EMSGSIZE */
static int chain_show(const struct vvsock_room *r,
		      const struct vvsock_room_chain *ch, size_t len,
		      struct iovec *out, int n)
{
	const struct iovec *iov = r->iov + ch->first;
	int rc;

	if (!ch->hdr) {
		rc = iov_slice(iov, ch->n, VSOCK_HDR_LEN, len, out + n,
			       LINK_IOV_MAX - n);
		return rc < 0 ? -EMSGSIZE : n + rc;
	}
	for (; len; iov++) {
		if (n == LINK_IOV_MAX)
			return -EMSGSIZE;
		out[n].iov_base = iov->iov_base;
		out[n].iov_len = MIN(iov->iov_len, len);
		len -= out[n++].iov_len;
	}
	return n;
}

/* Show @len bytes of what we hold; 0, or -EMSGSIZE: too many pieces */
static int room_show(const struct vvsock_room *r, size_t len,
		     struct link_room *out)
{
	const struct vvsock_room_chain *ch = r->chain + r->at;
	size_t left = len;
	int n = 0;

	for (; left; ch++) {
		size_t k = MIN(ch->len, left);

		n = chain_show(r, ch, k, out->iov, n);
		if (n < 0)
			return n;
		left -= k;
	}
	if (out->iov[0].iov_len < MIN(len, LINK_HEAD_MIN))
		return -EMSGSIZE;
	out->n = n;
	out->len = len;
	return 0;
}

static int conn_reserve(struct stream *s, size_t len, struct link_room *room)
{
	struct vvsock_conn *c = conn_of(s);
	struct vvsock *vv = c->vv;
	int rc = -EAGAIN;

	if (c->state != VVSOCK_STATE_OPEN || c->shut ||
	    c->peer_shut & VSOCK_SHUT_RCV)
		return -ENOTCONN;
	if (!len || len > VVSOCK_RECORD || len > c->peer_alloc)
		return -EMSGSIZE;
	if (!vv->room.owner && !(c->owed & 1u << VSOCK_OP_RESPONSE) &&
	    vvsock_conn_credit(c) >= len)
		rc = room_take(vv, len);
	if (rc) {
		if (rc == -EAGAIN)
			vvsock_work_soon(vv);
		return rc == -EPROTO ? -ENOTCONN : rc;
	}
	rc = room_show(&vv->room, len, room);
	if (!rc)
		vv->room.owner = c;
	return rc;
}

static int conn_commit(struct stream *s, struct link_room *room, size_t len)
{
	struct vvsock_conn *c = conn_of(s);
	struct vvsock *vv = c->vv;
	struct vsock_hdr h = { 0 };
	uint8_t b[VSOCK_HDR_LEN];
	size_t left = len;

	(void)room;
	if (vv->room.owner != c)
		return -ENOTCONN;	/* the rings have stopped meanwhile */
	vv->room.owner = NULL;
	while (left) {
		size_t k = MIN(vv->room.chain[vv->room.at].len, left);

		if (k != h.len) {	/* all but the last are alike */
			h = conn_hdr(c, VSOCK_OP_RW);
			h.len = (uint32_t)k;
			hdr_put(b, vv, &h);
		}
		room_use(vv, b, h.len);
		c->tx_cnt += h.len;
		left -= k;
	}
	if (len && !c->asked && vvsock_conn_credit(c) < c->peer_alloc / 2) {
		c->asked = true;
		vvsock_conn_owe(c, VSOCK_OP_CREDIT_REQUEST);
	}
	vvsock_work_soon(vv);
	return 0;
}

static int conn_send(struct stream *s, const struct iovec *iov, int n)
{
	size_t len = iov_len(iov, n), off = 0;
	struct link_room room;
	int rc;

	if (!len)
		return 0;
	rc = conn_reserve(s, len, &room);
	if (rc)
		return rc;
	for (int i = 0; i < n; i++) {
		iov_copy_in(room.iov, room.n, off, iov[i].iov_base,
			    iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return conn_commit(s, &room, len);
}

static void conn_flush(struct stream *s)
{
	virtq_notify(conn_of(s)->vv->cfg.rx);
}

static void conn_pause(struct stream *s, bool on)
{
	struct vvsock_conn *c = conn_of(s);

	c->paused = on;
	if (!on)
		vvsock_work_soon(c->vv);
}

static void conn_shut(struct stream *s)
{
	struct vvsock_conn *c = conn_of(s);

	if (c->state != VVSOCK_STATE_OPEN || c->shut)
		return;
	c->shut = true;
	vvsock_conn_owe(c, VSOCK_OP_SHUTDOWN);
}

static void conn_close(struct stream *s)
{
	struct vvsock_conn *c = conn_of(s);

	if (c->state == VVSOCK_STATE_CLOSED)
		return;
	if (c->state == VVSOCK_STATE_OPEN)
		c->owed = 1u << VSOCK_OP_RST;
	if (c->vv->room.owner == c)
		c->vv->room.owner = NULL;
	conn_set_state(c, VVSOCK_STATE_CLOSED);
	vvsock_work_soon(c->vv);
}

const struct stream_ops vvsock_conn_ops = {
	.send = conn_send,
	.reserve = conn_reserve,
	.commit = conn_commit,
	.flush = conn_flush,
	.pause = conn_pause,
	.shut = conn_shut,
	.close = conn_close,
};

/* Whether a whole record would find room, in credit and in buffers */
bool vvsock_conn_has_room(struct vvsock_conn *c)
{
	size_t want = MIN(c->peer_alloc, VVSOCK_RECORD);
	struct vvsock *vv = c->vv;
	int rc;

	if (c->owed & 1u << VSOCK_OP_RESPONSE || vv->room.owner ||
	    vvsock_conn_credit(c) < want)
		return false;
	rc = room_take(vv, want);
	return !rc || rc == -EMSGSIZE;	/* let them see it */
}
