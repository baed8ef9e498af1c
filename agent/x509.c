#include <bearssl.h>
#include <errno.h>
#include <string.h>

#include "agent/der.h"
#include "agent/x509.h"

#define X509_V3		2
#define X509_DAY	86400

/* id-ce-basicConstraints, and id-at-commonName and its like: RFC 5280 */
static const uint8_t x509_oid_constraints[] = { 0x55, 0x1d, 0x13 };
static const uint8_t x509_oid_name[][3] = {
	{ 0x55, 0x04, 0x03 }, { 0x55, 0x04, 0x0a }, { 0x55, 0x04, 0x0b },
};

static bool x509_is(struct span s, const void *p, size_t len)
{
	return s.len == len && !memcmp(s.p, p, len);
}

/* --- time ---------------------------------------------------------------- */

/* Days from 1970-01-01 to a day of the Gregorian calendar */
static int64_t x509_days(int64_t y, unsigned int m, unsigned int d)
{
	static const uint16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212,
					   243, 273, 304, 334 };
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	int64_t past = y - 1;	/* whole years since the year 1 */

	return past * 365 + past / 4 - past / 100 + past / 400 - 719162 +
	       before[m - 1] + (leap && m > 2) + d - 1;
}

/* A number of @n decimal digits; bad if it is none, or not in the range */
static unsigned int x509_number(struct rd *r, unsigned int n, unsigned int min,
				unsigned int max)
{
	unsigned int v = 0;

	while (n--) {
		uint8_t c = rd_u8(r);

		if (c < '0' || c > '9')
			r->bad = true;
		v = v * 10 + (c - (unsigned int)'0');
	}
	if (v < min || v > max)
		r->bad = true;
	return v;
}

/* Time: UTCTime or GeneralizedTime in the only forms that RFC 5280 allows */
static int64_t x509_time(struct rd *r)
{
	unsigned int y, m, d, h, min, s;
	struct der e;
	struct rd t;

	if (!der_next(r, &e))
		return 0;
	t = rd_init(e.body.p, e.body.len);
	if (e.tag == DER_UTC_TIME) {
		y = x509_number(&t, 2, 0, 99);
		y += y < 50 ? 2000 : 1900;
	} else {
		t.bad = e.tag != DER_TIME;
		y = x509_number(&t, 4, 1, 9999);
	}
	m = x509_number(&t, 2, 1, 12);
	d = x509_number(&t, 2, 1, 31);
	h = x509_number(&t, 2, 0, 23);
	min = x509_number(&t, 2, 0, 59);
	s = x509_number(&t, 2, 0, 60);
	if (rd_u8(&t) != 'Z' || !rd_done(&t)) {
		r->bad = true;
		return 0;
	}
	return x509_days(y, m, d) * X509_DAY + h * 3600 + min * 60 + s;
}

/* --- fields -------------------------------------------------------------- */

/* Whole name is in order; its best attribute goes into @text, printable */
static bool x509_name(struct span subject, char text[static X509_NAME_MAX])
{
	struct rd names = rd_init(subject.p, subject.len);
	struct rd rdns = der_take(&names, DER_SEQUENCE);
	size_t best = sizeof(x509_oid_name) / sizeof(x509_oid_name[0]);

	while (rd_left(&rdns)) {
		struct rd set = der_take(&rdns, DER_SET);
		struct rd ava = der_take(&set, DER_SEQUENCE);
		struct der oid, value;
		size_t n;

		/* Of several in one set the first names it well enough */
		if (!der_next(&ava, &oid) || oid.tag != DER_OID ||
		    !der_next(&ava, &value) || !rd_done(&ava))
			return false;
		for (size_t i = 0; i < best; i++) {
			if (!x509_is(oid.body, x509_oid_name[i], 3))
				continue;
			best = i;
			n = value.body.len < X509_NAME_MAX - 1 ?
				    value.body.len : X509_NAME_MAX - 1;
			for (size_t k = 0; k < n; k++) {
				uint8_t c = value.body.p[k];

				text[k] = c < 0x20 || c > 0x7e ? '?' : (char)c;
			}
			text[n] = '\0';
		}
	}
	return !rdns.bad && rd_done(&names);
}

/* BasicConstraints ::= SEQUENCE { cA BOOLEAN, pathLenConstraint INTEGER } */
static bool x509_constraints(struct span value, bool *ca)
{
	struct rd outer = rd_init(value.p, value.len);
	struct rd r = der_take(&outer, DER_SEQUENCE);
	bool yes = false;

	if (der_peek(&r) == DER_BOOLEAN) {
		struct rd b = der_take(&r, DER_BOOLEAN);

		yes = rd_u8(&b) != 0;
		if (!rd_done(&b))
			return false;
	}
	if (rd_left(&r))
		(void)der_take(&r, DER_INTEGER);
	if (!rd_done(&r) || !rd_done(&outer))
		return false;
	*ca = yes;
	return true;
}

