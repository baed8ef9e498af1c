#include <bearssl.h>
#include <errno.h>
#include <string.h>

#include "agent/der.h"
#include "agent/x509.h"
#include "base/util.h"

#define HASH_NAME_MAX	4096	/* canonical form */
#define HASH_VALUE_MAX	1024	/* one string of it */
#define HASH_SET_MAX	16	/* attributes in one set */

static bool hash_is_space(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void hash_put(struct wr *w, uint32_t c)
{
	if (c < 0x80) {
		wr_u8(w, (uint8_t)(c >= 'A' && c <= 'Z' ? c + 0x20 : c));
	} else if (c < 0x800) {
		wr_u8(w, (uint8_t)(0xc0 | c >> 6));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		wr_u8(w, (uint8_t)(0xe0 | c >> 12));
		wr_u8(w, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		wr_u8(w, (uint8_t)(0xf0 | c >> 18));
		wr_u8(w, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* One character of a string of this type; bad if it is none */
static uint32_t hash_char(struct rd *r, uint8_t tag)
{
	struct span rest = { r->p, rd_left(r) };
	uint32_t c = 0;
	size_t n;

	switch (tag) {
	case DER_BMP:
		c = rd_u16(r);
		break;
	case DER_UNIVERSAL:
		c = rd_u32(r);
		break;
	case DER_UTF8:
		n = span_utf8(rest, &c);
		if (n)
			(void)rd_take(r, n);
		else
			r->bad = true;
		return c;
	default:		/* as Latin-1, which is what OpenSSL does */
		return rd_u8(r);
	}
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		r->bad = true;
	return c;
}

static bool hash_is_text(uint8_t tag)
{
	return tag == DER_UTF8 || tag == DER_PRINTABLE || tag == DER_T61 ||
	       tag == DER_IA5 || tag == DER_VISIBLE || tag == DER_UNIVERSAL ||
	       tag == DER_BMP;
}

/* The canonical form of an attribute's value */
static bool hash_value(const struct der *value, struct wr *w)
{
	uint8_t text[HASH_VALUE_MAX];
	struct wr t = wr_init(text, sizeof(text));
	struct rd r = rd_init(value->body.p, value->body.len);
	bool blank = false;

	if (!hash_is_text(value->tag)) {
		wr_span(w, value->all);
		return true;
	}
	while (rd_left(&r) && !r.bad) {
		uint32_t c = hash_char(&r, value->tag);

		if (hash_is_space(c)) {
			blank = true;
			continue;
		}
		if (blank && wr_len(&t))
			wr_u8(&t, ' ');
		blank = false;
		hash_put(&t, c);
	}
	der_head(w, DER_UTF8, wr_len(&t));
	wr_bytes(w, text, wr_len(&t));
	if (t.bad)
		w->bad = true;
	return !r.bad;
}

/* Order of DER for the members of a set */
static int hash_order(struct span a, struct span b)
{
	int d;

	ASSERT(a.p && b.p);
	d = memcmp(a.p, b.p, MIN(a.len, b.len));
	return d ? d : (a.len > b.len) - (a.len < b.len);
}

/* One AttributeTypeAndValue, in @w; its extent in @out */
static bool hash_attribute(struct rd *set, struct wr *w, struct span *out)
{
	uint8_t text[HASH_VALUE_MAX + 64];
	struct wr t = wr_init(text, sizeof(text));
	struct rd ava = der_take(set, DER_SEQUENCE);
	struct der oid, value;

	out->p = w->p;
	if (!der_next(&ava, &oid) || !der_next(&ava, &value) ||
	    !rd_done(&ava) || !hash_value(&value, &t))
		return false;
	der_head(w, DER_SEQUENCE, oid.all.len + wr_len(&t));
	wr_span(w, oid.all);
	wr_bytes(w, text, wr_len(&t));
	if (t.bad)
		w->bad = true;
	out->len = (size_t)(w->p - out->p);
	return true;
}

/* One RelativeDistinguishedName */
static bool hash_set(struct rd *set, struct wr *w)
{
	uint8_t text[HASH_NAME_MAX];
	struct wr t = wr_init(text, sizeof(text));
	struct span v[HASH_SET_MAX], one;
	unsigned int n = 0, i;

	while (rd_left(set)) {
		if (n == HASH_SET_MAX || !hash_attribute(set, &t, &one))
			return false;
		for (i = n++; i && hash_order(one, v[i - 1]) < 0; i--)
			v[i] = v[i - 1];
		v[i] = one;
	}
	der_head(w, DER_SET, wr_len(&t));
	for (i = 0; i < n; i++)
		wr_span(w, v[i]);
	if (t.bad)
		w->bad = true;
	return true;
}

int x509_hash(const struct x509 *c, uint32_t *hash)
{
	uint8_t text[HASH_NAME_MAX], sum[br_sha1_SIZE];
	struct wr w = wr_init(text, sizeof(text));
	struct rd name = rd_init(c->subject.p, c->subject.len);
	struct rd rdns = der_take(&name, DER_SEQUENCE);
	br_sha1_context sha;
	struct rd le;

	while (rd_left(&rdns)) {
		struct rd set = der_take(&rdns, DER_SET);

		if (!hash_set(&set, &w))
			return -EBADMSG;
	}
	if (rdns.bad || !rd_done(&name))
		return -EBADMSG;
	if (w.bad)
		return -E2BIG;
	br_sha1_init(&sha);
	br_sha1_update(&sha, text, wr_len(&w));
	br_sha1_out(&sha, sum);
	le = rd_init(sum, sizeof(sum));
	*hash = rd_le32(&le);
	return 0;
}
