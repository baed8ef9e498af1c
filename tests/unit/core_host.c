#include "tests/unit/core_rig.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* Servers that behave well most of the time; each serves both families */

#define DNS_PORT	53

static const uint16_t ports[] = { CORE_PORT_ECHO, CORE_PORT_TALK,
				  CORE_PORT_DEAF, DNS_PORT };

static int listener(int type, uint16_t port)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
				     .sin6_port = htons(port) };
	const int one = 1, zero = 0;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ASSERT(fd >= 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ASSERT(bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) == 0);
	if (type == SOCK_STREAM)
		ASSERT(listen(fd, port == CORE_PORT_DEAF ? 0 : 1024) == 0);
	return fd;
}

void core_host_open(struct core_host *h)
{
	memset(h, 0, sizeof(*h));
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		h->tcp[i] = listener(SOCK_STREAM, ports[i]);
		h->udp[i] = listener(SOCK_DGRAM, ports[i]);
	}
	for (size_t i = 0; i < CORE_CONNS; i++)
		h->conn[i].fd = -1;
}

void core_host_close(struct core_host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		fd_close(&h->tcp[i]);
		fd_close(&h->udp[i]);
	}
	for (size_t i = 0; i < CORE_CONNS; i++)
		fd_close(&h->conn[i].fd);
}

static void reset(int *fd)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	fd_close(fd);
}

static void accept_one(struct core_host *h, unsigned int which)
{
	int fd = accept4(h->tcp[which], NULL, NULL, SOCK_NONBLOCK |
			 SOCK_CLOEXEC);

	if (fd < 0)
		return;
	h->next = (h->next + 1) % CORE_CONNS;
	if (h->conn[h->next].fd >= 0)
		reset(&h->conn[h->next].fd);
	h->conn[h->next].fd = fd;
	h->conn[h->next].talk = ports[which] == CORE_PORT_TALK;
}

static void serve(struct core_host *h, unsigned int i,
		  uint32_t (*roll)(uint32_t below))
{
	int *fd = &h->conn[i].fd;
	uint8_t buf[8192];
	ssize_t n;

	if (*fd < 0)
		return;
	n = recv(*fd, buf, sizeof(buf), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		fd_close(fd);
		return;
	}
	if (h->conn[i].talk && roll(2)) {
		n = (ssize_t)roll(sizeof(buf));
		memset(buf, 'x', (size_t)n);
	}
	if (n > 0)
		(void)!send(*fd, buf, (size_t)n, MSG_NOSIGNAL |
			    (roll(50) ? 0 : MSG_OOB));
	if (!roll(60))
		fd_close(fd);
	else if (!roll(60))
		reset(fd);
	else if (!roll(60))
		shutdown(*fd, SHUT_WR);
}

/* The query again is a good answer, once it says that it is one */
static void answer(struct core_host *h, unsigned int which,
		   uint32_t (*roll)(uint32_t below))
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	static uint8_t buf[65536];
	ssize_t n = recvfrom(h->udp[which], buf, sizeof(buf), 0,
			     (struct sockaddr *)&from, &len);

	if (n < 0 || ports[which] == CORE_PORT_DEAF)
		return;
	if (ports[which] == DNS_PORT && n > 2)
		buf[2] |= 0x80;
	if (n && !roll(20))
		buf[roll((uint32_t)n)] ^= (uint8_t)(1u << roll(8));
	for (uint32_t k = ports[which] == CORE_PORT_TALK ? roll(4) : 1; k; k--)
		sendto(h->udp[which], buf, (size_t)n, 0,
		       (struct sockaddr *)&from, len);
}

void core_host_turn(struct core_host *h, uint32_t (*roll)(uint32_t below))
{
	unsigned int which = roll(ARRAY_SIZE(ports));

	if (ports[which] != CORE_PORT_DEAF)
		accept_one(h, which);
	answer(h, which, roll);
	answer(h, roll(ARRAY_SIZE(ports)), roll);
	for (unsigned int k = 0; k < 4; k++)
		serve(h, roll(CORE_CONNS), roll);
}
