#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "link/pcap.h"

/*
 * File: magic, u16 major and minor, two unused words, snapshot length, link
 * type; then for each frame seconds, nanoseconds, length kept, length on the
 * wire, data.  All in the byte order of who wrote it, which the magic shows.
 */
#define PCAP_MAGIC_NS	0xa1b23c4dU
#define PCAP_MAJOR	2
#define PCAP_MINOR	4
#define PCAP_ETHERNET	1
#define FILE_HEAD	24
#define RECORD_HEAD	16

COUNT(pcap_write_errors, "captures ended because a write failed");

struct pcap {
	struct link link;
	struct link *inner;
	int fd;
	uint32_t snaplen;
};

static struct pcap *pcap_of(struct link *l)
{
	return container_of(l, struct pcap, link);
}

/* What the inner link may send changes when it comes up */
static void sync_limits(struct pcap *p)
{
	p->link.can_send = p->inner->can_send;
	p->link.can_recv = p->inner->can_recv;
	p->link.max_frame = p->inner->max_frame;
}

static void pcap_stop(struct pcap *p, int err)
{
	static struct log_limit limit = { .burst = 3 };

	count_inc(pcap_write_errors);
	if (log_ratelimit(&limit))	/* each new link tries again */
		log_warn("capture ended: %s", strerror(err));
	fd_close(&p->fd);
}

/**
 * pcap_write() - Append a head and @len bytes of a frame, in one call
 *
 * #syscalls writev
 */
static void pcap_write(struct pcap *p, const void *head, size_t head_len,
		       const struct iovec *iov, int n, size_t len)
{
	struct iovec out[1 + LINK_IOV_MAX];
	ssize_t rc;
	int k = 0;

	out[0].iov_base = (void *)(uintptr_t)head;
	out[0].iov_len = head_len;
	if (len)
		k = iov_slice(iov, n, 0, len, out + 1, LINK_IOV_MAX);
	if (k < 0) {
		pcap_stop(p, -k);
		return;
	}
	do
		rc = writev(p->fd, out, k + 1);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		pcap_stop(p, errno);
	else if ((size_t)rc != head_len + len)
		pcap_stop(p, ENOSPC);	/* half a record ends the file */
}

/* #syscalls clock_gettime */
static void pcap_record(struct pcap *p, const struct iovec *iov, int n,
			size_t len)
{
	size_t keep = MIN(len, p->snaplen);
	uint32_t head[RECORD_HEAD / 4];
	struct timespec ts;

	if (p->fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	head[0] = (uint32_t)ts.tv_sec;
	head[1] = (uint32_t)ts.tv_nsec;
	head[2] = (uint32_t)keep;
	head[3] = (uint32_t)len;
	pcap_write(p, head, sizeof(head), iov, n, keep);
}

static int pcap_send(struct link *l, const struct link_vnet *vh,
		     const struct iovec *iov, int n)
{
	struct pcap *p = pcap_of(l);
	int rc = link_send(p->inner, vh, iov, n);

	if (rc == 0)
		pcap_record(p, iov, n, iov_len(iov, n));
	return rc;
}

static int pcap_reserve(struct link *l, size_t len, struct link_room *room)
{
	return link_reserve(pcap_of(l)->inner, len, room);
}

static int pcap_commit(struct link *l, struct link_room *room,
		       const struct link_vnet *vh, size_t len)
{
	struct pcap *p = pcap_of(l);

	if (len)	/* afterwards the room is the peer's */
		pcap_record(p, room->iov, room->n, len);
	return link_commit(p->inner, room, vh, len);
}

static void pcap_flush(struct link *l)
{
	link_flush(pcap_of(l)->inner);
}

static void pcap_pause(struct link *l, bool on)
{
	link_pause(pcap_of(l)->inner, on);
}

static void pcap_close(struct link *l)
{
	link_close(pcap_of(l)->inner);
}

static const struct link_ops pcap_ops = {
	.send = pcap_send,
	.reserve = pcap_reserve,
	.commit = pcap_commit,
	.flush = pcap_flush,
	.pause = pcap_pause,
	.close = pcap_close,
};

static void inner_input(struct link *l, const struct link_vnet *vh,
			const struct iovec *iov, int n)
{
	struct pcap *p = l->user;

	sync_limits(p);
	pcap_record(p, iov, n, iov_len(iov, n));
	link_input(&p->link, vh, iov, n);
}

static void inner_input_done(struct link *l)
{
	struct pcap *p = l->user;

	link_input_done(&p->link);
}

static void inner_drained(struct link *l)
{
	struct pcap *p = l->user;

	sync_limits(p);
	link_drained(&p->link);
}

static void inner_down(struct link *l, int why)
{
	struct pcap *p = l->user;

	link_down(&p->link, why);
}

static void write_file_head(struct pcap *p)
{
	const uint16_t version[2] = { PCAP_MAJOR, PCAP_MINOR };
	uint32_t head[FILE_HEAD / 4] = {
		PCAP_MAGIC_NS, 0, 0, 0, p->snaplen, PCAP_ETHERNET,
	};
	struct stat st;

	memcpy(&head[1], version, sizeof(version));
	/* #syscalls fstat newfstatat */
	if (fstat(p->fd, &st) < 0)
		pcap_stop(p, errno);
	else if (!S_ISREG(st.st_mode) || st.st_size == 0)
		pcap_write(p, head, sizeof(head), NULL, 0, 0);
}

struct pcap *pcap_new(struct link *inner, int fd, uint32_t snaplen)
{
	struct pcap *p = calloc(1, sizeof(*p));

	if (!p) {
		fd_close(&fd);
		return NULL;
	}
	p->link.ops = &pcap_ops;
	p->inner = inner;
	p->fd = fd;
	p->snaplen = snaplen;
	sync_limits(p);
	inner->input = inner_input;
	inner->input_done = inner_input_done;
	inner->drained = inner_drained;
	inner->down = inner_down;
	inner->user = p;
	write_file_head(p);
	return p;
}

struct link *pcap_link(struct pcap *p)
{
	return &p->link;
}

void pcap_free(struct pcap *p)
{
	if (!p)
		return;
	fd_close(&p->fd);
	free(p);
}
