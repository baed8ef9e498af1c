#ifndef INIT_VOLUMES_H
#define INIT_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>

#include "init/mntspec.h"

/*
 * volumes - the mounts that the host asks for
 *
 * All of them in one plan, sorted by the depth of their paths: parents before
 * children, whatever kind they are, and as listed among equals.  What cannot be
 * planned or mounted is reported and left out; nothing that was asked for with
 * an option is ever mounted without it.
 */
#define VOLUMES_MAX	64
#define VOLUMES_TEXT	16384

/**
 * struct volume - One of them
 * @path:	From @text of struct volumes: "/a/b", without "." and ".."
 * @depth:	Number of its components
 */
struct volume {
	struct mntspec spec;
	const char *path;
	unsigned int depth;
};

/**
 * struct volumes - All of them, in mount order
 */
struct volumes {
	struct volume v[VOLUMES_MAX];
	size_t n;
	char text[VOLUMES_TEXT];
	size_t used;
};

/**
 * volumes_plan() - Read the variables, see that they go together, and sort
 * @values:	By kind; NULL for one that is not there.  Borrowed by @p
 * @flags:	MS_ flags for all of them, besides their own
 *
 * Return: how many entries were refused, each reported
 */
int volumes_plan(struct volumes *p,
		 const char *const values[static MNTSPEC_KIND_NUM],
		 unsigned long flags);

/** volumes_at() - Whether one of them is mounted on exactly this path */
bool volumes_at(const struct volumes *p, const char *path);

/**
 * volumes_mount() - Mount them
 *
 * Return: how many could not be mounted, each reported
 */
int volumes_mount(const struct volumes *p);

#endif /* INIT_VOLUMES_H */
