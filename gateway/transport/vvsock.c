#include "gateway/transport/vvsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "gateway/transport/vvsock_conn.h"
#include "proto/ports.h"

/* How often a blocked stream asks for credit that the peer forgot to tell */
#define ASK_MIN_NS	(10 * NS_PER_MS)
#define ASK_MAX_NS	(500 * NS_PER_MS)

COUNT(drop_vvsock_short, "vsock packets without a whole header");
COUNT(drop_vvsock_len, "vsock packets longer than their descriptors");
COUNT(drop_vvsock_cid, "vsock packets with a foreign CID");
COUNT(drop_vvsock_type, "vsock packets of a type other than stream");
COUNT(drop_vvsock_op, "vsock packets with an unknown operation");
COUNT(drop_vvsock_stray, "vsock packets that belong to no stream");
COUNT(drop_vvsock_credit, "vsock streams reset because they ignored credit");
COUNT(drop_vvsock_memory, "vsock streams reset for want of memory");
COUNT(drop_vvsock_port, "vsock connections to a closed port");
COUNT(drop_vvsock_limit, "vsock connections beyond the limit");
COUNT(drop_vvsock_refused, "vsock connections refused above");
COUNT(drop_vvsock_again, "vsock connections with ports in use");
COUNT(vvsock_streams, "vsock streams accepted");

/* --- input --------------------------------------------------------------- */

static struct vvsock_conn *conn_find(const struct vvsock *vv, uint32_t port,
			      uint32_t peer)
{
	for (struct vvsock_conn *c = vv->conns; c; c = c->next) {
		if (c->peer == peer && c->port == port &&
		    (c->state == VVSOCK_STATE_OPEN || c->owed))
			return c;
	}
	return NULL;
}

/* Tell of the end of input, once everything before it has been taken */
static void conn_check_eof(struct vvsock_conn *c)
{
	if (c->state != VVSOCK_STATE_OPEN || ring_used(&c->keep))
		return;
	if (c->peer_shut & VSOCK_SHUT_SEND && !c->eof_told) {
		c->eof_told = true;
		if (!c->stream.eof)
			vvsock_conn_gone(c, -ECONNRESET, true);
		else
			c->stream.eof(&c->stream);
	}
	if (c->peer_shut == (VSOCK_SHUT_RCV | VSOCK_SHUT_SEND))
		vvsock_conn_gone(c, c->shut ? 0 : -ECONNRESET, true);
	else if (c->eof_told && c->shut && !(c->owed & 1u << VSOCK_OP_SHUTDOWN))
		vvsock_conn_gone(c, 0, true);	/* as both wanted */
}

/* Keep what was not taken, from @off on */
static void conn_keep(struct vvsock_conn *c, const struct iovec *iov, int n,
		      size_t off)
{
	if (!c->keep.buf && ring_alloc(&c->keep, VVSOCK_BUF)) {
		count_inc(drop_vvsock_memory);
		vvsock_conn_gone(c, -ENOMEM, true);
		return;
	}
	for (int i = 0; i < n; i++) {
		size_t skip = MIN(off, iov[i].iov_len), k;

		k = ring_put(&c->keep, (uint8_t *)iov[i].iov_base + skip,
			     iov[i].iov_len - skip);
		ASSERT(k == iov[i].iov_len - skip);	/* credit was checked */
		off -= skip;
	}
}

static void conn_input(struct vvsock_conn *c, const struct iovec *iov, int n,
		       size_t len)
{
	size_t taken = 0;

	if (c->state != VVSOCK_STATE_OPEN)
		return;
	c->touched = true;
	if (!c->paused && !ring_used(&c->keep)) {
		taken = c->stream.input(&c->stream, iov, n);
		ASSERT(taken <= len);
		c->fwd_cnt += (uint32_t)taken;
	}
	if (taken < len && c->state == VVSOCK_STATE_OPEN)
		conn_keep(c, iov, n, taken);
}

