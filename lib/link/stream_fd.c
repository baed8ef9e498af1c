#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "link/stream.h"

/*
 * Output is [tx_off, tx_off + tx_len) of tx, and grows at its end.  When the
 * end of the buffer is near, what is left is moved to the front, but only while
 * it is a quarter of the buffer or less, so that a byte is moved at most once
 * for three that are sent.  Otherwise we are full until the socket has taken
 * enough.
 */

/*
 * So much waiting output goes out without a flush: the peer can start to work
 * while we go on, and what we wrote is still in the cache.  64 KiB frames over
 * a socket pair: 8.0 GB/s with 128 KiB, 5.4 with 64, 6.9 when only a full buffer
 * is written.  Buffers of 128 to 512 KiB are equally fast, 1 MiB costs a fifth,
 * and a SO_SNDBUF of 2 MiB more than a third.
 */
#define TX_EARLY	(128 * 1024)

/* A record with the longest frame: drained() promises that it fits */
#define TX_RECORD	(4 + LINK_VNET_LEN + LINK_FRAME_MAX)

static struct stream_fd *fd_of(struct stream *s)
{
	return container_of(s, struct stream_fd, stream);
}

/* Most output that may be left for the buffer to count as drained */
static size_t tx_low(const struct stream_fd *s)
{
	size_t low = s->tx_cap / 4;

	return s->tx_cap - low >= TX_RECORD ? low : 0;
}

static size_t tx_room(const struct stream_fd *s)
{
	return s->tx_cap - s->tx_off - s->tx_len;
}

static void fd_down(struct stream_fd *s, int why)
{
	ev_del(s->ev, &s->src);
	ev_undefer(s->ev, &s->flush_task);
	stream_down(&s->stream, why);
}

/* Wait for what we can use now; while the stream is full the socket is, too */
static void fd_arm(struct stream_fd *s)
{
	uint32_t events = 0;
	int rc;

	if (s->stream.is_down)
		return;
	if (!s->paused && !s->eof)
		events |= EPOLLIN;
	if (s->blocked)
		events |= EPOLLOUT;
	rc = s->src.added ? ev_mod(s->ev, &s->src, events) :
			    ev_add(s->ev, &s->src, events);
	if (rc < 0)
		fd_down(s, rc);
}

/* Both directions have ended as both sides wanted it: that was all */
static void fd_check_end(struct stream_fd *s)
{
	if (s->eof && s->shut_done)
		fd_down(s, 0);
}

static void fd_shut_if_sent(struct stream_fd *s)
{
	if (!s->shut || s->shut_done || s->tx_len)
		return;
	s->shut_done = true;
	shutdown(s->src.fd, SHUT_WR);	/* fails only if it is gone anyway */
	fd_check_end(s);
}

/**
 * fd_write() - Give the socket what waits, in one call
 *
 * Never calls drained(): whoever flushes need not expect it.  It follows from
 * the loop, since a stream that is full waits for EPOLLOUT.
 *
 * #syscalls sendto shutdown
 */
static void fd_write(struct stream_fd *s)
{
	ssize_t n;

	/* Else the loop would not sleep after a turn that ends with a flush:
	 * one epoll_pwait() in five of a connect-request-close was for nothing */
	ev_undefer(s->ev, &s->flush_task);
	if (!s->tx_len || s->blocked || s->stream.is_down)
		return;
	n = send(s->src.fd, s->tx + s->tx_off, s->tx_len,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
			fd_down(s, -errno);
			return;
		}
		n = 0;
	}
	s->tx_off += (size_t)n;
	s->tx_len -= (size_t)n;
	if (s->tx_len == 0) {
		s->tx_off = 0;
		fd_shut_if_sent(s);
	} else {
		s->blocked = true;
		fd_arm(s);
	}
}

static void fd_flush_task(struct ev_task *t)
{
	fd_write(container_of(t, struct stream_fd, flush_task));
}

/* Hand up what was read; what is not taken waits for the end of the pause */
static void fd_deliver(struct stream_fd *s)
{
	struct iovec iov = { .iov_base = s->rx + s->rx_off,
			     .iov_len = s->rx_len };
	size_t taken = s->stream.input(&s->stream, &iov, 1);

	ASSERT(taken == s->rx_len ||
	       (taken < s->rx_len && (s->paused || s->stream.is_down)));
	s->rx_off += taken;
	s->rx_len -= taken;
	if (!s->stream.is_down && s->stream.input_done)
		s->stream.input_done(&s->stream);
}

static void fd_eof(struct stream_fd *s)
{
	if (!s->stream.eof) {
		fd_down(s, -ECONNRESET);
		return;
	}
	s->eof = true;
	fd_arm(s);
	s->stream.eof(&s->stream);
	if (!s->stream.is_down)
		fd_check_end(s);
}

/* One read() per turn; if it did not get everything, epoll will tell again.
 *
 * #syscalls read
 */
static void fd_read(struct stream_fd *s)
{
	ssize_t n;

	if (s->rx_len == 0) {
		n = read(s->src.fd, s->rx, s->rx_cap);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				fd_down(s, -errno);
			return;
		}
		if (n == 0) {
			fd_eof(s);
			return;
		}
		s->rx_off = 0;
		s->rx_len = (size_t)n;
	}
	fd_deliver(s);
}

