#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/ev.h"
#include "link/stream.h"

int stream_test(void);

static struct {
	struct stream_fd s;
	struct ev *ev;
	int peer;
	uint8_t got[4096];
	size_t len, limit;	/* input() takes so many bytes in all */
	int calls, done, drained, eofs, downs, why;
} T;

static size_t on_input(struct stream *s, const struct iovec *iov, int n)
{
	size_t take;

	assert_int_equal(n, 1);
	take = iov->iov_len;
	if (take > T.limit - T.len) {
		take = T.limit - T.len;
		stream_pause(s, true);
	}
	memcpy(T.got + T.len, iov->iov_base, take);
	T.len += take;
	T.calls++;
	return take;
}

static void on_done(struct stream *s)
{
	(void)s;
	T.done++;
}

/* The longest record fits again, if it ever did */
static void on_drained(struct stream *s)
{
	const size_t longest = 4 + LINK_VNET_LEN + LINK_FRAME_MAX;
	struct link_room room;

	T.drained++;
	if (T.s.tx_cap < longest)
		return;
	assert_int_equal(stream_reserve(s, longest, &room), 0);
	assert_int_equal(stream_commit(s, &room, 0), 0);
}

static void on_eof(struct stream *s)
{
	(void)s;
	T.eofs++;
}

static void on_down(struct stream *s, int why)
{
	(void)s;
	T.downs++;
	T.why = why;
}

static void setup(size_t rx, size_t tx)
{
	int sv[2];

	memset(&T, 0, sizeof(T));
	T.limit = sizeof(T.got);
	T.ev = ev_new(4);
	assert_non_null(T.ev);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
				    SOCK_CLOEXEC, 0, sv), 0);
	T.peer = sv[1];
	T.s.stream = (struct stream){
		.input = on_input, .input_done = on_done,
		.drained = on_drained, .eof = on_eof, .down = on_down,
	};
	assert_int_equal(stream_fd_init(&T.s, T.ev, sv[0], rx, tx), 0);
}

static void teardown(void)
{
	stream_close(&T.s.stream);
	assert_int_equal(T.s.src.fd, -1);
	if (T.peer >= 0)
		close(T.peer);
	ev_free(T.ev);
}

static int send_text(const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return stream_send(&T.s.stream, &iov, 1);
}

static void turns(int n)
{
	while (n--)
		assert_int_equal(ev_turn(T.ev, 0), 0);
}

/* Nothing is ready: a turn waits as long as it may, else we would spin */
static bool sleeps(void)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(ev_turn(T.ev, 20), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >
	       15000000L;
}

static bool idle(void)
{
	assert_int_equal(ev_turn(T.ev, 0), 0);
	return sleeps();
}

/* What was sent in a turn leaves at its end, in one write */
static void test_flush(void **state)
{
	char buf[64];

	(void)state;
	setup(64, 256);
	assert_int_equal(send_text("one "), 0);
	assert_int_equal(send_text("two "), 0);
	assert_int_equal(recv(T.peer, buf, sizeof(buf), 0), -1);
	turns(1);
	assert_int_equal(recv(T.peer, buf, sizeof(buf), 0), 8);
	assert_memory_equal(buf, "one two ", 8);

	assert_int_equal(send_text("now"), 0);
	stream_flush(&T.s.stream);
	assert_int_equal(recv(T.peer, buf, sizeof(buf), 0), 3);
	assert_true(sleeps());		/* the end of the turn has no work */
	teardown();
}

static void test_room(void **state)
{
	struct link_room room;
	char buf[64];

	(void)state;
	setup(64, 256);
	assert_int_equal(stream_reserve(&T.s.stream, 257, &room), -EMSGSIZE);
	assert_int_equal(stream_reserve(&T.s.stream, 256, &room), 0);
	assert_int_equal(room.n, 1);
	assert_int_equal(room.len, 256);
	memset(room.iov[0].iov_base, 'x', 256);
	assert_int_equal(stream_commit(&T.s.stream, &room, 0), 0);
	assert_int_equal(stream_reserve(&T.s.stream, 10, &room), 0);
	memset(room.iov[0].iov_base, 'y', 10);
	assert_int_equal(stream_commit(&T.s.stream, &room, 5), 0);
	assert_int_equal(send_text("z"), 0);
	turns(1);
	assert_int_equal(recv(T.peer, buf, sizeof(buf), 0), 6);
	assert_memory_equal(buf, "yyyyyz", 6);
	teardown();
}