/* Offer again what waits, after a pause */
static void conn_resume(struct vvsock_conn *c)
{
	struct iovec iov[2];
	size_t taken;
	int n;

	if (c->state != VVSOCK_STATE_OPEN || c->paused)
		return;
	n = ring_read_iov(&c->keep, iov);
	if (n) {
		taken = c->stream.input(&c->stream, iov, n);
		c->touched = true;
		ring_take(&c->keep, taken);
		c->fwd_cnt += (uint32_t)taken;
		if (ring_used(&c->keep) && !c->paused)
			vvsock_work_soon(c->vv);
	}
	conn_check_eof(c);
}

/*
 * Linux guests may send no more than their own buffer holds, whatever we offer
 * (seen with Debian's 6.1.0-56): tell of progress before that much is in
 * flight, or both wait for ever.
 */
static bool credit_due(const struct vvsock_conn *c)
{
	uint32_t news = c->fwd_cnt - c->fwd_told;

	return news && news >= MIN(VVSOCK_BUF, c->peer_alloc) / 2;
}

/* The batch is over for everybody who got something */
static void inputs_done(struct vvsock *vv)
{
	for (struct vvsock_conn *c = vv->conns; c; c = c->next) {
		if (!c->touched)
			continue;
		c->touched = false;
		if (c->state == VVSOCK_STATE_OPEN && c->stream.input_done)
			c->stream.input_done(&c->stream);
		if (c->state == VVSOCK_STATE_OPEN && credit_due(c))
			vvsock_conn_owe(c, VSOCK_OP_CREDIT_UPDATE);
	}
}

static void batch_deliver(struct vvsock *vv)
{
	struct vvsock_batch *b = &vv->batch;

	if (b->nheads)
		conn_input(b->conn, b->iov, b->n, b->len);
	for (int i = 0; i < b->nheads; i++)
		virtq_put(vv->cfg.tx, b->heads[i], 0);
	b->conn = NULL;
	b->n = b->nheads = 0;
	b->len = 0;
}

/* Drop the header and what follows the payload; returns the pieces left */
static int trim(struct iovec *iov, int n, size_t len)
{
	size_t skip = VSOCK_HDR_LEN;
	int out = 0;

	for (int i = 0; i < n && len; i++) {
		size_t k = MIN(skip, iov[i].iov_len);
		struct iovec piece = { (uint8_t *)iov[i].iov_base + k,
				       MIN(iov[i].iov_len - k, len) };

		skip -= k;
		if (!piece.iov_len)
			continue;
		len -= piece.iov_len;
		iov[out++] = piece;
	}
	return out;
}

/**
 * conn_rw() - Payload came: add it to the batch
 * @ch:		Its chain, whose pieces stand behind the batch's
 *
 * Return: true if the batch holds the chain now
 */
static bool conn_rw(struct vvsock_conn *c, const struct vsock_hdr *h,
		    const struct virtq_chain *ch)
{
	struct vvsock_batch *b = &c->vv->batch;
	struct iovec *iov = b->iov + b->n;

	if (c->state != VVSOCK_STATE_OPEN || !h->len)
		return false;
	if (h->len > VVSOCK_BUF - (c->rx_cnt - c->fwd_cnt) ||
	    c->peer_shut & VSOCK_SHUT_SEND) {
		count_inc(drop_vvsock_credit);
		vvsock_conn_gone(c, -EPROTO, true);
		return false;
	}
	if (b->conn != c) {
		int n = ch->n_out;
		struct iovec *from = iov;

		batch_deliver(c->vv);
		iov = b->iov;
		memmove(iov, from, (size_t)n * sizeof(*iov));
		if (c->state != VVSOCK_STATE_OPEN)
			return false;
		b->conn = c;
	}
	b->n += trim(iov, ch->n_out, h->len);
	b->len += h->len;
	b->heads[b->nheads++] = ch->head;
	c->rx_cnt += h->len;
	return true;
}

