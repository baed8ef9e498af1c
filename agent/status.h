#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include <stdint.h>

#include "agent/check.h"
#include "base/wr.h"

/**
 * status_text() - The status file in words
 * @text:	Its content
 * @now_ns:	CLOCK_BOOTTIME
 * @c:		How it compares with what is; may be NULL
 */
void status_text(struct span text, uint64_t now_ns, const struct checks *c,
		 struct wr *w);

/**
 * status_json() - The status file as one JSON object, keys in lower case
 * @c:		As above: more members
 */
void status_json(struct span text, const struct checks *c, struct wr *w);

#endif /* AGENT_STATUS_H */
