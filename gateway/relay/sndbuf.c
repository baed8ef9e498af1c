#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/util.h"
#include "gateway/relay/sndbuf.h"

/* #syscalls getsockopt setsockopt ioctl close */

/*
 * What a fresh socket takes in any case (tcp_sndbuf_expand() of Linux: at least 45
 * KiB at an MSS of 1460), so that a short flow need not ask the kernel
 */
#define FIRST_ROOM	(32u * 1024)
/* The kernel's own limit, net.ipv4.tcp_wmem, unless somebody has changed it */
#define SIZE_MAX_BYTES	(4u << 20)
#define PER_RTT		4	/* see "Theory of operation" */

COUNT(tcp_sndbuf_grown, "send buffers made larger for a guest that is far away");

static uint32_t window_of(uint32_t size)
{
	return size / 4 * 3;
}

/* 0 if the kernel does not tell */
static uint32_t ask_size(int fd)
{
	uint32_t size = 0;
	socklen_t len = sizeof(size);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) < 0)
		return 0;
	return size;
}

/* @what: SIOCOUTQ, or SIOCOUTQNSD for what has not been sent at all */
static uint32_t ask_queue(int fd, unsigned long what)
{
	int q = 0;

	if (ioctl(fd, what, &q) < 0 || q < 0)
		return 0;
	return (uint32_t)q;
}

/* Return: 0; -1 if the kernel does not tune it any more */
static int set_size(int fd, uint32_t size)
{
	const int half = (int)(size / 2);	/* the kernel doubles it */
	const int lock = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
	return setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
}

/*
 * #syscalls socket
 */
uint32_t sndbuf_max(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t max = 0;

	if (fd < 0)
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (!set_size(fd, SIZE_MAX_BYTES))
		max = ask_size(fd);
	close(fd);
	return max;
}

void sndbuf_took(struct sndbuf *b, uint32_t n)
{
	b->outq += n;
	b->came += n;
	b->fresh += n;
}

/* Four times what comes in a round trip; 0 if it is too early to say */
static uint64_t wanted(struct sndbuf *b, uint32_t fresh, uint32_t now_us,
		       uint32_t rtt_us)
{
	uint32_t took_us = now_us - b->since_us;
	uint64_t want;

	if (!b->came)
		b->since_us = now_us;
	if (!rtt_us || took_us < rtt_us || b->came == fresh)
		return 0;
	want = (uint64_t)b->came * PER_RTT * rtt_us / took_us;
	b->came = 0;
	b->since_us = now_us;
	return want;
}

static void grow(struct sndbuf *b, int fd, uint32_t max, uint64_t want)
{
	uint32_t size;

	b->size = ask_size(fd);
	if (!b->size || b->size >= max || window_of(b->size) >= want)
		return;
	for (size = b->size; size < max && window_of(size) < want;)
		size *= 2;
	set_size(fd, MIN(size, max));
	b->size = ask_size(fd);
	count_inc(tcp_sndbuf_grown);
}

uint32_t sndbuf_room(struct sndbuf *b, int fd, uint32_t max, uint32_t now_us,
		     uint32_t rtt_us, bool *full)
{
	uint32_t fresh = b->fresh;
	uint64_t want = wanted(b, fresh, now_us, rtt_us);

	b->fresh = 0;
	*full = false;
	if (b->size < max && want > MAX(window_of(b->size), FIRST_ROOM) &&
	    ask_queue(fd, SIOCOUTQNSD) <= fresh)
		grow(b, fd, max, want);
	/* The kernel is asked only when the bounds kept here are not enough */
	if (!b->size && b->outq < FIRST_ROOM / 2)
		return FIRST_ROOM - b->outq;
	if (b->size && b->outq < b->size / 4)
		return window_of(b->size) - b->outq;
	b->outq = ask_queue(fd, SIOCOUTQ);
	if (!b->size || b->outq >= b->size / 4)
		b->size = ask_size(fd);	/* it may have grown by itself */
	*full = b->outq + b->size / 16 >= window_of(b->size);
	return window_of(b->size) > b->outq ? window_of(b->size) - b->outq : 0;
}

uint32_t sndbuf_unacked(struct sndbuf *b, int fd)
{
	b->outq = ask_queue(fd, SIOCOUTQ);
	return b->outq;
}
