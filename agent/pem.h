#ifndef AGENT_PEM_H
#define AGENT_PEM_H

#include <stdbool.h>

#include "base/span.h"

/*
 * pem - find PEM blocks in text, and decode them
 *
 * The text is bytes: what is outside the blocks may be of any encoding.  A
 * block ends at the line that names its end; one that does not end is torn and
 * goes no further than where the next one begins, so one broken block never
 * takes others with it.  Base64 is decoded, by BearSSL, whatever the width of
 * the lines and however they end.
 */

/**
 * struct pem - One block
 * @label:	What is between "-----BEGIN " and the dashes
 * @all:	Its lines, from the first byte to behind the last newline
 * @body:	The lines between the two that name it
 * @torn:	It has no end of its own; @all and @body are what there is
 *
 * All borrowed from the text.
 */
struct pem {
	struct span label, all, body;
	bool torn;
};

/**
 * pem_next() - Find the next block
 * @rest:	Text; shortened past the block
 *
 * Return: whether there is one
 */
bool pem_next(struct span *rest, struct pem *b);

/** pem_is_cert() - Whether the label is that of a certificate */
bool pem_is_cert(const struct pem *b);

/** pem_size() - How long the decoded block is, if it decodes */
size_t pem_size(const struct pem *b);

/**
 * pem_decode() - Decode a block
 * @buf:	Of pem_size() bytes
 *
 * Return: 0; -EBADMSG if it is torn, or not Base64 of just that length
 */
int pem_decode(const struct pem *b, uint8_t *buf);

/**
 * pem_read() - pem_decode() without BearSSL
 *
 * For what the image trusts anyway: BearSSL takes 31 ms for the 144 roots of
 * Debian, this 3 ms.  A fuzzer sees to it that they agree.
 */
int pem_read(const struct pem *b, uint8_t *buf);

/** pem_has_key() - Whether the text has to do with a private key */
bool pem_has_key(struct span text);

#endif /* AGENT_PEM_H */
