/*
 * load - many flows, and floods, for the tests of scale
 *
 *	load serve tcp|udp IP PORT PORTS	echo on PORTS ports
 *	load hold tcp|udp IP PORT PORTS N	N flows, and do as stdin says
 *	load flood KIND DEV MAC SRC DST SECS RATE	raw frames, RATE a second
 *
 * What "hold" reads, a letter each: "e" lets every flow send one byte and wait for
 * its echo; "n" opens 100 more, one after another, and closes them.  It prints a
 * line of JSON for the opening and after each letter, and ends with its input.
 *
 * KIND is syn, scan, udp, udpflows, ping, frag or dns.  Addresses of syn and udp
 * are random within DST/16, ports random everywhere; scan and the others stay at
 * DST.  MAC is the gateway's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT	128	/* connects, or unanswered bytes, at once */
#define TIMEOUT_S	60	/* of everything that waits */
#define PORTS_MAX	64
#define FRAME_MAX	1514

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct sockaddr_in addr_of(const char *ip, unsigned int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		die(ip);
	return a;
}

static unsigned int number(const char *s)
{
	return (unsigned int)strtoul(s, NULL, 10);
}

static void all_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static void watch(int ep, int fd, uint32_t events, uint64_t what)
{
	struct epoll_event e = { .events = events, .data.u64 = what };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
}

/* --- serve ---------------------------------------------------------------- */

static void serve_one(int ep, int fd, bool listener, bool udp)
{
	struct sockaddr_in who;
	socklen_t len = sizeof(who);
	char buf[2048];
	ssize_t n;
	int c;

	if (listener && !udp) {
		while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
			watch(ep, c, EPOLLIN, (uint64_t)c << 1);
		return;
	}
	if (udp) {
		while ((n = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT,
				     (struct sockaddr *)&who, &len)) >= 0)
			sendto(fd, buf, (size_t)n, 0,
			       (struct sockaddr *)&who, len);
		return;
	}
	n = read(fd, buf, sizeof(buf));
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || write(fd, buf, (size_t)n) != n)
		close(fd);
}

static int serve(bool udp, const char *ip, unsigned int port, unsigned int n)
{
	const int one = 1, big = 8 << 20;
	struct epoll_event batch[64];
	int ep = epoll_create1(0), k;

	for (unsigned int i = 0; i < n; i++) {
		struct sockaddr_in a = addr_of(ip, port + i);
		int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) |
				SOCK_NONBLOCK, 0);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
		if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
		    (!udp && listen(fd, 4096)))
			die("bind");
		watch(ep, fd, EPOLLIN, (uint64_t)fd << 1 | 1);
	}
	puts("ready");
	fflush(stdout);
	while ((k = epoll_wait(ep, batch, 64, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < k; i++)
			serve_one(ep, (int)(batch[i].data.u64 >> 1),
				  batch[i].data.u64 & 1, udp);
	die("epoll_wait");
}

/* --- hold ----------------------------------------------------------------- */

struct hold {
	bool udp;
	const char *ip;
	unsigned int port, ports, n, fails;
	int ep;
	int *fd;
};

/* One more flow, connecting */
static int flow_open(struct hold *h, unsigned int i)
{
	struct sockaddr_in a = addr_of(h->ip, h->port + i % h->ports);
	int fd = socket(AF_INET, (h->udp ? SOCK_DGRAM : SOCK_STREAM) |
			SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) &&
	    errno != EINPROGRESS)
		die("connect");
	return fd;
}

static bool flow_connected(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && !err;
}

/* How many answered within the time; @wait is what an answer is */
static unsigned int take(struct hold *h, uint32_t wait, double end)
{
	struct epoll_event e[IN_FLIGHT];
	unsigned int got = 0;
	int k = epoll_wait(h->ep, e, IN_FLIGHT, 1000);

	if (now() > end) {
		errno = ETIMEDOUT;
		die("flows");
	}
	for (int i = 0; i < k; i++) {
		struct epoll_event next = { .events = 0,
					    .data.u64 = e[i].data.u64 };
		int fd = h->fd[e[i].data.u64];
		char b;

		if (wait == EPOLLOUT ? !flow_connected(fd) :
		    recv(fd, &b, 1, 0) != 1)
			h->fails++;
		epoll_ctl(h->ep, EPOLL_CTL_MOD, fd, &next);
		got++;
	}
	return got;
}