/* The peer is gone altogether, and we are not reading */
static void fd_hangup(struct stream_fd *s)
{
	if (s->eof)
		fd_down(s, -ECONNRESET);
	else		/* what it sent is still to be read, after the pause */
		ev_del(s->ev, &s->src);
}

/**
 * fd_ready() - Event handler
 * @events:	epoll bits, or 0 when input that we hold may go up again
 */
static void fd_ready(struct ev_src *src, uint32_t events)
{
	struct stream_fd *s = container_of(src, struct stream_fd, src);

	if (s->stream.is_down) {
		ev_del(s->ev, src);
		return;
	}
	if (events & EPOLLOUT) {
		s->blocked = false;
		fd_write(s);
		if (!s->blocked)
			fd_arm(s);
		if (s->tx_len <= tx_low(s))
			stream_drained(&s->stream);
	}
	if (s->stream.is_down)
		return;
	if (!s->paused && !s->eof)
		fd_read(s);
	else if (events & (EPOLLHUP | EPOLLERR))
		fd_hangup(s);
}

/* Make @len bytes of contiguous room, or say that we are full */
static int fd_make_room(struct stream_fd *s, size_t len)
{
	if (len > s->tx_cap)
		return -EMSGSIZE;
	if (s->stream.full)
		return -EAGAIN;
	if (tx_room(s) >= len)
		return 0;
	fd_write(s);
	if (s->stream.is_down)
		return -ENOTCONN;
	if (tx_room(s) >= len)
		return 0;
	if (s->tx_len <= tx_low(s)) {
		memmove(s->tx, s->tx + s->tx_off, s->tx_len);
		s->tx_off = 0;
		if (tx_room(s) >= len)
			return 0;
	}
	ASSERT(s->blocked);		/* so that drained() will come */
	s->stream.full = true;
	return -EAGAIN;
}

static void fd_sent(struct stream_fd *s, size_t len)
{
	s->tx_len += len;
	if (s->tx_len >= TX_EARLY)
		fd_write(s);
	else
		ev_defer(s->ev, &s->flush_task);
}

static int fd_send_iov(struct stream *st, const struct iovec *iov, int n)
{
	struct stream_fd *s = fd_of(st);
	size_t len = iov_len(iov, n);
	int rc;

	ASSERT(!s->reserved && !s->shut);
	rc = fd_make_room(s, len);
	if (rc < 0)
		return rc;
	iov_copy_out(iov, n, 0, s->tx + s->tx_off + s->tx_len, len);
	fd_sent(s, len);
	return 0;
}

static int fd_reserve(struct stream *st, size_t len, struct link_room *room)
{
	struct stream_fd *s = fd_of(st);
	int rc;

	ASSERT(!s->reserved && !s->shut);
	rc = fd_make_room(s, len);
	if (rc < 0)
		return rc;
	room->iov[0].iov_base = s->tx + s->tx_off + s->tx_len;
	room->iov[0].iov_len = len;
	room->n = 1;
	room->len = len;
	s->reserved = true;
	return 0;
}

static int fd_commit(struct stream *st, struct link_room *room, size_t len)
{
	struct stream_fd *s = fd_of(st);

	ASSERT(s->reserved && len <= room->len);
	s->reserved = false;
	if (len)
		fd_sent(s, len);
	return 0;
}

static void fd_flush(struct stream *st)
{
	fd_write(fd_of(st));
}

static void fd_pause(struct stream *st, bool on)
{
	struct stream_fd *s = fd_of(st);

	if (s->paused == on)
		return;
	s->paused = on;
	fd_arm(s);
	if (!on && s->rx_len && !st->is_down)
		ev_again(s->ev, &s->src);	/* epoll can't see our buffer */
}

static void fd_shut(struct stream *st)
{
	struct stream_fd *s = fd_of(st);

	s->shut = true;
	fd_write(s);
	if (!st->is_down)
		fd_shut_if_sent(s);
}

static void stream_fd_close(struct stream *st)
{
	struct stream_fd *s = fd_of(st);

	ev_del(s->ev, &s->src);
	ev_undefer(s->ev, &s->flush_task);
	fd_close(&s->src.fd);
	free(s->rx);
	free(s->tx);
	s->rx = s->tx = NULL;
	s->rx_len = s->tx_len = 0;
}

static const struct stream_ops fd_ops = {
	.send = fd_send_iov,
	.reserve = fd_reserve,
	.commit = fd_commit,
	.flush = fd_flush,
	.pause = fd_pause,
	.shut = fd_shut,
	.close = stream_fd_close,
};

int stream_fd_init(struct stream_fd *s, struct ev *ev, int fd, size_t rx_cap,
		   size_t tx_cap)
{
	int rc = -ENOMEM;

	*s = (struct stream_fd){
		.stream = s->stream,
		.ev = ev,
		.src = { .fd = fd, .ready = fd_ready },
		.flush_task = { .run = fd_flush_task },
		.rx_cap = rx_cap,
		.tx_cap = tx_cap,
	};
	s->stream.ops = &fd_ops;
	s->stream.is_down = s->stream.full = false;
	s->stream.keeps = true;
	s->rx = malloc(rx_cap);
	s->tx = malloc(tx_cap);
	if (s->rx && s->tx)
		rc = ev_add(ev, &s->src, EPOLLIN);
	if (rc < 0)
		stream_fd_close(&s->stream);
	return rc;
}