static bool port_open(const struct vvsock *vv, uint32_t port)
{
	for (unsigned int i = 0; i < vv->cfg.nports; i++) {
		if (vv->cfg.ports[i] == port)
			return true;
	}
	return false;
}

static struct vvsock_conn *conn_new(struct vvsock *vv,
				    const struct vsock_hdr *h)
{
	unsigned int same = 0;
	struct vvsock_conn *c;

	for (c = vv->conns; c; c = c->next)
		same += c->port == h->dst_port;
	c = same < VVSOCK_STREAMS_PORT ? slab_new(&vv->slab) : NULL;
	if (!c)
		return NULL;
	c->vv = vv;
	c->stream.ops = &vvsock_conn_ops;
	c->port = h->dst_port;
	c->peer = h->src_port;
	c->peer_alloc = h->buf_alloc;
	c->peer_fwd = h->fwd_cnt;
	c->next = vv->conns;
	vv->conns = c;
	return c;
}

static void request(struct vvsock *vv, const struct vsock_hdr *h)
{
	struct vvsock_conn *c;

	if (!port_open(vv, h->dst_port)) {
		count_inc(drop_vvsock_port);
		vvsock_rst_later(vv, h);
		return;
	}
	c = conn_new(vv, h);
	if (!c) {
		count_inc(drop_vvsock_limit);
		vvsock_rst_later(vv, h);
		return;
	}
	if (vv->cfg.accept(vv->cfg.accept_arg, &c->stream, c->port)) {
		count_inc(drop_vvsock_refused);
		vvsock_conn_ops.close(&c->stream);	/* with a reset */
		return;
	}
	if (c->state != VVSOCK_STATE_OPEN)
		return;
	ASSERT(c->stream.input);
	count_inc(vvsock_streams);
	vvsock_conn_owe(c, VSOCK_OP_RESPONSE);
}

/* Everything but payload, for a stream that exists */
static void conn_control(struct vvsock_conn *c, const struct vsock_hdr *h)
{
	switch ((enum vsock_op)h->op) {
	case VSOCK_OP_REQUEST:
	case VSOCK_OP_RESPONSE:
		count_inc(drop_vvsock_again);
		vvsock_conn_gone(c, -EPROTO, true);
		break;
	case VSOCK_OP_RST:
		c->owed = 0;
		vvsock_conn_gone(c, -ECONNRESET, false);
		break;
	case VSOCK_OP_SHUTDOWN:
		c->peer_shut |= h->flags & (VSOCK_SHUT_RCV | VSOCK_SHUT_SEND);
		conn_check_eof(c);
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		if (c->state == VVSOCK_STATE_OPEN)
			vvsock_conn_owe(c, VSOCK_OP_CREDIT_UPDATE);
		break;
	case VSOCK_OP_RW:
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_INVALID:
	default:			/* from the wire: any value */
		count_inc(drop_vvsock_op);
	}
}

/* The peer's credit is in every packet */
static void conn_credit(struct vvsock_conn *c, const struct vsock_hdr *h)
{
	if (c->peer_fwd != h->fwd_cnt || c->peer_alloc != h->buf_alloc ||
	    h->op == VSOCK_OP_CREDIT_UPDATE)
		c->asked = false;
	c->peer_fwd = h->fwd_cnt;
	c->peer_alloc = h->buf_alloc;
	if (c->stream.full)
		vvsock_work_soon(c->vv);
}

/* Whether a header is one that we serve; anything else is counted */
static bool hdr_ok(struct vvsock *vv, const struct vsock_hdr *h,
		   const struct virtq_chain *ch)
{
	if (h->src_cid != vv->cfg.guest_cid || h->dst_cid != PROTO_CID_HOST) {
		count_inc(drop_vvsock_cid);
		return false;
	}
	if (h->len > ch->out_len - VSOCK_HDR_LEN) {
		count_inc(drop_vvsock_len);
		return false;
	}
	if (h->type != VSOCK_TYPE_STREAM) {
		count_inc(drop_vvsock_type);
		vvsock_rst_later(vv, h);
		return false;
	}
	return true;
}

