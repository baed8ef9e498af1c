/*
 * vsock_client - exercise a host's vsock device from inside a guest
 *
 *	vsock_client echo PORT BYTES	send and check what comes back
 *	vsock_client sink PORT BYTES	send 'u' and BYTES, close
 *	vsock_client source PORT BYTES	send 'd', receive BYTES, close
 *	vsock_client slow PORT BYTES	as source, pausing between reads
 *	vsock_client half PORT BYTES	echo, but read only after shutdown()
 *	vsock_client connects PORT N	connect, echo a byte, close, N times
 *	vsock_client refused PORT	expect ECONNRESET
 *
 * With VSOCK_BUFFER=BYTES in the environment, the socket has such a buffer.
 * Each prints one line, "ok WHAT ..." or "FAIL WHAT ...".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
/* after sys/socket.h, which it needs */
#include <linux/vm_sockets.h>

#define CHUNK	(256 * 1024)

static uint8_t tx[CHUNK], rx[CHUNK];

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Byte at @off of the test pattern: no period that a ring could hide */
static uint8_t pattern(uint64_t off)
{
	return (uint8_t)((off * 0x9e3779b97f4a7c15ULL) >> 56);
}

static int dial(unsigned int port)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_HOST,
				  .svm_port = port };
	uint64_t size;
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (getenv("VSOCK_BUFFER")) {
		size = strtoull(getenv("VSOCK_BUFFER"), NULL, 10);
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &size,
			   sizeof(size));
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size,
			   sizeof(size));
	}
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static int done(const char *what, int rc, uint64_t bytes, double from)
{
	double s = now_s() - from;

	if (rc)
		printf("FAIL %s: %s\n", what, strerror(-rc));
	else
		printf("ok %s %llu bytes, %.3f s, %.1f MB/s\n", what,
		       (unsigned long long)bytes, s, (double)bytes / s / 1e6);
	fflush(stdout);
	return rc ? 1 : 0;
}

static ssize_t put(int fd, uint64_t off, uint64_t total)
{
	size_t k = total - off < CHUNK ? (size_t)(total - off) : CHUNK;
	ssize_t n;

	for (size_t i = 0; i < k; i++)
		tx[i] = pattern(off + i);
	n = send(fd, tx, k, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? (errno == EAGAIN ? 0 : -errno) : n;
}

static ssize_t get(int fd, uint64_t off)
{
	ssize_t n = recv(fd, rx, CHUNK, MSG_DONTWAIT);

	if (n <= 0)
		return n == 0 ? -EPIPE : errno == EAGAIN ? 0 : -errno;
	for (ssize_t i = 0; i < n; i++) {
		if (rx[i] != pattern(off + (uint64_t)i))
			return -EBADMSG;
	}
	return n;
}

static int run_echo(int fd, uint64_t total)
{
	uint64_t out = 0, in = 0;

	while (in < total) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (out < total)
			p.events |= POLLOUT;
		if (poll(&p, 1, 10000) <= 0)
			return -ETIMEDOUT;
		n = p.revents & POLLOUT ? put(fd, out, total) : 0;
		if (n < 0)
			return (int)n;
		out += (uint64_t)n;
		n = p.revents & POLLIN ? get(fd, in) : 0;
		if (n < 0)
			return (int)n;
		in += (uint64_t)n;
	}
	return 0;
}

static int run_sink(int fd, uint64_t total)
{
	uint64_t out = 0;

	if (send(fd, "u", 1, MSG_NOSIGNAL) != 1)
		return -errno;
	while (out < total) {
		size_t k = total - out < CHUNK ? (size_t)(total - out) : CHUNK;
		ssize_t n = send(fd, tx, k, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		out += (uint64_t)n;
	}
	if (shutdown(fd, SHUT_WR) < 0)
		return -errno;
	/* The host answers with one byte when it has everything */
	return recv(fd, rx, 1, 0) == 1 ? 0 : -EPIPE;
}

static int run_source(int fd, uint64_t total, unsigned int pause_us)
{
	uint64_t in = 0;

	if (send(fd, "d", 1, MSG_NOSIGNAL) != 1)
		return -errno;
	while (in < total) {
		ssize_t n = recv(fd, rx, CHUNK, 0);

		if (n <= 0)
			return n ? -errno : -EPIPE;
		in += (uint64_t)n;
		if (pause_us)
			usleep(pause_us);
	}
	return 0;
}

static int run_half(int fd, uint64_t total)
{
	uint64_t in = 0;
	ssize_t n = put(fd, 0, total);

	if (n != (ssize_t)total || shutdown(fd, SHUT_WR) < 0)
		return -EIO;
	while (in < total) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 10000) <= 0)
			return -ETIMEDOUT;
		n = get(fd, in);
		if (n < 0)
			return (int)n;
		in += (uint64_t)n;
	}
	return recv(fd, rx, 1, 0) == 0 ? 0 : -EBADMSG;
}

static int run_connects(unsigned int port, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		int fd = dial(port), rc;

		if (fd < 0)
			return fd;
		rc = run_echo(fd, 1);
		close(fd);
		if (rc)
			return rc;
	}
	return 0;
}

static int run_refused(unsigned int port)
{
	int fd = dial(port);

	if (fd >= 0)
		return -EISCONN;
	return fd == -ECONNRESET ? 0 : fd;
}

int main(int argc, char **argv)
{
	unsigned int port = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10)
				     : 0;
	uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	const char *what = argc > 1 ? argv[1] : "";
	double from = now_s();
	int fd, rc;

	if (!strcmp(what, "refused"))
		return done(what, run_refused(port), 0, from);
	if (!strcmp(what, "connects"))
		return done(what, run_connects(port, n), n, from);
	fd = dial(port);
	if (fd < 0)
		return done(what, fd, 0, from);
	if (!strcmp(what, "echo"))
		rc = run_echo(fd, n);
	else if (!strcmp(what, "sink"))
		rc = run_sink(fd, n);
	else if (!strcmp(what, "source"))
		rc = run_source(fd, n, 0);
	else if (!strcmp(what, "slow"))
		rc = run_source(fd, n, 20000);
	else if (!strcmp(what, "half"))
		rc = run_half(fd, n);
	else
		rc = -EINVAL;
	rc = done(what, rc, n, from);
	close(fd);
	return rc;
}
