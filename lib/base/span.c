#include "base/span.h"

#include <errno.h>
#include <string.h>

#define DIGITS_MAX	20	/* of UINT64_MAX */

struct span span_str(const char *s)
{
	return (struct span){ .p = (const uint8_t *)s,
			      .len = s ? strlen(s) : 0 };
}

bool span_is(struct span s, const char *lit)
{
	return s.len == strlen(lit) && span_starts(s, lit);
}

bool span_starts(struct span s, const char *lit)
{
	size_t n = strlen(lit);

	return s.len >= n && (!n || !memcmp(s.p, lit, n));
}

struct span span_cut(struct span *rest, uint8_t sep, bool *more)
{
	const uint8_t *at = rest->len ? memchr(rest->p, sep, rest->len) : NULL;
	struct span part = *rest;

	if (at) {
		part.len = (size_t)(at - rest->p);
		rest->p = at + 1;
		rest->len -= part.len + 1;
	} else {
		if (rest->len)
			rest->p += rest->len;
		rest->len = 0;
	}
	if (more)
		*more = at != NULL;
	return part;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
	while (s.len && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

int span_uint(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	bool over = false;

	if (span_starts(s, "+")) {
		s.p++;
		s.len--;
	}
	if (!s.len || s.len > DIGITS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		unsigned int d = (unsigned int)s.p[i] - '0';

		if (d > 9)
			return -EINVAL;		/* rather than -ERANGE */
		if (v > (UINT64_MAX - d) / 10)
			over = true;
		v = v * 10 + d;
	}
	if (over || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int span_copy(struct span s, char *dst, size_t size)
{
	if (!size)
		return -ENAMETOOLONG;
	dst[0] = '\0';
	if (s.len >= size)
		return -ENAMETOOLONG;
	if (s.len && memchr(s.p, '\0', s.len))
		return -EINVAL;
	if (s.len)
		memcpy(dst, s.p, s.len);
	dst[s.len] = '\0';
	return 0;
}

size_t span_utf8(struct span s, uint32_t *cp)
{
	uint32_t c, min;
	size_t n;

	if (!s.len)
		return 0;
	c = s.p[0];
	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf) {
		n = 2, min = 0x80, c &= 0x1f;
	} else if ((c & 0xf0) == 0xe0) {
		n = 3, min = 0x800, c &= 0x0f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		n = 4, min = 0x10000, c &= 0x07;
	} else {
		return 0;
	}
	if (s.len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s.p[i] & 0x3f);
	}
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return n;
}
