/*
 * A guest that does as it likes: the input is a list of things that it writes
 * to its memory and rings, and of things that the upper layer does meanwhile.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "gateway/transport/vvsock.h"

#define MEM		0x10000u
#define GPA		0x1000u
#define NUM		16u
#define HELD		4	/* streams that the upper layer remembers */

/* Places in guest memory */
#define DESC(q)		(0x400u * (q))
#define AVAIL(q)	(DESC(q) + 0x100u)
#define USED(q)		(DESC(q) + 0x200u)

enum step {
	STEP_WRITE, STEP_DESC, STEP_AVAIL, STEP_PACKET, STEP_POST, STEP_TX,
	STEP_RX, STEP_TURN, STEP_SEND, STEP_ROOM, STEP_PAUSE, STEP_SHUT,
	STEP_CLOSE, STEP_RESET, STEP_TIME, STEP_NUM,
};

struct state {
	struct ev *ev;
	struct vvsock *vv;
	struct virtq q[2];
	struct stream *held[HELD];
	uint8_t take;
};

static struct virtq_mem mem;
static uint8_t *guest;
static int memfd;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void forget(struct stream *s)
{
	struct state *st = s->user;

	for (int i = 0; i < HELD; i++) {
		if (st->held[i] == s)
			st->held[i] = NULL;
	}
	stream_close(s);
}

static size_t on_input(struct stream *s, const struct iovec *iov, int n)
{
	size_t len = iov_len(iov, n), take = len;
	struct state *st = s->user;
	uint8_t b[64];

	iov_copy_out(iov, n, 0, b, sizeof(b));	/* touch it */
	if (st->take & 1) {
		take = MIN(len, st->take);
		stream_pause(s, take < len);
	}
	if (st->take == 0xfe)
		forget(s);
	return take;
}

static void on_drained(struct stream *s)
{
	stream_flush(s);
}

static void on_down(struct stream *s, int why)
{
	(void)why;
	forget(s);
}

static int on_accept(void *arg, struct stream *s, uint32_t port)
{
	struct state *st = arg;

	(void)port;
	s->user = st;
	for (int i = 0; i < HELD; i++) {
		if (st->held[i])
			continue;
		st->held[i] = s;
		s->input = on_input;
		s->drained = on_drained;
		s->eof = i & 1 ? on_drained : NULL;
		s->down = on_down;
		return 0;
	}
	return -ENOSPC;
}

static void rings_map(struct state *st)
{
	for (unsigned int q = 0; q < 2; q++) {
		struct virtq *vq = &st->q[q];

		vq->last_avail = 0;
		vq->addr = (struct vhost_addr){ q, 0, DESC(q), USED(q),
						AVAIL(q), 0 };
		ASSERT(!virtq_map(vq, true));
	}
}

static void on_broken(void *arg, int why)
{
	struct state *st = arg;

	(void)why;
	virtq_unmap(&st->q[0]);
	virtq_unmap(&st->q[1]);
	vvsock_reset(st->vv, -ECONNRESET);
}

static void put_le(uint32_t off, uint64_t v, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		guest[(off + i) % MEM] = (uint8_t)(v >> (8 * i));
}

static uint16_t get_le16(uint32_t off)
{
	return (uint16_t)(guest[off] | guest[off + 1] << 8);
}

static void put_desc(unsigned int q, unsigned int i, uint64_t addr,
		     uint32_t len, uint16_t flags, uint16_t next)
{
	uint32_t off = DESC(q) + 16 * (i % NUM);

	put_le(off, addr, 8);
	put_le(off + 8, len, 4);
	put_le(off + 12, flags, 2);
	put_le(off + 14, next, 2);
}

static void make_avail(unsigned int q, uint16_t head)
{
	uint16_t idx = get_le16(AVAIL(q) + 2);

	put_le(AVAIL(q) + 4 + 2 * (idx % NUM), head, 2);
	put_le(AVAIL(q) + 2, idx + 1u, 2);
}

/* A packet that is well-formed but for what the input says */
static void packet(struct rd *in)
{
	uint16_t op = rd_u8(in);
	uint8_t peer = rd_u8(in), odd = rd_u8(in);
	uint32_t len = rd_u16(in), off = 0x2000;
	struct vsock_hdr h = {
		.src_cid = odd == 1 ? 9 : 3, .dst_cid = 2,
		.src_port = peer & 7, .dst_port = odd == 2 ? 5 : 1024,
		.len = odd == 3 ? rd_u32(in) : len,
		.type = odd == 4 ? 2 : 1, .op = op & 15,
		.flags = peer >> 3,
		.buf_alloc = odd == 5 ? rd_u32(in) : 70000,
		.fwd_cnt = odd == 6 ? rd_u32(in) : 0,
	};
	struct wr w = wr_init(guest + off, VSOCK_HDR_LEN);

	vsock_hdr_emit(&w, &h);
	put_desc(1, 0, GPA + off, VSOCK_HDR_LEN, len ? 1 : 0, 1);
	put_desc(1, 1, GPA + 0x3000, len, 0, 0);
	make_avail(1, 0);
}

static void post(struct rd *in)
{
	uint8_t n = rd_u8(in) % NUM;
	uint16_t size = rd_u16(in);

	for (unsigned int i = 0; i < n; i++) {
		put_desc(0, i, GPA + 0x4000, size, 2, 0);
		make_avail(0, (uint16_t)i);
	}
}

