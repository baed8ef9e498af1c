#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/base64.h"
#include "base/rd.h"
#include "init/handoff_args.h"

/* --- base64url ------------------------------------------------------------ */

long handoff_args_base64(struct span in, unsigned char *out, size_t size)
{
	uint32_t acc = 0;
	unsigned int bits = 0;
	size_t n = 0;

	if (in.len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < in.len; i++) {
		int d = base64_digit(in.p[i], '-', '_');

		if (d < 0)
			return -EINVAL;
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == size)
			return -E2BIG;
		out[n++] = (unsigned char)(acc >> bits);
		acc &= (1U << bits) - 1;
	}
	return acc ? -EINVAL : (long)n;
}

/* --- JSON ----------------------------------------------------------------- */

/**
 * struct text - Where strings are put
 * @out:	Room that is left in the text
 * @why:	First thing that was wrong, or NULL
 */
struct text {
	struct rd r;
	char *out;
	size_t left;
	const char *why;
	bool full;
};

static bool wrong(struct text *t, const char *why)
{
	if (!t->why)
		t->why = why;
	return false;
}

static void put(struct text *t, uint8_t c)
{
	if (!t->left) {
		t->full = true;
		return;
	}
	*t->out++ = (char)c;
	t->left--;
}

/** blanks() - Skip white space; the next byte, 0 at the end */
static uint8_t blanks(struct text *t)
{
	while (rd_left(&t->r)) {
		uint8_t c = *t->r.p;

		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return c;
		rd_u8(&t->r);
	}
	return 0;
}

/** token() - Take one byte that must come next */
static bool token(struct text *t, uint8_t want)
{
	if (!rd_left(&t->r) || blanks(t) != want)
		return wrong(t, "invalid JSON");
	rd_u8(&t->r);
	return true;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** hex4() - Four hexadecimal digits; false if they are not */
static bool hex4(struct text *t, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++) {
		int d = hex(rd_u8(&t->r));

		if (t->r.bad || d < 0)
			return wrong(t, "invalid JSON escape");
		*out = *out << 4 | (uint32_t)d;
	}
	return true;
}

static void put_utf8(struct text *t, uint32_t c)
{
	if (c < 0x80) {
		put(t, (uint8_t)c);
		return;
	}
	if (c < 0x800) {
		put(t, (uint8_t)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			put(t, (uint8_t)(0xe0 | c >> 12));
		} else {
			put(t, (uint8_t)(0xf0 | c >> 18));
			put(t, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		}
		put(t, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
	}
	put(t, (uint8_t)(0x80 | (c & 0x3f)));
}

/** escape_u() - What follows \u; a pair of surrogates is one character */
static bool escape_u(struct text *t)
{
	uint32_t hi, lo;

	if (!hex4(t, &hi))
		return false;
	if (hi >= 0xdc00 && hi <= 0xdfff)
		return wrong(t, "invalid JSON escape");
	if (hi >= 0xd800 && hi <= 0xdbff) {
		if (rd_u8(&t->r) != '\\' || rd_u8(&t->r) != 'u' ||
		    !hex4(t, &lo) || lo < 0xdc00 || lo > 0xdfff)
			return wrong(t, "invalid JSON escape");
		hi = 0x10000 + ((hi - 0xd800) << 10 | (lo - 0xdc00));
	}
	if (!hi)
		return wrong(t, "NUL in a string");
	put_utf8(t, hi);
	return true;
}

static bool escape(struct text *t)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint8_t c = rd_u8(&t->r);
	const char *at = c ? strchr(from, c) : NULL;

	if (c == 'u')
		return escape_u(t);
	if (!at)
		return wrong(t, "invalid JSON escape");
	put(t, (uint8_t)to[at - from]);
	return true;
}

/** character() - One that is not escaped: UTF-8, no control character */
static bool character(struct text *t)
{
	struct span rest = { t->r.p, rd_left(&t->r) };
	uint32_t cp;
	size_t n = span_utf8(rest, &cp);
	const uint8_t *p = rd_take(&t->r, n);

	if (!n || cp < ' ')
		return wrong(t, n && !cp ? "NUL in a string" : "invalid JSON");
	for (size_t i = 0; i < n; i++)
		put(t, p[i]);
	return true;
}

/** string() - A string, without a NUL behind it */
static bool string(struct text *t)
{
	if (!token(t, '"'))
		return false;
	while (rd_left(&t->r)) {
		uint8_t c = *t->r.p;

		if (c == '"' || c == '\\')
			rd_u8(&t->r);
		if (c == '"')
			return true;
		if (c == '\\' ? !escape(t) : !character(t))
			return false;
	}
	return wrong(t, "invalid JSON");
}

/** pair() - [KEY,VALUE], put down as KEY=VALUE */
static bool pair(struct text *t)
{
	const char *key = t->out;
	size_t len;

	if (!token(t, '[') || !string(t))
		return false;
	len = (size_t)(t->out - key);
	if (!len && !t->full)
		return wrong(t, "empty key");
	if (memchr(key, '=', len))
		return wrong(t, "'=' in a key");
	put(t, '=');
	return token(t, ',') && string(t) && token(t, ']');
}

/** array() - All of it, each element by @one */
static bool array(struct text *t, struct handoff_args *a,
		  bool (*one)(struct text *t))
{
	bool more;

	if (!token(t, '['))
		return false;
	more = blanks(t) != ']';
	while (more) {
		char *start = t->out;

		if (!one(t))
			return false;
		put(t, '\0');
		if (a->n == HANDOFF_ARGS_MAX)
			t->full = true;
		if (t->full)
			return wrong(t, "too long");
		a->v[a->n++] = start;
		more = blanks(t) == ',';
		if (more)
			rd_u8(&t->r);
	}
	if (!token(t, ']'))
		return false;
	blanks(t);
	return rd_done(&t->r) || wrong(t, "invalid JSON");
}

static int read_array(struct span value, struct handoff_args *a,
		      bool (*one)(struct text *t), const char **why)
{
	long n = handoff_args_base64(value, a->json, sizeof(a->json));
	struct text t = { .out = a->text, .left = sizeof(a->text) };
	int rc = 0;

	a->n = 0;
	if (n < 0) {
		*why = n == -E2BIG ? "too long" : "invalid base64";
		rc = (int)n;
	} else {
		t.r = rd_init(a->json, (size_t)n);
		if (!array(&t, a, one)) {
			*why = t.why;
			rc = t.full ? -E2BIG : -EINVAL;
			a->n = 0;
		}
	}
	a->v[a->n] = NULL;
	return rc;
}

int handoff_args_words(struct span value, struct handoff_args *a,
		       const char **why)
{
	return read_array(value, a, string, why);
}

int handoff_args_env(struct span value, struct handoff_args *a,
		     const char **why)
{
	return read_array(value, a, pair, why);
}
