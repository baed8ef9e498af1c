#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "base/count.h"
#include "base/fd.h"
#include "tests/unit/vvsock_rig.h"

static size_t on_input(struct stream *s, const struct iovec *iov, int n)
{
	struct vv_rig *r = s->user;
	size_t k = MIN(iov_len(iov, n), r->take);

	assert_true(k <= sizeof(r->got) - r->got_len);
	r->inputs++;
	r->got_len += iov_copy_out(iov, n, 0, r->got + r->got_len, k);
	if (k < iov_len(iov, n))
		stream_pause(s, true);
	if (r->close_in_input)
		stream_close(s);
	return k;
}

static void on_done(struct stream *s)
{
	((struct vv_rig *)s->user)->dones++;
}

static void on_drained(struct stream *s)
{
	((struct vv_rig *)s->user)->drained++;
}

static void on_eof(struct stream *s)
{
	((struct vv_rig *)s->user)->eofs++;
}

static void on_down(struct stream *s, int why)
{
	struct vv_rig *r = s->user;

	r->downs++;
	r->why = why;
	stream_close(s);
}

static int on_accept(void *arg, struct stream *s, uint32_t port)
{
	struct vv_rig *r = arg;

	assert_int_equal(port, VVR_PORT);
	r->accepted++;
	if (r->refuse)
		return r->refuse;
	r->s = s;
	s->user = r;
	s->input = on_input;
	s->input_done = on_done;
	s->drained = on_drained;
	s->eof = r->no_eof ? NULL : on_eof;
	s->down = on_down;
	return 0;
}

static void on_broken(void *arg, int why)
{
	struct vv_rig *r = arg;

	r->broken = why;
	virtq_unmap(&r->rx);
	virtq_unmap(&r->tx);
	vvsock_reset(r->vv, -ECONNRESET);
}

struct vv_rig *vvr_open(void)
{
	static const uint32_t ports[] = { 99, VVR_PORT };
	struct vv_rig *r = calloc(1, sizeof(*r));
	struct vvsock_cfg cfg = {
		.guest_cid = VVR_CID, .ports = ports, .nports = 2,
		.accept = on_accept, .accept_arg = r,
		.broken = on_broken, .broken_arg = r,
	};
	struct vhost_mem t;
	int fds[2];

	assert_non_null(r);
	count_reset();
	fg_open(&r->g);
	fg_table(&t);
	fds[0] = fds[1] = r->g.memfd;
	assert_int_equal(virtq_mem_set(&r->mem, &t, fds), 0);
	r->rx = (struct virtq){ .mem = &r->mem, .num = FG_NUM, .call_fd = -1,
				.addr = fg_addr(0), .indirect = true };
	r->tx = r->rx;
	r->tx.addr = fg_addr(1);
	assert_int_equal(virtq_map(&r->rx, true), 0);
	assert_int_equal(virtq_map(&r->tx, true), 0);
	cfg.rx = &r->rx;
	cfg.tx = &r->tx;
	r->ev = ev_new(1);
	assert_non_null(r->ev);
	r->vv = vvsock_new(r->ev, &cfg);
	assert_non_null(r->vv);
	r->take = SIZE_MAX;
	return r;
}

void vvr_close(struct vv_rig *r)
{
	vvsock_free(r->vv);
	ev_free(r->ev);
	virtq_mem_clear(&r->mem);
	fg_close(&r->g);
	free(r);
}

void vvr_turn(struct vv_rig *r)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(ev_turn(r->ev, 0), 0);
}

struct vsock_hdr vvr_header(struct vv_rig *r, uint16_t op)
{
	return (struct vsock_hdr){
		.src_cid = VVR_CID, .dst_cid = 2, .src_port = VVR_PEER,
		.dst_port = VVR_PORT, .type = VSOCK_TYPE_STREAM, .op = op,
		.buf_alloc = VVR_ALLOC, .fwd_cnt = r->fwd };
}

void vvr_put_hdr(struct vv_rig *r, const struct vsock_hdr *h, const void *data,
		    size_t len)
{
	fg_send(&r->g, r->slot++ % (FG_NUM / 2), h, data, len);
}

void vvr_put(struct vv_rig *r, uint16_t op, const void *data, size_t len)
{
	struct vsock_hdr h = vvr_header(r, op);

	h.len = (uint32_t)len;
	vvr_put_hdr(r, &h, data, len);
}

void vvr_kick(struct vv_rig *r)
{
	while (vvsock_tx_ready(r->vv))
		continue;
	vvr_turn(r);
}

/* The next packet must be of this kind */
struct vsock_hdr vvr_expect(struct vv_rig *r, uint16_t op)
{
	struct vsock_hdr h = { 0 };
	const uint8_t *data;

	assert_true(fg_recv(&r->g, &h, &data));
	assert_int_equal(h.op, op);
	assert_int_equal(h.src_cid, 2);
	assert_int_equal(h.dst_cid, VVR_CID);
	assert_int_equal(h.type, VSOCK_TYPE_STREAM);
	return h;
}

void vvr_expect_nothing(struct vv_rig *r)
{
	struct vsock_hdr h = { 0 };
	const uint8_t *data;

	if (fg_recv(&r->g, &h, &data))
		fail_msg("got op %u", h.op);
}

void vvr_connect(struct vv_rig *r)
{
	struct vsock_hdr h;

	vvr_put(r, VSOCK_OP_REQUEST, NULL, 0);
	vvr_kick(r);
	assert_int_equal(r->accepted, 1);
	h = vvr_expect(r, VSOCK_OP_RESPONSE);
	assert_int_equal(h.src_port, VVR_PORT);
	assert_int_equal(h.dst_port, VVR_PEER);
	assert_int_equal(h.buf_alloc, VVSOCK_BUF);
}

struct vv_rig *vvr_connected(unsigned int bufs)
{
	struct vv_rig *r = vvr_open();

	fg_post(&r->g, bufs + 1, 4096);
	vvr_connect(r);
	return r;
}

/* Everything the guest put was given back */
void vvr_all_used(struct vv_rig *r)
{
	uint32_t id, len;

	while (fg_used(&r->g, 1, &id, &len))
		assert_int_equal(len, 0);
	assert_int_equal(r->g.used[1], r->g.avail[1]);
}