static void room(struct stream *s, struct rd *in)
{
	size_t want = (size_t)rd_u16(in) * 2, len = (size_t)rd_u16(in) * 2;
	struct link_room r;

	if (stream_reserve(s, want, &r))
		return;
	ASSERT(iov_len(r.iov, r.n) == want && r.n <= LINK_IOV_MAX);
	ASSERT(r.iov[0].iov_len >= MIN(want, LINK_HEAD_MIN));
	for (int i = 0; i < r.n; i++)
		memset(r.iov[i].iov_base, 'x', r.iov[i].iov_len);
	stream_commit(s, &r, MIN(len, want));
}

/* What the upper layer does */
static void upper(struct state *st, enum step step, struct rd *in)
{
	struct stream *s = st->held[rd_u8(in) % HELD];
	struct iovec out = { guest, rd_u8(in) };

	if (step == STEP_PAUSE)
		st->take = rd_u8(in);
	if (!s)
		return;
	if (step == STEP_SEND)
		stream_send(s, &out, 1);
	else if (step == STEP_ROOM)
		room(s, in);
	else if (step == STEP_PAUSE)
		stream_pause(s, st->take & 1);
	else if (step == STEP_SHUT)
		stream_shut(s);
	else if (step == STEP_CLOSE)
		forget(s);
}

static void guest_writes(enum step step, struct rd *in)
{
	unsigned int q = rd_u8(in) & 1;
	uint32_t off = rd_u16(in);
	uint8_t n = rd_u8(in), bytes[255];

	if (step == STEP_WRITE && rd_copy(in, bytes, n)) {
		for (unsigned int i = 0; i < n; i++)
			guest[(off + i) % MEM] = bytes[i];
	} else if (step == STEP_DESC) {
		uint64_t addr = GPA + (uint64_t)(int32_t)rd_u32(in);
		uint32_t len = rd_u32(in);
		uint8_t flags = rd_u8(in);

		put_desc(q, n, addr, len, flags, rd_u8(in));
	} else if (step == STEP_AVAIL) {
		if (off & 1)
			put_le(AVAIL(q) + 2, off, 2);
		else
			make_avail(q, n);
	}
}

static void one_step(struct state *st, struct rd *in)
{
	enum step step = (enum step)(rd_u8(in) % STEP_NUM);
	struct timerq *tq = ev_timerq(st->ev);

	switch (step) {
	case STEP_WRITE:
	case STEP_DESC:
	case STEP_AVAIL:
		guest_writes(step, in);
		break;
	case STEP_PACKET:
		packet(in);
		vvsock_tx_ready(st->vv);
		break;
	case STEP_POST:
		post(in);
		break;
	case STEP_TX:
		vvsock_tx_ready(st->vv);
		break;
	case STEP_RX:
		vvsock_rx_ready(st->vv);
		break;
	case STEP_TURN:
		ev_turn(st->ev, 0);
		break;
	case STEP_RESET:
		vvsock_reset(st->vv, -ECONNRESET);
		rings_map(st);
		break;
	case STEP_TIME:
		timerq_run(tq, timerq_now(tq) + 20 * NS_PER_MS);
		break;
	case STEP_SEND:
	case STEP_ROOM:
	case STEP_PAUSE:
	case STEP_SHUT:
	case STEP_CLOSE:
	case STEP_NUM:
		upper(st, step, in);
	}
}

/* Two regions that touch, of one file: buffers may cross between them */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct vhost_mem t = { .n = 2, .region = {
		{ GPA, 0x4100, 0, 0 },
		{ GPA + 0x4100, MEM - 0x4100, 0x100000, 0x4100 } } };
	int fds[2];

	(void)argc;
	(void)argv;
	memfd = memfd_create("guest", MFD_CLOEXEC);
	ASSERT(memfd >= 0 && !ftruncate(memfd, MEM));
	guest = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT(guest != MAP_FAILED);
	fds[0] = fds[1] = memfd;
	ASSERT(!virtq_mem_set(&mem, &t, fds));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint32_t ports[] = { 1024 };
	struct rd in = rd_init(data, len);
	struct state st = { .ev = ev_new(1) };
	struct vvsock_cfg cfg = {
		.rx = &st.q[0], .tx = &st.q[1], .guest_cid = 3,
		.ports = ports, .nports = 1,
		.accept = on_accept, .accept_arg = &st,
		.broken = on_broken, .broken_arg = &st,
	};
	uint8_t how = rd_u8(&in);

	memset(guest, 0, MEM);
	for (int q = 0; q < 2; q++) {
		st.q[q] = (struct virtq){ .mem = &mem, .num = NUM,
					  .event_idx = how & 1,
					  .indirect = how & 2, .call_fd = -1 };
	}
	rings_map(&st);
	st.vv = vvsock_new(st.ev, &cfg);
	ASSERT(st.ev && st.vv);
	for (int i = 0; i < 500 && rd_left(&in); i++)
		one_step(&st, &in);
	for (int i = 0; i < 4; i++)
		ev_turn(st.ev, 0);
	vvsock_free(st.vv);
	ev_free(st.ev);
	return 0;
}
