#ifndef LINK_FAULT_H
#define LINK_FAULT_H

#include "base/timer.h"
#include "link/link.h"

/*
 * fault - link that wraps another one and loses, reorders, doubles and corrupts
 *
 * In both directions, from one seed, on the timerq's clock: the same seed and
 * the same frames give the same faults.  Used by tests and by the gateway's
 * --fault option.
 *
 * A frame with a segmentation type counts as one: it is lost, late or corrupted
 * as a whole.  A frame that is corrupted has its checksum completed first and
 * loses its offload metadata, and one bit behind the Ethernet header is
 * flipped: else nobody could notice.  A duplicate is late like a frame of its own.
 */

/**
 * struct fault_cfg - Probabilities per million frames, each direction alike
 * @seed:	Of the generator
 * @delay_ns:	Every frame is late by this
 * @reorder_ns:	A reordered frame is late by this on top
 */
struct fault_cfg {
	uint64_t seed;
	uint32_t loss_ppm, reorder_ppm, dup_ppm, corrupt_ppm;
	uint64_t delay_ns, reorder_ns;
};

#define FAULT_QUEUE	1024	/* frames that are late at one time */

struct fault;

/**
 * fault_new() - Wrap a link
 * @inner:	Up already, since its limits are read now; its callbacks become
 *		ours; borrowed
 *
 * Return: the wrapper, owned by the caller; NULL if memory is short
 */
struct fault *fault_new(struct link *inner, struct timerq *tq,
			const struct fault_cfg *cfg);

/** fault_link() - What the upper layer uses */
struct link *fault_link(struct fault *f);

/** fault_free() - Release the wrapper and what it holds; not the inner link */
void fault_free(struct fault *f);

/**
 * fault_parse() - Parse "seed=1,loss=2%,reorder=5%,dup=1%,corrupt=0.1%,
 *		   delay=1ms,reorder-delay=2ms"
 *
 * What is not named is 0, but the seed is 1 and reorder-delay is 1 ms.
 *
 * Return: 0; -EINVAL
 */
int fault_parse(const char *text, struct fault_cfg *cfg);

#endif /* LINK_FAULT_H */
