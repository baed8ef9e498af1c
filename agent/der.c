#include "agent/der.h"

#define DER_LONG	0x80	/* of a length: bytes of it follow */
#define DER_HIGH_TAG	0x1f

/* 0 to 16 MiB; anything else makes the reader bad */
static size_t der_length(struct rd *r)
{
	uint8_t first = rd_u8(r);
	size_t n = first & ~(unsigned int)DER_LONG, len = 0;

	if (!(first & DER_LONG))
		return first;
	if (!n || n > 3) {		/* indefinite, or too long for us */
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		len = len << 8 | rd_u8(r);
	if (len < DER_LONG || len >> 8 * (n - 1) == 0)
		r->bad = true;		/* there is a shorter form */
	return len;
}

bool der_next(struct rd *r, struct der *d)
{
	const uint8_t *from = r->p;
	uint8_t tag = rd_u8(r);
	size_t len = der_length(r);
	const uint8_t *body;

	*d = (struct der){ 0 };
	if ((tag & DER_HIGH_TAG) == DER_HIGH_TAG)
		r->bad = true;
	body = r->bad ? NULL : rd_take(r, len);
	if (r->bad) {
		r->p = r->end;
		return false;
	}
	d->tag = tag;
	d->body = (struct span){ body, len };
	d->all = (struct span){ from, (size_t)(r->p - from) };
	return true;
}

struct rd der_take(struct rd *r, uint8_t tag)
{
	struct der d;
	struct rd in;

	if (der_next(r, &d) && d.tag != tag) {
		r->bad = true;
		r->p = r->end;
		d.body = (struct span){ 0 };
	}
	in = rd_init(d.body.p, d.body.len);
	in.bad = r->bad;
	return in;
}

uint8_t der_peek(const struct rd *r)
{
	return rd_left(r) ? *r->p : 0;
}

bool der_frames(struct span all)
{
	struct rd level[DER_DEPTH_MAX];
	unsigned int depth = 0;
	struct der d;

	level[0] = rd_init(all.p, all.len);
	for (;;) {
		if (!rd_left(&level[depth])) {
			if (!depth)
				return true;
			depth--;
			continue;
		}
		if (!der_next(&level[depth], &d))
			return false;
		if (!(d.tag & DER_CONSTRUCTED))
			continue;
		if (++depth == DER_DEPTH_MAX)
			return false;
		level[depth] = rd_init(d.body.p, d.body.len);
	}
}

void der_head(struct wr *w, uint8_t tag, size_t len)
{
	unsigned int n = 0;

	wr_u8(w, tag);
	if (len < DER_LONG) {
		wr_u8(w, (uint8_t)len);
		return;
	}
	while (len >> 8 * n)
		n++;
	wr_u8(w, (uint8_t)(DER_LONG | n));
	while (n--)
		wr_u8(w, (uint8_t)(len >> 8 * n));
}
