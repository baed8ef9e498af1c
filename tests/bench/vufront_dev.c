#include "tests/bench/vufront_dev.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "gateway/wire/vhost.h"
#include "proto/ports.h"

/* Where things lie in memory */
#define QUEUE(q)	(0x8000u * (q))
#define DESC(q)		(QUEUE(q) + 0x0000u)
#define AVAIL(q)	(QUEUE(q) + 0x1000u)
#define USED(q)		(QUEUE(q) + 0x2000u)
#define TABLE(q, i)	(QUEUE(q) + 0x4000u + 32u * (i))
#define HDR(q, i)	(0x10000u + 0x4000u * (q) + 64u * (i))
#define RX_BUF(i)	(0x20000u + RX_LEN * (i))
#define TX_BUF(i)	(0x100000u + 0x11000u * (i))
#define MEM_LEN		TX_BUF(VF_NUM)
#define RX_LEN		4096u

/* Where guest and VMM see it */
#define GPA		0x100000u
#define UADDR		0x7f0000000000ULL

/* virtio 1.2, 2.7 */
#define DESC_LEN	16
#define DESC_F_NEXT	1u
#define DESC_F_WRITE	2u
#define DESC_F_INDIRECT	4u
#define RING_IDX	1
#define RING_ENTRIES	2
#define USED_ENTRY	4
#define USED_EVENT	(RING_ENTRIES + VF_NUM)			/* in avail */
#define AVAIL_EVENT	(RING_ENTRIES + VF_NUM * USED_ENTRY)	/* in used */

#define PORT		40000		/* ours */
#define BUF_ALLOC	(1u << 20)	/* what msb-init agent sets */
#define CONNECT_MS	5000
#define ANSWER_MS	10000

static uint16_t load(const virtq_u16 *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static void store(virtq_u16 *p, uint16_t v)
{
	atomic_store_explicit(p, v, memory_order_relaxed);
}

/* --- messages of the VMM --------------------------------------------------- */

static void say(struct vf_dev *d, struct vhost_msg m, const int *fds, int nfds)
{
	uint8_t b[VHOST_HDR_LEN + VHOST_PAYLOAD_MAX];
	struct wr w = wr_init(b, sizeof(b));
	int rc;

	m.flags |= VHOST_FLAG_VERSION;
	vhost_msg_emit(&w, &m);
	rc = fd_send(d->sock, b, wr_len(&w), fds, nfds);
	if (rc)
		die("vhost-user request %u: %s", m.req, strerror(-rc));
}

static void hear(struct vf_dev *d, uint32_t req, uint8_t *b, size_t size)
{
	uint8_t head[VHOST_HDR_LEN];
	struct vhost_hdr h;

	if (recv(d->sock, head, sizeof(head), MSG_WAITALL) != sizeof(head) ||
	    vhost_hdr_parse(rd_init(head, sizeof(head)), &h) ||
	    h.req != req || !(h.flags & VHOST_FLAG_REPLY) || h.size != size ||
	    recv(d->sock, b, size, MSG_WAITALL) != (ssize_t)size)
		die("vhost-user request %u: no proper reply", req);
}

static uint64_t hear_u64(struct vf_dev *d, uint32_t req)
{
	uint8_t b[8];
	struct rd r = rd_init(b, sizeof(b));

	hear(d, req, b, sizeof(b));
	return rd_le64(&r);
}

static uint64_t ask(struct vf_dev *d, uint32_t req)
{
	say(d, (struct vhost_msg){ .req = req }, NULL, 0);
	return hear_u64(d, req);
}

/* With REPLY_ACK negotiated */
static void tell(struct vf_dev *d, struct vhost_msg m, const int *fds,
		 int nfds)
{
	m.flags = VHOST_FLAG_NEED_REPLY;
	say(d, m, fds, nfds);
	if (hear_u64(d, m.req))
		die("vhost-user request %u was refused", m.req);
}

static uint64_t ask_cid(struct vf_dev *d)
{
	struct vhost_msg m = { .req = VHOST_REQ_GET_CONFIG,
			       .config = { .size = 8 } };
	uint8_t b[12 + 8];
	struct rd r = rd_init(b, sizeof(b));

	say(d, m, NULL, 0);
	hear(d, m.req, b, sizeof(b));
	rd_take(&r, 12);
	return rd_le64(&r);
}

static void negotiate(struct vf_dev *d)
{
	const uint64_t want = VHOST_F_VERSION_1 | VHOST_F_EVENT_IDX |
			      VHOST_F_INDIRECT_DESC |
			      VHOST_F_PROTOCOL_FEATURES;
	const uint64_t proto = VHOST_PROTOCOL_F_CONFIG |
			       VHOST_PROTOCOL_F_REPLY_ACK;

	if ((ask(d, VHOST_REQ_GET_FEATURES) & want) != want ||
	    (ask(d, VHOST_REQ_GET_PROTOCOL_FEATURES) & proto) != proto)
		die("the device lacks a feature");
	say(d, (struct vhost_msg){ .req = VHOST_REQ_SET_PROTOCOL_FEATURES,
				   .u64 = proto }, NULL, 0);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_OWNER }, NULL, 0);
	d->cid = ask_cid(d);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_FEATURES,
				    .u64 = want }, NULL, 0);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_MEM_TABLE,
				    .mem = { 1, { { GPA, MEM_LEN, UADDR, 0 } } }
				  }, &d->memfd, 1);
}

