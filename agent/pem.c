#include <bearssl.h>
#include <errno.h>
#include <string.h>

#include "agent/pem.h"
#include "base/base64.h"

#define PEM_BEGIN	"-----BEGIN "
#define PEM_END		"-----END "
#define PEM_DASHES	"-----"

/* Label of a line that begins, or ends, a block; false if it is no such line */
static bool pem_banner(struct span line, const char *kind, struct span *label)
{
	const size_t head = strlen(kind), tail = strlen(PEM_DASHES);

	if (!span_starts(line, kind))
		return false;
	while (line.len && (line.p[line.len - 1] == '\r' ||
			    line.p[line.len - 1] == ' ' ||
			    line.p[line.len - 1] == '\t'))
		line.len--;
	if (line.len < head + tail ||
	    memcmp(line.p + line.len - tail, PEM_DASHES, tail))
		return false;
	*label = (struct span){ line.p + head, line.len - head - tail };
	return true;
}

static bool pem_same(struct span a, struct span b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

static struct span pem_between(const uint8_t *from, const uint8_t *to)
{
	return (struct span){ from, (size_t)(to - from) };
}

/* The rest of a block whose first line is cut off already */
static void pem_finish(struct span *rest, const uint8_t *from, struct pem *b)
{
	const uint8_t *body = rest->p;
	struct span label;

	while (rest->len) {
		struct span before = *rest, line = span_cut(rest, '\n', NULL);

		if (pem_banner(line, PEM_END, &label)) {
			b->torn = !pem_same(label, b->label);
			b->body = pem_between(body, line.p);
			b->all = pem_between(from, rest->p);
			return;
		}
		if (pem_banner(line, PEM_BEGIN, &label)) {
			*rest = before;		/* it is the next one's */
			break;
		}
	}
	b->torn = true;
	b->body = b->all = pem_between(from, rest->p);
}

bool pem_next(struct span *rest, struct pem *b)
{
	while (rest->len) {
		struct span line = span_cut(rest, '\n', NULL);

		if (!pem_banner(line, PEM_BEGIN, &b->label))
			continue;
		pem_finish(rest, line.p, b);
		return true;
	}
	return false;
}

bool pem_is_cert(const struct pem *b)
{
	return span_is(b->label, "CERTIFICATE") ||
	       span_is(b->label, "X509 CERTIFICATE");
}

static bool pem_is_space(uint8_t c)
{
	return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

size_t pem_size(const struct pem *b)
{
	size_t digits = 0;

	for (size_t i = 0; i < b->body.len; i++)
		digits += !pem_is_space(b->body.p[i]) && b->body.p[i] != '=';
	return digits / 4 * 3 + digits % 4 * 3 / 4;
}

/**
 * struct pem_out - Where the decoder writes
 * @over:	It had more than the buffer takes
 */
struct pem_out {
	uint8_t *p;
	size_t left;
	bool over;
};

static void pem_data(void *arg, const void *src, size_t len)
{
	struct pem_out *o = arg;

	if (len > o->left) {
		o->over = true;
		return;
	}
	memcpy(o->p, src, len);
	o->p += len;
	o->left -= len;
}

/* Push all; the event that came of it, or 0.  It must come at the end */
static int pem_push(br_pem_decoder_context *c, const void *p, size_t len)
{
	size_t n = len ? br_pem_decoder_push(c, p, len) : 0;
	int event = br_pem_decoder_event(c);

	return n == len ? event : BR_PEM_ERROR;
}

int pem_decode(const struct pem *b, uint8_t *buf)
{
	static const char begin[] = PEM_BEGIN "X" PEM_DASHES "\n";
	static const char end[] = "\n" PEM_END "X" PEM_DASHES "\n";
	struct pem_out out = { .p = buf, .left = pem_size(b) };
	br_pem_decoder_context c;

	if (b->torn)
		return -EBADMSG;
	br_pem_decoder_init(&c);
	if (pem_push(&c, begin, sizeof(begin) - 1) != BR_PEM_BEGIN_OBJ)
		return -EBADMSG;
	br_pem_decoder_setdest(&c, pem_data, &out);
	/* As one line: the decoder has no digits across the end of one */
	for (size_t i = 0, n; i < b->body.len; i += n) {
		for (n = 0; i + n < b->body.len &&
			    !pem_is_space(b->body.p[i + n]); n++)
			;
		if (n && pem_push(&c, b->body.p + i, n))
			return -EBADMSG;
		if (!n)
			n = 1;
	}
	if (pem_push(&c, end, sizeof(end) - 1) != BR_PEM_END_OBJ || out.over ||
	    out.left)
		return -EBADMSG;
	return 0;
}

int pem_read(const struct pem *b, uint8_t *buf)
{
	unsigned int bits = 0, digits = 0, pads = 0;

	for (size_t i = 0; i < b->body.len && !b->torn; i++) {
		uint8_t c = b->body.p[i];
		int v = base64_digit(c, '+', '/');

		if (pem_is_space(c))
			continue;
		if (c == '=') {
			pads++;
			continue;
		}
		if (v < 0 || pads)
			return -EBADMSG;
		bits = bits << 6 | (unsigned int)v;
		if (digits++ % 4)
			*buf++ = (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4)));
	}
	/* As much padding as is missing, and no bits under it */
	if (b->torn || pads != (4 - digits % 4) % 4 || digits % 4 == 1 ||
	    bits & (digits % 4 == 2 ? 15U : digits % 4 == 3 ? 3U : 0U))
		return -EBADMSG;
	return 0;
}

bool pem_has_key(struct span text)
{
	static const char key[] = "PRIVATE KEY";

	return text.len && memmem(text.p, text.len, key, sizeof(key) - 1);
}
