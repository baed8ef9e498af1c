#ifndef BASE_WR_H
#define BASE_WR_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

/**
 * struct wr - Bounded writer over one contiguous, borrowed buffer
 * @start:	First byte of the buffer
 * @p:		Next byte to write
 * @end:	One past the last writable byte
 * @bad:	Sticky: a write did not fit; nothing of it was written
 *
 * The mirror of struct rd: emit a whole message and test @bad once.
 */
struct wr {
	uint8_t *start, *p, *end;
	bool bad;
};

static inline struct wr wr_init(void *buf, size_t len)
{
	uint8_t *p = buf;

	return (struct wr){ .start = p, .p = p, .end = len ? p + len : p };
}

static inline size_t wr_left(const struct wr *w)
{
	return (size_t)(w->end - w->p);
}

static inline size_t wr_len(const struct wr *w)	/* bytes written so far */
{
	return (size_t)(w->p - w->start);
}

/* Room for @n bytes, to be filled in by the caller; NULL if it does not fit */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
	uint8_t *p = w->p;

	if (w->bad || n > wr_left(w)) {
		w->bad = true;
		return NULL;
	}
	if (n)
		w->p += n;
	return p;
}

static inline void wr_bytes(struct wr *w, const void *src, size_t n)
{
	uint8_t *p = wr_room(w, n);

	if (p && n)
		memcpy(p, src, n);
}

static inline void wr_zero(struct wr *w, size_t n)
{
	uint8_t *p = wr_room(w, n);

	if (p && n)
		memset(p, 0, n);
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	wr_bytes(w, &v, 1);
}

static inline void wr_u16(struct wr *w, uint16_t v)	/* big-endian */
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	wr_bytes(w, b, sizeof(b));
}

static inline void wr_u32(struct wr *w, uint32_t v)	/* big-endian */
{
	uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
			 (uint8_t)(v >> 8), (uint8_t)v };

	wr_bytes(w, b, sizeof(b));
}

static inline void wr_le16(struct wr *w, uint16_t v)
{
	uint8_t b[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	wr_bytes(w, b, sizeof(b));
}

static inline void wr_le32(struct wr *w, uint32_t v)
{
	v = htole32(v);
	wr_bytes(w, &v, sizeof(v));
}

static inline void wr_le64(struct wr *w, uint64_t v)
{
	v = htole64(v);
	wr_bytes(w, &v, sizeof(v));
}

static inline void wr_span(struct wr *w, struct span s)
{
	wr_bytes(w, s.p, s.len);
}

/** wr_fmt() - Append printf-formatted text, without its NUL
 *
 * Bytes of the buffer past wr_len() are scratch space for this.
 */
void wr_fmt(struct wr *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* BASE_WR_H */
