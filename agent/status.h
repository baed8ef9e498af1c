#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include <stdint.h>

#include "base/wr.h"

/**
 * status_text() - The status file in words
 * @text:	Its content
 * @now_ns:	CLOCK_BOOTTIME
 */
void status_text(struct span text, uint64_t now_ns, struct wr *w);

/** status_json() - The status file as one JSON object, keys in lower case */
void status_json(struct span text, struct wr *w);

#endif /* AGENT_STATUS_H */
