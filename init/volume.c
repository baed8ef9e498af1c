#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/util.h"
#include "init/diskfs.h"
#include "init/sys.h"
#include "init/volume.h"

#define TAG_MAX		256	/* virtio allows 36 bytes; others may more */
#define SERIAL_MAX	20	/* VIRTIO_BLK_ID_BYTES */
#define DISK_WAIT_MS	500
#define DISK_POLL_MS	10

/* What they get if nothing is said */
#define TMPFS_MODE	0755
#define TMP_MODE	01777

/**
 * make_dirs() - Make a directory, and those above it
 *
 * Return: 0; the first error that is not "it is there"
 */
static int make_dirs(const char *path)
{
	char part[PATH_MAX];
	int rc = span_copy(span_str(path), part, sizeof(part));

	for (char *p = part; !rc && p; ) {
		p = strchr(p + 1, '/');
		if (p)
			*p = '\0';
		rc = sys_mkdir(part, 0755);
		if (rc == -EEXIST)
			rc = 0;
		if (p)
			*p = '/';
	}
	return rc;
}

/** make_file() - Make an empty file if there is none */
static int make_file(const char *path)
{
	char dir[PATH_MAX];
	struct stat st;
	int rc = sys_stat(path, &st);

	if (rc == 0)
		return S_ISDIR(st.st_mode) ? -EISDIR : 0;
	if (rc != -ENOENT)
		return rc;
	rc = span_copy(span_str(path), dir, sizeof(dir));
	if (rc < 0)
		return rc;
	*strrchr(dir, '/') = '\0';
	rc = dir[0] ? make_dirs(dir) : 0;
	return rc < 0 ? rc : sys_write_file(path, 0644, "");
}

/** share() - Mount a share by its tag */
static int share(const struct mntspec *m, const char *dir, unsigned long flags,
		 const char **why)
{
	char tag[TAG_MAX];
	int rc = span_copy(m->source, tag, sizeof(tag));

	if (rc == 0)
		rc = sys_mount(tag, dir, "virtiofs", flags, NULL);
	if (rc == -EINVAL)
		*why = "the machine has no share with this tag";
	else if (rc == -ENODEV)
		*why = "this kernel has no virtiofs";
	return rc;
}

static int mount_dir(const struct mntspec *m, const char *path,
		     const char **why)
{
	int rc = make_dirs(path);

	return rc < 0 ? rc : share(m, path, m->flags, why);
}

/** bind_file() - From the stage to its place, with its options */
static int bind_file(const struct mntspec *m, const char *path,
		     const char **why)
{
	char from[PATH_MAX];
	struct stat st;
	int rc, n = snprintf(from, sizeof(from), VOLUME_STAGE "/%.*s",
			     (int)MIN(m->file.len, sizeof(from)),
			     (const char *)m->file.p);

	if (n < 0 || (size_t)n >= sizeof(from))
		return -ENAMETOOLONG;
	rc = sys_stat(from, &st);
	if (rc < 0) {
		*why = "the share has no such file";
		return rc;
	}
	rc = make_file(path);
	if (rc < 0)
		return rc;
	rc = sys_mount(from, path, NULL, MS_BIND, NULL);
	if (rc < 0 || !m->flags)
		return rc;
	/* A bind mount takes its options only afterwards */
	rc = sys_mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | m->flags, NULL);
	if (rc < 0)
		sys_umount(path, MNT_DETACH);
	return rc;
}

static int mount_file(const struct mntspec *m, const char *path,
		      const char **why)
{
	int rc;

	sys_mkdir("/run/msb", 0755);
	sys_mkdir(VOLUME_STAGE, 0700);
	rc = share(m, VOLUME_STAGE, 0, why);
	if (rc == 0) {
		rc = bind_file(m, path, why);
		sys_umount(VOLUME_STAGE, MNT_DETACH);
	}
	sys_rmdir(VOLUME_STAGE);
	return rc;
}

