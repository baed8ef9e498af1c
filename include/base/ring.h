#ifndef BASE_RING_H
#define BASE_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/**
 * struct ring - Byte queue over a power-of-two buffer, allocated on first use
 * @buf:	Owned; NULL until ring_alloc()
 * @cap:	Size of @buf
 * @head:	Bytes ever written
 * @tail:	Bytes ever taken
 */
struct ring {
	uint8_t *buf;
	size_t cap;
	uint64_t head, tail;
};

/** ring_alloc() - Take @cap bytes (a power of two); 0, or -ENOMEM */
int ring_alloc(struct ring *r, size_t cap);

/** ring_free() - Wipe and release the buffer; safe on a zeroed ring */
void ring_free(struct ring *r);

/** ring_used() - Bytes waiting */
static inline size_t ring_used(const struct ring *r)
{
	return (size_t)(r->head - r->tail);
}

/** ring_room() - Bytes that still fit */
static inline size_t ring_room(const struct ring *r)
{
	return r->cap - ring_used(r);
}

/** ring_put() - Append up to @n bytes; returns how many fitted */
size_t ring_put(struct ring *r, const void *src, size_t n);

/** ring_peek() - Copy up to @n bytes from @off after the tail, take nothing */
size_t ring_peek(const struct ring *r, size_t off, void *dst, size_t n);

/** ring_take() - Drop @n bytes; at most ring_used() */
void ring_take(struct ring *r, size_t n);

/** ring_read_iov() - The waiting bytes as 0, 1 or 2 pieces; returns how many */
int ring_read_iov(const struct ring *r, struct iovec iov[static 2]);

/** ring_write_iov() - The free room as 0, 1 or 2 pieces; returns how many */
int ring_write_iov(const struct ring *r, struct iovec iov[static 2]);

/** ring_wrote() - @n bytes were written into ring_write_iov()'s pieces */
void ring_wrote(struct ring *r, size_t n);

#endif /* BASE_RING_H */
