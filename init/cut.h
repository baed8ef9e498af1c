#ifndef INIT_CUT_H
#define INIT_CUT_H

#include <stddef.h>

#include "base/span.h"

/*
 * cut - a command line that was longer than the kernel takes
 *
 * Nobody tells where it was cut off, and half a value may look like a whole one:
 * an address in another subnet, another user, a command that does more.  So
 * what may be half is not used at all.
 */
#define CUT_VAR		"MSB_CUT"	/* for the agent: name of the word */

enum cut {
	CUT_NONE,	/* it is whole, or nothing of ours is affected */
	CUT_NET,	/* the network is not to be set up: the agent says so */
	CUT_WORK,	/* the workload is not to be started */
};

/**
 * cut_judge() - What is affected
 * @line:	/proc/cmdline without its newline
 * @name:	Set to the word that may be half, unless CUT_NONE
 */
enum cut cut_judge(struct span line, char *name, size_t size);

#endif /* INIT_CUT_H */
