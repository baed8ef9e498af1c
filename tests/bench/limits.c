/*
 * limits - what this machine can do at best, of what a gateway is made of
 *
 *	limits memcpy BYTES SECS	copy a block to another one, again and again
 *	limits socketpair SECS		AF_UNIX stream between two processes
 *	limits loopback SECS		TCP over 127.0.0.1 between two processes
 *	limits tap FD FD SECS		64 KiB GSO frames: write() to one TAP, the
 *					kernel forwards, read() from the other
 *
 * Counts what arrives.  TAPs are open, blocking, with offloads; frames go from
 * 10.9.1.2 to 10.9.2.2 by way of the interface 02:00:00:00:00:01.  Prints one
 * JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK		(256u << 10)	/* what the gateway gathers at most */
#define WARM_S		0.1
#define COME_UP_S	3		/* a link takes so long at most */
#define LOST_S		0.01		/* and loses the first frames */
#define NAP_US		50		/* far less than what is in flight lasts */
#define SECS_MAX	3600
#define BYTES_MAX	(1ul << 30)

#define VNET_LEN	12
#define SEG		1460
#define PAYLOAD		(44 * SEG)
#define HEADERS		(14 + 20 + 20)
#define FRAME_LEN	(VNET_LEN + HEADERS + PAYLOAD)
#define IN_FLIGHT	128u		/* well below a TAP's queue of 1000 */

/* What the second process has received */
struct shared {
	_Atomic uint64_t bytes, frames;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void report(const char *what, uint64_t bytes, uint64_t n, double s)
{
	printf("{\"what\":\"%s\",\"gbps\":%.4f,\"per_s\":%.1f}\n", what,
	       (double)bytes * 8e-9 / s, (double)n / s);
}

static void *block(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void run_memcpy(size_t len, double secs)
{
	unsigned char *a = block(len), *b = block(len);
	uint64_t n = 0;
	double start;

	memset(a, 1, len);
	memcpy(b, a, len);
	start = now();
	while (now() < start + secs)
		for (size_t done = 0; done < 1u << 24; done += len, n++) {
			memcpy(n % 2 ? a : b, n % 2 ? b : a, len);
			/* Or copies that nobody looks at may be left out */
			__asm__ volatile("" : : "r"(a), "r"(b) : "memory");
		}
	report("memcpy", n * len, n, now() - start);
}

/* --- between two processes --------------------------------------------------- */

static _Noreturn void take(int fd, size_t max, struct shared *sh)
{
	unsigned char *buf = block(max);
	ssize_t n;

	while ((n = read(fd, buf, max)) > 0) {
		sh->bytes += (uint64_t)n;
		sh->frames++;
	}
	_exit(0);
}

static struct shared *fork_taker(int fd, int other, size_t max, pid_t *pid)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sh == MAP_FAILED)
		die("mmap");
	*pid = fork();
	if (*pid < 0)
		die("fork");
	if (!*pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(other);
		take(fd, max, sh);
	}
	return sh;
}

/* Until no more than @window are on the way; what takes too long was lost */
static void await(uint64_t *sent, uint64_t window, const struct shared *sh)
{
	double end = now() + LOST_S;

	while ((int64_t)(*sent - sh->frames) >= (int64_t)window) {
		if (now() > end)
			*sent = sh->frames;
		usleep(NAP_US);
	}
}

/* Write the same thing, with at most @window more than was received */
static void pump(const char *what, int fd, const void *buf, size_t len,
		 uint64_t window, const struct shared *sh, double secs)
{
	double give_up = now() + COME_UP_S, end = now() + WARM_S, start = 0;
	uint64_t bytes = 0, frames = 0, sent = 0;

	while (now() < end) {
		if (!sh->frames && now() < give_up)
			end = now() + WARM_S;
		if (window)
			await(&sent, window, sh);
		if (write(fd, buf, len) < 0)
			die(what);
		sent++;
		if (!start && now() >= end) {
			start = now();
			end = start + secs;
			bytes = sh->bytes;
			frames = sh->frames;
		}
	}
	report(what, sh->bytes - bytes, sh->frames - frames, now() - start);
}

