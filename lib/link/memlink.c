#include <errno.h>

#include "base/fd.h"
#include "base/util.h"
#include "link/memlink.h"

static struct memlink *memlink_of(struct link *l)
{
	return container_of(l, struct memlink, link);
}

static void to_peer(struct memlink *m, const struct link_vnet *vh, size_t len)
{
	static const struct link_vnet plain;

	if (m->peer)
		m->peer(m, vh ? vh : &plain, m->buf, len);
}

static int memlink_send(struct link *l, const struct link_vnet *vh,
			const struct iovec *iov, int n)
{
	struct memlink *m = memlink_of(l);

	if (m->refuse)
		return -EAGAIN;
	to_peer(m, vh, iov_copy_out(iov, n, 0, m->buf, sizeof(m->buf)));
	return 0;
}

static int memlink_reserve(struct link *l, size_t len, struct link_room *room)
{
	struct memlink *m = memlink_of(l);

	if (m->refuse)
		return -EAGAIN;
	room->iov[0].iov_base = m->buf;
	room->iov[0].iov_len = len;
	room->n = 1;
	room->len = len;
	return 0;
}

static int memlink_commit(struct link *l, struct link_room *room,
			  const struct link_vnet *vh, size_t len)
{
	(void)room;
	if (len)
		to_peer(memlink_of(l), vh, len);
	return 0;
}

static void memlink_flush(struct link *l)
{
	(void)l;
}

static void memlink_pause(struct link *l, bool on)
{
	(void)l;	/* the test delivers when it likes */
	(void)on;
}

static void memlink_close(struct link *l)
{
	(void)l;
}

static const struct link_ops memlink_ops = {
	.send = memlink_send,
	.reserve = memlink_reserve,
	.commit = memlink_commit,
	.flush = memlink_flush,
	.pause = memlink_pause,
	.close = memlink_close,
};

void memlink_init(struct memlink *m, uint32_t features,
		  void (*peer)(struct memlink *m, const struct link_vnet *vh,
			       const uint8_t *frame, size_t len),
		  void *arg)
{
	m->link.ops = &memlink_ops;
	m->link.can_send = features;
	m->link.can_recv = features;
	m->link.max_frame = LINK_FRAME_MAX;
	m->peer = peer;
	m->arg = arg;
	m->refuse = false;
}

void memlink_deliver(struct memlink *m, const struct link_vnet *vh,
		     const void *frame, size_t len)
{
	static const struct link_vnet plain;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)frame,
			     .iov_len = len };

	link_input(&m->link, vh ? vh : &plain, &iov, 1);
	link_input_done(&m->link);
}
