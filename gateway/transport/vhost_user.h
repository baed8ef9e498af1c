#ifndef TRANSPORT_VHOST_USER_H
#define TRANSPORT_VHOST_USER_H

#include <stdint.h>

#include "base/ev.h"
#include "link/stream.h"

/*
 * vhost_user - the gateway as the guest's virtio-vsock device
 *
 * Theory of operation
 * -------------------
 * A VMM connects to a Unix socket and hands over guest memory, vrings and
 * eventfds (vhost-user protocol, QEMU docs/interop/vhost-user.rst).  One VMM at
 * a time.  Queue 0 is the guest's RX, queue 1 its TX, the event queue stays
 * with QEMU (another VMM may hand it over; we take it and leave it alone).  On
 * top, vvsock speaks virtio-vsock (virtio 1.2, 5.10): streams to the ports of
 * the configuration are accepted and handed up as struct stream; any other port
 * gets RST.  Frames are read from guest memory in place, and written into the
 * guest's RX buffers in place, as far as its credit allows.
 *
 * One timer of the loop is used, and a write to an eventfd must not kill us:
 * the program ignores SIGPIPE, since a VMM may pass a pipe for one.
 *
 * Nonsense from the VMM or in a ring takes that VMM's connection down, with a
 * counter; never the process.
 */

struct vhost_user;

/**
 * struct vhost_user_cfg - What the device offers
 * @guest_cid:	Answered to VHOST_USER_GET_CONFIG
 * @ports:	vsock ports that accept streams from the guest; borrowed for the
 *		device's life
 * @accept:	A stream came; the callee installs its callbacks. Returns 0, or
 *		a negative errno to refuse it (RST). The stream's memory belongs
 *		to the device and is gone after stream_close()
 * @vmm:	A VMM came (true) or went
 */
struct vhost_user_cfg {
	uint64_t guest_cid;
	const uint32_t *ports;
	unsigned int nports;
	int (*accept)(void *arg, struct stream *s, uint32_t port);
	void (*vmm)(void *arg, bool here);
	void *arg;
};

/**
 * vhost_user_new() - Serve a listening Unix socket
 * @listen_fd:	Owned by the result
 *
 * Return: the device, owned by the caller; NULL with errno set
 */
struct vhost_user *vhost_user_new(struct ev *ev, int listen_fd,
				  const struct vhost_user_cfg *cfg);

/** vhost_user_free() - Drop the VMM and every stream, close the listener */
void vhost_user_free(struct vhost_user *vu);

#endif /* TRANSPORT_VHOST_USER_H */
