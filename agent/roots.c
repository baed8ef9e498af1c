#include <bearssl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pem.h"
#include "agent/roots.h"

#define ROOTS_LINE	256

struct root *roots_find(const struct roots *set, struct span der)
{
	for (unsigned int i = 0; i < set->n; i++)
		if (set->v[i].len == der.len &&
		    !memcmp(set->v[i].der, der.p, der.len))
			return &set->v[i];
	return NULL;
}

bool roots_has_size(const struct roots *set, size_t len)
{
	for (unsigned int i = 0; i < set->n; i++)
		if (set->v[i].len == len)
			return true;
	return false;
}

bool roots_has_id(const struct roots *set, struct span id)
{
	for (unsigned int i = 0; i < set->n; i++)
		if (span_is(id, set->v[i].id))
			return true;
	return false;
}

size_t roots_pem_size(const struct roots *set)
{
	size_t n = 0;

	for (unsigned int i = 0; i < set->n; i++)
		n += set->v[i].pem.len;
	return n;
}

static void root_free(struct root *r)
{
	free(r->der);
	free((void *)(uintptr_t)r->pem.p);
}

void roots_free(struct roots *set)
{
	for (unsigned int i = 0; i < set->n; i++)
		root_free(&set->v[i]);
	free(set->v);
	*set = (struct roots){ 0 };
}

static void root_name(struct root *r)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t sum[br_sha256_SIZE];
	br_sha256_context sha;

	br_sha256_init(&sha);
	br_sha256_update(&sha, r->der, r->len);
	br_sha256_out(&sha, sum);
	for (size_t i = 0; i < ROOTS_ID_LEN; i += 2) {
		r->id[i] = hex[sum[i / 2] >> 4];
		r->id[i + 1] = hex[sum[i / 2] & 15];
	}
	r->hashed = !x509_hash(&r->cert, &r->hash);
}

/* Copies of what is borrowed: @r->cert follows the copy */
static int root_fill(struct root *r, struct span der)
{
	uint8_t *text;
	size_t n;

	r->der = malloc(der.len);
	/* br_pem_encode() adds a NUL behind what it counts */
	n = br_pem_encode(NULL, NULL, der.len, "CERTIFICATE", BR_PEM_LINE64);
	text = malloc(n + 1);
	r->pem = (struct span){ text, n };
	if (!r->der || !text) {
		root_free(r);
		return -ENOMEM;
	}
	memcpy(r->der, der.p, der.len);
	r->len = der.len;
	(void)br_pem_encode(text, r->der, r->len, "CERTIFICATE",
			    BR_PEM_LINE64);
	r->cert.subject.p = r->der + (r->cert.subject.p - der.p);
	root_name(r);
	return 0;
}

static int roots_append(struct roots *set, struct span der,
			const struct x509 *c, const char *source,
			bool unjudged)
{
	struct root r = { .source = source, .unjudged = unjudged, .cert = *c };
	struct root *v;
	int rc;

	if (roots_find(set, der))
		return 0;
	if (set->n == ROOTS_MAX)
		return -ENOSPC;
	if (set->n == set->cap) {
		v = realloc(set->v, (set->cap + 16) * sizeof(*v));
		if (!v)
			return -ENOMEM;
		set->v = v;
		set->cap += 16;
	}
	rc = root_fill(&r, der);
	if (!rc)
		set->v[set->n++] = r;
	return rc;
}

int roots_add(struct roots *set, struct span der, const char *source)
{
	struct x509 c;

	if (x509_parse(der, &c))
		return -EBADMSG;
	return roots_append(set, der, &c, source, false);
}

static void roots_say(const struct roots_in *in, const char *text)
{
	if (in->say)
		in->say(in->arg, text);
}

static void roots_say_cert(const struct roots_in *in, unsigned int number,
			   const struct x509 *c, const char *text)
{
	char line[ROOTS_LINE];

	snprintf(line, sizeof(line), "%s: certificate %u (%s): %s", in->name,
		 number, c->name, text);
	roots_say(in, line);
}

/* Whether the dates let it in */
static bool roots_dates(struct roots *set, const struct roots_in *in,
			unsigned int number, const struct x509 *c)
{
	if (in->now < c->not_before) {
		roots_say_cert(in, number, c, "it is not valid yet, by this"
			       " clock; installed all the same");
	} else if (in->now > c->not_after && in->clock_set) {
		set->expired++;
		roots_say_cert(in, number, c, "it has expired: not installed");
		return false;
	} else if (in->now > c->not_after) {
		roots_say_cert(in, number, c, "it has expired, by a clock that"
			       " nobody has set; installed all the same");
	}
	return true;
}

/* One block that should be a certificate: 1 if it is good, 0 if not; -ENOMEM */
static int roots_judge(struct roots *set, const struct roots_in *in,
		       unsigned int number, struct span der)
{
	struct x509 c;
	const char *why;
	enum x509_verdict v = x509_judge(der, &c, &why);
	int rc;

	if (v == X509_VERDICT_BROKEN || v == X509_VERDICT_NOT_CA) {
		if (v == X509_VERDICT_BROKEN)
			set->broken++;
		else
			set->not_ca++;
		roots_say_cert(in, number, &c, why);
		return 0;
	}
	if (!roots_dates(set, in, number, &c))
		return 0;
	rc = roots_append(set, der, &c, in->name,
			  v == X509_VERDICT_UNJUDGED);
	if (rc == -ENOSPC) {
		set->over++;
		roots_say_cert(in, number, &c, "too many certificates");
		return 0;
	}
	if (v == X509_VERDICT_UNJUDGED)
		set->unjudged++;
	return rc ? rc : 1;
}

static int roots_block(struct roots *set, const struct roots_in *in,
		       unsigned int number, const struct pem *b)
{
	const struct x509 unknown = { .name = "?" };
	size_t len = pem_size(b);
	uint8_t *der = malloc(len + 1);
	int rc;

	if (!der)
		return -ENOMEM;
	if (pem_decode(b, der)) {
		set->broken++;
		roots_say_cert(in, number, &unknown, b->torn ?
			       "it is cut off" : "it is not Base64");
		rc = 0;
	} else {
		rc = roots_judge(set, in, number, (struct span){ der, len });
	}
	free(der);
	return rc;
}

static int roots_none(const struct roots_in *in, const char *text)
{
	char line[ROOTS_LINE];

	snprintf(line, sizeof(line), "%s: %s", in->name, text);
	roots_say(in, line);
	return -EBADMSG;
}

int roots_take(struct roots *set, struct span pem, const struct roots_in *in)
{
	unsigned int number = 0, good = 0;
	struct pem b;
	int rc;

	if (pem_has_key(pem)) {
		set->keys++;
		return roots_none(in, "it holds a private key: take the key"
				  " out, and make a new one");
	}
	while (pem_next(&pem, &b)) {
		if (!pem_is_cert(&b))
			continue;
		if (number++ == in->max) {
			set->over++;
			(void)roots_none(in, "it has more certificates than"
					 " are taken");
			break;
		}
		rc = roots_block(set, in, number, &b);
		if (rc < 0)
			return rc;
		good += (unsigned int)rc;
	}
	if (!number)
		return roots_none(in, "it holds no certificate");
	return good ? (int)good : -EBADMSG;
}
