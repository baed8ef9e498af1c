#ifndef INIT_VOLUME_H
#define INIT_VOLUME_H

#include "init/mntspec.h"

/* Where the share of a file is mounted while the file is bound */
#define VOLUME_STAGE	"/run/msb/share"

/**
 * volume_mount() - Mount one volume
 * @path:	Where; directories that are missing are made, and so is the file
 *		for a file
 *
 * Return: 0; -errno, reported
 */
int volume_mount(const struct mntspec *m, const char *path);

#endif /* INIT_VOLUME_H */
