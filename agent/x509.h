#ifndef AGENT_X509_H
#define AGENT_X509_H

#include <stdbool.h>

#include "base/span.h"

/*
 * x509 - judge certificates: may this one be trusted as a CA?
 *
 * BearSSL decodes it.  What BearSSL does not know, such as Ed25519 or an RSA
 * key of more than 4096 bits, other libraries in the guest may: then it is
 * enough that the frames of its DER, its names, dates and basicConstraints are
 * in order.  Signatures are not looked at: that of a root proves nothing.
 */

#define X509_NAME_MAX	80

enum x509_verdict {
	X509_VERDICT_CA,	/* good */
	X509_VERDICT_UNJUDGED,	/* good as far as we can tell */
	X509_VERDICT_NOT_CA,	/* has no basicConstraints that make it one */
	X509_VERDICT_BROKEN,	/* does not decode */
};

/**
 * struct x509 - What a certificate says
 * @subject:	Name, as a DER element; borrowed from the certificate
 * @not_before:	Seconds since 1970
 * @not_after:	Seconds since 1970
 * @name:	Common name, organisation or unit, made printable; "?" if none
 * @ca:		basicConstraints say so
 */
struct x509 {
	struct span subject;
	int64_t not_before, not_after;
	char name[X509_NAME_MAX];
	bool ca;
};

/**
 * x509_parse() - Read the fields of a certificate
 * @der:	Whole certificate
 * @c:		Zeroed but for a name "?" on failure
 *
 * Return: 0; -EBADMSG
 */
int x509_parse(struct span der, struct x509 *c);

/**
 * x509_judge() - x509_parse(), and a verdict
 * @why:	Set to a static text: what is wrong, or why it is unjudged
 */
enum x509_verdict x509_judge(struct span der, struct x509 *c,
			     const char **why);

/**
 * x509_hash() - Hash of the subject as OpenSSL names files by it
 * @c:		Of x509_parse()
 *
 * SHA-1 over the canonical form: strings as UTF-8 in lower case, blanks
 * trimmed and merged.
 *
 * Return: 0; -EBADMSG if the name has no canonical form; -E2BIG
 */
int x509_hash(const struct x509 *c, uint32_t *hash);

#endif /* AGENT_X509_H */
