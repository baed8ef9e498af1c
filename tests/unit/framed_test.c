#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/ev.h"
#include "link/framed.h"
#include "tests/memstream.h"

int framed_test(void);

#define MTU	1500
#define S	NS_PER_S

/* One end of a link, and what became of it */
struct end {
	struct framed f;
	struct memstream ms;
	struct stream_fd fd;
	struct timerq tq;
	int ups, hellos, frames, done, drained, downs, why;
	int refuse;		/* what the server's hello() returns */
	int pause_at, down_at;	/* frame at which input() does that */
	uint32_t accept;
	struct hello seen;
	size_t last_len;
	struct link_vnet last_vh;
	uint64_t sum;
	/* the long run */
	int to_send, sent;
	struct ev *ev;
};

static const uint8_t token[HELLO_TOKEN_LEN] = "sixteen letters";

static struct end *end_of(struct framed *f)
{
	return container_of(f, struct end, f);
}

static int on_hello(struct framed *f, const struct hello *in,
		    struct hello *answer)
{
	struct end *e = end_of(f);

	e->hellos++;
	e->seen = *in;
	assert_int_equal(!!answer, f->cfg.server);
	if (answer) {
		answer->features = in->features & e->accept;
		memcpy(answer->token, token, sizeof(token));
	}
	return e->refuse;
}

static void on_up(struct framed *f)
{
	end_of(f)->ups++;
}

static uint64_t hash(uint64_t sum, const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			sum = (sum ^ ((uint8_t *)iov[i].iov_base)[j]) *
			      0x100000001b3ULL;
	return sum;
}

static void on_input(struct link *l, const struct link_vnet *vh,
		     const struct iovec *iov, int n)
{
	struct end *e = l->user;

	e->frames++;
	e->last_len = iov_len(iov, n);
	e->last_vh = *vh;
	e->sum = hash(e->sum, iov, n);
	if (e->frames == e->pause_at)
		link_pause(l, true);
	if (e->frames == e->down_at)
		link_down(l, -ECANCELED);
}

static void on_done(struct link *l)
{
	((struct end *)l->user)->done++;
}

static void on_drained(struct link *l)
{
	((struct end *)l->user)->drained++;
}

static void on_down(struct link *l, int why)
{
	struct end *e = l->user;

	e->downs++;
	e->why = why;
}

static void end_link(struct end *e, bool server, uint32_t features,
		     struct stream *s, struct timerq *tq)
{
	const struct framed_cfg cfg = {
		.server = server, .mtu = MTU, .features = features,
		.hello = on_hello, .up = on_up,
	};

	e->accept = HELLO_F_ALL;
	e->f.link = (struct link){
		.input = on_input, .input_done = on_done,
		.drained = on_drained, .down = on_down, .user = e,
	};
	assert_int_equal(framed_init(&e->f, s, tq, &cfg), 0);
}

static void end_new(struct end *e, bool server, uint32_t features)
{
	memset(e, 0, sizeof(*e));
	memstream_init(&e->ms);
	assert_int_equal(timerq_init(&e->tq, 4), 0);
	timerq_set_now(&e->tq, 1000 * S);
	end_link(e, server, features, &e->ms.s, &e->tq);
}

static void end_free(struct end *e)
{
	link_close(&e->f.link);
	assert_int_equal(e->tq.n, 0);		/* no timer is left behind */
	assert_true(e->ms.closed);
	timerq_free(&e->tq);
}

/* Feed an exact copy, so that a read past its end is noticed */
static size_t feed(struct end *e, const void *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct iovec iov = { copy, len };
	size_t taken;

	assert_non_null(copy);
	memcpy(copy, p, len);
	taken = e->ms.s.input(&e->ms.s, &iov, 1);
	free(copy);
	if (!e->ms.s.is_down)
		e->ms.s.input_done(&e->ms.s);
	return taken;
}

static struct hello make_hello(uint32_t features, uint16_t mtu)
{
	struct hello h = { .version = HELLO_VERSION, .features = features,
			   .mtu = mtu, .mac = { 2, 1, 2, 3, 4, 5 } };

