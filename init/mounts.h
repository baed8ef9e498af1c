#ifndef INIT_MOUNTS_H
#define INIT_MOUNTS_H

#include <stdbool.h>

/**
 * struct mounts_fs - One file system that every Linux program expects
 * @magic:	f_type that says that the right one is there already; @magic2 is
 *		a second that is as good, or the same
 * @vital:	Its absence is an error worth a line on the console
 */
struct mounts_fs {
	const char *source, *target, *type;
	unsigned long flags;
	const char *data;
	unsigned long magic, magic2;
	bool vital;
};

/**
 * mounts_essential() - Mount /proc, /sys, /dev and what lives below them, and
 *			make the symbolic links of /dev
 *
 * Parents first.  What is there already is left alone.  A failure is reported
 * and the next one tried: half of them are optional in a kernel.
 *
 * Return: how many of the vital ones are not there
 */
int mounts_essential(void);

/**
 * mounts_present() - Whether the right file system is mounted on @fs->target
 *
 * The type alone does not tell: statfs() on the plain directory /dev/shm
 * answers with the type of /dev.  A mount point is on another device than its
 * parent directory.
 */
bool mounts_present(const struct mounts_fs *fs);

/** mounts_table() - The table, by index from 0; NULL at the end */
const struct mounts_fs *mounts_table(unsigned int i);

/** mounts_tmp() - Mount a tmpfs on /tmp, unless something is mounted there */
void mounts_tmp(void);

/** mounts_links() - Make the symbolic links of /dev that are missing */
void mounts_links(void);

#endif /* INIT_MOUNTS_H */
