#ifndef INIT_ROOT_H
#define INIT_ROOT_H

#include <stdbool.h>

#include "base/span.h"
#include "init/blockroot.h"

/*
 * root - from the initramfs to the real root
 *
 * The kernel does this itself unless an initramfs has an /init, which is us
 * then: the words of its command line that say how are ours to obey.
 */

/**
 * struct root - What the command line says of the real root
 * @dev:	root=, a path below /dev; "" if there is none
 * @type:	rootfstype=; "" to try
 * @data:	rootflags=
 * @init:	init=; "" if there is none
 * @flags:	MS_RDONLY after "ro", 0 after "rw" or neither
 */
struct root {
	char dev[256], type[32], data[256], init[256];
	unsigned long flags;
};

/** root_parse() - Read a command line; the last of equal words wins */
void root_parse(struct span line, struct root *r);

/**
 * root_wanted() - Whether we run from an initramfs and @r names a device
 *
 * Says so on the console if root= is of a kind that we cannot find.
 */
bool root_wanted(const struct root *r);

/**
 * root_switch() - Mount the real root and make it ours
 *
 * Waits for the device for up to 2 s, and takes /proc, /sys, /dev and /run
 * along.  The initramfs stays, hidden below the new root.  When this fails we
 * are still in the initramfs, but some mounts may be gone: mounts_essential()
 * brings them back.
 *
 * Return: 0; -errno, reported
 */
int root_switch(const struct root *r);

#define ROOT_UPPER	"/run/msb/root/upper"

/**
 * root_assemble() - Make the root that MSB_BLOCK_ROOT describes, and enter it
 *
 * Otherwise like root_switch().  The writable layer stays visible at
 * ROOT_UPPER, for root only.
 */
int root_assemble(const struct blockroot *b);

/**
 * root_init() - The program that goes on as PID 1, below the new root
 *
 * Return: init= if it can be executed; /sbin/msb-init if that is there; NULL:
 *	   this process goes on
 */
const char *root_init(const struct root *r);

#endif /* INIT_ROOT_H */
