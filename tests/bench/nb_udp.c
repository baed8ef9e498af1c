#include "tests/bench/nb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define BATCH		32
#define SOCKBUF		(4 << 20)
#define HELLO_S		5	/* until somebody must have asked */
#define SILENT_US	400000	/* after the first datagram: it is over */
#define FINS		5	/* some of them may be lost */

static char bufs[BATCH][NB_UDP_MAX];
static struct iovec iov[BATCH];
static struct mmsghdr batch[BATCH];

static void batch_init(size_t size)
{
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ bufs[i], size };
		batch[i].msg_hdr.msg_iov = &iov[i];
		batch[i].msg_hdr.msg_iovlen = 1;
	}
}

static int udp_socket(long timeout_us)
{
	const struct timeval tv = { .tv_sec = timeout_us / 1000000,
				    .tv_usec = timeout_us % 1000000 };
	const int size = SOCKBUF;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* Whoever may not have as much gets what he may */
	if (s < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		nb_die("socket");
	return s;
}

static void udp_connect(int s, const struct sockaddr_in *a)
{
	if (connect(s, (const struct sockaddr *)a, sizeof(*a)))
		nb_die("connect");
}

/* Flat out; what the kernel refuses at once has not been sent */
static int flood(int s, double secs, int size)
{
	const double start = nb_now();
	double now = start;
	uint64_t sent = 0, refused = 0;

	batch_init((size_t)size);
	while (now < start + secs) {
		int n = sendmmsg(s, batch, BATCH, 0);

		if (n > 0)
			sent += (uint64_t)n;
		else
			refused++;
		now = nb_now();
	}
	/* An empty datagram is the end, when the queues have run dry */
	usleep(100000);
	for (int i = 0; i < FINS; i++) {
		(void)!send(s, "", 0, 0);
		usleep(10000);
	}
	printf("{\"test\":\"udptx\",\"sent\":%llu,\"refused\":%llu,"
	       "\"per_s\":%.1f}\n", (unsigned long long)sent,
	       (unsigned long long)refused, (double)sent / (now - start));
	return 0;
}

/* Count until the end is announced, or nothing comes any more */
static int count(int s, double secs, int size)
{
	double first = 0, last = 0, end = nb_now() + secs;
	uint64_t got = 0;
	bool over = false;

	batch_init((size_t)size);
	while (!over && nb_now() < end) {
		int n = recvmmsg(s, batch, BATCH, MSG_WAITFORONE, NULL);

		if (n <= 0) {
			over = got && errno == EAGAIN;
			continue;
		}
		last = nb_now();
		if (!got)
			first = last;
		for (int i = 0; i < n; i++)
			if (batch[i].msg_len)
				got++;
			else
				over = true;
	}
	printf("{\"test\":\"udprx\",\"n\":%llu,\"per_s\":%.1f}\n",
	       (unsigned long long)got,
	       last > first ? (double)got / (last - first) : 0);
	return 0;
}

int nb_udp_send(const struct sockaddr_in *a, double secs, int size)
{
	int s = udp_socket(SILENT_US);

	udp_connect(s, a);
	return flood(s, secs, size);
}

int nb_udp_receive(const struct sockaddr_in *a, double secs, int size)
{
	int s = udp_socket(SILENT_US);

	if (bind(s, (const struct sockaddr *)a, sizeof(*a)))
		nb_die("bind");
	return count(s, secs, size);
}

int nb_udp_serve(const struct sockaddr_in *a, double secs, int size)
{
	struct sockaddr_in who;
	socklen_t len = sizeof(who);
	int s = udp_socket(HELLO_S * 1000000L);
	char hello[16];

	if (bind(s, (const struct sockaddr *)a, sizeof(*a)))
		nb_die("bind");
	if (recvfrom(s, hello, sizeof(hello), 0, (struct sockaddr *)&who,
		     &len) < 0)
		nb_die("nobody asks");
	udp_connect(s, &who);
	return flood(s, secs, size);
}

int nb_udp_ask(const struct sockaddr_in *a, double secs, int size)
{
	int s = udp_socket(SILENT_US);

	udp_connect(s, a);
	if (send(s, "hello", 5, 0) != 5)
		nb_die("hello");
	return count(s, secs, size);
}
