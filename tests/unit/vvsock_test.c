#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "tests/unit/vvsock_rig.h"

int vvsock_test(void);

static void both_ways(void **state)
{
	struct iovec out[2] = { { "hel", 3 }, { "lo", 2 } };
	struct vv_rig *r = vvr_connected(10);
	struct vsock_hdr h;
	const uint8_t *data;

	(void)state;
	vvr_put(r, VSOCK_OP_RW, "abc", 3);
	vvr_put(r, VSOCK_OP_RW, "de", 2);
	vvr_put(r, VSOCK_OP_RW, "f", 1);
	vvr_kick(r);
	assert_int_equal(r->got_len, 6);
	assert_memory_equal(r->got, "abcdef", 6);
	assert_int_equal(r->inputs, 1);		/* together, in place */
	assert_int_equal(r->dones, 1);
	assert_int_equal(stream_send(r->s, out, 2), 0);
	assert_true(fg_recv(&r->g, &h, &data));
	assert_int_equal(h.op, VSOCK_OP_RW);
	assert_int_equal(h.len, 5);
	assert_int_equal(h.fwd_cnt, 6);
	assert_memory_equal(data, "hello", 5);
	vvr_all_used(r);
	vvr_close(r);
}

/* Packets that are dropped or answered with RST, and their counters */
static void bad_packets(void **state)
{
	static const struct {
		const char *counter;
		uint64_t src_cid, dst_cid;
		uint32_t dst_port, len;
		uint16_t type, op;
		bool rst;
	} cases[] = {
		{ "drop_vvsock_cid", 8, 2, VVR_PORT, 0, 1, 1, false },
		{ "drop_vvsock_cid", VVR_CID, 3, VVR_PORT, 0, 1, 1, false },
		{ "drop_vvsock_cid", VVR_CID + (1ULL << 32), 2, VVR_PORT, 0, 1,
		  1, false },
		{ "drop_vvsock_len", VVR_CID, 2, VVR_PORT, 5, 1, 5, false },
		{ "drop_vvsock_len", VVR_CID, 2, VVR_PORT, UINT32_MAX, 1, 5,
		  false },
		{ "drop_vvsock_type", VVR_CID, 2, VVR_PORT, 0, 2, 1, true },
		{ "drop_vvsock_port", VVR_CID, 2, 1026, 0, 1, 1, true },
		{ "drop_vvsock_port", VVR_CID, 2, 0, 0, 1, 1, true },
		{ "drop_vvsock_stray", VVR_CID, 2, VVR_PORT, 4, 1, 5, true },
		{ "drop_vvsock_stray", VVR_CID, 2, VVR_PORT, 0, 1, 2, true },
		{ "drop_vvsock_stray", VVR_CID, 2, VVR_PORT, 0, 1, 0, true },
		{ "drop_vvsock_stray", VVR_CID, 2, VVR_PORT, 0, 1, 0xffff,
		  true },
		{ "drop_vvsock_stray", VVR_CID, 2, VVR_PORT, 0, 1, 3, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vv_rig *r = vvr_open();
		struct vsock_hdr h = vvr_header(r, cases[i].op);

		h.src_cid = cases[i].src_cid;
		h.dst_cid = cases[i].dst_cid;
		h.dst_port = cases[i].dst_port;
		h.len = cases[i].len;
		h.type = cases[i].type;
		fg_post(&r->g, 4, 4096);
		vvr_put_hdr(r, &h, "data", 4);
		vvr_kick(r);
		if (count_get(cases[i].counter) != 1)
			fail_msg("case %zu: %s not counted", i,
				 cases[i].counter);
		assert_int_equal(r->accepted, 0);
		if (cases[i].rst) {
			h = vvr_expect(r, VSOCK_OP_RST);
			assert_int_equal(h.dst_port, VVR_PEER);
			assert_int_equal(h.src_port, cases[i].dst_port);
		}
		vvr_expect_nothing(r);
		vvr_all_used(r);
		assert_int_equal(r->broken, 0);
		vvr_close(r);
	}
}

/* Operations on a live stream that the guest should not send */
static void bad_operations(void **state)
{
	static const struct {
		uint16_t op;
		const char *counter;
		bool down;
	} cases[] = {
		{ VSOCK_OP_INVALID, "drop_vvsock_op", false },
		{ 8, "drop_vvsock_op", false },
		{ 0xffff, "drop_vvsock_op", false },
		{ VSOCK_OP_REQUEST, "drop_vvsock_again", true },
		{ VSOCK_OP_RESPONSE, "drop_vvsock_again", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vv_rig *r = vvr_connected(4);

		vvr_put(r, cases[i].op, NULL, 0);
		vvr_kick(r);
		assert_int_equal(count_get(cases[i].counter), 1);
		assert_int_equal(r->downs, cases[i].down);
		if (cases[i].down)
			vvr_expect(r, VSOCK_OP_RST);
		vvr_expect_nothing(r);
		vvr_close(r);
	}
}

static void short_packet(void **state)
{
	static const uint32_t lens[] = { 0, 1, 43 };
	struct vv_rig *r = vvr_open();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		fg_desc(&r->g, 1, 0, (struct fg_desc){ FG_GPA, lens[i], 0, 0 });
		fg_avail(&r->g, 1, 0);
	}
	fg_desc(&r->g, 1, 1, (struct fg_desc){ FG_GPA, 44, FG_NEXT, 2 });
	fg_desc(&r->g, 1, 2, (struct fg_desc){ FG_GPA, 44, FG_WRITE, 0 });
	fg_avail(&r->g, 1, 1);
	vvr_kick(r);
	assert_int_equal(count_get("drop_vvsock_short"), 4);
	vvr_all_used(r);
	vvr_close(r);
}

static void limits(void **state)
{
	struct vv_rig *r = vvr_open();

	(void)state;
	for (uint32_t i = 0; i < VVSOCK_STREAMS_PORT + 3; i++) {
		struct vsock_hdr h = vvr_header(r, VSOCK_OP_REQUEST);

		h.src_port = 100 + i;
		fg_post(&r->g, 1, 4096);
		vvr_put_hdr(r, &h, NULL, 0);
		vvr_kick(r);
		vvr_expect(r, i < VVSOCK_STREAMS_PORT ? VSOCK_OP_RESPONSE :
						    VSOCK_OP_RST);
	}
	assert_int_equal(r->accepted, VVSOCK_STREAMS_PORT);
	assert_int_equal(count_get("drop_vvsock_limit"), 3);
	stream_close(r->s);			/* makes room for one */
	fg_post(&r->g, 2, 4096);
	vvr_turn(r);
	vvr_expect(r, VSOCK_OP_RST);
	vvr_put(r, VSOCK_OP_REQUEST, NULL, 0);
	vvr_kick(r);
	vvr_expect(r, VSOCK_OP_RESPONSE);
	vvr_close(r);
}

static void refused_above(void **state)
{
	struct vv_rig *r = vvr_open();

	(void)state;
	r->refuse = -EBUSY;
	fg_post(&r->g, 2, 4096);
	vvr_put(r, VSOCK_OP_REQUEST, NULL, 0);
	vvr_kick(r);
	vvr_expect(r, VSOCK_OP_RST);
	vvr_expect_nothing(r);
	assert_int_equal(r->downs, 0);
	assert_int_equal(count_get("drop_vvsock_refused"), 1);
	vvr_close(r);
}

/* No buffers: the answers wait, in a queue that is bounded */
static void rst_queue(void **state)
{
	struct vv_rig *r = vvr_open();

	(void)state;
	for (unsigned int i = 0; i < VVSOCK_RSTS + 5; i++) {
		struct vsock_hdr h = vvr_header(r, VSOCK_OP_REQUEST);

		h.dst_port = 1;
		h.src_port = i;
		vvr_put_hdr(r, &h, NULL, 0);
		vvr_kick(r);
	}
	assert_int_equal(count_get("drop_vvsock_rst"), 5);
	for (unsigned int i = 0; i < VVSOCK_RSTS; i++) {
		fg_post(&r->g, 1, 4096);
		vvsock_rx_ready(r->vv);
		vvr_turn(r);
		assert_int_equal(vvr_expect(r, VSOCK_OP_RST).dst_port, i);
	}
	fg_post(&r->g, 1, 4096);
	vvsock_rx_ready(r->vv);
	vvr_turn(r);
	vvr_expect_nothing(r);
	vvr_close(r);
}

static void pause_keeps(void **state)
{
	struct vv_rig *r = vvr_connected(4);

	(void)state;
	r->take = 2;
	vvr_put(r, VSOCK_OP_RW, "abc", 3);
	vvr_put(r, VSOCK_OP_RW, "def", 3);
	vvr_kick(r);
	assert_int_equal(r->got_len, 2);
	vvr_put(r, VSOCK_OP_RW, "ghi", 3);
	vvr_put(r, VSOCK_OP_SHUTDOWN, NULL, 0);
	r->take = 3;
	vvr_kick(r);
	assert_int_equal(r->got_len, 2);
	stream_pause(r->s, false);
	vvr_turn(r);
	assert_int_equal(r->got_len, 5);
	r->take = SIZE_MAX;
	stream_pause(r->s, false);
	vvr_turn(r);
	assert_int_equal(r->got_len, 9);
	assert_memory_equal(r->got, "abcdefghi", 9);
	vvr_close(r);
}

/* The end of input comes after the input that was held back */
static void eof_after_kept(void **state)
{
	struct vv_rig *r = vvr_connected(4);
	struct vsock_hdr h = vvr_header(r, VSOCK_OP_SHUTDOWN);

	(void)state;
	h.flags = VSOCK_SHUT_SEND | VSOCK_SHUT_RCV;
	r->take = 0;
	vvr_put(r, VSOCK_OP_RW, "abc", 3);
	vvr_put_hdr(r, &h, NULL, 0);
	vvr_kick(r);
	assert_int_equal(r->eofs + r->downs, 0);
	vvr_expect_nothing(r);
	r->take = SIZE_MAX;
	stream_pause(r->s, false);
	vvr_turn(r);
	assert_int_equal(r->got_len, 3);
	assert_int_equal(r->eofs, 1);
	assert_int_equal(r->downs, 1);
	assert_int_equal(r->why, -ECONNRESET);
	vvr_expect(r, VSOCK_OP_RST);
	vvr_close(r);
}

static void credit_update(void **state)
{
	static const uint8_t block[4000];
	struct vv_rig *r = vvr_connected(8);
	size_t sent = 0;
	struct vsock_hdr h;
	const uint8_t *data;

	(void)state;
	while (sent < VVSOCK_BUF / 2) {
		vvr_expect_nothing(r);
		vvr_put(r, VSOCK_OP_RW, block, sizeof(block));
		vvr_kick(r);
		sent += sizeof(block);
	}
	assert_true(fg_recv(&r->g, &h, &data));
	assert_int_equal(h.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(h.fwd_cnt, sent);
	vvr_put(r, VSOCK_OP_CREDIT_REQUEST, NULL, 0);
	vvr_kick(r);
	assert_int_equal(vvr_expect(r, VSOCK_OP_CREDIT_UPDATE).fwd_cnt, sent);
	vvr_close(r);
}

/* The guest's own buffer is smaller than ours, and limits what it sends */
static void credit_small_peer(void **state)
{
	static const uint8_t block[2048];
	struct vv_rig *r = vvr_connected(8);
	struct vsock_hdr h = vvr_header(r, VSOCK_OP_RW);

	(void)state;
	h.buf_alloc = 4096;
	h.len = 2047;
	vvr_put_hdr(r, &h, block, h.len);
	vvr_kick(r);
	vvr_expect_nothing(r);
	h.len = 1;
	vvr_put_hdr(r, &h, block, h.len);
	vvr_kick(r);
	assert_int_equal(vvr_expect(r, VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 2048);
	vvr_close(r);
}

static void credit_ignored(void **state)
{
	static const uint8_t block[4000];
	struct vv_rig *r = vvr_connected(8);

	(void)state;
	r->take = 0;
	for (size_t sent = 0; sent <= VVSOCK_BUF; sent += sizeof(block)) {
		assert_int_equal(r->downs, 0);
		vvr_put(r, VSOCK_OP_RW, block, sizeof(block));
		vvr_kick(r);
	}
	assert_int_equal(r->downs, 1);
	assert_int_equal(count_get("drop_vvsock_credit"), 1);
	vvr_expect(r, VSOCK_OP_RST);
	vvr_close(r);
}

/* A whole record in buffers of 4 KiB: in place, and the rest given back */
static void record(void **state)
{
	struct vv_rig *r = vvr_connected(20);
	struct link_room room;
	size_t left = VVSOCK_RECORD, seen = 0;
	struct vsock_hdr h;
	const uint8_t *data;

	(void)state;
	assert_int_equal(stream_reserve(r->s, VVSOCK_RECORD, &room), 0);
	assert_int_equal(room.len, VVSOCK_RECORD);
	assert_int_equal(iov_len(room.iov, room.n), VVSOCK_RECORD);
	assert_true(room.iov[0].iov_len >= LINK_HEAD_MIN);
	for (int i = 0; i < room.n; i++)
		memset(room.iov[i].iov_base, 'a' + i, room.iov[i].iov_len);
	assert_int_equal(stream_commit(r->s, &room, VVSOCK_RECORD), 0);
	for (int i = 0; left; i++) {
		assert_true(fg_recv(&r->g, &h, &data));
		assert_int_equal(h.len, MIN(left, 4096 - 44));
		assert_int_equal(data[0], 'a' + i);
		assert_int_equal(data[h.len - 1], 'a' + i);
		left -= h.len;
		seen++;
	}
	assert_int_equal(seen, 17);
	/* Three buffers are left: a room of all, of which one byte is used */
	assert_int_equal(stream_reserve(r->s, 3 * 4052, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 0), 0);
	assert_int_equal(stream_reserve(r->s, 3 * 4052, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 1), 0);
	assert_int_equal(vvr_expect(r, VSOCK_OP_RW).len, 1);
	assert_int_equal(stream_reserve(r->s, 3 * 4052, &room), -EAGAIN);
	assert_int_equal(stream_reserve(r->s, 2 * 4052, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 0), 0);
	assert_int_equal(stream_reserve(r->s, VVSOCK_RECORD + 1, &room),
			 -EMSGSIZE);
	vvr_close(r);
}

/* Buffers in pieces that do not touch, by indirect tables, one every 8 KiB */
#define CUTS	3
#define SLOT(i)	(FG_BUFS + 0x2000u * (i))
static const struct cut {
	unsigned int bufs;
	uint32_t len[CUTS];
} cuts[] = {
	{ 20, { 4096 } },
	{ 20, { 44, 4052 } },
	{ 20, { 20, 4076 } },
	{ 20, { 43, 4053 } },
	{ 20, { 300, 3796 } },
	{ 36, { 20, 24, 2004 } },	/* as much as we can hold, and more */
};

/* Piece @p of buffer @i; what is longer than the others stands first */
static uint32_t cut_at(const struct cut *c, uint32_t i, unsigned int p)
{
	return SLOT(i) + (c->len[p] > 1000 ? 0 : 0x1200 + 0x400 * p);
}

static void cut_post(struct vv_rig *r, const struct cut *c, uint16_t i)
{
	unsigned int n = 0;

	for (; n < CUTS && c->len[n]; n++)
		fg_desc_at(&r->g, SLOT(i) + 0x1f00 + 16 * n, (struct fg_desc){
			FG_GPA + cut_at(c, i, n), c->len[n],
			FG_WRITE | (n + 1 < CUTS && c->len[n + 1] ? FG_NEXT : 0),
			(uint16_t)(n + 1) });
	fg_desc(&r->g, 0, i, (struct fg_desc){ FG_GPA + SLOT(i) + 0x1f00,
					       16 * n, FG_INDIRECT, 0 });
	fg_avail(&r->g, 0, i);
}

/* The guest takes a packet and posts its buffer anew; bytes of payload */
static uint32_t cut_take(struct vv_rig *r, const struct cut *c, uint8_t *from)
{
	uint8_t b[4096];
	struct vsock_hdr h;
	uint32_t i, len, at = 0;

	assert_true(fg_used(&r->g, 0, &i, &len));
	for (unsigned int p = 0; p < CUTS && at < len; at += c->len[p++])
		memcpy(b + at, r->g.mem + cut_at(c, i, p),
		       MIN(c->len[p], len - at));
	assert_int_equal(vsock_hdr_parse(rd_init(b, len), &h), 0);
	assert_int_equal(h.len, len - VSOCK_HDR_LEN);
	for (at = 0; at < h.len; at++)
		assert_int_equal(b[VSOCK_HDR_LEN + at], (*from)++);
	cut_post(r, c, (uint16_t)i);
	return h.len;
}

static void held_one(const struct cut *c)
{
	static uint8_t bytes[3 * 4096];
	struct vv_rig *r = vvr_connected(0);
	struct link_room room;
	const size_t all = 16 * 4052;
	size_t got;
	uint8_t from;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (unsigned int i = 0; i < c->bufs; i++)
		cut_post(r, c, (uint16_t)i);
	for (unsigned int k = 0; k < 300; k++) {
		size_t len = 1 + k * 997 % 9000;

		assert_int_equal(stream_reserve(r->s, all, &room), 0);
		assert_int_equal(iov_len(room.iov, room.n), all);
		iov_copy_in(room.iov, room.n, 0, bytes + k % 256, len);
		assert_int_equal(stream_commit(r->s, &room, len), 0);
		from = (uint8_t)k;
		for (got = 0; got < len;)
			got += cut_take(r, c, &from);
		assert_int_equal(got, len);
		r->fwd += (uint32_t)len;
		vvr_put(r, VSOCK_OP_CREDIT_UPDATE, NULL, 0);
		vvr_kick(r);
		/* A request for credit, perhaps */
		while (r->g.used[0] != fg_used_word(&r->g, 0, 1))
			assert_int_equal(cut_take(r, c, &from), 0);
	}
	vvr_close(r);
}

/* What a room did not need makes up the next one, however it is cut */
static void held(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++)
		held_one(&cuts[i]);
}

static void no_buffers(void **state)
{
	struct vv_rig *r = vvr_connected(1);
	struct link_room room;

	(void)state;
	assert_int_equal(stream_reserve(r->s, 5000, &room), -EAGAIN);
	vvr_turn(r);
	assert_int_equal(fg_used_word(&r->g, 0, 0), 0);	/* wants to know */
	fg_post(&r->g, 10, 4096);
	vvsock_rx_ready(r->vv);
	vvr_turn(r);
	assert_int_equal(r->drained, 0);	/* not for a whole record */
	fg_post(&r->g, 6, 4096);
	vvsock_rx_ready(r->vv);
	vvr_turn(r);
	assert_int_equal(r->drained, 1);
	assert_int_equal(fg_used_word(&r->g, 0, 0), 1);
	assert_int_equal(stream_reserve(r->s, 5000, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 0), 0);
	vvr_close(r);
}

static void drain_bulk(struct stream *s)
{
	struct link_room room;

	((struct vv_rig *)s->user)->drained++;
	while (!stream_reserve(s, 4000, &room))
		stream_commit(s, &room, 4000);
}

/* Two streams want all the room there is: each has its turn to be first */
static void fair(void **state)
{
	struct vv_rig *r = vvr_connected(0);
	struct stream *a = r->s, *b;
	unsigned int got[2] = { 0 };
	struct vsock_hdr h = vvr_header(r, VSOCK_OP_REQUEST);
	struct link_room room;
	const uint8_t *data;

	(void)state;
	h.src_port = VVR_PEER + 1;
	vvr_put_hdr(r, &h, NULL, 0);
	fg_post(&r->g, 1, 4096);
	vvr_kick(r);
	vvr_expect(r, VSOCK_OP_RESPONSE);
	b = r->s;
	a->drained = b->drained = drain_bulk;
	assert_int_equal(stream_reserve(a, 4000, &room), -EAGAIN);
	assert_int_equal(stream_reserve(b, 4000, &room), -EAGAIN);
	for (int i = 0; i < 2; i++) {
		fg_post(&r->g, 20, 4096);
		vvsock_rx_ready(r->vv);
		vvr_turn(r);
		while (fg_recv(&r->g, &h, &data)) {
			if (h.op == VSOCK_OP_RW)
				got[h.dst_port - VVR_PEER]++;
		}
	}
	assert_true(got[0] >= 15);
	assert_true(got[1] >= 15);
	vvr_close(r);
}

static void no_credit(void **state)
{
	struct vv_rig *r = vvr_connected(FG_NUM - 2);
	struct link_room room;
	struct vsock_hdr h;
	const uint8_t *data;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(stream_reserve(r->s, 65000, &room), 0);
		assert_int_equal(stream_commit(r->s, &room, 65000), 0);
		vvr_turn(r);
	}
	assert_int_equal(count_get("vvsock_asked"), 1);	/* at the half */
	fg_post(&r->g, 2, 4096);
	while (fg_recv(&r->g, &h, &data))
		fg_post(&r->g, 1, 4096);
	assert_int_equal(h.op, VSOCK_OP_CREDIT_REQUEST);
	assert_int_equal(stream_reserve(r->s, 65565, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 65565), 0);
	assert_int_equal(stream_reserve(r->s, 65000, &room), -EAGAIN);
	vvr_turn(r);
	r->fwd = 60000;				/* less than a record */
	vvr_put(r, VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	while (fg_recv(&r->g, &h, &data))
		fg_post(&r->g, 1, 4096);
	vvr_kick(r);
	assert_int_equal(r->drained, 0);
	vvr_expect(r, VSOCK_OP_CREDIT_REQUEST);	/* so it asks again */
	r->fwd = 70000;
	vvr_put(r, VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	vvr_kick(r);
	assert_int_equal(r->drained, 1);
	assert_int_equal(stream_reserve(r->s, 65000, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 0), 0);
	/* A guest that claims to have taken more than was sent has no room */
	r->fwd = 0x7fffffff;
	vvr_put(r, VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	vvr_kick(r);
	assert_int_equal(stream_reserve(r->s, 1, &room), -EAGAIN);
	vvr_close(r);
}

/* It forgets to answer: we ask by the clock, less and less often */
static void asks_again(void **state)
{
	struct vv_rig *r = vvr_connected(FG_NUM - 2);
	struct vsock_hdr h = vvr_header(r, VSOCK_OP_CREDIT_UPDATE);
	struct timerq *tq = ev_timerq(r->ev);
	struct link_room room;
	uint64_t now;

	(void)state;
	h.buf_alloc = 10;
	vvr_put_hdr(r, &h, NULL, 0);
	vvr_kick(r);
	assert_int_equal(stream_reserve(r->s, 11, &room), -EMSGSIZE);
	assert_int_equal(stream_reserve(r->s, 8, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 8), 0);
	assert_int_equal(stream_reserve(r->s, 8, &room), -EAGAIN);
	vvr_turn(r);
	vvr_expect(r, VSOCK_OP_RW);
	vvr_expect(r, VSOCK_OP_CREDIT_REQUEST);
	for (int i = 0; i < 4; i++) {
		now = timerq_next(tq);
		assert_true(now != TIMERQ_NEVER);
		timerq_run(tq, now);
		vvr_turn(r);
		vvr_expect(r, VSOCK_OP_CREDIT_REQUEST);
		assert_int_equal(timerq_next(tq) - now,
				 (10 * NS_PER_MS) << (i + 1));
	}
	vvr_close(r);
}

static void half_close(void **state)
{
	struct vv_rig *r = vvr_connected(8);
	struct vsock_hdr h = vvr_header(r, VSOCK_OP_SHUTDOWN);
	struct iovec out = { "x", 1 };

	(void)state;
	h.flags = VSOCK_SHUT_SEND;
	vvr_put_hdr(r, &h, NULL, 0);
	vvr_kick(r);
	assert_int_equal(r->eofs, 1);
	assert_int_equal(r->downs, 0);
	assert_int_equal(stream_send(r->s, &out, 1), 0);
	stream_shut(r->s);
	assert_int_equal(stream_send(r->s, &out, 1), -ENOTCONN);
	vvr_turn(r);
	vvr_expect(r, VSOCK_OP_RW);
	assert_int_equal(vvr_expect(r, VSOCK_OP_SHUTDOWN).flags,
			 VSOCK_SHUT_SEND);
	vvr_expect(r, VSOCK_OP_RST);		/* both have ended */
	assert_int_equal(r->eofs, 1);
	assert_int_equal(r->downs, 1);
	assert_int_equal(r->why, 0);
	vvr_close(r);
}

static void ends(void **state)
{
	static const struct {
		uint16_t op;
		uint32_t flags;
		bool no_eof;
		int eofs, downs;
		bool rst;
	} cases[] = {
		{ VSOCK_OP_RST, 0, false, 0, 1, false },
		{ VSOCK_OP_SHUTDOWN, 3, false, 1, 1, true },
		{ VSOCK_OP_SHUTDOWN, 2, true, 0, 1, true },
		{ VSOCK_OP_SHUTDOWN, 1, false, 0, 0, false },
		{ VSOCK_OP_SHUTDOWN, 0xfffffffc, false, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vv_rig *r = vvr_open();
		struct vsock_hdr h = vvr_header(r, cases[i].op);

		r->no_eof = cases[i].no_eof;
		fg_post(&r->g, 4, 4096);
		vvr_connect(r);
		h.flags = cases[i].flags;
		vvr_put_hdr(r, &h, NULL, 0);
		vvr_kick(r);
		assert_int_equal(r->eofs, cases[i].eofs);
		assert_int_equal(r->downs, cases[i].downs);
		if (cases[i].downs)
			assert_int_equal(r->why, -ECONNRESET);
		if (cases[i].rst)
			vvr_expect(r, VSOCK_OP_RST);
		vvr_expect_nothing(r);
		vvr_close(r);
	}
}

static void closes(void **state)
{
	struct vv_rig *r = vvr_connected(0);

	(void)state;
	r->close_in_input = true;
	vvr_put(r, VSOCK_OP_RW, "abc", 3);
	vvr_put(r, VSOCK_OP_RW, "def", 3);
	vvr_kick(r);
	assert_int_equal(r->inputs, 1);
	vvr_all_used(r);
	vvr_expect_nothing(r);			/* no buffer yet */
	vvr_put(r, VSOCK_OP_RW, "ghi", 3);		/* it cannot know */
	vvr_kick(r);
	fg_post(&r->g, 2, 4096);
	vvsock_rx_ready(r->vv);
	vvr_turn(r);
	vvr_expect(r, VSOCK_OP_RST);
	vvr_expect_nothing(r);
	assert_int_equal(r->inputs, 1);
	assert_int_equal(r->downs, 0);
	vvr_close(r);
}

static void reset(void **state)
{
	struct vv_rig *r = vvr_connected(2);

	(void)state;
	vvsock_reset(r->vv, -ECONNRESET);
	assert_int_equal(r->downs, 1);
	assert_int_equal(r->why, -ECONNRESET);
	vvr_turn(r);
	vvr_expect_nothing(r);
	vvr_close(r);
}

/* RX buffers that no sane driver posts */
static void bad_buffers(void **state)
{
	static const struct {
		struct fg_desc d;
		int rc, broken;
	} cases[] = {
		{ { FG_GPA, 4096, 0, 0 }, -ENOTCONN, -EPROTO },
		{ { FG_GPA, 44, FG_WRITE, 0 }, -ENOTCONN, -EPROTO },
		{ { 0, 4096, FG_WRITE, 0 }, -ENOTCONN, -EFAULT },
		{ { FG_GPA, 44 + 255, FG_WRITE, 0 }, -EMSGSIZE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vv_rig *r = vvr_connected(0);
		struct link_room room;
		int rc;

		fg_desc(&r->g, 0, 1, cases[i].d);
		fg_avail(&r->g, 0, 1);
		fg_avail(&r->g, 0, 1);
		rc = stream_reserve(r->s, 300, &room);
		assert_int_equal(rc, cases[i].rc);
		vvr_turn(r);
		assert_int_equal(r->broken, cases[i].broken);
		assert_int_equal(r->downs, cases[i].broken != 0);
		vvr_close(r);
	}
}

static void broken_ring(void **state)
{
	struct vv_rig *r = vvr_connected(2);

	(void)state;
	vvr_put(r, VSOCK_OP_RW, "abc", 3);
	fg_set_avail(&r->g, 1, (uint16_t)(r->g.avail[1] + 1000));
	assert_false(vvsock_tx_ready(r->vv));
	vvr_turn(r);
	assert_int_equal(r->broken, -EPROTO);
	assert_int_equal(r->downs, 1);
	vvr_close(r);
}

int vvsock_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(bad_packets),
		cmocka_unit_test(bad_operations),
		cmocka_unit_test(short_packet),
		cmocka_unit_test(limits),
		cmocka_unit_test(refused_above),
		cmocka_unit_test(rst_queue),
		cmocka_unit_test(pause_keeps),
		cmocka_unit_test(eof_after_kept),
		cmocka_unit_test(credit_update),
		cmocka_unit_test(credit_small_peer),
		cmocka_unit_test(credit_ignored),
		cmocka_unit_test(record),
		cmocka_unit_test(held),
		cmocka_unit_test(no_buffers),
		cmocka_unit_test(fair),
		cmocka_unit_test(no_credit),
		cmocka_unit_test(asks_again),
		cmocka_unit_test(half_close),
		cmocka_unit_test(ends),
		cmocka_unit_test(closes),
		cmocka_unit_test(reset),
		cmocka_unit_test(bad_buffers),
		cmocka_unit_test(broken_ring),
	};

	return cmocka_run_group_tests_name("vvsock", tests, NULL, NULL);
}
