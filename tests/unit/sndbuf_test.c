#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/util.h"
#include "gateway/relay/sndbuf.h"

int sndbuf_test(void);

#define KIB	1024u
#define RTT_US	100000u
#define TURNS	4u	/* in which what comes in a round trip comes */

/**
 * struct path - A guest, the socket that takes what it sends, and upstream
 * @fd:		Of the gateway, and of upstream, with segments as on Ethernet
 * @now_us:	Begins shortly before it wraps
 * @reads:	Upstream reads at once; else it never does, and takes little
 */
struct path {
	struct sndbuf b;
	int fd[2];
	uint32_t max, now_us;
	bool full, reads;
};

static int dial(int server, const int *mss)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&in, &len), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, mss, sizeof(*mss));
	assert_int_equal(connect(fd, (struct sockaddr *)&in, len), 0);
	return fd;
}

static void path_up(struct path *p, bool reads)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int server = socket(AF_INET, SOCK_STREAM, 0);
	const int mss = 1460, small = 16 * KIB;

	memset(p, 0, sizeof(*p));
	count_reset();
	p->now_us = -3 * RTT_US;
	p->reads = reads;
	p->max = sndbuf_max();
	assert_true(server >= 0);
	setsockopt(server, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	if (!reads)
		setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(bind(server, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(server, 1), 0);
	p->fd[0] = dial(server, &mss);
	p->fd[1] = accept(server, NULL, NULL);
	assert_true(p->fd[1] >= 0);
	close(server);
}

static void path_down(struct path *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
}

static uint32_t option(const struct path *p, int name)
{
	uint32_t v = UINT32_MAX;
	socklen_t len = sizeof(v);

	assert_int_equal(getsockopt(p->fd[0], SOL_SOCKET, name, &v, &len), 0);
	return v;
}

static uint64_t grown(void)
{
	return count_get("tcp_sndbuf_grown");
}

static uint32_t room(struct path *p, uint32_t rtt_us)
{
	return sndbuf_room(&p->b, p->fd[0], p->max, p->now_us, rtt_us,
			   &p->full);
}

/* The guest sends @n bytes, all of which the socket has promised to take */
static void up(struct path *p, uint32_t n)
{
	static uint8_t buf[4u << 20];

	assert_in_range(n, 1, sizeof(buf));
	assert_int_equal(send(p->fd[0], buf, n, MSG_DONTWAIT), n);
	sndbuf_took(&p->b, n);
	if (p->reads)
		assert_int_equal(recv(p->fd[1], buf, n, MSG_WAITALL), n);
}

/* A round trip of a guest that is held up by its window alone; the next one */
static uint32_t round_trip(struct path *p, uint32_t window, uint32_t rtt_us)
{
	uint32_t next = window;

	for (unsigned int i = 0; i < TURNS; i++) {
		up(p, window / TURNS);
		p->now_us += RTT_US / TURNS;
		next = room(p, rtt_us);
	}
	return next;
}

static void no_kernel_for_little(void **state)
{
	struct sndbuf b = { 0 };
	bool full;

	(void)state;
	assert_int_equal(sndbuf_room(&b, -1, 0, 1, 1, &full), 32 * KIB);
	sndbuf_took(&b, 16 * KIB - 1);
	assert_int_equal(sndbuf_room(&b, -1, 0, 2, 1, &full), 16 * KIB + 1);
	assert_false(full);
	sndbuf_took(&b, 1);	/* now it is asked, and there is none */
	assert_int_equal(sndbuf_room(&b, -1, 0, 3, 1, &full), 0);
	assert_true(full);
}

static void grows_for_a_far_guest(void **state)
{
	struct path p;
	uint32_t window, before, size;

	(void)state;
	path_up(&p, true);
	if (!p.max)
		skip();
	before = option(&p, SO_SNDBUF);
	assert_in_range(before, 32 * KIB, p.max - 1);
	window = room(&p, RTT_US);
	for (int i = 0; i < 16; i++) {
		window = round_trip(&p, window, RTT_US);
		/* What is there for it to notice takes no more than two */
		size = option(&p, SO_SNDBUF);
		if (i >= 2)
			assert_in_range(size, MIN(2 * before, p.max), p.max);
		assert_in_range(size, before, p.max);
	}
	assert_int_equal(option(&p, SO_SNDBUF), p.max);
	assert_in_range(grown(), 2, 7);
	assert_int_equal(option(&p, SO_BUF_LOCK), 0);
	assert_in_range(window, p.max / 2, p.max / 4 * 3);
	path_down(&p);
}

static void grows_for_slow_start(void **state)
{
	struct path p;
	uint32_t window, flight = 14600;

	(void)state;
	path_up(&p, true);
	if (!p.max)
		skip();
	window = room(&p, RTT_US);
	while (2 * flight < p.max / 4 * 3) {	/* never held up */
		assert_true(flight <= window);
		window = round_trip(&p, flight, RTT_US);
		flight *= 2;
	}
	path_down(&p);
}

/* All that comes at once is no rate; what comes in two round trips is */
static void one_burst_is_no_rate(void **state)
{
	struct path p;
	uint32_t before;

	(void)state;
	path_up(&p, true);
	if (!p.max)
		skip();
	before = option(&p, SO_SNDBUF);
	room(&p, RTT_US);
	up(&p, 32 * KIB);
	p.now_us += RTT_US;
	room(&p, RTT_US);
	assert_int_equal(option(&p, SO_SNDBUF), before);
	up(&p, 32 * KIB);
	p.now_us += RTT_US;
	room(&p, RTT_US);
	assert_true(option(&p, SO_SNDBUF) > before);
	path_down(&p);
}

/* Upstream can have sent what came before, and not what comes just now */
static void what_is_fresh_may_wait(void **state)
{
	struct path p;
	const int cork = 1;
	uint32_t before;

	(void)state;
	path_up(&p, true);
	if (!p.max)
		skip();
	before = option(&p, SO_SNDBUF);
	room(&p, RTT_US);
	up(&p, 24 * KIB);
	room(&p, RTT_US);
	setsockopt(p.fd[0], IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
	p.reads = false;
	up(&p, 1000);
	p.now_us += RTT_US;
	room(&p, RTT_US);
	assert_true(option(&p, SO_SNDBUF) > before);
	path_down(&p);
}

/* What comes in a round trip is little, or it is not known how long that is */
static void not_for_a_near_guest(void **state)
{
	const uint32_t rtt_us[] = { 0, RTT_US / 10 };
	struct path p;
	uint32_t before;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rtt_us); i++) {
		path_up(&p, true);
		before = option(&p, SO_SNDBUF);
		for (int n = 0; n < 8; n++)
			round_trip(&p, 24 * KIB, rtt_us[i]);
		for (int n = 0; n < 2; n++) {	/* and at once */
			up(&p, KIB);
			room(&p, rtt_us[i]);
		}
		assert_int_equal(option(&p, SO_SNDBUF), before);
		assert_int_equal(p.b.size, before);
		path_down(&p);
	}
}