	memcpy(h.boot_id, "0123456789abcdef", HELLO_BOOT_ID_LEN);
	memcpy(h.token, token, sizeof(token));
	return h;
}

static void put_hello(struct wr *w, uint32_t features, uint16_t mtu)
{
	struct hello h = make_hello(features, mtu);

	hello_emit(w, &h);
}

/* A native record of a frame of @len bytes, plain but for @flags */
static void put_native(struct wr *w, size_t len, uint8_t flags)
{
	wr_u32(w, (uint32_t)(LINK_VNET_LEN + len));
	wr_u8(w, flags);
	wr_zero(w, LINK_VNET_LEN - 1);
	for (size_t i = 0; i < len; i++)
		wr_u8(w, (uint8_t)(len + i));
}

static void put_bare(struct wr *w, size_t len)
{
	wr_u32(w, (uint32_t)len);
	for (size_t i = 0; i < len; i++)
		wr_u8(w, (uint8_t)(len + i));
}

static struct end A;
static uint8_t in[256 * 1024];

/* Server and a hello with a TLV, byte by byte, then records the same way */
static void test_server_bytes(void **state)
{
	struct wr w = wr_init(in, sizeof(in));
	struct hello back;

	(void)state;
	end_new(&A, true, LINK_F_CSUM | LINK_F_TSO4);
	put_hello(&w, LINK_F_CSUM | LINK_F_TSO6 | 0x80000000, 1400);
	in[7] = HELLO_LEN + 5;
	wr_u16(&w, 99);
	wr_u16(&w, 1);
	wr_u8(&w, 'x');
	for (size_t i = 0; i < wr_len(&w); i++) {
		assert_int_equal(A.ups, 0);
		assert_int_equal(A.ms.len, 0);
		assert_int_equal(feed(&A, in + i, 1), 1);
	}
	assert_int_equal(A.f.state, FRAMED_STATE_NATIVE);
	assert_int_equal(A.ups, 1);
	assert_int_equal(A.hellos, 1);
	assert_memory_equal(A.seen.token, token, sizeof(token));
	assert_int_equal(A.ms.len, HELLO_LEN);
	assert_int_equal(hello_parse(rd_init(A.ms.out, A.ms.len), &back), 0);
	assert_int_equal(back.features, LINK_F_CSUM);
	assert_memory_equal(back.token, token, sizeof(token));
	assert_int_equal(A.f.link.can_send, LINK_F_CSUM);
	assert_int_equal(A.f.link.can_recv, LINK_F_CSUM);
	assert_int_equal(A.f.link.max_frame, LINK_FRAME_MAX);

	w = wr_init(in, sizeof(in));
	put_native(&w, 60, 0);
	wr_u32(&w, 0);
	put_native(&w, 1514, LINK_VNET_F_DATA_VALID);
	for (size_t i = 0; i < wr_len(&w); i++)
		assert_int_equal(feed(&A, in + i, 1), 1);
	assert_int_equal(A.frames, 2);
	assert_int_equal(A.last_len, 1514);
	assert_int_equal(A.last_vh.flags, LINK_VNET_F_DATA_VALID);
	assert_int_equal(A.downs, 0);
	end_free(&A);
}

/* Hello and records in one input, cut in three anywhere */
static void test_server_cuts(void **state)
{
	struct wr w = wr_init(in, sizeof(in));
	size_t len;

	(void)state;
	put_hello(&w, 0, MTU);
	put_native(&w, 14, 0);
	wr_u32(&w, 0);
	put_native(&w, 333, 0);
	len = wr_len(&w);
	for (size_t a = 0; a <= len; a += 3) {
		for (size_t b = a; b <= len; b += 5) {
			struct iovec iov[3] = {
				{ in, a }, { in + a, b - a },
				{ in + b, len - b },
			};
			size_t n;

			end_new(&A, true, 0);
			n = A.ms.s.input(&A.ms.s, iov, 3);
			if (n != len || A.frames != 2 || A.last_len != 333)
				fail_msg("cut at %zu, %zu: %d", a, b, A.frames);
			end_free(&A);
		}
	}
}

