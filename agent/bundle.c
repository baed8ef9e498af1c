#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/bundle.h"
#include "agent/pem.h"
#include "base/util.h"

#define BUNDLE_MARKS	128	/* both, and a newline before them */

/** struct bundle_mark - A line that opens a block of ours */
struct bundle_mark {
	size_t at;		/* in what was copied */
	bool nl;		/* the newline before it is ours too */
};

/**
 * bundle_strip() - Copy all that is not ours
 * @w:		Has room for all of it
 *
 * A closing mark belongs to the last opening one that is still open, so a stray
 * opening mark never makes foreign lines ours, and what is left has no block.
 *
 * Return: 0; -ENOMEM
 */
static int bundle_strip(struct span text, struct wr *w)
{
	struct bundle_mark *open = NULL, *more;
	size_t n = 0, cap = 0;

	while (text.len) {
		const uint8_t *from = text.p;
		struct span line = span_trim(span_cut(&text, '\n', NULL));

		if (n && span_is(line, BUNDLE_END)) {
			w->p = w->start + open[--n].at;
			if (open[n].nl && !text.len && wr_len(w) &&
			    w->p[-1] == '\n')
				w->p--;
			continue;
		}
		if (span_is(line, BUNDLE_BEGIN) ||
		    span_is(line, BUNDLE_BEGIN_NL)) {
			more = n < cap ? open :
			       realloc(open, (cap + 16) * sizeof(*open));
			if (!more) {
				free(open);
				return -ENOMEM;
			}
			cap += n < cap ? 0 : 16;
			open = more;
			open[n++] = (struct bundle_mark){
				wr_len(w), span_is(line, BUNDLE_BEGIN_NL) };
		}
		wr_bytes(w, from, (size_t)(text.p - from));
	}
	free(open);
	return 0;
}

/* Decode a block whose length is that of one of ours; NULL if it is none */
static const struct root *bundle_match(const struct pem *b,
				       const struct roots *set, uint8_t *buf)
{
	size_t len = pem_size(b);

	if (!set || !roots_has_size(set, len) || pem_read(b, buf))
		return NULL;
	return roots_find(set, (struct span){ buf, len });
}

static size_t bundle_longest(const struct roots *a, const struct roots *b)
{
	size_t n = 1;

	for (unsigned int i = 0; i < a->n; i++)
		n = MAX(n, a->v[i].len);
	for (unsigned int i = 0; b && i < b->n; i++)
		n = MAX(n, b->v[i].len);
	return n;
}

/* Copy all but what is gone, and take note of what is there */
static int bundle_scan(struct span text, const struct roots *want,
		       const struct roots *gone, bool *has, struct wr *w)
{
	uint8_t *der = malloc(bundle_longest(want, gone));
	const uint8_t *from = text.p;
	const struct root *r;
	struct pem b;

	if (!der)
		return -ENOMEM;
	while (pem_next(&text, &b)) {
		if (!pem_is_cert(&b) || b.torn)
			continue;
		r = bundle_match(&b, want, der);
		if (r)
			has[r - want->v] = true;
		if (!r && bundle_match(&b, gone, der)) {
			wr_bytes(w, from, (size_t)(b.all.p - from));
			from = b.all.p + b.all.len;
		}
	}
	wr_bytes(w, from, (size_t)(text.p + text.len - from));
	free(der);
	return 0;
}

/* Our block, of what is not there yet */
static void bundle_add(const struct roots *want, const bool *has, struct wr *w)
{
	bool nl = wr_len(w) && w->p[-1] != '\n', open = false;

	for (unsigned int i = 0; i < want->n; i++) {
		if (has[i])
			continue;
		if (!open)
			wr_fmt(w, "%s%s\n", nl ? "\n" : "",
			       nl ? BUNDLE_BEGIN_NL : BUNDLE_BEGIN);
		open = true;
		wr_span(w, want->v[i].pem);
	}
	if (open)
		wr_fmt(w, "%s\n", BUNDLE_END);
}

int bundle_edit(struct span old, const struct roots *want,
		const struct roots *gone, bool *outside, uint8_t **out,
		size_t *len)
{
	size_t cap = old.len + roots_pem_size(want) + BUNDLE_MARKS;
	bool *has = calloc(want->n + 1, sizeof(*has));
	uint8_t *kept = malloc(old.len + 1), *text = malloc(cap);
	struct wr k, w;
	int rc = -ENOMEM;

	if (!has || !kept || !text)
		goto out;
	k = wr_init(kept, old.len + 1);
	w = wr_init(text, cap);
	rc = bundle_strip(old, &k);
	if (!rc && !want->n && !(gone && gone->n))
		wr_bytes(&w, kept, wr_len(&k));		/* nothing to look for */
	else if (!rc)
		rc = bundle_scan((struct span){ kept, wr_len(&k) }, want, gone,
				 has, &w);
	if (rc)
		goto out;
	bundle_add(want, has, &w);
	ASSERT(!k.bad && !w.bad);
	if (outside)
		memcpy(outside, has, want->n * sizeof(*has));
	*len = wr_len(&w);
	*out = text;
	text = NULL;
out:
	free(text);
	free(kept);
	free(has);
	return rc;
}

int bundle_each(struct span text, int (*fn)(void *arg, struct span der),
		void *arg)
{
	struct pem b;
	uint8_t *der;
	int rc = 0;

	while (!rc && pem_next(&text, &b)) {
		size_t len = pem_size(&b);

		if (!pem_is_cert(&b) || b.torn)
			continue;
		der = malloc(len + 1);
		if (!der)
			return -ENOMEM;
		if (!pem_read(&b, der))
			rc = fn(arg, (struct span){ der, len });
		free(der);
	}
	return rc;
}
