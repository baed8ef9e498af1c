/* Flows that are over while the host has not taken everything */
#include "tests/unit/guest.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/count.h"
#include "base/wr.h"
#include "gateway/wire/tcp.h"
#include "tests/unit/core_rig.h"

int linger_test(void);

#define PORT	1234
#define SEGS	20
#define SEG	1400

static struct core core;
static struct tcp_hdr heard;	/* the latest segment with something to say */

static uint32_t roll(uint32_t below)
{
	(void)below;
	return 0;
}

static void from_core(struct memlink *m, const struct link_vnet *vh,
		      const uint8_t *frame, size_t len)
{
	struct rd r = rd_init(frame, len);
	struct tcp_hdr h;

	(void)m;
	(void)vh;
	rd_take(&r, 14);
	if (len > 54 - 1 && frame[23] == IPPROTO_TCP) {
		rd_take(&r, 20);
		ASSERT(tcp_hdr_parse(r, &h) == 0);
		if (h.flags & (TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST))
			heard = h;
	}
}

static void say(uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack,
		size_t len)
{
	const struct link_vnet vh = { .flags = LINK_VNET_F_DATA_VALID };
	const struct tcp_hdr h = { .sport = port, .dport = PORT, .seq = seq,
				   .ack = ack, .flags = flags, .wnd = 65535 };
	static uint8_t l4[TCP_HDR_MIN + SEG], frame[2048];
	struct wr w = wr_init(l4, sizeof(l4));

	tcp_hdr_emit(&w, &h);
	ASSERT(TCP_HDR_MIN + len <= sizeof(l4));
	memlink_deliver(&core.mem, &vh, frame,
			guest_ip(frame, CORE_GUEST4, CORE_GW4, IPPROTO_TCP, l4,
				 TCP_HDR_MIN + len));
	core_turn(&core);
}

static void until_heard(uint8_t flag)
{
	for (int i = 0; i < 1000 && !(heard.flags & flag); i++) {
		core_turn(&core);
		usleep(100);
	}
	ASSERT(heard.flags & flag);
}

static int server(void)
{
	const struct sockaddr_in a = { .sin_family = AF_INET,
				       .sin_port = htons(PORT) };
	const int small = 4096;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ASSERT(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ASSERT(bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	ASSERT(listen(fd, 16) == 0);
	return fd;
}

/* The server's end of a new flow */
static int open_flow(int listener, uint16_t port, uint32_t *isn)
{
	int fd;

	heard.flags = 0;
	say(port, TCP_FLAG_SYN, 0, 0, 0);
	until_heard(TCP_FLAG_SYN);
	*isn = heard.seq;
	say(port, TCP_FLAG_ACK, 1, *isn + 1, 0);
	fd = accept(listener, NULL, NULL);
	ASSERT(fd >= 0);
	return fd;
}

/* From the guest's SYN to its last ACK; the server's end, which reads nothing */
static int whole_flow(int listener, uint16_t port)
{
	uint32_t seq = 1, isn;
	int fd = open_flow(listener, port, &isn);

	for (int i = 0; i < SEGS; i++, seq += SEG)
		say(port, TCP_FLAG_ACK, seq, isn + 1, SEG);
	say(port, TCP_FLAG_ACK | TCP_FLAG_FIN, seq, isn + 1, 0);
	shutdown(fd, SHUT_WR);
	until_heard(TCP_FLAG_FIN);
	say(port, TCP_FLAG_ACK, seq + 1, isn + 2, 0);
	return fd;
}

static uint32_t active(void)
{
	struct tcp_relay_stats st;

	tcp_relay_stats(core.tcp_relay, &st);
	return st.active;
}

static void sleep_s(unsigned int s)
{
	for (unsigned int i = 0; i < s; i++) {
		core_sleep(&core, NS_PER_S);
		core_turn(&core);
	}
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	ASSERT(poll(&p, 1, 10000) == 1);
}

/* Return: bytes read once there are any; 0 at the end; or -errno */
static ssize_t take(int fd)
{
	static uint8_t buf[65536];
	ssize_t n;

	wait_readable(fd);
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* A host that takes nothing for a minute has had its chance */
static void nobody_reads(int listener)
{
	int fd = whole_flow(listener, 40000);

	ASSERT(active() == 1 && count_get("tcp_flow_lingers") == 1);
	sleep_s(50);
	ASSERT(active() == 1);
	sleep_s(30);
	ASSERT(active() == 0 && count_get("tcp_linger_stuck") == 1);
	ASSERT(take(fd) > 0 && take(fd) == -ECONNRESET);
	close(fd);
}

/* One that takes a little now and then gets everything */
static void somebody_reads_slowly(int listener)
{
	int fd = whole_flow(listener, 40001);
	ssize_t sum = 0;

	while (sum < SEGS * SEG) {
		if (sum < SEGS * SEG / 2) {
			sleep_s(40);
			ASSERT(active() == 1);
		}
		sum += take(fd);
		wait_readable(fd);
		usleep(100000);		/* an ACK may be delayed */
	}
	ASSERT(sum == SEGS * SEG && take(fd) == 0);
	sleep_s(10);
	ASSERT(active() == 0);
	close(fd);
}

static void set_lo(bool up)
{
	struct ifreq ifr = { .ifr_name = "lo",
			     .ifr_flags = up ? IFF_UP | IFF_LOOPBACK : 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ASSERT(ioctl(fd, SIOCSIFFLAGS, &ifr) == 0);
	close(fd);
}

/* A FIN that is lost is all that is left of this one */
static void fin_is_lost(int listener)
{
	uint32_t isn;
	int fd = open_flow(listener, 40003, &isn);

	shutdown(fd, SHUT_WR);
	until_heard(TCP_FLAG_FIN);
	say(40003, TCP_FLAG_ACK, 1, isn + 2, 0);
	set_lo(false);
	say(40003, TCP_FLAG_ACK | TCP_FLAG_FIN, 1, isn + 2, 0);
	sleep_s(10);
	ASSERT(active() == 1);
	set_lo(true);
	ASSERT(take(fd) == 0);		/* the kernel has sent it again */
	usleep(10000);
	sleep_s(10);
	ASSERT(active() == 0);
	close(fd);
}

/* The gateway ends before that: the kernel goes on by itself */
static void gateway_ends(int fd)
{
	ssize_t sum = 0, n;

	while ((n = take(fd)) > 0)
		sum += n;
	ASSERT(n == 0 && sum == SEGS * SEG);
	close(fd);
}

static void run(void)
{
	const struct core_conf conf = { .roll = roll, .peer = from_core,
					.features = LINK_F_CSUM };
	int listener, fd;

	count_reset();
	listener = server();
	core_open(&core, &conf);
	nobody_reads(listener);
	somebody_reads_slowly(listener);
	fin_is_lost(listener);
	ASSERT(count_get("tcp_linger_stuck") == 1);
	fd = whole_flow(listener, 40002);
	ASSERT(active() == 1);
	tcp_relay_free(core.tcp_relay);
	gateway_ends(fd);
	close(listener);
}

static void lingering(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (!core_namespace())
			_exit(77);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int linger_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lingering),
	};

	return cmocka_run_group_tests_name("linger", tests, NULL, NULL);
}
