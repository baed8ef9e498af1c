#ifndef TESTS_MEMSTREAM_H
#define TESTS_MEMSTREAM_H

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "link/stream.h"

/**
 * struct memstream - Stream whose peer is the test itself
 * @out:	What was sent and not yet taken by the test
 * @limit:	So much of it before the stream is full
 *
 * Rooms come in several pieces, as they do in guest memory.
 */
struct memstream {
	struct stream s;
	uint8_t out[512 * 1024];
	size_t len, limit;
	int flushes;
	bool reserved, paused, closed;
};

static inline struct memstream *memstream_of(struct stream *s)
{
	return container_of(s, struct memstream, s);
}

static inline int memstream_room(const struct memstream *m, size_t len)
{
	ASSERT(!m->reserved && !m->closed);
	if (len > sizeof(m->out))
		return -EMSGSIZE;
	return len > m->limit || m->len > m->limit - len ? -EAGAIN : 0;
}

static inline int memstream_send(struct stream *s, const struct iovec *iov,
				 int n)
{
	struct memstream *m = memstream_of(s);
	int rc = memstream_room(m, iov_len(iov, n));

	if (rc == 0)
		m->len += iov_copy_out(iov, n, 0, m->out + m->len,
				       sizeof(m->out) - m->len);
	return rc;
}

static inline int memstream_reserve(struct stream *s, size_t len,
				    struct link_room *room)
{
	struct memstream *m = memstream_of(s);
	int rc = memstream_room(m, len);
	size_t off = 0;

	if (rc < 0)
		return rc;
	room->len = len;
	for (room->n = 0; off < len; room->n++) {
		size_t part = MIN(len - off, room->n ? 4096 : STREAM_HEAD_MIN);

		room->iov[room->n].iov_base = m->out + m->len + off;
		room->iov[room->n].iov_len = part;
		off += part;
	}
	m->reserved = true;
	return 0;
}

static inline int memstream_commit(struct stream *s, struct link_room *room,
				   size_t len)
{
	struct memstream *m = memstream_of(s);

	ASSERT(m->reserved && room->iov[0].iov_base == m->out + m->len);
	ASSERT(iov_len(room->iov, room->n) == room->len);
	m->reserved = false;
	m->len += len;
	return 0;
}

static inline void memstream_flush(struct stream *s)
{
	memstream_of(s)->flushes++;
}

static inline void memstream_pause(struct stream *s, bool on)
{
	memstream_of(s)->paused = on;
}

static inline void memstream_shut(struct stream *s)
{
	(void)s;
}

static inline void memstream_close(struct stream *s)
{
	memstream_of(s)->closed = true;
}

static inline void memstream_init(struct memstream *m)
{
	static const struct stream_ops ops = {
		.send = memstream_send,
		.reserve = memstream_reserve,
		.commit = memstream_commit,
		.flush = memstream_flush,
		.pause = memstream_pause,
		.shut = memstream_shut,
		.close = memstream_close,
	};

	m->s = (struct stream){ .ops = &ops };
	m->len = 0;
	m->limit = sizeof(m->out);
	m->flushes = 0;
	m->reserved = m->paused = m->closed = false;
}

#endif /* TESTS_MEMSTREAM_H */