/* One packet of the guest; true if the batch holds its chain now */
static bool packet(struct vvsock *vv, const struct virtq_chain *ch)
{
	const struct iovec *iov = vv->batch.iov + vv->batch.n;
	uint8_t b[VSOCK_HDR_LEN];
	struct vsock_hdr h;
	struct vvsock_conn *c;

	if (iov_copy_out(iov, ch->n_out, 0, b, sizeof(b)) < sizeof(b) ||
	    ch->n_in) {
		count_inc(drop_vvsock_short);
		return false;
	}
	atomic_signal_fence(memory_order_seq_cst);	/* as virtq_copy() */
	if (vsock_hdr_parse(rd_init(b, sizeof(b)), &h) || !hdr_ok(vv, &h, ch))
		return false;
	c = conn_find(vv, h.dst_port, h.src_port);
	if (c) {
		conn_credit(c, &h);
		if (h.op == VSOCK_OP_RW)
			return conn_rw(c, &h, ch);
		batch_deliver(vv);		/* what came before it */
		conn_control(c, &h);
	} else if (h.op == VSOCK_OP_REQUEST) {
		request(vv, &h);
	} else {
		count_inc(drop_vvsock_stray);
		vvsock_rst_later(vv, &h);
	}
	return false;
}

bool vvsock_tx_ready(struct vvsock *vv)
{
	struct vvsock_batch *b = &vv->batch;
	struct virtq *tx = vv->cfg.tx;
	struct virtq_chain ch;
	int left, rc = 0;

	if (vv->broken)
		return false;
	virtq_kick_off(tx);
	for (left = VVSOCK_TX_BUDGET; left; left--) {
		rc = virtq_pop(tx, &ch, b->iov + b->n, VVSOCK_TX_IOV - b->n);
		if (rc == -E2BIG && b->n) {
			batch_deliver(vv);
			rc = virtq_pop(tx, &ch, b->iov, VVSOCK_TX_IOV);
		}
		if (rc <= 0)
			break;
		if (!packet(vv, &ch))
			virtq_put(tx, ch.head, 0);
	}
	batch_deliver(vv);
	inputs_done(vv);
	vvsock_work_soon(vv);
	if (rc < 0)
		vvsock_broken(vv, rc);
	if (vv->broken)
		return false;
	return left == 0 || virtq_kick_on(tx, 0);
}

/* --- at the end of the turn ---------------------------------------------- */

void vvsock_rx_ready(struct vvsock *vv)
{
	vvsock_work_soon(vv);
}

static void ask_fire(struct timer *t)
{
	struct vvsock *vv = container_of(t, struct vvsock, ask);

	vv->ask_ns = MIN(2 * vv->ask_ns, ASK_MAX_NS);
	for (struct vvsock_conn *c = vv->conns; c; c = c->next) {
		if (c->stream.full)
			c->asked = false;
	}
	vvsock_work_soon(vv);
}

/* It waits for credit: ask for it now, and again later */
static void conn_ask(struct vvsock_conn *c)
{
	struct timerq *tq = ev_timerq(c->vv->ev);

	if (!c->asked) {
		c->asked = true;
		vvsock_conn_owe(c, VSOCK_OP_CREDIT_REQUEST);
	}
	if (!timer_armed(&c->vv->ask))
		timer_set(tq, &c->vv->ask, timerq_now(tq) + c->vv->ask_ns);
}

/* Whoever was first is last the next time: one stream could take all room */
static void conns_rotate(struct vvsock *vv)
{
	struct vvsock_conn **at = &vv->conns, *first = vv->conns;

	if (!first || !first->next)
		return;
	vv->conns = first->next;
	while (*at)
		at = &(*at)->next;
	first->next = NULL;
	*at = first;
}