static double percent(unsigned int n, unsigned int of)
{
	return of ? 100.0 * n / of : 0;
}

static void report(const struct hold *h, const char *what, double s,
		   unsigned int n)
{
	printf("{\"what\":\"%s\",\"n\":%u,\"s\":%.6f,\"fails\":%u,"
	       "\"fails_percent\":%.2f}\n", what, n, s, h->fails,
	       percent(h->fails, n));
	fflush(stdout);
}

static void open_all(struct hold *h)
{
	double start = now(), end = start + TIMEOUT_S;
	unsigned int done = 0, i = 0;

	h->fails = 0;
	while (done < h->n) {
		for (; i < h->n && i - done < IN_FLIGHT; i++) {
			h->fd[i] = flow_open(h, i);
			watch(h->ep, h->fd[i], h->udp ? 0 : EPOLLOUT, i);
		}
		done += h->udp ? i - done : take(h, EPOLLOUT, end);
	}
	report(h, "open", now() - start, h->n);
}

static void echo_all(struct hold *h)
{
	double start = now(), end = start + TIMEOUT_S;
	unsigned int done = 0, i = 0;

	h->fails = 0;
	while (done < h->n) {
		for (; i < h->n && i - done < IN_FLIGHT; i++) {
			struct epoll_event e = { .events = EPOLLIN,
						 .data.u64 = i };

			epoll_ctl(h->ep, EPOLL_CTL_MOD, h->fd[i], &e);
			if (send(h->fd[i], "x", 1, 0) != 1)
				die("send");
		}
		done += take(h, EPOLLIN, end);
	}
	report(h, "echo", now() - start, h->n);
}

static void new_ones(struct hold *h)
{
	const unsigned int n = 100;
	const struct timeval tv = { .tv_sec = 5 };
	double start = now();

	h->fails = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct sockaddr_in a = addr_of(h->ip, h->port + i % h->ports);
		int fd = socket(AF_INET, h->udp ? SOCK_DGRAM : SOCK_STREAM, 0);
		char b;

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
		    send(fd, "x", 1, 0) != 1 || recv(fd, &b, 1, 0) != 1)
			h->fails++;
		close(fd);
	}
	report(h, "new", now() - start, n);
}

static int hold(bool udp, const char *ip, char **argv)
{
	struct hold h = { .udp = udp, .ip = ip, .port = number(argv[0]),
			  .ports = number(argv[1]), .n = number(argv[2]) };
	char c;

	h.ep = epoll_create1(0);
	h.fd = calloc(h.n, sizeof(*h.fd));
	if (h.ep < 0 || !h.fd)
		die("memory");
	open_all(&h);
	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (c == 'e')
			echo_all(&h);
		else if (c == 'n')
			new_ones(&h);
	}
	return 0;
}

/* --- flood ---------------------------------------------------------------- */

static uint32_t rnd(void)
{
	static uint64_t s = 88172645463325252u;

	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return (uint32_t)(s >> 16);
}

