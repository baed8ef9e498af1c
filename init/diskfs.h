#ifndef INIT_DISKFS_H
#define INIT_DISKFS_H

#include <stdbool.h>

/* diskfs - a file system on a block device, of a type that may be unknown */

/**
 * struct diskfs - What is to be mounted
 * @type:	"" to try: ext4, erofs, squashfs, xfs, btrfs and vfat before
 *		whatever else the kernel has, and what it has loaded before what
 *		it would have to look for
 * @data:	Options of the file system, or ""
 * @flags:	MS_RDONLY and its like
 * @noload:	If it is a read-only ext4, leave its journal alone: the device
 *		may be read-only too
 */
struct diskfs {
	const char *dev, *dir, *type, *data;
	unsigned long flags;
	bool noload;
};

/**
 * diskfs_wait() - Wait for a block device, up to 2 s
 *
 * Return: 0; -ENODEV; -ENOTBLK if there is something else of this name
 */
int diskfs_wait(const char *dev);

/**
 * diskfs_mount() - Mount it; read-only if the device is
 *
 * Return: 0; 1 if it is read-only although @f does not say so; the errno of the
 *	   last type that was not simply the wrong one, or -EINVAL
 */
int diskfs_mount(const struct diskfs *f);

#endif /* INIT_DISKFS_H */