/** has_serial() - Whether a block device of this name has this serial */
static bool has_serial(const char *name, struct span serial)
{
	char path[128], text[64];
	struct span s;

	snprintf(path, sizeof(path), "/sys/block/%.64s/serial", name);
	if (sys_read_file(path, text, sizeof(text)) < 0)
		return false;
	s = span_trim(span_str(text));
	return s.len == serial.len && memcmp(s.p, serial.p, s.len) == 0;
}

/** find_disk() - Path of the disk with this serial; -ENODEV */
static int find_disk(struct span serial, char *dev, size_t size)
{
	char names[4096];
	int n = sys_list("/sys/block", names, sizeof(names));

	for (const char *p = names; n > 0; n--, p += strlen(p) + 1)
		if (has_serial(p, serial)) {
			snprintf(dev, size, "/dev/%.64s", p);
			return 0;
		}
	return -ENODEV;
}

static int wait_disk(struct span serial, char *dev, size_t size)
{
	/* All that are missing together are waited for as long as one */
	static unsigned int waited_ms;
	int rc = find_disk(serial, dev, size);

	while (rc < 0 && waited_ms < DISK_WAIT_MS) {
		sys_sleep_ms(DISK_POLL_MS);
		waited_ms += DISK_POLL_MS;
		rc = find_disk(serial, dev, size);
	}
	return rc;
}

static int mount_disk(const struct mntspec *m, const char *path,
		      const char **why)
{
	char dev[PATH_MAX], type[32];
	struct diskfs f = { .dev = dev, .dir = path, .type = type, .data = "",
			     .flags = m->flags, .noload = true };
	int rc;

	if (m->source.len > SERIAL_MAX) {
		*why = "a serial has at most 20 bytes";
		return -ENAMETOOLONG;
	}
	rc = wait_disk(m->source, dev, sizeof(dev));
	if (rc < 0) {
		*why = "no disk has this serial";
		return rc;
	}
	rc = span_copy(m->fstype, type, sizeof(type));
	if (rc == 0)
		rc = make_dirs(path);
	if (rc == 0)
		rc = diskfs_wait(dev);
	if (rc < 0)
		return rc;
	rc = diskfs_mount(&f);
	if (rc > 0)
		log_warn("mounts: %s: it is read-only, as its disk is", path);
	if (rc == -EINVAL && !type[0])
		*why = "no file system that this kernel knows";
	return MIN(rc, 0);
}

static int mount_tmpfs(const struct mntspec *m, const char *path,
		       const char **why)
{
	bool tmp = strcmp(path, "/tmp") == 0 || strcmp(path, "/var/tmp") == 0;
	uint32_t mode = m->has_mode ? m->mode : tmp ? TMP_MODE : TMPFS_MODE;
	char data[64];
	int rc = make_dirs(path);

	(void)why;
	if (rc < 0)
		return rc;
	if (m->size_mib)
		snprintf(data, sizeof(data), "size=%um,mode=%o", m->size_mib,
			 mode);
	else
		snprintf(data, sizeof(data), "mode=%o", mode);
	return sys_mount("tmpfs", path, "tmpfs", m->flags, data);
}

static int (*const kinds[])(const struct mntspec *m, const char *path,
			    const char **why) = {
	[MNTSPEC_DIR] = mount_dir, [MNTSPEC_FILE] = mount_file,
	[MNTSPEC_DISK] = mount_disk, [MNTSPEC_TMPFS] = mount_tmpfs,
};
static_assert(ARRAY_SIZE(kinds) == MNTSPEC_KIND_NUM, "one for each kind");

int volume_mount(const struct mntspec *m, const char *path)
{
	const char *why = NULL;
	int rc = kinds[m->kind](m, path, &why);

	if (rc == 0)
		return 0;
	if (rc == -EROFS && !why)
		why = "the mount point is missing, and cannot be made on a "
		      "read-only file system";
	log_err("mounts: %s: %.*s%s%s: %s", mntspec_var(m->kind),
		VLIST_TEXT(m->source), m->source.len ? " on " : "", path,
		why ? why : strerror(-rc));
	return rc;
}
