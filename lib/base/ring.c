#include "base/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

int ring_alloc(struct ring *r, size_t cap)
{
	ASSERT(!r->buf && cap && !(cap & (cap - 1)));
	*r = (struct ring){ .buf = malloc(cap) };
	if (!r->buf)
		return -ENOMEM;
	r->cap = cap;
	return 0;
}

void ring_free(struct ring *r)
{
	secure_zero(r->buf, r->cap);
	free(r->buf);
	*r = (struct ring){ 0 };
}

/* The @n bytes from position @pos on, as up to two pieces */
static int pieces(const struct ring *r, uint64_t pos, size_t n,
		  struct iovec iov[static 2])
{
	size_t at, first;

	if (!n)
		return 0;
	at = (size_t)pos & (r->cap - 1);
	first = MIN(n, r->cap - at);
	iov[0] = (struct iovec){ .iov_base = r->buf + at, .iov_len = first };
	if (first == n)
		return 1;
	iov[1] = (struct iovec){ .iov_base = r->buf, .iov_len = n - first };
	return 2;
}

size_t ring_put(struct ring *r, const void *src, size_t n)
{
	const uint8_t *p = src;
	struct iovec iov[2];
	int k;

	n = MIN(n, ring_room(r));
	k = pieces(r, r->head, n, iov);
	for (int i = 0; i < k; i++) {
		memcpy(iov[i].iov_base, p, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	r->head += n;
	return n;
}

size_t ring_peek(const struct ring *r, size_t off, void *dst, size_t n)
{
	uint8_t *p = dst;
	struct iovec iov[2];
	int k;

	if (off >= ring_used(r))
		return 0;
	n = MIN(n, ring_used(r) - off);
	k = pieces(r, r->tail + off, n, iov);
	for (int i = 0; i < k; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return n;
}

void ring_take(struct ring *r, size_t n)
{
	ASSERT(n <= ring_used(r));
	r->tail += n;
}

int ring_read_iov(const struct ring *r, struct iovec iov[static 2])
{
	return pieces(r, r->tail, ring_used(r), iov);
}

int ring_write_iov(const struct ring *r, struct iovec iov[static 2])
{
	return pieces(r, r->head, ring_room(r), iov);
}

void ring_wrote(struct ring *r, size_t n)
{
	ASSERT(n <= ring_room(r));
	r->head += n;
}
