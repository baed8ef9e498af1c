#ifndef LINK_TAP_H
#define LINK_TAP_H

#include "base/ev.h"
#include "link/link.h"

/**
 * struct tap - Link on a TAP device with virtio-net headers
 *
 * Each read() brings one frame, up to 64 KiB with offloads on; a batch is up to
 * TAP_BATCH frames.
 */
struct tap {
	struct link link;
	struct ev *ev;
	struct ev_src src;
	uint8_t *rx, *tx;	/* one frame each, with its header */
	bool paused;
};

#define TAP_BATCH	32	/* 8 to 256 made no difference, 1 cost a fifth */

/**
 * tap_open() - Open or create a TAP device
 * @name:	Interface name; at most 15 bytes
 * @persist:	Keep the device, its addresses and its routes when we close it
 * @features:	Set to the LINK_F_* that the kernel accepted (TUNSETOFFLOAD is
 *		probed bit by bit)
 *
 * The header size is 12 bytes, little-endian (TUNSETVNETHDRSZ, TUNSETVNETLE).
 *
 * Return: descriptor, non-blocking and close-on-exec, owned by the caller;
 *	   -ENOENT or -ENODEV if there is no /dev/net/tun; -errno
 */
int tap_open(const char *name, bool persist, uint32_t *features);

/**
 * tap_features() - Switch on the offloads of a TAP that somebody else opened
 * @fd:		With a 12-byte little-endian header, as tap_open() sets it up
 * @features:	Set to the LINK_F_* that the kernel accepted
 *
 * Return: 0; -EPROTO if the header is another one; -errno if it is no TAP
 */
int tap_features(int fd, uint32_t *features);

/**
 * tap_init() - Set up a link on an open TAP
 * @fd:		Owned by @t from here on, also on failure
 * @features:	LINK_F_* as set by tap_open(), for both directions
 *
 * Return: 0; -ENOMEM; -errno of epoll_ctl()
 */
int tap_init(struct tap *t, struct ev *ev, int fd, uint32_t features);

#endif /* LINK_TAP_H */
