#include <errno.h>

#include "base/util.h"
#include "link/stream.h"

int stream_send(struct stream *s, const struct iovec *iov, int n)
{
	int rc;

	if (s->is_down)
		return -ENOTCONN;
	rc = s->ops->send(s, iov, n);
	if (rc == -EAGAIN)
		s->full = true;
	return rc;
}

int stream_reserve(struct stream *s, size_t len, struct link_room *room)
{
	int rc;

	if (s->is_down)
		return -ENOTCONN;
	rc = s->ops->reserve(s, len, room);
	if (rc == -EAGAIN)
		s->full = true;
	return rc;
}

int stream_commit(struct stream *s, struct link_room *room, size_t len)
{
	int rc;

	ASSERT(len <= room->len);
	if (!s->is_down || len == 0)
		return s->ops->commit(s, room, len);
	rc = s->ops->commit(s, room, 0);	/* the room goes back */
	return rc < 0 ? rc : -ENOTCONN;
}

void stream_flush(struct stream *s)
{
	if (!s->is_down)
		s->ops->flush(s);
}

void stream_pause(struct stream *s, bool on)
{
	if (!s->is_down)
		s->ops->pause(s, on);
}

void stream_shut(struct stream *s)
{
	if (!s->is_down)
		s->ops->shut(s);
}

void stream_down(struct stream *s, int why)
{
	if (s->is_down)
		return;
	s->is_down = true;
	if (s->down)
		s->down(s, why);
}

void stream_drained(struct stream *s)
{
	if (s->is_down || !s->full)
		return;
	s->full = false;
	if (s->drained)
		s->drained(s);
}

void stream_close(struct stream *s)
{
	s->is_down = true;	/* nothing is delivered, nobody is told */
	s->ops->close(s);
}
