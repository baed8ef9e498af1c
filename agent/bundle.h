#ifndef AGENT_BUNDLE_H
#define AGENT_BUNDLE_H

#include "agent/roots.h"

/*
 * bundle - put our certificates into a file of PEM certificates
 *
 * What we add stands at the end, between two marks; only what is nowhere else
 * in the file, compared by DER, is added.  Taken out again, the file is what it
 * was to the last byte.  The rest is bytes: comments in any encoding, other
 * blocks, broken ones.
 */

#define BUNDLE_BEGIN	"# BEGIN msb-init"
#define BUNDLE_BEGIN_NL	"# BEGIN msb-init (the line above had no end)"
#define BUNDLE_END	"# END msb-init"

/**
 * bundle_edit() - The text of a bundle, edited
 * @old:	Text so far
 * @want:	Certificates that it must have; an empty set takes ours out
 * @gone:	Certificates that it must not have any longer, wherever they
 *		stand; may be NULL
 * @outside:	NULL, or an entry for each of @want: set to whether it is in the
 *		text without our block
 * @out:	Set on success; owned by the caller
 * @len:	Of @out
 *
 * Return: 0; -ENOMEM
 */
int bundle_edit(struct span old, const struct roots *want,
		const struct roots *gone, bool *outside, uint8_t **out,
		size_t *len);

/**
 * bundle_each() - Call @fn for every certificate that decodes
 * @fn:		@der is borrowed during the call; not 0 ends it
 *
 * Return: 0; what @fn returned; -ENOMEM
 */
int bundle_each(struct span text, int (*fn)(void *arg, struct span der),
		void *arg);

#endif /* AGENT_BUNDLE_H */