static void not_where_the_kernel_would_stop(void **state)
{
	struct path p;
	uint32_t before;

	(void)state;
	path_up(&p, true);
	p.max = 0;
	before = option(&p, SO_SNDBUF);
	for (int n = 0; n < 8; n++)
		round_trip(&p, 24 * KIB, RTT_US);
	assert_int_equal(option(&p, SO_SNDBUF), before);
	path_down(&p);
}

/* Nobody reads: the buffer is for upstream, and the window ends with it */
static void not_for_a_slow_upstream(void **state)
{
	struct path p;
	uint32_t window, sent = 0;

	(void)state;
	path_up(&p, false);
	window = room(&p, RTT_US);
	while (!p.full) {
		window = MIN(window, 16 * KIB);
		up(&p, window);
		sent += window;
		if (sent > 40 * KIB)	/* what upstream's kernel takes */
			p.now_us += RTT_US;
		window = room(&p, RTT_US);
		assert_true(sent < 16 * KIB * KIB);
	}
	while (window) {
		up(&p, window);
		window = room(&p, RTT_US);
	}
	assert_int_equal(grown(), 0);
	for (int i = 0; i < 8; i++) {
		p.now_us += RTT_US;
		assert_int_equal(room(&p, RTT_US), 0);
		assert_true(p.full);
	}
	assert_int_equal(grown(), 0);
	path_down(&p);
}

int sndbuf_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_kernel_for_little),
		cmocka_unit_test(grows_for_a_far_guest),
		cmocka_unit_test(grows_for_slow_start),
		cmocka_unit_test(one_burst_is_no_rate),
		cmocka_unit_test(what_is_fresh_may_wait),
		cmocka_unit_test(not_for_a_near_guest),
		cmocka_unit_test(not_where_the_kernel_would_stop),
		cmocka_unit_test(not_for_a_slow_upstream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
