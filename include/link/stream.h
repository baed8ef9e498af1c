#ifndef LINK_STREAM_H
#define LINK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/ev.h"
#include "link/link.h"

/*
 * stream - a byte stream in both directions, whatever carries it
 *
 * A socket (stream_fd), or a stream of our own vhost-user vsock device, whose
 * pieces lie in guest memory.  Input is pushed; output is gathered with
 * stream_send() or written in place with stream_reserve() and stream_commit().
 */

struct stream;

/* Contiguous at the start of a room: what a link needs, behind a record head */
#define STREAM_HEAD_MIN	(LINK_HEAD_MIN + 16)

struct stream_ops {
	int (*send)(struct stream *s, const struct iovec *iov, int n);
	int (*reserve)(struct stream *s, size_t len, struct link_room *room);
	int (*commit)(struct stream *s, struct link_room *room, size_t len);
	void (*flush)(struct stream *s);
	void (*pause)(struct stream *s, bool on);
	void (*shut)(struct stream *s);
	void (*close)(struct stream *s);
};

/**
 * struct stream - Interface; embedded in each kind of stream
 * @input:	Bytes came in, borrowed during the call.  Returns how many were
 *		taken; the rest is offered again after stream_pause(s, false).
 *		Whoever does not take everything has paused the stream
 * @input_done:	The batch that input() was called for is over; may be NULL
 * @drained:	There is room again after -EAGAIN; may be NULL
 * @eof:	The peer has ended its direction; may be NULL
 * @down:	The stream is gone, -errno (-ECONNRESET at an end of stream that
 *		nobody asked for; 0 when both directions have ended in order);
 *		called once
 * @keeps:	Input stays where it is until @input_done, which is called
 *		after each @input
 */
struct stream {
	const struct stream_ops *ops;
	size_t (*input)(struct stream *s, const struct iovec *iov, int n);
	void (*input_done)(struct stream *s);
	void (*drained)(struct stream *s);
	void (*eof)(struct stream *s);
	void (*down)(struct stream *s, int why);
	void *user;
	bool keeps, is_down, full;
};

/** stream_send() - All of it or nothing: 0; -EAGAIN when full; -ENOTCONN;
 *		    -EMSGSIZE if it would never fit */
int stream_send(struct stream *s, const struct iovec *iov, int n);

/**
 * stream_reserve() - Get space for up to @len bytes of output
 * @room:	Set on success; its first piece has at least STREAM_HEAD_MIN
 *		bytes (or @len, if that is less)
 *
 * Return: 0; -EAGAIN when full; -EMSGSIZE if it would never fit; -ENOTCONN
 */
int stream_reserve(struct stream *s, size_t len, struct link_room *room);

/** stream_commit() - Send the first @len bytes of the room; 0 gives it back
 *
 * Return: 0; -ENOTCONN
 */
int stream_commit(struct stream *s, struct link_room *room, size_t len);

/** stream_flush() - The batch is over: write, or kick */
void stream_flush(struct stream *s);

/** stream_pause() - Stop or resume input */
void stream_pause(struct stream *s, bool on);

/** stream_shut() - End our direction once everything sent is out */
void stream_shut(struct stream *s);

/** stream_down() - Mark as gone, and tell @down once */
void stream_down(struct stream *s, int why);

/** stream_drained() - For a kind of stream: tell @drained, if it is awaited */
void stream_drained(struct stream *s);

/** stream_close() - Release what it holds; the owner frees the memory */
void stream_close(struct stream *s);

/**
 * struct stream_fd - Stream over a connected socket
 *
 * Output goes to a linear buffer and out with one send() per flush, or sooner
 * when much has gathered; the end of the turn flushes what nobody has.  What
 * the socket does not take waits there, with EPOLLOUT armed.  Once the buffer has
 * been full, drained() waits until a whole record of LINK_FRAME_MAX fits again.
 */
struct stream_fd {
	struct stream stream;
	struct ev *ev;
	struct ev_src src;
	struct ev_task flush_task;
	uint8_t *rx, *tx;		/* owned, of stream_fd_init() */
	size_t rx_cap, rx_off, rx_len;
	size_t tx_cap, tx_off, tx_len;
	bool paused, shut, eof, reserved;
	bool blocked;			/* the socket takes no more for now */
	bool shut_done;
};

/**
 * stream_fd_init() - Set up a stream over a connected, non-blocking socket
 * @fd:		Owned by @s from here on, also on failure
 * @rx_cap:	Size of the receive buffer; one read() per turn fills it
 * @tx_cap:	Size of the send buffer; the longest thing that can be sent
 *
 * Return: 0; -ENOMEM; -errno of epoll_ctl()
 */
int stream_fd_init(struct stream_fd *s, struct ev *ev, int fd, size_t rx_cap,
		   size_t tx_cap);

#endif /* LINK_STREAM_H */