/* Extensions, the only ones that are looked into being basicConstraints */
static bool x509_extensions(struct rd *tbs, bool *ca)
{
	struct rd outer = der_take(tbs, DER_CONTEXT_3);
	struct rd list = der_take(&outer, DER_SEQUENCE);
	bool seen = false;

	while (rd_left(&list)) {
		struct rd ext = der_take(&list, DER_SEQUENCE);
		struct der oid, value;

		if (!der_next(&ext, &oid) || oid.tag != DER_OID)
			return false;
		if (der_peek(&ext) == DER_BOOLEAN)
			(void)der_take(&ext, DER_BOOLEAN);
		if (!der_next(&ext, &value) || value.tag != DER_OCTETS ||
		    !rd_done(&ext))
			return false;
		if (!x509_is(oid.body, x509_oid_constraints,
			     sizeof(x509_oid_constraints)))
			continue;
		if (seen || !x509_constraints(value.body, ca))
			return false;
		seen = true;
	}
	return !list.bad && rd_done(&outer);
}

static bool x509_version(struct rd *tbs)
{
	struct rd outer, v;

	if (der_peek(tbs) != DER_CONTEXT_0)
		return true;
	outer = der_take(tbs, DER_CONTEXT_0);
	v = der_take(&outer, DER_INTEGER);
	return rd_u8(&v) <= X509_V3 && rd_done(&v) && rd_done(&outer);
}

/* TBSCertificate, RFC 5280 section 4.1 */
static bool x509_tbs(struct rd *tbs, struct x509 *c)
{
	struct rd validity, key;
	struct der subject;

	if (!x509_version(tbs))
		return false;
	(void)der_take(tbs, DER_INTEGER);		/* serialNumber */
	(void)der_take(tbs, DER_SEQUENCE);		/* signature */
	(void)der_take(tbs, DER_SEQUENCE);		/* issuer */
	validity = der_take(tbs, DER_SEQUENCE);
	c->not_before = x509_time(&validity);
	c->not_after = x509_time(&validity);
	if (!rd_done(&validity) || !der_next(tbs, &subject) ||
	    subject.tag != DER_SEQUENCE || !x509_name(subject.all, c->name))
		return false;
	c->subject = subject.all;
	key = der_take(tbs, DER_SEQUENCE);
	(void)der_take(&key, DER_SEQUENCE);		/* algorithm */
	(void)der_take(&key, DER_BIT_STRING);
	if (!rd_done(&key))
		return false;
	if (der_peek(tbs) == DER_CONTEXT_1)		/* issuerUniqueID */
		(void)der_take(tbs, DER_CONTEXT_1);
	if (der_peek(tbs) == DER_CONTEXT_2)		/* subjectUniqueID */
		(void)der_take(tbs, DER_CONTEXT_2);
	if (rd_left(tbs) && !x509_extensions(tbs, &c->ca))
		return false;
	return rd_done(tbs);
}

int x509_parse(struct span der, struct x509 *c)
{
	struct rd all = rd_init(der.p, der.len);
	struct rd cert, tbs;
	struct x509 got = { .name = "?" };

	*c = got;
	if (!der_frames(der))
		return -EBADMSG;
	cert = der_take(&all, DER_SEQUENCE);
	tbs = der_take(&cert, DER_SEQUENCE);
	(void)der_take(&cert, DER_SEQUENCE);		/* its algorithm */
	(void)der_take(&cert, DER_BIT_STRING);		/* its signature */
	if (!rd_done(&cert) || !rd_done(&all) || !x509_tbs(&tbs, &got))
		return -EBADMSG;
	*c = got;
	return 0;
}

enum x509_verdict x509_judge(struct span der, struct x509 *c, const char **why)
{
	br_x509_decoder_context dc;
	int err;

	*why = "";
	if (x509_parse(der, c)) {
		*why = "it does not decode";
		return X509_VERDICT_BROKEN;
	}
	br_x509_decoder_init(&dc, NULL, NULL);
	br_x509_decoder_push(&dc, der.p, der.len);
	err = br_x509_decoder_last_error(&dc);
	if (err && err != BR_ERR_X509_UNSUPPORTED &&
	    err != BR_ERR_X509_LIMIT_EXCEEDED) {
		*why = "BearSSL does not decode it";
		return X509_VERDICT_BROKEN;
	}
	/* Both must say so, if both can */
	if (!c->ca || (!err && !br_x509_decoder_isCA(&dc))) {
		*why = "it is not that of a CA";
		return X509_VERDICT_NOT_CA;
	}
	if (!err)
		return X509_VERDICT_CA;
	*why = "BearSSL cannot judge its key";
	return X509_VERDICT_UNJUDGED;
}