static void run_stream(const char *what, int to, int from, double secs)
{
	pid_t pid;
	const struct shared *sh = fork_taker(from, to, CHUNK, &pid);

	close(from);
	pump(what, to, block(CHUNK), CHUNK, 0, sh, secs);
	close(to);
	waitpid(pid, NULL, 0);
}

static void run_socketpair(double secs)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		die("socketpair");
	run_stream("socketpair", fd[0], fd[1], secs);
}

static void run_loopback(double secs)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);
	int to = socket(AF_INET, SOCK_STREAM, 0), from;

	if (l < 0 || to < 0 || bind(l, (struct sockaddr *)&a, len) ||
	    listen(l, 1) || getsockname(l, (struct sockaddr *)&a, &len) ||
	    connect(to, (struct sockaddr *)&a, len))
		die("loopback");
	from = accept(l, NULL, NULL);
	if (from < 0)
		die("accept");
	run_stream("loopback", to, from, secs);
}

/* --- TAP --------------------------------------------------------------------- */

static void put16(unsigned char *p, unsigned int v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static unsigned int sum(const unsigned char *p, size_t len)
{
	unsigned int s = 0;

	for (size_t i = 0; i < len; i += 2)
		s += (unsigned int)p[i] << 8 | p[i + 1];
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* TCP, as an own kernel sends it to a device with offloads */
static void make_frame(unsigned char *f)
{
	static const unsigned char vnet[VNET_LEN] = {
		1, 1, HEADERS, 0, SEG & 0xff, SEG >> 8, 34, 0, 16, 0, 0, 0 };
	static const unsigned char outer[14 + 20] = {
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0,
		0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, IPPROTO_TCP, 0, 0,
		10, 9, 1, 2, 10, 9, 2, 2 };
	unsigned char *ip = f + VNET_LEN + 14, *tcp = ip + 20;

	memcpy(f, vnet, sizeof(vnet));
	memcpy(f + VNET_LEN, outer, sizeof(outer));
	put16(ip + 2, 20 + 20 + PAYLOAD);
	put16(ip + 10, ~sum(ip, 20) & 0xffff);
	put16(tcp, 40000);
	put16(tcp + 2, 40001);
	tcp[12] = 5 << 4;
	tcp[13] = 0x10;				/* ACK */
	put16(tcp + 14, 0xffff);
	put16(tcp + 16, (sum(ip + 12, 8) + IPPROTO_TCP + 20 + PAYLOAD) % 0xffff);
}

static void run_tap(int to, int from, double secs)
{
	unsigned char *frame = block(FRAME_LEN);
	pid_t pid;
	const struct shared *sh = fork_taker(from, -1, FRAME_LEN, &pid);

	make_frame(frame);
	pump("tap", to, frame, FRAME_LEN, IN_FLIGHT, sh, secs);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- */

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: limits memcpy BYTES SECS | socketpair SECS | "
		"loopback SECS | tap FD FD SECS\n");
	exit(2);
}

static unsigned long number(const char *s, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (!*s || *end || *s == '-' || !n || n > max)
		usage();
	return n;
}

int main(int argc, char **argv)
{
	double secs;

	if (argc < 3)
		usage();
	secs = strtod(argv[argc - 1], NULL);
	if (!(secs > 0 && secs < SECS_MAX))
		usage();
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && !strcmp(argv[1], "memcpy"))
		run_memcpy(number(argv[2], BYTES_MAX), secs);
	else if (argc == 3 && !strcmp(argv[1], "socketpair"))
		run_socketpair(secs);
	else if (argc == 3 && !strcmp(argv[1], "loopback"))
		run_loopback(secs);
	else if (argc == 5 && !strcmp(argv[1], "tap"))
		run_tap((int)number(argv[2], 1 << 20),
			(int)number(argv[3], 1 << 20), secs);
	else
		usage();
	return 0;
}
