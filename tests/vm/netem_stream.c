/*
 * netem_stream - one end of a TCP stream whose every byte is known by its place
 *
 *	netem_stream send|recv ADDR|listen PORT SEED RUN_MS DRAIN_MS
 *
 * The sender sends for RUN_MS and ends the stream.  The receiver compares each
 * byte with what belongs at its position, and counts those that came within
 * RUN_MS of the first.  What is still under way then may take DRAIN_MS more, or
 * is cut off.  Both print one line of KEY=VALUE words:
 *
 *	sent=N					what the kernel took
 *	bytes=N total=N eof=0|1 bad=N		within RUN_MS, in all, the end of
 *						the stream, first wrong byte or -1
 *
 * Exits with 0 unless there was no connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES	(64u * 1024)	/* a multiple of 8 */
/* Little, so that RUN_MS is about what was sent and not about a buffer */
#define UNSENT_BYTES	(128 * 1024)
#define SILENCE_MS	30000		/* for a connection, and its first byte */
#define LINGER_MS	1000	/* for the news that the receiver has closed */

struct order {
	uint64_t seed;
	int run_ms, drain_ms;
};

static int fail(const char *what)
{
	fprintf(stderr, "netem_stream: %s: %s\n", what, strerror(errno));
	return 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- the bytes -------------------------------------------------------------- */

/* The eight bytes that begin at 8 * @i */
static uint64_t word(uint64_t seed, uint64_t i)
{
	uint64_t x = (i + seed) * 0x9e3779b97f4a7c15U;

	return x ^ x >> 29;
}

static void fill(uint64_t seed, uint64_t pos, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t w = word(seed, (pos + i) / 8);

		memcpy(p + i, &w, 8);
	}
}

/* How many of @len are what belongs at @pos */
static size_t right(uint64_t seed, uint64_t pos, const uint8_t *p, size_t len)
{
	size_t i = 0;

	while (i < len) {
		uint64_t want = word(seed, (pos + i) / 8), got;
		uint8_t b[8];

		if ((pos + i) % 8 == 0 && len - i >= 8) {
			memcpy(&got, p + i, 8);
			if (got == want) {
				i += 8;
				continue;
			}
		}
		memcpy(b, &want, 8);
		if (p[i] != b[(pos + i) % 8])
			break;
		i++;
	}
	return i;
}

/* --- the two ends ------------------------------------------------------------ */

/* Until the receiver has closed: what is under way must not meet the next test */
static void linger(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t end = now_ms() + ms;
	char c;

	for (int64_t left = ms; left > 0; left = end - now_ms()) {
		if (poll(&p, 1, (int)left) > 0 && read(fd, &c, 1) <= 0)
			return;
	}
}

static void send_stream(int fd, const struct order *o)
{
	static uint8_t buf[CHUNK_BYTES];
	const int unsent = UNSENT_BYTES;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int64_t end = now_ms() + o->run_ms, sent = 0;
	size_t at = CHUNK_BYTES;
	bool gone = false;

	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	for (int64_t left = o->run_ms; left > 0 && !gone;
	     left = end - now_ms()) {
		ssize_t n;

		if (poll(&p, 1, (int)left) <= 0)
			continue;
		if (at == CHUNK_BYTES) {
			fill(o->seed, (uint64_t)sent, buf, CHUNK_BYTES);
			at = 0;
		}
		n = send(fd, buf + at, CHUNK_BYTES - at, MSG_DONTWAIT);
		gone = n < 0 && errno != EAGAIN;
		if (n > 0) {
			at += (size_t)n;
			sent += n;
		}
	}
	shutdown(fd, SHUT_WR);
	linger(fd, o->drain_ms + LINGER_MS);
	printf("sent=%lld\n", (long long)sent);
}

static void recv_stream(int fd, const struct order *o)
{
	static uint8_t buf[CHUNK_BYTES];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t now = now_ms(), begin = 0, end = now + SILENCE_MS;
	int64_t bytes = 0, total = 0, bad = -1;
	bool eof = false;

	for (; bad < 0 && !eof && now < end; now = now_ms()) {
		ssize_t n;
		size_t ok;

		if (poll(&p, 1, (int)(end - now)) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n < 0) {
			fail("read");
			break;
		}
		now = now_ms();
		if (!begin) {
			begin = now;
			end = begin + o->run_ms + o->drain_ms;
		}
		ok = right(o->seed, (uint64_t)total, buf, (size_t)n);
		eof = n == 0;
		total += (int64_t)ok;
		if (ok < (size_t)n)
			bad = total;
		if (now - begin <= o->run_ms)
			bytes = total;
	}
	printf("bytes=%lld total=%lld eof=%d bad=%lld\n", (long long)bytes,
	       (long long)total, eof, (long long)bad);
}

/* Return: a connected socket, or -1 with errno */
static int connection(const char *addr, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const int one = 1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	in.sin_port = htons((in_port_t)strtoul(port, NULL, 10));
	if (inet_pton(AF_INET, addr, &in.sin_addr) == 1)
		return connect(fd, (struct sockaddr *)&in, sizeof(in)) ? -1 : fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) || listen(fd, 1))
		return -1;
	if (poll(&p, 1, SILENCE_MS) == 1)
		return accept(fd, NULL, NULL);
	errno = ETIMEDOUT;
	return -1;
}

int main(int argc, char **argv)
{
	struct order o;
	int fd;

	if (argc != 7 || (strcmp(argv[1], "send") && strcmp(argv[1], "recv"))) {
		fprintf(stderr, "usage: netem_stream send|recv ADDR|listen PORT "
			"SEED RUN_MS DRAIN_MS\n");
		return 2;
	}
	o.seed = strtoull(argv[4], NULL, 10);
	o.run_ms = (int)strtol(argv[5], NULL, 10);
	o.drain_ms = (int)strtol(argv[6], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	fd = connection(argv[2], argv[3]);
	if (fd < 0)
		return fail(argv[2]);
	if (strcmp(argv[1], "send") == 0)
		send_stream(fd, &o);
	else
		recv_stream(fd, &o);
	close(fd);
	return 0;
}
