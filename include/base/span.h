#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct span - Borrowed bytes, not NUL-terminated */
struct span {
	const uint8_t *p;
	size_t len;
};

/** span_str() - Span over a C string, without its NUL; empty for NULL */
struct span span_str(const char *s);

/** span_is() - Whether @s holds exactly the bytes of the C string @lit */
bool span_is(struct span s, const char *lit);

/** span_starts() - Whether @s begins with the bytes of the C string @lit */
bool span_starts(struct span s, const char *lit);

/**
 * span_cut() - Split off everything before the first @sep
 * @rest:	Shortened past the separator; emptied if there is none
 * @sep:	Separator byte
 * @more:	Set to whether a separator was found; may be NULL
 *
 * Return: the part before the separator, borrowed from what @rest covered
 */
struct span span_cut(struct span *rest, uint8_t sep, bool *more);

/** span_trim() - Without leading and trailing blanks, tabs, CR and LF */
struct span span_trim(struct span s);

/**
 * span_uint() - Parse a whole span as a decimal number
 * @s:		Text: 1 to 20 digits after an optional '+', leading zeros
 *		allowed
 * @max:	Largest value accepted
 * @out:	Set on success
 *
 * Return: 0; -EINVAL if it is not a number; -ERANGE if above @max
 */
int span_uint(struct span s, uint64_t max, uint64_t *out);

/**
 * span_copy() - Copy into a C string
 * @s:		Source
 * @dst:	Always NUL-terminated if @size is not 0
 * @size:	Size of @dst
 *
 * Return: 0; -ENAMETOOLONG if it did not fit, or -EINVAL if @s holds a NUL:
 *	   then @dst is ""
 */
int span_copy(struct span s, char *dst, size_t size);

/**
 * span_utf8() - Decode the first character
 * @cp:		Set to its code point on success
 *
 * Return: its length, 1 to 4; 0 if @s is empty or does not begin with a whole,
 *	   shortest-form UTF-8 character (RFC 3629)
 */
size_t span_utf8(struct span s, uint32_t *cp);

#endif /* BASE_SPAN_H */
