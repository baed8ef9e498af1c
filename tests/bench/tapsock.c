/*
 * tapsock TAP SOCKET - carry frames between an open TAP device and a stream
 *
 * What a VMM does for a guest whose NIC is a Unix stream socket: each frame
 * behind its length, 4 bytes in network order, as QEMU's -netdev stream has it.
 * One thread for each direction and no queue but the kernel's: whoever reads
 * slowly is waited for.  The TAP is open, blocking, and has no header of its own;
 * the socket is connected.  Ends by a signal, or when one of the two does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PREFIX		4
#define FRAME_MAX	(65536 + 64)

/* So many frames go out with one send(), if they are there; and so long ones */
#define BATCH		64
#define BATCH_BYTES	(4 * (PREFIX + FRAME_MAX))

/* One read() of the stream: two frames of the longest, and the rest of one */
#define RX_BYTES	(3 * (PREFIX + FRAME_MAX))

static int tap, sock;

static _Noreturn void over(const char *what)
{
	fprintf(stderr, "tapsock: %s: %s\n", what,
		errno ? strerror(errno) : "it has ended");
	exit(1);
}

/**
 * frame() - Read one frame of the TAP
 * @wait:	Until there is one
 *
 * Return: its length; 0 if there is none, or this kernel cannot tell
 *	   without waiting: then each goes out alone
 */
static size_t frame(uint8_t *buf, bool wait)
{
	struct iovec iov = { buf, FRAME_MAX };
	ssize_t n;

	do {
		n = preadv2(tap, &iov, 1, -1, wait ? 0 : RWF_NOWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	if (n == 0 || wait)
		over("TAP");
	return 0;
}

static bool send_all(const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = send(sock, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* What the TAP has, as far as it fits; returns how much that is */
static size_t gather(uint8_t *buf, size_t size)
{
	size_t at = 0, len;
	uint32_t head;

	for (int n = 0; n < BATCH && size - at >= PREFIX + FRAME_MAX; n++) {
		len = frame(buf + at + PREFIX, n == 0);
		if (!len)
			break;
		head = htonl((uint32_t)len);
		memcpy(buf + at, &head, PREFIX);
		at += PREFIX + len;
	}
	return at;
}

static void *up(void *arg)
{
	static uint8_t buf[BATCH_BYTES];

	(void)arg;
	while (send_all(buf, gather(buf, sizeof(buf))))
		;
	over("socket");
}

/* Write what is whole to the TAP; returns how much that was */
static size_t frames(const uint8_t *buf, size_t have)
{
	size_t at = 0, len;
	uint32_t head;

	while (have - at >= PREFIX) {
		memcpy(&head, buf + at, PREFIX);
		len = ntohl(head);
		if (len > FRAME_MAX) {
			errno = EMSGSIZE;
			over("socket");
		}
		if (have - at - PREFIX < len)
			break;
		/* What the TAP does not take is lost, as on a wire */
		if (write(tap, buf + at + PREFIX, len) < 0 && errno == EBADFD)
			over("TAP");
		at += PREFIX + len;
	}
	return at;
}

static void down(void)
{
	static uint8_t buf[RX_BYTES];
	size_t have = 0, done;
	ssize_t n;

	for (;;) {
		n = recv(sock, buf + have, sizeof(buf) - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : 0;
			over("socket");
		}
		have += (size_t)n;
		done = frames(buf, have);
		have -= done;
		memmove(buf, buf + done, have);
	}
}

static int number(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	return *s && !*end && n >= 0 && n < 65536 ? (int)n : -1;
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc != 3 || (tap = number(argv[1])) < 0 ||
	    (sock = number(argv[2])) < 0) {
		fprintf(stderr, "usage: tapsock TAP SOCKET\n");
		return 2;
	}
	if (pthread_create(&t, NULL, up, NULL)) {
		fprintf(stderr, "tapsock: no thread\n");
		return 1;
	}
	down();
}