static void test_client(void **state)
{
	struct hello h = make_hello(HELLO_F_ALL, MTU), sent;
	struct iovec iov = { in, 60 };
	struct wr w = wr_init(in, sizeof(in));

	(void)state;
	end_new(&A, false, HELLO_F_ALL & ~LINK_F_USO4);
	assert_int_equal(framed_hello(&A.f, &h), 0);
	assert_int_equal(hello_parse(rd_init(A.ms.out, A.ms.len), &sent), 0);
	assert_memory_equal(sent.token, token, sizeof(token));
	assert_int_equal(link_send(&A.f.link, NULL, &iov, 1), -EAGAIN);

	put_hello(&w, HELLO_F_ALL & ~LINK_F_TSO6, 1300);
	assert_int_equal(feed(&A, in, HELLO_LEN - 1), HELLO_LEN - 1);
	assert_int_equal(A.ups, 0);
	assert_int_equal(feed(&A, in + HELLO_LEN - 1, 1), 1);
	assert_int_equal(A.ups, 1);
	assert_int_equal(A.drained, 1);
	assert_memory_equal(A.seen.token, token, sizeof(token));
	assert_int_equal(A.f.link.can_send, HELLO_F_ALL & ~LINK_F_TSO6);
	assert_int_equal(A.f.link.can_recv,
			 HELLO_F_ALL & ~(LINK_F_USO4 | LINK_F_TSO6));
	end_free(&A);

	/* Without offloads the smaller MTU bounds what we send */
	end_new(&A, false, 0);
	assert_int_equal(framed_hello(&A.f, &h), 0);
	w = wr_init(in, sizeof(in));
	put_hello(&w, 0, 1300);
	feed(&A, in, HELLO_LEN);
	assert_int_equal(A.f.link.max_frame, 1300 + 18);
	end_free(&A);
}

static void test_bare(void **state)
{
	struct wr w = wr_init(in, sizeof(in));
	struct iovec iov = { in + 1000, 60 };

	(void)state;
	put_bare(&w, 60);
	put_bare(&w, MTU + 18);
	for (size_t step = 1; step < 70; step++) {
		end_new(&A, true, HELLO_F_ALL);
		for (size_t i = 0; i < wr_len(&w); i += step)
			feed(&A, in + i, MIN(step, wr_len(&w) - i));
		assert_int_equal(A.f.state, FRAMED_STATE_BARE);
		assert_int_equal(A.ups, 1);
		assert_int_equal(A.hellos, 0);
		assert_int_equal(A.frames, 2);
		assert_int_equal(A.last_len, MTU + 18);
		assert_int_equal(A.f.link.can_send | A.f.link.can_recv, 0);
		assert_int_equal(A.tq.n, 0);	/* no keepalive, no deadline */
		assert_int_equal(A.ms.len, 0);
		assert_int_equal(link_send(&A.f.link, NULL, &iov, 1), 0);
		assert_int_equal(A.ms.len, 64);
		assert_int_equal(A.ms.out[3], 60);
		end_free(&A);
	}
}

static const struct {
	const char *name;
	bool native;
	uint32_t features, len;
	int rc, frames;
} lengths[] = {
	{ "keepalive", true, 0, 0, 0, 0 },
	{ "1", true, 0, 1, -EMSGSIZE, 0 },
	{ "head only", true, 0, 12, -EMSGSIZE, 0 },
	{ "25", true, 0, 25, -EMSGSIZE, 0 },
	{ "26", true, 0, 26, 0, 1 },
	{ "longest", true, 0, 12 + MTU + 18, 0, 1 },
	{ "one more", true, 0, 12 + MTU + 19, -EMSGSIZE, 0 },
	{ "huge", true, 0, 0xffffffff, -EMSGSIZE, 0 },
	{ "longest, csum", true, LINK_F_CSUM, 12 + LINK_FRAME_MAX, 0, 1 },
	{ "one more, csum", true, LINK_F_CSUM, 13 + LINK_FRAME_MAX,
	  -EMSGSIZE, 0 },
	{ "hello again", true, LINK_F_CSUM, 0x4d53424c, -EMSGSIZE, 0 },
	{ "bare keepalive", false, 0, 0, -EMSGSIZE, 0 },
	{ "bare 13", false, 0, 13, -EMSGSIZE, 0 },
	{ "bare 14", false, 0, 14, 0, 1 },
	{ "bare longest", false, 0, MTU + 18, 0, 1 },
	{ "bare one more", false, 0, MTU + 19, -EMSGSIZE, 0 },
	{ "bare huge", false, LINK_F_CSUM, 0x80000000, -EMSGSIZE, 0 },
};

