#ifndef INIT_MNTSPEC_H
#define INIT_MNTSPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "init/vlist.h"

/*
 * mntspec - the grammar of the variables that ask for mounts
 *
 *	MSB_DIR_MOUNTS	 tag:path[:options];...
 *	MSB_FILE_MOUNTS	 tag:filename:path[:options];...
 *	MSB_DISK_MOUNTS	 serial:path[:options];...
 *	MSB_TMPFS	 path[:options];...
 *
 * Options are separated by commas, with blanks around them if you like: ro or
 * rw, noexec, nosuid, nodev; fstype=TYPE for disks; size=MIB and mode=OCTAL for
 * tmpfs.  Each at most once.  Empty entries and empty options are skipped.
 */
enum mntspec_kind {
	MNTSPEC_DIR,
	MNTSPEC_FILE,
	MNTSPEC_DISK,
	MNTSPEC_TMPFS,
	MNTSPEC_KIND_NUM,
};

#define MNTSPEC_SIZE_MAX	UINT32_MAX	/* MiB */
#define MNTSPEC_MODE_MAX	07777

/**
 * struct mntspec - One mount that is asked for
 * @source:	Tag or serial, not empty; empty for tmpfs.  All spans are
 *		borrowed from the value
 * @file:	Name within the share, not empty; MNTSPEC_FILE
 * @path:	Not empty; begins with a slash, except that of a tmpfs, which
 *		nobody has looked at yet
 * @fstype:	Empty if not given; MNTSPEC_DISK
 * @flags:	MS_RDONLY, MS_NOEXEC, MS_NOSUID, MS_NODEV
 * @size_mib:	0 if not given; MNTSPEC_TMPFS
 * @mode:	Valid if @has_mode; MNTSPEC_TMPFS
 */
struct mntspec {
	enum mntspec_kind kind;
	struct span source, file, path, fstype;
	unsigned long flags;
	uint32_t size_mib, mode;
	bool has_mode;
};

/** mntspec_var() - Name of the variable for mounts of a kind */
const char *mntspec_var(enum mntspec_kind kind);

/**
 * mntspec_next() - Read the next entry
 * @l:		Of vlist_init() with mntspec_var(@kind)
 * @m:		Set on success
 *
 * Return: 1; 0 at the end; -EINVAL with @err set: that entry was refused, and
 *	   the next call goes on behind it
 */
int mntspec_next(struct vlist *l, enum mntspec_kind kind, struct mntspec *m,
		 struct env_err *err);

#endif /* INIT_MNTSPEC_H */
