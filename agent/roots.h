#ifndef AGENT_ROOTS_H
#define AGENT_ROOTS_H

#include <stdbool.h>

#include "agent/x509.h"
#include "base/wr.h"

/*
 * roots - a set of CA certificates that were given to us, checked
 *
 * A certificate is the same as another if its DER is.  What is refused is named
 * through a callback and counted, and keeps nothing else out; a source that
 * holds a private key is refused as a whole, for whoever put it there will want
 * to know.
 */

#define ROOTS_ID_LEN	16	/* hex digits that name a certificate in files */
#define ROOTS_MAX	640	/* 512 of the host, 64 of ours, and room */

/**
 * struct root - One certificate
 * @der:	Owned, @len bytes
 * @pem:	The same as text; owned
 * @id:		Beginning of the SHA-256 of @der, in hex
 * @source:	Where it came from; borrowed as long as the set lives
 * @hash:	Of the subject, if @hashed
 * @unjudged:	BearSSL cannot tell whether its key is any good
 */
struct root {
	uint8_t *der;
	size_t len;
	struct span pem;
	char id[ROOTS_ID_LEN + 1];
	const char *source;
	uint32_t hash;
	bool hashed, unjudged;
	struct x509 cert;
};

/**
 * struct roots - The set, in the order in which they came
 * @broken:	Refused: do not decode
 * @not_ca:	Refused: basicConstraints do not make it a CA
 * @expired:	Refused: expired, by a clock that was set
 * @over:	Refused: too many of them
 * @keys:	Sources refused for a private key
 * @unjudged:	Taken although BearSSL could not judge them
 */
struct roots {
	struct root *v;
	unsigned int n, cap;
	unsigned int broken, not_ca, expired, over, keys, unjudged;
};

/**
 * struct roots_in - A source of certificates
 * @name:	Shown to people; borrowed as long as the set lives
 * @max:	Most certificates taken from it
 * @now:	Seconds since 1970
 * @clock_set:	@now is right: expired certificates are refused; otherwise
 *		dates only warn
 * @say:	Called with a line for each thing that is wrong; may be NULL
 */
struct roots_in {
	const char *name;
	unsigned int max;
	int64_t now;
	bool clock_set;
	void (*say)(void *arg, const char *text);
	void *arg;
};

/**
 * roots_take() - Check the certificates in PEM text, and add them to the set
 * @pem:	Borrowed during the call
 *
 * Return: how many are in it that are good, be they in the set already or not;
 *	   -EBADMSG if there are none, or if it holds a private key; -ENOMEM
 */
int roots_take(struct roots *set, struct span pem, const struct roots_in *in);

/**
 * roots_add() - Add one certificate as it is
 *
 * Return: 0, also if it is in the set already; -EBADMSG if its frames are not
 *	   in order; -ENOSPC; -ENOMEM
 */
int roots_add(struct roots *set, struct span der, const char *source);

/** roots_find() - The one with this DER; NULL if there is none */
struct root *roots_find(const struct roots *set, struct span der);

/** roots_has_size() - Whether one of them has @len bytes */
bool roots_has_size(const struct roots *set, size_t len);

/** roots_has_id() - Whether one of them has this name in files */
bool roots_has_id(const struct roots *set, struct span id);

/** roots_pem_size() - Length of all of them as text */
size_t roots_pem_size(const struct roots *set);

/** roots_free() - Empty the set */
void roots_free(struct roots *set);

#endif /* AGENT_ROOTS_H */