/* Fill it until it refuses, drain the peer: one drained(), nothing is lost */
static void run_full(size_t cap)
{
	static uint8_t block[1000], buf[200000];
	struct iovec iov = { block, sizeof(block) };
	size_t sent = 0, got = 0;
	ssize_t n;
	int small = 4096;

	setup(64, cap);
	setsockopt(T.s.src.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int round = 1; round <= 5; round++) {
		for (;;) {
			for (size_t i = 0; i < sizeof(block); i++)
				block[i] = (uint8_t)((sent + i) * 7 / 5);
			if (stream_send(&T.s.stream, &iov, 1) < 0)
				break;
			sent += sizeof(block);
		}
		assert_true(T.s.stream.full);
		assert_true(idle());
		assert_int_equal(T.drained, round - 1);
		for (int i = 0; i < 300; i++) {
			while ((n = recv(T.peer, buf, sizeof(buf), 0)) > 0)
				for (ssize_t j = 0; j < n; j++, got++)
					assert_int_equal(buf[j], (uint8_t)
							 (got * 7 / 5));
			turns(1);
		}
		assert_int_equal(got, sent);
		assert_int_equal(T.drained, round);
		assert_false(T.s.stream.full);
		assert_true(idle());
	}
	teardown();
}

static void test_full(void **state)
{
	(void)state;
	run_full(8000);
	run_full(70000);
	run_full(130000);
}

static void test_pause(void **state)
{
	(void)state;
	/* What we hold goes up again though the socket has nothing new */
	setup(64, 64);
	T.limit = 3;
	assert_int_equal(send(T.peer, "abcdef", 6, 0), 6);
	turns(3);
	T.limit = 100;
	stream_pause(&T.s.stream, false);
	turns(2);
	assert_int_equal(T.len, 6);
	assert_true(idle());
	teardown();

	setup(64, 64);
	T.limit = 3;
	assert_int_equal(send(T.peer, "abcdef", 6, 0), 6);
	turns(3);
	assert_int_equal(T.len, 3);
	assert_int_equal(send(T.peer, "ghi", 3, 0), 3);
	assert_true(idle());
	close(T.peer);		/* hang-up during a pause must not spin */
	T.peer = -1;
	turns(2);
	assert_true(idle());
	assert_int_equal(T.eofs, 0);
	T.limit = 100;
	stream_pause(&T.s.stream, false);
	turns(5);
	assert_int_equal(T.len, 9);
	assert_memory_equal(T.got, "abcdefghi", 9);
	assert_int_equal(T.eofs, 1);
	teardown();
}

static void test_ends(void **state)
{
	char buf[8], rest[512];
	static uint8_t block[30000];
	struct iovec long_iov = { block, sizeof(block) };
	size_t got = 0;
	ssize_t n;
	int small = 4096;

	(void)state;
	/* Theirs, then ours: in order */
	setup(64, 64);
	shutdown(T.peer, SHUT_WR);
	turns(2);
	assert_int_equal(T.eofs, 1);
	assert_true(idle());
	assert_int_equal(send_text("bye"), 0);
	stream_shut(&T.s.stream);
	assert_int_equal(recv(T.peer, buf, sizeof(buf), 0), 3);
	assert_int_equal(recv(T.peer, buf, sizeof(buf), 0), 0);
	assert_int_equal(T.downs, 1);
	assert_int_equal(T.why, 0);
	assert_int_equal(send_text("x"), -ENOTCONN);
	teardown();

	/* Ours, then theirs */
	setup(64, 64);
	stream_shut(&T.s.stream);
	turns(2);
	assert_int_equal(T.downs, 0);
	shutdown(T.peer, SHUT_WR);
	turns(2);
	assert_int_equal(T.eofs, 1);
	assert_int_equal(T.downs, 1);
	assert_int_equal(T.why, 0);
	teardown();

	/* The end comes behind all that waits */
	setup(64, 70000);
	setsockopt(T.s.src.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 2; i++)
		assert_int_equal(stream_send(&T.s.stream, &long_iov, 1), 0);
	stream_shut(&T.s.stream);
	for (int i = 0; i < 300; i++) {
		while ((n = recv(T.peer, rest, sizeof(rest), 0)) > 0)
			got += (size_t)n;
		turns(1);
	}
	assert_int_equal(got, 60000);
	assert_int_equal(recv(T.peer, rest, sizeof(rest), 0), 0);
	teardown();

	/* Nobody asked */
	setup(64, 64);
	T.s.stream.eof = NULL;
	assert_int_equal(send(T.peer, "abc", 3, 0), 3);
	close(T.peer);
	T.peer = -1;
	turns(3);
	assert_int_equal(T.len, 3);
	assert_int_equal(T.why, -ECONNRESET);
	assert_int_equal(T.downs, 1);
	assert_true(idle());
	teardown();

	/* Closed altogether, and we still have something to say */
	setup(64, 64);
	close(T.peer);
	T.peer = -1;
	assert_int_equal(send_text("x"), 0);
	stream_flush(&T.s.stream);
	assert_int_equal(T.why, -EPIPE);
	turns(2);
	assert_int_equal(T.downs, 1);
	teardown();
}

int stream_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
