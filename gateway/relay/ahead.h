#ifndef RELAY_AHEAD_H
#define RELAY_AHEAD_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/stack/tcp.h"

/*
 * ahead - what was peeked of a stream beyond what was asked for
 *
 * Over a link without TSO each segment would be a peek of its own.  One for all
 * that go out in a turn, and a copy, is cheaper: 0.80 -> 0.59 s/GB of CPU for 8.
 *
 * Bytes are named by where they stand in their stream, modulo 2^32.  So they
 * have to be forgotten when the stream has passed them: 4 GiB later others have
 * the same names.
 */

#define AHEAD_MIN	512	/* bytes wanted: less is a probe */
#define AHEAD_MAX	9000	/* more is a frame of many segments */

/**
 * struct ahead - A stretch of one stream; whoever reads fills @buf
 * @who:	Whose it is, NULL if there is none; a stream does not change
 * @at:		Where in it
 */
struct ahead {
	const void *who;
	uint32_t at;
	size_t len;
	uint8_t buf[TCP_BUDGET * AHEAD_MAX];
};

/** ahead_put() - @buf has @len bytes of @who's stream from @at on */
void ahead_put(struct ahead *a, const void *who, uint32_t at, size_t len);

/**
 * ahead_get() - Bytes of @who's stream from @at on
 * @p:		Set to them if there are any; borrowed until the next ahead_put()
 *
 * Return: how many
 */
size_t ahead_get(const struct ahead *a, const void *who, uint32_t at,
		 const uint8_t **p);

/** ahead_passed() - @who needs nothing before @at any more */
void ahead_passed(struct ahead *a, const void *who, uint32_t at);

/** ahead_forget() - @who is gone */
void ahead_forget(struct ahead *a, const void *who);

#endif /* RELAY_AHEAD_H */
