#ifndef RELAY_SNDBUF_H
#define RELAY_SNDBUF_H

#include <stdbool.h>
#include <stdint.h>

/*
 * sndbuf - how much more a host's TCP socket takes, which is the window of its
 * guest
 *
 * Theory of operation
 * -------------------
 * What the guest sends is kept in the socket's send buffer until upstream has
 * acknowledged it, and a window is a promise to keep it: so a window ends where
 * the buffer does, less a quarter for the kernel's own bookkeeping.
 *
 * The kernel sizes that buffer for the path upstream.  It cannot know of the path
 * to the guest, and where that one is the longer, the buffer is nearly always
 * empty and stays as small as it was: with 45 to 85 KiB of it, no more than 64 KiB
 * of the guest's went through in a round trip.  So what comes in a round trip is
 * measured, and the buffer grows until the window has place for four times as
 * much: twice since slow start doubles it each time, and twice since a round trip
 * passes before it is known.  It does not grow when anything is unsent that came
 * before this turn: then upstream is slow, and that the kernel does see.
 *
 * SO_SNDBUF ends the kernel's own tuning, and SO_BUF_LOCK (Linux 5.15) lets it go
 * on; where that is missing the buffer is left alone.  Without privileges it
 * grows to twice net.core.wmem_max: 416 KiB by default.
 */

/**
 * struct sndbuf - The send buffer of one socket; all 0 at first
 * @size:	SO_SNDBUF when it was last asked for, 0 if never
 * @outq:	Upper bound of what lies unacknowledged in it
 * @came:	Bytes since @since_us; modulo 2^32, as is that
 * @fresh:	Bytes since sndbuf_room() was last asked
 */
struct sndbuf {
	uint32_t size, outq, came, since_us, fresh;
};

/**
 * sndbuf_max() - How far sndbuf_room() may let a buffer grow
 *
 * Return: bytes; 0 if the kernel would not tune it afterwards
 */
uint32_t sndbuf_max(void);

/** sndbuf_took() - The socket has taken @n more bytes */
void sndbuf_took(struct sndbuf *b, uint32_t n);

/**
 * sndbuf_room() - How much more the socket takes, asked once in each turn
 * @max:	What sndbuf_max() said
 * @now_us:	Time, modulo 2^32
 * @rtt_us:	Round trip to the guest, 0 if it is not known
 * @full:	Set if the window has become so small that news of room are wanted
 */
uint32_t sndbuf_room(struct sndbuf *b, int fd, uint32_t max, uint32_t now_us,
		     uint32_t rtt_us, bool *full);

/** sndbuf_unacked() - What upstream has not acknowledged, a FIN among it */
uint32_t sndbuf_unacked(struct sndbuf *b, int fd);

#endif /* RELAY_SNDBUF_H */
