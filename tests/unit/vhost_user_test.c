#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "gateway/transport/vhost_user.h"
#include "gateway/wire/vhost.h"
#include "tests/unit/fake_guest.h"

int vhost_user_test(void);

#define CID	(5 + (1ULL << 32))
#define V1	VHOST_FLAG_VERSION
#define ACK	(V1 | VHOST_FLAG_NEED_REPLY)

struct rig {
	struct ev *ev;
	struct vhost_user *vu;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int sock;			/* of the VMM */
	struct fake_guest g;
	int kick[2], call[2];
	struct stream *s;
	unsigned int downs;
	int vmms;
};

static size_t on_input(struct stream *s, const struct iovec *iov, int n)
{
	(void)s;
	return iov_len(iov, n);
}

static void on_down(struct stream *s, int why)
{
	struct rig *r = s->user;

	assert_int_equal(why, -ECONNRESET);
	r->downs++;
	stream_close(s);
}

static int on_accept(void *arg, struct stream *s, uint32_t port)
{
	struct rig *r = arg;

	assert_int_equal(port, 1024);
	s->input = on_input;
	s->down = on_down;
	s->user = r;
	r->s = s;
	return 0;
}

static void on_vmm(void *arg, bool here)
{
	struct rig *r = arg;

	r->vmms += here ? 1 : -1;
}

static void turn(struct rig *r)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(ev_turn(r->ev, 0), 0);
}

static int dial(struct rig *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&r->addr, r->addr_len),
			 0);
	return fd;
}

/* An abstract address of the kernel's choice: nothing to clean up */
static struct rig *rig_open(void)
{
	static const uint32_t ports[] = { 1024 };
	struct rig *r = calloc(1, sizeof(*r));
	struct vhost_user_cfg cfg = { .guest_cid = CID, .ports = ports,
				      .nports = 1, .accept = on_accept,
				      .vmm = on_vmm, .arg = r };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_non_null(r);
	count_reset();
	r->addr.sun_family = AF_UNIX;
	assert_int_equal(bind(fd, (struct sockaddr *)&r->addr,
			      sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 4), 0);
	r->addr_len = sizeof(r->addr);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&r->addr,
				     &r->addr_len), 0);
	fg_open(&r->g);
	for (int i = 0; i < 2; i++) {
		r->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		r->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	r->ev = ev_new(1);
	assert_non_null(r->ev);
	r->vu = vhost_user_new(r->ev, fd, &cfg);
	assert_non_null(r->vu);
	r->sock = dial(r);
	turn(r);
	assert_int_equal(r->vmms, 1);
	return r;
}

static void rig_close(struct rig *r)
{
	vhost_user_free(r->vu);
	ev_free(r->ev);
	fd_close(&r->sock);
	for (int i = 0; i < 2; i++) {
		fd_close(&r->kick[i]);
		fd_close(&r->call[i]);
	}
	fg_close(&r->g);
	free(r);
}

static void send_msg(struct rig *r, const struct vhost_msg *m, const int *fds,
		     int nfds)
{
	uint8_t b[VHOST_HDR_LEN + VHOST_PAYLOAD_MAX];
	struct wr w = wr_init(b, sizeof(b));

	vhost_msg_emit(&w, m);
	assert_false(w.bad);
	assert_int_equal(fd_send(r->sock, b, wr_len(&w), fds, nfds), 0);
	turn(r);
}

static struct vhost_msg msg_u64(uint32_t req, uint64_t v)
{
	return (struct vhost_msg){ .req = req, .flags = V1, .u64 = v };
}

static struct vhost_msg msg_state(uint32_t req, uint32_t index, uint32_t num)
{
	return (struct vhost_msg){ .req = req, .flags = V1,
				   .state = { index, num } };
}