static void test_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct wr w = wr_init(in, sizeof(in));
		size_t len;

		end_new(&A, true, lengths[i].features);
		if (lengths[i].native)
			put_hello(&w, HELLO_F_ALL, MTU);
		wr_u32(&w, lengths[i].len);
		len = MIN(lengths[i].len, 100000);
		wr_zero(&w, len);
		len = wr_len(&w);
		assert_int_equal(feed(&A, in, len), len);
		if (A.why != lengths[i].rc || A.frames != lengths[i].frames ||
		    A.downs != (A.why != 0))
			fail_msg("%s: %d, %d frames", lengths[i].name, A.why,
				 A.frames);
		/* Nothing is delivered any more once it is down */
		w = wr_init(in, sizeof(in));
		put_native(&w, 60, 0);
		if (A.downs)
			assert_int_equal(feed(&A, in, 76), 76);
		assert_int_equal(A.frames, lengths[i].frames);
		end_free(&A);
	}
}

static const struct {
	const char *name, *bytes;
	size_t len;
	int rc;
} garbage[] = {
#define G(name, bytes, rc)	{ name, bytes, sizeof(bytes) - 1, rc }
	G("length too short", "MSBL\0\1\0\x33", -EBADMSG),
	G("length too long", "MSBL\0\1\2\1", -EBADMSG),
	G("version 0", "MSBL\0\0\0\x34" "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  "xxxxxxxx", -EPROTONOSUPPORT),
	G("text", "GET / HTTP/1.0\r\n\r\n", -EMSGSIZE),
	G("wrong case", "MSBl\0\1\0\x34", -EMSGSIZE),
	G("torn TLV", "MSBL\0\1\0\x37" "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  "xxxxxxxx" "\0\1\0", -EBADMSG),
};

static void test_garbage(void **state)
{
	struct wr w = wr_init(in, sizeof(in));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		end_new(&A, true, 0);
		feed(&A, garbage[i].bytes, garbage[i].len);
		if (A.why != garbage[i].rc || A.downs != 1 || A.ms.len ||
		    A.hellos)
			fail_msg("%s: %d", garbage[i].name, A.why);
		end_free(&A);
	}
	/* A client knows no bare peer */
	put_bare(&w, 60);
	end_new(&A, false, 0);
	feed(&A, in, wr_len(&w));
	assert_int_equal(A.why, -EBADMSG);
	end_free(&A);

	/* Refused: nothing is answered */
	w = wr_init(in, sizeof(in));
	put_hello(&w, 0, MTU);
	end_new(&A, true, 0);
	A.refuse = -EACCES;
	feed(&A, in, wr_len(&w));
	assert_int_equal(A.why, -EACCES);
	assert_int_equal(A.ms.len, 0);
	assert_int_equal(A.ups, 0);
	end_free(&A);
}

static void go_native(struct end *e, uint32_t features)
{
	struct wr w = wr_init(in, sizeof(in));

	end_new(e, true, features);
	put_hello(&w, features, MTU);
	feed(e, in, wr_len(&w));
	assert_int_equal(e->ups, 1);
	e->ms.len = 0;
}

/* A verdict that takes its time: nothing is answered, taken or lost meanwhile */
static void test_hello_waits(void **state)
{
	static const uint8_t record[16 + 60] = { [3] = 72 };
	struct wr w = wr_init(in, sizeof(in));

	(void)state;
	end_new(&A, true, 0);
	A.refuse = -EINPROGRESS;
	put_hello(&w, 0, MTU);
	wr_bytes(&w, record, sizeof(record));
	assert_int_equal(feed(&A, in, wr_len(&w)), HELLO_LEN);
	assert_true(A.ms.paused);
	framed_hello_again(&A.f);		/* still not known */
	assert_int_equal(A.hellos, 2);
	assert_int_equal(A.ups + A.downs, 0);
	assert_int_equal(A.ms.len, 0);
	A.refuse = 0;
	framed_hello_again(&A.f);
	assert_int_equal(A.ups, 1);
	assert_false(A.ms.paused);
	assert_int_equal(A.ms.len, HELLO_LEN);
	assert_int_equal(feed(&A, record, sizeof(record)), sizeof(record));
	assert_int_equal(A.frames, 1);		/* what stood behind the hello */
	framed_hello_again(&A.f);		/* nobody waits */
	assert_int_equal(A.hellos, 3);
	end_free(&A);

	end_new(&A, true, 0);
	A.refuse = -EINPROGRESS;
	feed(&A, in, wr_len(&w) - sizeof(record));
	A.refuse = -EACCES;
	framed_hello_again(&A.f);
	assert_int_equal(A.why, -EACCES);
	assert_int_equal(A.ms.len, 0);
	end_free(&A);

	end_new(&A, true, 0);			/* nor does it wait for ever */
	A.refuse = -EINPROGRESS;
	feed(&A, in, wr_len(&w) - sizeof(record));
	timerq_run(&A.tq, 1005 * S);
	assert_int_equal(A.why, -ETIMEDOUT);
	framed_hello_again(&A.f);
	assert_int_equal(A.hellos, 1);
	end_free(&A);
}

static void test_timers(void **state)
{
	static const uint8_t zero[4];
	struct iovec iov = { in, 60 };

	(void)state;
	go_native(&A, 0);
	timerq_run(&A.tq, 1004 * S);
	assert_int_equal(A.ms.len, 0);
	timerq_run(&A.tq, 1005 * S);
	assert_int_equal(A.ms.len, 4);
	assert_memory_equal(A.ms.out, zero, 4);
	timerq_set_now(&A.tq, 1008 * S);
	assert_int_equal(link_send(&A.f.link, NULL, &iov, 1), 0);
	A.ms.len = 0;
	timerq_run(&A.tq, 1012 * S);
	assert_int_equal(A.ms.len, 0);		/* a record is as good */
	timerq_run(&A.tq, 1013 * S);
	assert_int_equal(A.ms.len, 4);

	timerq_set_now(&A.tq, 1014 * S);
	feed(&A, zero, 4);
	timerq_run(&A.tq, 1028 * S);
	assert_int_equal(A.downs, 0);
	timerq_run(&A.tq, 1029 * S);
	assert_int_equal(A.why, -ETIMEDOUT);
	end_free(&A);

	/* While we do not look there is no silence */
	go_native(&A, 0);
	link_pause(&A.f.link, true);
	assert_true(A.ms.paused);
	timerq_run(&A.tq, 1100 * S);
	assert_int_equal(A.downs, 0);
	link_pause(&A.f.link, false);
	timerq_run(&A.tq, 1114 * S);
	assert_int_equal(A.downs, 0);
	timerq_run(&A.tq, 1116 * S);
	assert_int_equal(A.why, -ETIMEDOUT);
	end_free(&A);

	go_native(&A, 0);
	link_pause(&A.f.link, true);
	timerq_set_now(&A.tq, 1014 * S);
	link_pause(&A.f.link, false);
	timerq_run(&A.tq, 1028 * S);
	assert_int_equal(A.downs, 0);
	timerq_run(&A.tq, 1029 * S);
	assert_int_equal(A.why, -ETIMEDOUT);
	end_free(&A);

	/* A hello must end, but need not begin */
	end_new(&A, true, 0);
	timerq_run(&A.tq, 2000 * S);
	assert_int_equal(A.downs, 0);
	feed(&A, "M", 1);
	timerq_run(&A.tq, 2004 * S);
	feed(&A, "SBL", 3);
	assert_int_equal(A.downs, 0);
	timerq_run(&A.tq, 2005 * S);
	assert_int_equal(A.why, -ETIMEDOUT);
	end_free(&A);
}

static void test_full(void **state)
{
	struct iovec iov = { in, 100 };
	struct link_room room;

	(void)state;
	go_native(&A, 0);
	A.ms.limit = 300;
	assert_int_equal(link_send(&A.f.link, NULL, &iov, 1), 0);
	assert_int_equal(link_reserve(&A.f.link, 100, &room), 0);
	assert_int_equal(room.len, 100);
	assert_int_equal(iov_len(room.iov, room.n), 100);
	assert_int_equal(link_commit(&A.f.link, &room, NULL, 40), 0);
	assert_int_equal(A.ms.len, 116 + 56);
	assert_int_equal(A.ms.out[116 + 3], 52);
	assert_int_equal(link_send(&A.f.link, NULL, &iov, 1), 0);
	assert_int_equal(link_send(&A.f.link, NULL, &iov, 1), -EAGAIN);
	assert_int_equal(link_reserve(&A.f.link, 60, &room), -EAGAIN);
	A.ms.len = 0;
	stream_drained(&A.ms.s);
	stream_drained(&A.ms.s);
	assert_int_equal(A.drained, 1);

	/* A room given back leaves nothing; a long one keeps its head */
	A.ms.limit = sizeof(A.ms.out);
	assert_int_equal(link_reserve(&A.f.link, MTU, &room), 0);
	assert_in_range(room.iov[0].iov_len, LINK_HEAD_MIN, MTU);
	assert_int_equal(link_commit(&A.f.link, &room, NULL, 0), 0);
	assert_int_equal(A.ms.len, 0);
	link_flush(&A.f.link);
	assert_in_range(A.ms.flushes, 1, 9);
	end_free(&A);
}

static void test_inside_input(void **state)
{
	struct wr w = wr_init(in, sizeof(in));
	size_t first, len;

	(void)state;
	put_native(&w, 60, 0);
	first = wr_len(&w);
	put_native(&w, 70, 0);
	put_native(&w, 80, 0);
	len = wr_len(&w);

	go_native(&A, 0);
	w = wr_init(in, sizeof(in));
	put_native(&w, 60, 0);
	put_native(&w, 70, 0);
	put_native(&w, 80, 0);
	A.pause_at = 1;
	assert_int_equal(feed(&A, in, len), first);
	assert_int_equal(A.frames, 1);
	assert_true(A.ms.paused);
	link_pause(&A.f.link, false);
	assert_false(A.ms.paused);
	A.down_at = 2;
	assert_int_equal(feed(&A, in + first, len - first), len - first);
	assert_int_equal(A.frames, 2);
	assert_int_equal(A.why, -ECANCELED);
	timerq_run(&A.tq, 3000 * S);
	assert_int_equal(A.downs, 1);
	assert_int_equal(A.ms.len, 0);
	end_free(&A);
}

static void test_bad_vnet(void **state)
{
	struct wr w;

	(void)state;
	go_native(&A, 0);
	w = wr_init(in, sizeof(in));
	put_native(&w, 60, LINK_VNET_F_NEEDS_CSUM);
	put_native(&w, 61, 0);
	count_reset();
	feed(&A, in, wr_len(&w));
	assert_int_equal(count_get("drop_framed_vnet"), 1);
	assert_int_equal(A.frames, 1);
	assert_int_equal(A.last_len, 61);
	assert_int_equal(A.downs, 0);
	end_free(&A);
}

/* --- two ends over a socket pair ----------------------------------------- */

#define RUN	500

static size_t size_of(int i)
{
	return i % 50 == 7 ? LINK_FRAME_MAX :
	       LINK_FRAME_MIN + (size_t)(i * 7919) % 9000;
}

static void fill(const struct iovec *iov, int n, int i)
{
	uint8_t v = (uint8_t)i;

	for (int k = 0; k < n; k++)
		for (size_t j = 0; j < iov[k].iov_len; j++)
			((uint8_t *)iov[k].iov_base)[j] = v = (uint8_t)(v * 5 +
									17);
}

static void send_more(struct link *l)
{
	struct end *e = l->user;
	static uint8_t frame[LINK_FRAME_MAX];

	while (e->sent < e->to_send) {
		size_t len = size_of(e->sent);
		struct iovec iov = { frame, len };
		struct link_room room;
		int rc;

		if (e->sent % 2) {
			fill(&iov, 1, e->sent);
			rc = link_send(l, NULL, &iov, 1);
		} else {
			rc = link_reserve(l, len, &room);
			if (rc == 0) {
				fill(room.iov, room.n, e->sent);
				rc = link_commit(l, &room, NULL, len);
			}
		}
		if (rc == -EAGAIN)
			return;
		assert_int_equal(rc, 0);
		e->sent++;
	}
}

static void on_drained_send(struct link *l)
{
	((struct end *)l->user)->drained++;
	send_more(l);
}

static void pair_new(struct end *a, struct end *b, struct ev *ev, size_t rx,
		     size_t tx)
{
	int sv[2], small = 8192;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
				    SOCK_CLOEXEC, 0, sv), 0);
	for (int i = 0; i < 2; i++) {
		struct end *e = i ? b : a;

		setsockopt(sv[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		memset(e, 0, sizeof(*e));
		e->ev = ev;
		e->to_send = RUN;
		assert_int_equal(stream_fd_init(&e->fd, ev, sv[i], rx, tx), 0);
		end_link(e, i, HELLO_F_ALL, &e->fd.stream, ev_timerq(ev));
		e->f.link.drained = on_drained_send;
	}
}

static void test_pair(void **state)
{
	static const struct {
		size_t rx, tx;
	} caps[] = {
		{ 1000, 70000 }, { 65536, 100000 }, { 300000, 600000 },
	};
	static struct end B;
	static uint8_t frame[LINK_FRAME_MAX];
	struct hello h = make_hello(HELLO_F_ALL, MTU);
	uint64_t want = 0;

	(void)state;
	for (int i = 0; i < RUN; i++) {
		struct iovec iov = { frame, size_of(i) };

		fill(&iov, 1, i);
		want = hash(want, &iov, 1);
	}
	for (size_t c = 0; c < ARRAY_SIZE(caps); c++) {
		struct ev *ev = ev_new(16);

		assert_non_null(ev);
		pair_new(&A, &B, ev, caps[c].rx, caps[c].tx);
		assert_int_equal(framed_hello(&A.f, &h), 0);
		for (int i = 0; i < 200000 && !A.downs && !B.downs &&
		     (A.frames < RUN || B.frames < RUN); i++) {
			if (!i) {	/* "not yet": drained() starts us */
				send_more(&A.f.link);
				send_more(&B.f.link);
			}
			assert_int_equal(ev_turn(ev, 1000), 0);
		}
		assert_int_equal(A.frames, RUN);
		assert_int_equal(B.frames, RUN);
		assert_true(A.sum == want);
		assert_true(B.sum == want);
		assert_in_range(A.drained, 2, RUN);

		/* The peer goes in the middle of a record */
		assert_int_equal(send(A.fd.src.fd, "\0\0\0\x50xx", 6, 0), 6);
		link_close(&A.f.link);
		for (int i = 0; i < 10 && !B.downs; i++)
			ev_turn(ev, 100);
		assert_int_equal(B.why, -ECONNRESET);
		assert_int_equal(B.frames, RUN);
		link_close(&B.f.link);
		assert_int_equal(timerq_next(ev_timerq(ev)), TIMERQ_NEVER);
		ev_free(ev);
	}
}

int framed_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_bytes),
		cmocka_unit_test(test_server_cuts),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_hello_waits),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_inside_input),
		cmocka_unit_test(test_bad_vnet),
		cmocka_unit_test(test_pair),
	};

	return cmocka_run_group_tests_name("framed", tests, NULL, NULL);
}