static void start_ring(struct vf_dev *d, unsigned int q)
{
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_NUM,
				    .state = { q, VF_NUM } }, NULL, 0);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_BASE,
				    .state = { q, 0 } }, NULL, 0);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_ADDR, .addr = {
		.index = q, .desc = UADDR + DESC(q), .avail = UADDR + AVAIL(q),
		.used = UADDR + USED(q) } }, NULL, 0);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_KICK,
				    .u64 = q }, &d->kick[q], 1);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_CALL,
				    .u64 = q }, &d->call[q], 1);
	tell(d, (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_ENABLE,
				    .state = { q, 1 } }, NULL, 0);
}

/* --- rings ----------------------------------------------------------------- */

static void put_desc(struct vf_dev *d, uint32_t at, uint32_t to, uint32_t len,
		     unsigned int flags, unsigned int next)
{
	uint8_t b[DESC_LEN];
	struct wr w = wr_init(b, sizeof(b));

	wr_le64(&w, GPA + (uint64_t)to);
	wr_le32(&w, len);
	wr_le16(&w, (uint16_t)flags);
	wr_le16(&w, (uint16_t)next);
	memcpy(d->mem + at, b, sizeof(b));
}

static void lay_out(struct vf_dev *d)
{
	for (unsigned int q = 0; q < VF_QUEUE_NUM; q++) {
		unsigned int flags = q == VF_QUEUE_RX ? DESC_F_WRITE : 0;

		d->ring[q].avail = (virtq_u16 *)(void *)(d->mem + AVAIL(q));
		d->ring[q].used = (virtq_u16 *)(void *)(d->mem + USED(q));
		for (unsigned int i = 0; i < VF_NUM; i++) {
			put_desc(d, DESC(q) + 16 * i, TABLE(q, i), 32,
				 DESC_F_INDIRECT, 0);
			put_desc(d, TABLE(q, i), HDR(q, i), VSOCK_HDR_LEN,
				 flags | DESC_F_NEXT, 1);
			put_desc(d, TABLE(q, i) + 16, q == VF_QUEUE_RX ?
				 RX_BUF(i) : TX_BUF(i), RX_LEN, flags, 0);
		}
	}
	for (unsigned int i = 0; i < VF_NUM; i++)
		d->free[d->nfree++] = (uint16_t)(VF_NUM - 1 - i);
}

/* Fill an entry of the avail ring; publish() shows it to the device */
static void offer(struct vf_ring *r, uint16_t i)
{
	store(&r->avail[RING_ENTRIES + r->put++ % VF_NUM], i);
}

