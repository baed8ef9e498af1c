#ifndef TESTS_VVSOCK_RIG_H
#define TESTS_VVSOCK_RIG_H

#include "gateway/transport/vvsock.h"
#include "tests/unit/fake_guest.h"

/* vvsock_rig - a vsock device between a fake guest and a fake upper layer */

#define VVR_CID	7
#define VVR_PORT	1024
#define VVR_PEER	5000
#define VVR_ALLOC	(256u << 10)	/* what the guest has room for */

struct vv_rig {
	struct fake_guest g;
	struct virtq_mem mem;
	struct virtq rx, tx;
	struct ev *ev;
	struct vvsock *vv;
	int refuse, broken;
	/* the upper layer */
	struct stream *s;
	unsigned int accepted, inputs, dones, drained, eofs, downs;
	int why;
	size_t take;			/* at most, in one input() */
	bool close_in_input, no_eof;
	uint8_t got[1u << 19];
	size_t got_len;
	uint32_t fwd;			/* the guest's own fwd_cnt */
	unsigned int slot;
};

/** vvr_open() - A device without streams; without buffers either */
struct vv_rig *vvr_open(void);

/** vvr_connected() - A device with one stream, and @bufs buffers left */
struct vv_rig *vvr_connected(unsigned int bufs);

void vvr_close(struct vv_rig *r);

/** vvr_turn() - Let the loop work off what it has */
void vvr_turn(struct vv_rig *r);

/** vvr_header() - What the guest would send on its stream */
struct vsock_hdr vvr_header(struct vv_rig *r, uint16_t op);

/** vvr_put_hdr() - The guest sends a packet, but does not kick */
void vvr_put_hdr(struct vv_rig *r, const struct vsock_hdr *h, const void *data,
		 size_t len);

/** vvr_put() - The same, on its stream */
void vvr_put(struct vv_rig *r, uint16_t op, const void *data, size_t len);

/** vvr_kick() - The guest kicks */
void vvr_kick(struct vv_rig *r);

/** vvr_connect() - The guest opens its stream */
void vvr_connect(struct vv_rig *r);

/** vvr_expect() - The next packet to the guest must be @op */
struct vsock_hdr vvr_expect(struct vv_rig *r, uint16_t op);

void vvr_expect_nothing(struct vv_rig *r);

/** vvr_all_used() - Everything that the guest put must have come back */
void vvr_all_used(struct vv_rig *r);

#endif /* TESTS_VVSOCK_RIG_H */