static void conns_drained(struct vvsock *vv)
{
	bool any = false;

	for (struct vvsock_conn *c = vv->conns; c && !vv->broken; c = c->next) {
		uint32_t want = MIN(c->peer_alloc, VVSOCK_RECORD);

		if (c->state != VVSOCK_STATE_OPEN || !c->stream.full)
			continue;
		if (vvsock_conn_has_room(c)) {
			vv->ask_ns = ASK_MIN_NS;
			any = true;
			stream_drained(&c->stream);
		} else if (vvsock_conn_credit(c) < want) {
			conn_ask(c);
		}
	}
	if (any)
		conns_rotate(vv);
}

static void conns_free(struct vvsock *vv)
{
	struct vvsock_conn **at = &vv->conns;

	while (*at) {
		struct vvsock_conn *c = *at;

		if (c->state != VVSOCK_STATE_CLOSED || c->owed) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		ring_free(&c->keep);
		slab_del(&vv->slab, c);
	}
}

/* Be told of new buffers while somebody waits for them */
static void rx_arm(struct vvsock *vv)
{
	struct virtq *rx = vv->cfg.rx;
	bool need = vv->nrsts > 0;
	int seen = virtq_waiting(rx);

	for (struct vvsock_conn *c = vv->conns; c && !need; c = c->next)
		need = c->owed ||
		       (c->state == VVSOCK_STATE_OPEN && c->stream.full);
	if (!need)
		virtq_kick_off(rx);
	else if (seen >= 0 && virtq_kick_on(rx, seen))
		vvsock_work_soon(vv);
}

static void work(struct ev_task *t)
{
	struct vvsock *vv = container_of(t, struct vvsock, work);
	struct vvsock_conn *c;

	for (c = vv->conns; c && !vv->broken; c = c->next)
		conn_resume(c);
	inputs_done(vv);
	for (c = vv->conns; c && !vv->broken; c = c->next)
		vvsock_conn_send_owed(c);
	if (!vv->broken)
		vvsock_rsts_send(vv);
	conns_drained(vv);
	if (vv->broken) {
		vv->cfg.broken(vv->cfg.broken_arg, vv->broken);
		return;
	}
	conns_free(vv);
	rx_arm(vv);
	virtq_notify(vv->cfg.rx);
	virtq_notify(vv->cfg.tx);
}

void vvsock_rx_moves(struct vvsock *vv)
{
	vvsock_room_forget(vv);
}

void vvsock_reset(struct vvsock *vv, int why)
{
	vvsock_room_forget(vv);
	vv->nrsts = 0;
	vv->broken = 0;
	timer_del(ev_timerq(vv->ev), &vv->ask);
	vv->ask_ns = ASK_MIN_NS;
	for (struct vvsock_conn *c = vv->conns; c; c = c->next) {
		c->owed = 0;
		vvsock_conn_gone(c, why, false);
	}
	vvsock_work_soon(vv);
}

struct vvsock *vvsock_new(struct ev *ev, const struct vvsock_cfg *cfg)
{
	struct vvsock *vv = calloc(1, sizeof(*vv));

	if (!vv)
		return NULL;
	if (slab_init(&vv->slab, sizeof(struct vvsock_conn), VVSOCK_STREAMS)) {
		free(vv);
		errno = ENOMEM;
		return NULL;
	}
	vv->ev = ev;
	vv->cfg = *cfg;
	vv->work.run = work;
	vv->ask.fire = ask_fire;
	vv->ask_ns = ASK_MIN_NS;
	return vv;
}

void vvsock_free(struct vvsock *vv)
{
	if (!vv)
		return;
	vvsock_reset(vv, -ECONNRESET);
	ev_undefer(vv->ev, &vv->work);
	for (struct vvsock_conn *c = vv->conns; c; c = c->next)
		ring_free(&c->keep);
	slab_done(&vv->slab);
	free(vv);
}