static void publish(struct vf_ring *r)
{
	atomic_thread_fence(memory_order_release);
	store(&r->avail[RING_IDX], r->put);
}

static bool has_used(const struct vf_ring *r)
{
	return load(&r->used[RING_IDX]) != r->seen;
}

static uint16_t take_used(struct vf_ring *r, uint32_t *len)
{
	const virtq_u16 *e = &r->used[RING_ENTRIES +
				      r->seen++ % VF_NUM * USED_ENTRY];

	atomic_thread_fence(memory_order_acquire);
	*len = load(e + 2) | (uint32_t)load(e + 3) << 16;
	if (load(e) >= VF_NUM || load(e + 1))
		die("the device has used what it was never given");
	return load(e);
}

void vf_dev_kick(struct vf_dev *d)
{
	const uint64_t one = 1;

	/* What was published must be visible before we look */
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned int q = 0; q < VF_QUEUE_NUM; q++) {
		struct vf_ring *r = &d->ring[q];
		uint16_t event = load(&r->used[AVAIL_EVENT]);

		if ((uint16_t)(r->put - event - 1) <
		    (uint16_t)(r->put - r->kicked)) {
			d->kicks++;
			if (write(d->kick[q], &one, sizeof(one)) < 0)
				die("kick: %s", strerror(errno));
		}
		r->kicked = r->put;
	}
}

bool vf_dev_wait(struct vf_dev *d, bool tx, int ms)
{
	struct pollfd p[] = { { .fd = d->call[VF_QUEUE_RX], .events = POLLIN },
			      { .fd = d->call[VF_QUEUE_TX], .events = POLLIN },
			      { .fd = d->sock, .events = POLLIN } };
	struct vf_ring *rx = &d->ring[VF_QUEUE_RX];
	struct vf_ring *tr = &d->ring[VF_QUEUE_TX];
	uint64_t n;
	int rc;

	store(&rx->avail[USED_EVENT], rx->seen);
	if (tx)
		store(&tr->avail[USED_EVENT], tr->seen);
	atomic_thread_fence(memory_order_seq_cst);
	if (has_used(rx) || (tx && has_used(tr)))
		return true;
	d->waits++;
	rc = poll(p, ARRAY_SIZE(p), ms);
	if (rc < 0)
		die("poll: %s", strerror(errno));
	for (unsigned int q = 0; q < VF_QUEUE_NUM; q++)
		if (p[q].revents && read(d->call[q], &n, sizeof(n)) < 0)
			die("call: %s", strerror(errno));
	if (p[2].revents)
		die("the gateway has hung up");
	return rc > 0;
}

/* --- the stream ------------------------------------------------------------ */

static void transmit(struct vf_dev *d, enum vsock_op op, size_t len)
{
	struct vf_ring *r = &d->ring[VF_QUEUE_TX];
	uint16_t i = d->free[--d->nfree];
	struct wr w = wr_init(d->mem + HDR(VF_QUEUE_TX, i), VSOCK_HDR_LEN);
	const struct vsock_hdr h = {
		.src_cid = d->cid,
		.dst_cid = PROTO_CID_HOST,
		.src_port = PORT,
		.dst_port = PROTO_PORT_FRAMES,
		.len = (uint32_t)len,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = BUF_ALLOC,
		.fwd_cnt = d->fwd_cnt,
	};

	vsock_hdr_emit(&w, &h);
	put_desc(d, TABLE(VF_QUEUE_TX, i), HDR(VF_QUEUE_TX, i), VSOCK_HDR_LEN,
		 len ? DESC_F_NEXT : 0, 1);
	put_desc(d, TABLE(VF_QUEUE_TX, i) + 16, TX_BUF(i), (uint32_t)len, 0, 0);
	put_desc(d, DESC(VF_QUEUE_TX) + 16u * i, TABLE(VF_QUEUE_TX, i),
		 len ? 32 : 16, DESC_F_INDIRECT, 0);
	d->tx_cnt += (uint32_t)len;
	d->owe = false;
	offer(r, i);
	publish(r);
}