/* Whether the device has hung up */
static bool hung_up(struct rig *r)
{
	uint8_t b;
	ssize_t n = recv(r->sock, &b, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* A reply with @size bytes of payload, which are returned in @b */
static void get_reply(struct rig *r, uint32_t req, uint8_t *b, uint32_t size)
{
	uint8_t head[VHOST_HDR_LEN];
	struct vhost_hdr h;

	assert_int_equal(recv(r->sock, head, sizeof(head), 0), sizeof(head));
	assert_int_equal(vhost_hdr_parse(rd_init(head, sizeof(head)), &h), 0);
	assert_int_equal(h.req, req);
	assert_int_equal(h.flags, V1 | VHOST_FLAG_REPLY);
	assert_int_equal(h.size, size);
	if (size)
		assert_int_equal(recv(r->sock, b, size, 0), size);
}

static uint64_t get_u64(struct rig *r, uint32_t req)
{
	uint8_t b[8];
	struct rd d = rd_init(b, sizeof(b));

	get_reply(r, req, b, sizeof(b));
	return rd_le64(&d);
}

static void send_mem(struct rig *r)
{
	struct vhost_msg m = { .req = VHOST_REQ_SET_MEM_TABLE, .flags = ACK };
	int fds[2] = { r->g.memfd, r->g.memfd };

	fg_table(&m.mem);
	send_msg(r, &m, fds, 2);
	assert_int_equal(get_u64(r, VHOST_REQ_SET_MEM_TABLE), 0);
}

static void start_ring(struct rig *r, unsigned int q)
{
	struct vhost_msg m = msg_state(VHOST_REQ_SET_VRING_NUM, q, FG_NUM);

	send_msg(r, &m, NULL, 0);
	m = msg_state(VHOST_REQ_SET_VRING_BASE, q, 0);
	send_msg(r, &m, NULL, 0);
	m = (struct vhost_msg){ .req = VHOST_REQ_SET_VRING_ADDR, .flags = V1,
				.addr = fg_addr(q) };
	send_msg(r, &m, NULL, 0);
	m = msg_u64(VHOST_REQ_SET_VRING_KICK, q);
	send_msg(r, &m, &r->kick[q], 1);
	m = msg_u64(VHOST_REQ_SET_VRING_CALL, q);
	send_msg(r, &m, &r->call[q], 1);
}

/* What QEMU says, in its order, up to a device that runs */
static void handshake(struct rig *r)
{
	struct vhost_msg m = { .req = VHOST_REQ_GET_FEATURES, .flags = V1 };
	uint64_t features;

	send_msg(r, &m, NULL, 0);
	features = get_u64(r, m.req);
	assert_true(features & VHOST_F_VERSION_1);
	assert_true(features & VHOST_F_PROTOCOL_FEATURES);
	m.req = VHOST_REQ_GET_PROTOCOL_FEATURES;
	send_msg(r, &m, NULL, 0);
	assert_true(get_u64(r, m.req) & VHOST_PROTOCOL_F_CONFIG);
	m = msg_u64(VHOST_REQ_SET_PROTOCOL_FEATURES,
		    VHOST_PROTOCOL_F_CONFIG | VHOST_PROTOCOL_F_REPLY_ACK);
	send_msg(r, &m, NULL, 0);
	m = (struct vhost_msg){ .req = VHOST_REQ_SET_OWNER, .flags = V1 };
	send_msg(r, &m, NULL, 0);
	m = msg_u64(VHOST_REQ_SET_FEATURES, features & ~VHOST_F_EVENT_IDX);
	send_msg(r, &m, NULL, 0);
	send_mem(r);
	for (unsigned int q = 0; q < 2; q++)
		start_ring(r, q);
	for (unsigned int q = 0; q < 2; q++) {
		m = msg_state(VHOST_REQ_SET_VRING_ENABLE, q, 1);
		send_msg(r, &m, NULL, 0);
	}
}

/* The guest connects, by its kick; the answer comes with a call */
static void connect_stream(struct rig *r)
{
	struct vsock_hdr h = { .src_cid = CID, .dst_cid = 2, .src_port = 9,
			       .dst_port = 1024, .type = 1, .op = 1,
			       .buf_alloc = 1 << 18 };
	const uint8_t *data;
	uint64_t n = 1;

	while (read(r->call[0], &n, sizeof(n)) > 0)
		continue;
	fg_post(&r->g, 4, 4096);
	fg_send(&r->g, 0, &h, NULL, 0);
	n = 1;
	assert_int_equal(write(r->kick[1], &n, sizeof(n)), sizeof(n));
	turn(r);
	assert_true(fg_recv(&r->g, &h, &data));
	assert_int_equal(h.op, VSOCK_OP_RESPONSE);
	assert_int_equal(read(r->call[0], &n, sizeof(n)), sizeof(n));
	assert_non_null(r->s);
}

static void whole_life(void **state)
{
	struct rig *r = rig_open();
	struct vhost_msg m;
	struct link_room room;
	uint8_t b[8];
	struct rd d = rd_init(b, sizeof(b));

	(void)state;
	handshake(r);
	connect_stream(r);
	send_mem(r);				/* memory moves underneath */
	assert_int_equal(r->downs, 0);
	assert_int_equal(stream_send(r->s, &(struct iovec){ "x", 1 }, 1), 0);
	/* What is held for the next frame does not count as used */
	assert_int_equal(stream_reserve(r->s, 5000, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 0), 0);
	m = msg_state(VHOST_REQ_GET_VRING_BASE, 0, 0);
	send_msg(r, &m, NULL, 0);
	assert_int_equal(r->downs, 1);
	get_reply(r, m.req, b, sizeof(b));
	assert_int_equal(rd_le32(&d), 0);
	assert_int_equal(rd_le32(&d), 2);	/* buffers that were used */
	m = msg_state(VHOST_REQ_GET_VRING_BASE, 1, 0);
	send_msg(r, &m, NULL, 0);
	get_reply(r, m.req, b, sizeof(b));
	rig_close(r);
}

/* Buffers that are held for the next frame are found in the new memory again */
static void held_moves(void **state)
{
	struct rig *r = rig_open();
	const struct vhost_msg m = {
		.req = VHOST_REQ_SET_MEM_TABLE, .flags = ACK,
		.mem = { 1, { { FG_GPA, FG_SIZE, FG_UADDR, 0 } } },
	};
	struct fake_guest old;
	struct link_room room;
	struct vsock_hdr h;
	const uint8_t *data;

	(void)state;
	handshake(r);
	connect_stream(r);
	assert_int_equal(stream_reserve(r->s, 5000, &room), 0);
	assert_int_equal(stream_commit(r->s, &room, 0), 0);
	old = r->g;
	fg_open(&r->g);
	memcpy(r->g.mem, old.mem, FG_SIZE);
	memcpy(r->g.avail, old.avail, sizeof(old.avail));
	memcpy(r->g.used, old.used, sizeof(old.used));
	send_msg(r, &m, &r->g.memfd, 1);	/* in one piece, now */
	assert_int_equal(get_u64(r, m.req), 0);
	fg_close(&old);
	assert_int_equal(stream_send(r->s, &(struct iovec){ "y", 1 }, 1), 0);
	assert_true(fg_recv(&r->g, &h, &data));
	assert_int_equal(h.op, VSOCK_OP_RW);
	assert_int_equal(data[0], 'y');
	assert_int_equal(r->downs, 0);
	rig_close(r);
}

/* The guest reboots: the same VMM starts the rings once more, from zero */
static void reboot(void **state)
{
	struct rig *r = rig_open();
	uint8_t b[8];

	(void)state;
	handshake(r);
	for (unsigned int i = 0; i < 3; i++) {
		r->s = NULL;
		connect_stream(r);
		for (unsigned int q = 0; q < 2; q++) {
			struct vhost_msg m =
				msg_state(VHOST_REQ_GET_VRING_BASE, q, 0);

			send_msg(r, &m, NULL, 0);
			get_reply(r, m.req, b, sizeof(b));
		}
		assert_int_equal(r->downs, i + 1);
		memset(r->g.mem, 0, FG_BUFS);
		memset(r->g.avail, 0, sizeof(r->g.avail));
		memset(r->g.used, 0, sizeof(r->g.used));
		for (unsigned int q = 0; q < 2; q++)
			start_ring(r, q);
	}
	rig_close(r);
}

static void not_enabled(void **state)
{
	struct rig *r = rig_open();
	struct vhost_msg m;

	(void)state;
	handshake(r);
	connect_stream(r);
	m = msg_state(VHOST_REQ_SET_VRING_ENABLE, 1, 0);
	send_msg(r, &m, NULL, 0);
	assert_int_equal(r->downs, 1);
	m = msg_state(VHOST_REQ_SET_VRING_ENABLE, 1, 1);
	send_msg(r, &m, NULL, 0);
	r->s = NULL;
	connect_stream(r);
	m = (struct vhost_msg){ .req = VHOST_REQ_RESET_OWNER, .flags = V1 };
	send_msg(r, &m, NULL, 0);
	assert_int_equal(r->downs, 2);
	assert_false(hung_up(r));
	rig_close(r);
}

static void config_space(void **state)
{
	static const struct {
		uint32_t offset, size;
		uint64_t value;
		bool ok;
	} cases[] = {
		{ 0, 8, CID, true },
		{ 0, 4, (uint32_t)CID, true },
		{ 4, 4, CID >> 32, true },
		{ 8, 0, 0, true },
		{ 8, 1, 0, false },
		{ 1, 8, 0, false },
		{ 0xffffffff, 8, 0, false },
		{ 0, 256, 0, false },
	};
	struct rig *r = rig_open();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhost_msg m = { .req = VHOST_REQ_GET_CONFIG,
				       .flags = V1,
				       .config = { cases[i].offset,
						   cases[i].size, 1, { 0 } } };
		uint8_t b[12 + 8] = { 0 };
		struct rd d = rd_init(b, sizeof(b));

		send_msg(r, &m, NULL, 0);
		if (!cases[i].ok) {
			get_reply(r, m.req, b, 0);
			continue;
		}
		get_reply(r, m.req, b, 12 + cases[i].size);
		assert_int_equal(rd_le32(&d), cases[i].offset);
		assert_int_equal(rd_le32(&d), cases[i].size);
		rd_le32(&d);
		assert_true(rd_le64(&d) == cases[i].value);
	}
	rig_close(r);
}

/* Messages, each of which ends the VMM's connection; the listener lives on */
static void nonsense(void **state)
{
	static const struct {
		const char *name;
		struct vhost_msg m;
		int nfds;
	} cases[] = {
		{ "feature not offered", { 2, V1, { .u64 = 1ULL << 34 } }, 0 },
		{ "protocol not offered", { 16, V1, { .u64 = 4 } }, 0 },
		{ "stray descriptor", { 3, V1, { .u64 = 0 } }, 1 },
		{ "too many descriptors", { 12, V1, { .u64 = 0 } }, 2 },
		{ "kick without descriptor", { 12, V1, { .u64 = 0 } }, 0 },
		{ "kick by polling", { 12, V1, { .u64 = 0x100 } }, 0 },
		{ "kick of no ring", { 12, V1, { .u64 = 3 } }, 1 },
		{ "kick before memory", { 12, V1, { .u64 = 0 } }, 1 },
		{ "call with odd bits", { 13, V1, { .u64 = 0x200 } }, 1 },
		{ "err of no ring", { 14, V1, { .u64 = 255 } }, 1 },
		{ "num of no ring", { 8, V1, { .state = { 3, 64 } } }, 0 },
		{ "num 0", { 8, V1, { .state = { 0, 0 } } }, 0 },
		{ "num 3", { 8, V1, { .state = { 0, 3 } } }, 0 },
		{ "num 2048", { 8, V1, { .state = { 0, 2048 } } }, 0 },
		{ "base 65536", { 10, V1, { .state = { 0, 65536 } } }, 0 },
		{ "base of no ring", { 11, V1, { .state = { 9, 0 } } }, 0 },
		{ "enable 2", { 18, V1, { .state = { 0, 2 } } }, 0 },
		{ "enable no ring", { 18, V1, { .state = { ~0u, 1 } } }, 0 },
		{ "addr of no ring", { 9, V1, { .addr = { .index = 3 } } }, 0 },
		{ "memory, none of one", { 5, V1, { .mem = { .n = 1 } } }, 0 },
		{ "memory, two of one", { 5, V1, { .mem = { .n = 1,
		  .region = { { 0, 4096, 0, 0 } } } } }, 2 },
		{ "memory beyond file", { 5, V1, { .mem = { .n = 1,
		  .region = { { 0, FG_SIZE + 1, 0, 0 } } } } }, 1 },
	};
	struct rig *r = rig_open();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fds[2] = { r->g.memfd, r->g.memfd };

		send_msg(r, &cases[i].m, fds, cases[i].nfds);
		if (!hung_up(r))
			fail_msg("%s: was accepted", cases[i].name);
		assert_int_equal(count_get("drop_vhost_msg"), i + 1);
		assert_int_equal(r->vmms, 0);
		fd_close(&r->sock);
		r->sock = dial(r);
		turn(r);
		assert_int_equal(r->vmms, 1);
	}
	handshake(r);				/* and it still works */
	connect_stream(r);
	rig_close(r);
}

