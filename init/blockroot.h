#ifndef INIT_BLOCKROOT_H
#define INIT_BLOCKROOT_H

#include <stdbool.h>

#include "init/vlist.h"

/*
 * blockroot - MSB_BLOCK_ROOT: a root made of one device, or of layers
 *
 *	kind=disk-image,device=DEV[,fstype=T]
 *	kind=oci-erofs,lower=DEV,upper=DEV,upper_fstype=T
 *	kind=oci-erofs,lower=DEV,upper=tmpfs[,upper_size_mib=N]
 *
 * Keys in any order, each once.  Unknown keys, and parts without "=", are left
 * alone.  A key without a value is a missing one.
 */
#define BLOCKROOT_VAR	"MSB_BLOCK_ROOT"

enum blockroot_kind {
	BLOCKROOT_DISK,
	BLOCKROOT_LAYERS,
};

/**
 * struct blockroot - What the root is made of
 * @device:	BLOCKROOT_DISK
 * @fstype:	Of @device or @upper; empty to try
 * @lower:	BLOCKROOT_LAYERS
 * @upper:	Empty: a tmpfs
 * @size_mib:	Of that tmpfs; 0 if not given
 *
 * All spans are borrowed from the value.
 */
struct blockroot {
	enum blockroot_kind kind;
	struct span device, fstype, lower, upper;
	uint32_t size_mib;
};

/**
 * blockroot_parse() - Read the variable
 * @value:	May be NULL
 * @r:		Set if 1 is returned
 *
 * Return: 1; 0 if it is absent; -EINVAL with @err set
 */
int blockroot_parse(const char *value, struct blockroot *r,
		    struct env_err *err);

#endif /* INIT_BLOCKROOT_H */