uint32_t vf_dev_credit(const struct vf_dev *d)
{
	return d->peer_alloc - (d->tx_cnt - d->peer_fwd);
}

uint8_t *vf_dev_slot(struct vf_dev *d, unsigned int *slot)
{
	if (!d->nfree)
		return NULL;
	*slot = d->free[d->nfree - 1];
	return d->mem + TX_BUF(*slot);
}

void vf_dev_send(struct vf_dev *d, size_t len)
{
	ASSERT(d->nfree && len && len <= VF_PACKET_MAX);
	if (vf_dev_credit(d) < len)
		die("sent more than the gateway gave credit for");
	transmit(d, VSOCK_OP_RW, len);
}

static void packet(struct vf_dev *d, uint16_t i, uint32_t len)
{
	const uint8_t *hdr = d->mem + HDR(VF_QUEUE_RX, i);
	struct vsock_hdr h;

	if (vsock_hdr_parse(rd_init(hdr, VSOCK_HDR_LEN), &h) ||
	    len != VSOCK_HDR_LEN + h.len || h.len > RX_LEN ||
	    h.dst_cid != d->cid || h.dst_port != PORT)
		die("the device has sent nonsense");
	d->peer_alloc = h.buf_alloc;
	d->peer_fwd = h.fwd_cnt;
	switch ((enum vsock_op)h.op) {
	case VSOCK_OP_RESPONSE:
		d->open = true;
		break;
	case VSOCK_OP_RW:
		d->fwd_cnt += h.len;
		d->input(d->arg, d->mem + RX_BUF(i), h.len);
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		d->owe = true;
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_INVALID:
	case VSOCK_OP_REQUEST:
	case VSOCK_OP_RST:
	case VSOCK_OP_SHUTDOWN:
		die("the gateway has ended the stream, op %u", h.op);
	}
}

bool vf_dev_poll(struct vf_dev *d)
{
	struct vf_ring *rx = &d->ring[VF_QUEUE_RX];
	struct vf_ring *tx = &d->ring[VF_QUEUE_TX];
	bool any = false;
	uint32_t len;

	while (has_used(tx)) {
		d->free[d->nfree++] = take_used(tx, &len);
		any = true;
	}
	while (has_used(rx)) {
		uint16_t i = take_used(rx, &len);

		packet(d, i, len);
		offer(rx, i);
		publish(rx);
		any = true;
	}
	if (d->owe && d->nfree)
		transmit(d, VSOCK_OP_CREDIT_UPDATE, 0);
	return any;
}

void vf_dev_stream(struct vf_dev *d)
{
	transmit(d, VSOCK_OP_REQUEST, 0);
	vf_dev_kick(d);
	while (!d->open)
		if (!vf_dev_poll(d) && !vf_dev_wait(d, false, ANSWER_MS))
			die("the gateway does not accept the stream");
}

static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path))
		die("%s: too long", path);
	memcpy(a.sun_path, path, strlen(path));
	for (int ms = 0; ms < CONNECT_MS; ms += 10) {
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
			return fd;
		usleep(10000);
	}
	die("%s: %s", path, strerror(errno));
}

void vf_dev_open(struct vf_dev *d, const char *path)
{
	d->sock = dial(path);
	d->memfd = memfd_create("guest", MFD_CLOEXEC);
	if (d->memfd < 0 || ftruncate(d->memfd, MEM_LEN))
		die("memfd: %s", strerror(errno));
	d->mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		      d->memfd, 0);
	if (d->mem == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	lay_out(d);
	negotiate(d);
	for (unsigned int q = 0; q < VF_QUEUE_NUM; q++) {
		d->kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		d->call[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		start_ring(d, q);
	}
	for (uint16_t i = 0; i < VF_NUM; i++)
		offer(&d->ring[VF_QUEUE_RX], i);
	publish(&d->ring[VF_QUEUE_RX]);
	vf_dev_kick(d);
}
