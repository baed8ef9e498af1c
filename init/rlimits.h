#ifndef INIT_RLIMITS_H
#define INIT_RLIMITS_H

#include <stdint.h>

#include "init/vlist.h"

/*
 * rlimits - MSB_RLIMITS: resource=soft[:hard];...
 *
 * The names are those of the kernel without RLIMIT_, in any case.  There is no
 * word for "unlimited": that is 18446744073709551615.  The hard limit is the
 * soft one if it is not given.
 */
#define RLIMITS_VAR	"MSB_RLIMITS"
#define RLIMITS_NUM	16		/* RLIM_NLIMITS of Linux */

/**
 * struct rlimits - What is asked for
 * @set:	Bit N: resource N is in @soft and @hard
 */
struct rlimits {
	uint32_t set;
	uint64_t soft[RLIMITS_NUM], hard[RLIMITS_NUM];
};

/** rlimits_name() - Name of a resource by its number, below RLIMITS_NUM */
const char *rlimits_name(unsigned int resource);

/**
 * rlimits_next() - Read the next entry
 * @l:		Of vlist_init() with RLIMITS_VAR
 * @r:		Zeroed before the first entry; the limit is added
 *
 * Return: 1; 0 at the end; -EINVAL with @err set: that entry was refused, and
 *	   the next call goes on behind it
 */
int rlimits_next(struct vlist *l, struct rlimits *r, struct env_err *err);

/** rlimits_read() - Read all of it; what is refused is reported */
void rlimits_read(const char *value, struct rlimits *r);

/** rlimits_save() - Take down what this process has, of those in @set */
void rlimits_save(struct rlimits *r, uint32_t set);

/**
 * rlimits_apply() - Set the limits of this process
 *
 * To be called while it may still raise a hard limit.  A limit that the kernel
 * refuses is reported, and the next one set.
 *
 * Return: how many were refused
 */
int rlimits_apply(const struct rlimits *r);

#endif /* INIT_RLIMITS_H */