static uint32_t sum16(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		s += (uint32_t)p[i] << 8 | p[i + 1];
	return n & 1 ? s + ((uint32_t)p[n - 1] << 8) : s;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_sum(uint8_t *p, uint32_t s)
{
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	put16(p, ~s & 0xffff);
}

struct flood {
	const char *kind;
	uint8_t frame[FRAME_MAX];	/* Ethernet header, and @src @dst */
	uint32_t n;
};

static bool is(const struct flood *f, const char *kind)
{
	return !strcmp(f->kind, kind);
}

/* The upper layer; its length.  @l4 is zeroed */
static size_t put_l4(struct flood *f, uint8_t *l4, uint8_t *proto)
{
	static const uint8_t query[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0,
					 1, 'x', 4, 't', 'e', 's', 't', 0,
					 0, 1, 0, 1 };
	size_t len = 20;

	if (is(f, "ping") || is(f, "frag")) {
		*proto = IPPROTO_ICMP;
		l4[0] = 8;
		put16(l4 + 4, rnd());
		return is(f, "frag") ? 1400 : 64;
	}
	put16(l4, 1024 + rnd() % 64000);
	put16(l4 + 2, 1 + rnd() % 65000);
	if (is(f, "syn") || is(f, "scan")) {
		*proto = IPPROTO_TCP;
		if (is(f, "scan"))
			put16(l4 + 2, 1 + f->n % 65535);
		put16(l4 + 4, rnd());
		l4[12] = 5 << 4;
		l4[13] = 2;
		put16(l4 + 14, 65535);
		return len;
	}
	*proto = IPPROTO_UDP;
	if (is(f, "udp"))
		put16(l4, 7);
	if (is(f, "dns")) {
		put16(l4 + 2, 53);
		memcpy(l4 + 8, query, sizeof(query));
		put16(l4 + 8, rnd());
		len = 8 + sizeof(query);
	}
	put16(l4 + 4, (uint32_t)len);
	return len;
}

static size_t next_frame(struct flood *f)
{
	uint8_t *ip = f->frame + ETH_HLEN, *l4 = ip + 20, proto;
	size_t len;
	uint32_t s;

	if (is(f, "syn") || is(f, "udp") || is(f, "udpflows"))
		put16(ip + 18, rnd());
	memset(l4, 0, 64);
	len = put_l4(f, l4, &proto);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)(20 + len));
	put16(ip + 4, f->n);
	put16(ip + 6, is(f, "frag") ? 0x2000 : 0);
	ip[8] = 64;
	ip[9] = proto;
	put16(ip + 10, 0);
	put_sum(ip + 10, sum16(ip, 20, 0));
	s = sum16(ip + 12, 8, proto + (uint32_t)len);
	if (proto == IPPROTO_TCP)
		put_sum(l4 + 16, sum16(l4, len, s));
	else if (proto == IPPROTO_ICMP)
		put_sum(l4 + 2, sum16(l4, len, 0));
	f->n++;
	return ETH_HLEN + 20 + len;
}

static int flood(char **argv)
{
	struct flood f = { .kind = argv[0] };
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	struct sockaddr_in a = addr_of(argv[3], 0);
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	double start = now(), end = start + strtod(argv[5], NULL);
	double rate = strtod(argv[6], NULL);
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct ifreq ifr = { 0 };
	unsigned int m[6];

	strncat(ifr.ifr_name, argv[1], IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr))
		die(argv[1]);
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (sscanf(argv[2], "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4,
		   m + 5) != 6)
		die(argv[2]);
	for (int i = 0; i < 6; i++)
		f.frame[i] = (uint8_t)m[i];
	memcpy(f.frame + 6, ifr.ifr_hwaddr.sa_data, 6);
	put16(f.frame + 12, ETHERTYPE_IP);
	memcpy(f.frame + ETH_HLEN + 12, &a.sin_addr, 4);
	a = addr_of(argv[4], 0);
	memcpy(f.frame + ETH_HLEN + 16, &a.sin_addr, 4);
	while (now() < end) {
		size_t len;

		if (f.n > (now() - start) * rate) {
			nanosleep(&ms, NULL);
			continue;
		}
		len = next_frame(&f);
		if (sendto(fd, f.frame, len, 0, (struct sockaddr *)&to,
			   sizeof(to)) < 0 && errno != ENOBUFS)
			die("sendto");
	}
	printf("{\"sent\":%u}\n", f.n);
	return 0;
}

int main(int argc, char **argv)
{
	bool udp = argc > 2 && !strcmp(argv[2], "udp");

	all_descriptors();
	if (argc == 6 && !strcmp(argv[1], "serve"))
		return serve(udp, argv[3], number(argv[4]), number(argv[5]));
	if (argc == 7 && !strcmp(argv[1], "hold"))
		return hold(udp, argv[3], argv + 4);
	if (argc == 9 && !strcmp(argv[1], "flood"))
		return flood(argv + 2);
	fprintf(stderr, "usage: see the head of load.c\n");
	return 2;
}
