#ifndef AGENT_DER_H
#define AGENT_DER_H

#include "base/rd.h"
#include "base/wr.h"

/*
 * der - frames of ASN.1 in DER: tag, length, content
 *
 * Only what X.509 uses: tags of one byte, definite lengths in their shortest
 * form, up to 16 MiB.
 */

enum der_tag {
	DER_BOOLEAN	= 0x01,
	DER_INTEGER	= 0x02,
	DER_BIT_STRING	= 0x03,
	DER_OCTETS	= 0x04,
	DER_OID		= 0x06,
	DER_UTF8	= 0x0c,
	DER_PRINTABLE	= 0x13,
	DER_T61		= 0x14,
	DER_IA5		= 0x16,
	DER_UTC_TIME	= 0x17,
	DER_TIME	= 0x18,
	DER_VISIBLE	= 0x1a,
	DER_UNIVERSAL	= 0x1c,
	DER_BMP		= 0x1e,
	DER_SEQUENCE	= 0x30,
	DER_SET		= 0x31,
	DER_CONTEXT_0	= 0xa0,
	DER_CONTEXT_1	= 0x81,		/* primitive, in a certificate */
	DER_CONTEXT_2	= 0x82,
	DER_CONTEXT_3	= 0xa3,
};

#define DER_CONSTRUCTED	0x20
#define DER_DEPTH_MAX	16
#define DER_HEAD_MAX	5	/* of der_head() */

/**
 * struct der - One element
 * @tag:	Its first byte, see enum der_tag
 * @all:	Tag, length and content; borrowed
 * @body:	Content
 */
struct der {
	uint8_t tag;
	struct span all, body;
};

/**
 * der_next() - Read one element
 * @r:		Bad if there is none, or if it is malformed
 *
 * Return: whether it was read; @d is zeroed if not
 */
bool der_next(struct rd *r, struct der *d);

/** der_take() - Read one element that must have this tag; its content */
struct rd der_take(struct rd *r, uint8_t tag);

/** der_peek() - Tag of the next element; 0 at the end */
uint8_t der_peek(const struct rd *r);

/**
 * der_frames() - Whether bytes are whole elements to the last, at every depth
 * @all:	Any number of elements
 */
bool der_frames(struct span all);

/** der_head() - Append tag and length of an element */
void der_head(struct wr *w, uint8_t tag, size_t len);

#endif /* AGENT_DER_H */