/* While a ring goes, its size and base may not be changed */
static void busy(void **state)
{
	static const uint32_t reqs[] = { VHOST_REQ_SET_VRING_NUM,
					 VHOST_REQ_SET_VRING_BASE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reqs); i++) {
		struct rig *r = rig_open();
		struct vhost_msg m = msg_state(reqs[i], 1, 32);

		handshake(r);
		send_msg(r, &m, NULL, 0);
		assert_true(hung_up(r));
		rig_close(r);
	}
}

/* Headers that no emitter would write, byte by byte as they may come */
static void torn(void **state)
{
	static const struct {
		uint8_t b[VHOST_HDR_LEN];
		bool dropped;
	} cases[] = {
		{ { 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 }, false },
		{ { 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0 }, true },
		{ { 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1 }, true },
		{ { 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1 }, true },
		{ { 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 }, true },
		{ { 99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 }, true },
		{ { 3, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0 }, true },
		{ { 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 }, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig *r = rig_open();

		for (size_t k = 0; k < VHOST_HDR_LEN; k++) {
			assert_false(hung_up(r));
			assert_int_equal(send(r->sock, cases[i].b + k, 1, 0),
					 1);
			turn(r);
		}
		if (hung_up(r) != cases[i].dropped)
			fail_msg("case %zu", i);
		rig_close(r);
	}
}

static void one_at_a_time(void **state)
{
	struct rig *r = rig_open();
	int second = dial(r), first = r->sock;

	(void)state;
	turn(r);
	r->sock = second;
	assert_true(hung_up(r));
	assert_int_equal(count_get("drop_vhost_second"), 1);
	r->sock = first;
	assert_false(hung_up(r));
	handshake(r);
	connect_stream(r);
	/* It goes, and the next one is there before we have noticed */
	fd_close(&second);
	fd_close(&r->sock);
	r->sock = dial(r);
	turn(r);
	assert_int_equal(r->downs, 1);
	assert_int_equal(r->vmms, 1);
	assert_false(hung_up(r));
	rig_close(r);
}

static void broken_ring(void **state)
{
	struct rig *r = rig_open();
	uint64_t one = 1;

	(void)state;
	handshake(r);
	connect_stream(r);
	fg_set_avail(&r->g, 1, 1000);
	assert_int_equal(write(r->kick[1], &one, sizeof(one)), sizeof(one));
	turn(r);
	assert_true(hung_up(r));
	assert_int_equal(r->downs, 1);
	assert_int_equal(r->vmms, 0);
	assert_int_equal(count_get("drop_vhost_ring"), 1);
	rig_close(r);
}

/* Parse what was emitted; and no proper prefix of it */
static void round_trip(void **state)
{
	static const struct vhost_msg msgs[] = {
		{ 1, V1, { .u64 = 0 } },
		{ 2, ACK, { .u64 = 0x123456789abcdef0 } },
		{ 11, V1, { .state = { 1, 0xfffe } } },
		{ 9, V1, { .addr = { 1, 2, 3ULL << 40, 4, 5, 6 } } },
		{ 5, V1, { .mem = { 2, { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } } } } },
		{ 24, V1, { .config = { 1, 3, 2, { 9, 8, 7 } } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(msgs); i++) {
		uint8_t b[VHOST_HDR_LEN + VHOST_PAYLOAD_MAX], again[sizeof(b)];
		struct wr w = wr_init(b, sizeof(b));
		struct wr w2 = wr_init(again, sizeof(again));
		struct vhost_msg m;
		struct vhost_hdr h;

		vhost_msg_emit(&w, &msgs[i]);
		assert_int_equal(vhost_hdr_parse(rd_init(b, VHOST_HDR_LEN), &h),
				 0);
		assert_int_equal(h.size, wr_len(&w) - VHOST_HDR_LEN);
		for (uint32_t n = 0; n <= h.size; n++) {
			uint8_t *copy = malloc(n ? n : 1);
			int rc;

			assert_non_null(copy);
			memcpy(copy, b + VHOST_HDR_LEN, n);
			rc = vhost_msg_parse(&h, rd_init(copy, n), &m);
			assert_int_equal(rc, n < h.size ? -EBADMSG : 0);
			free(copy);
		}
		vhost_msg_emit(&w2, &m);
		assert_int_equal(wr_len(&w2), wr_len(&w));
		assert_memory_equal(again, b, wr_len(&w));
	}
}

static void header_round_trip(void **state)
{
	const struct vsock_hdr in = {
		1ULL << 40, 2ULL << 40, 3u << 20, 4u << 20, 5u << 20,
		6 << 10, 7 << 10, 8u << 20, 9u << 20, 10u << 20,
	};
	uint8_t b[VSOCK_HDR_LEN];
	struct wr w = wr_init(b, sizeof(b));
	struct vsock_hdr out;

	(void)state;
	vsock_hdr_emit(&w, &in);
	assert_int_equal(wr_len(&w), VSOCK_HDR_LEN);
	assert_int_equal(vsock_hdr_parse(rd_init(b, sizeof(b)), &out), 0);
	/* not sizeof(in): what pads the end is anything */
	assert_memory_equal(&in, &out, offsetof(struct vsock_hdr, fwd_cnt) +
				       sizeof(in.fwd_cnt));
	assert_int_equal(b[28], 6 << 10 & 0xff);	/* type */
	assert_int_equal(b[31], 7 << 10 >> 8);		/* op */
	for (size_t n = 0; n < sizeof(b); n++) {
		uint8_t *copy = malloc(n ? n : 1);

		assert_non_null(copy);
		memcpy(copy, b, n);
		assert_int_equal(vsock_hdr_parse(rd_init(copy, n), &out),
				 -EBADMSG);
		free(copy);
	}
}

int vhost_user_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_life),
		cmocka_unit_test(held_moves),
		cmocka_unit_test(reboot),
		cmocka_unit_test(not_enabled),
		cmocka_unit_test(config_space),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(busy),
		cmocka_unit_test(torn),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(broken_ring),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(header_round_trip),
	};

	return cmocka_run_group_tests_name("vhost_user", tests, NULL, NULL);
}
