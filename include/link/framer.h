#ifndef LINK_FRAMER_H
#define LINK_FRAMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "link/link.h"

/**
 * struct framer - Cuts a byte stream into records: u32 big-endian length, data
 * @hold:	The start of a record whose rest has not come yet; owned by the
 *		caller, @cap bytes
 * @spare:	NULL; or a second such place, and then a record stays where it
 *		is until the input after the next: they take turns
 * @cap:	At least @max + 4
 * @have:	Bytes in @hold
 * @min:	Shortest record accepted, apart from 0 if @keepalive
 * @max:	Longest record accepted
 * @keepalive:	Whether a record of length 0 is legal
 * @taken:	Bytes of the last input that were used, the record that stopped
 *		it included
 *
 * Records that lie whole in the input are handed out in place.  Of one that is
 * cut by the end of the input only what has come is copied; the rest is handed
 * out in place behind it, when it comes.  That costs no more than a buffer that
 * moves its tail to the front before each read(), and works on guest memory.
 */
struct framer {
	uint8_t *hold, *spare;
	size_t cap, have, min, max;
	size_t taken;
	bool keepalive;
};

/**
 * framer_input() - Take bytes and hand out the records that they complete
 * @iov:	Borrowed; all of it is taken unless an error is returned
 * @record:	Called for each record with its data as pieces, borrowed during
 *		the call; n is 0 for a keepalive.  May return non-zero to stop:
 *		the rest of the input is not looked at, see @taken
 * @arg:	Passed to @record
 *
 * Return: 0; -EMSGSIZE if a length is out of range, after which the stream
 *	   cannot be followed; what @record returned to stop
 */
int framer_input(struct framer *f, const struct iovec *iov, int n,
		 int (*record)(const struct iovec *iov, int n, size_t len,
			       void *arg),
		 void *arg);

#endif /* LINK_FRAMER_H */
