#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/util.h"
#include "init/mounts.h"
#include "init/sys.h"

#define MAGIC_MQUEUE	0x19800202	/* ipc/mqueue.c; not in magic.h */

#define SAFE		(MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* devtmpfs answers with the magic of tmpfs, or of ramfs without CONFIG_TMPFS */
static const struct mounts_fs table[] = {
	{ "proc", "/proc", "proc", SAFE, NULL,
	  PROC_SUPER_MAGIC, PROC_SUPER_MAGIC, true },
	{ "sysfs", "/sys", "sysfs", SAFE, NULL,
	  SYSFS_MAGIC, SYSFS_MAGIC, true },
	{ "devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755",
	  TMPFS_MAGIC, RAMFS_MAGIC, true },
	{ "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
	  "gid=5,mode=620,ptmxmode=666",
	  DEVPTS_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, false },
	{ "tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777",
	  TMPFS_MAGIC, RAMFS_MAGIC, false },
	{ "mqueue", "/dev/mqueue", "mqueue", SAFE, NULL,
	  MAGIC_MQUEUE, MAGIC_MQUEUE, false },
	{ "tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755",
	  TMPFS_MAGIC, RAMFS_MAGIC, false },
	{ "cgroup2", "/sys/fs/cgroup", "cgroup2", SAFE, "nsdelegate",
	  CGROUP2_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, false },
};

static const struct {
	const char *target, *path;
} links[] = {
	{ "/proc/self/fd",	"/dev/fd" },
	{ "/proc/self/fd/0",	"/dev/stdin" },
	{ "/proc/self/fd/1",	"/dev/stdout" },
	{ "/proc/self/fd/2",	"/dev/stderr" },
	{ "pts/ptmx",		"/dev/ptmx" },
};

const struct mounts_fs *mounts_table(unsigned int i)
{
	return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}

/** mount_point() - Whether anything is mounted there */
static bool mount_point(const char *path)
{
	struct stat here, parent;
	char up[64];
	int n = snprintf(up, sizeof(up), "%s/..", path);

	ASSERT(n > 0 && (size_t)n < sizeof(up));
	return sys_stat(path, &here) == 0 && sys_stat(up, &parent) == 0 &&
	       here.st_dev != parent.st_dev;
}

bool mounts_present(const struct mounts_fs *fs)
{
	unsigned long magic;

	return mount_point(fs->target) && sys_fstype(fs->target, &magic) == 0 &&
	       (magic == fs->magic || magic == fs->magic2);
}

/**
 * mount_one() - Mount one entry of the table
 *
 * An option that this kernel does not know is -EINVAL: better without options
 * than without the file system.
 *
 * Return: 0, also if it is there already; -errno of mount()
 */
static int mount_one(const struct mounts_fs *fs)
{
	int rc;

	if (mounts_present(fs))
		return 0;
	sys_mkdir(fs->target, 0755);	/* mount() says what is wrong */
	rc = sys_mount(fs->source, fs->target, fs->type, fs->flags, fs->data);
	if (rc == -EINVAL && fs->data)
		rc = sys_mount(fs->source, fs->target, fs->type, fs->flags,
			       NULL);
	return rc == -EBUSY ? 0 : rc;
}

void mounts_tmp(void)
{
	int rc;

	if (mount_point("/tmp"))
		return;
	sys_mkdir("/tmp", 01777);
	rc = sys_mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV,
		       "mode=1777");
	if (rc < 0)
		log_warn("mounts: tmpfs on /tmp: %s", strerror(-rc));
}

void mounts_links(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		int rc = sys_symlink(links[i].target, links[i].path);

		if (rc < 0 && rc != -EEXIST)
			log_warn("mounts: %s -> %s: %s", links[i].path,
				 links[i].target, strerror(-rc));
	}
}

int mounts_essential(void)
{
	int missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int rc = mount_one(&table[i]);

		if (rc == 0)
			continue;
		missing += table[i].vital;
		/* An optional one may be not built, or not ours to mount */
		log_at(table[i].vital ? LOG_LEVEL_ERR :
		       rc == -ENODEV || rc == -ENOENT || rc == -EPERM ?
		       LOG_LEVEL_INFO :
		       LOG_LEVEL_WARN, "mounts: %s on %s: %s",
		       table[i].type, table[i].target, strerror(-rc));
	}
	mounts_links();
	return missing;
}
