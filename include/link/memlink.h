#ifndef LINK_MEMLINK_H
#define LINK_MEMLINK_H

#include "link/link.h"

/**
 * struct memlink - Link whose peer is the test itself
 *
 * Frames sent over it are handed to @peer at once; memlink_deliver() is what
 * came from the peer.  No descriptor, no clock.
 */
struct memlink {
	struct link link;
	void (*peer)(struct memlink *m, const struct link_vnet *vh,
		     const uint8_t *frame, size_t len);
	void *arg;
	uint8_t buf[LINK_FRAME_MAX];
	bool refuse;		/* say -EAGAIN */
};

/** memlink_init() - @features go to both directions; @peer gets what is sent */
void memlink_init(struct memlink *m, uint32_t features,
		  void (*peer)(struct memlink *m, const struct link_vnet *vh,
			       const uint8_t *frame, size_t len),
		  void *arg);

/** memlink_deliver() - Hand a frame to the upper layer */
void memlink_deliver(struct memlink *m, const struct link_vnet *vh,
		     const void *frame, size_t len);

#endif /* LINK_MEMLINK_H */
