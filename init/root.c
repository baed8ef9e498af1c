#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/util.h"
#include "init/diskfs.h"
#include "init/root.h"
#include "init/spawn.h"
#include "init/sys.h"
#include "proto/cmdline.h"

#define NEW_ROOT	"/newroot"
#define OWN_PATH	"/sbin/msb-init"
#define LAYERS		"/run/msb/root"
#define LOWER		LAYERS "/lower"

/* Mounts that go along; what is mounted below them comes with them */
static const char *const moved[] = { "/proc", "/sys", "/dev", "/run" };

/* Mount points that no guest can do without */
static const char *const needed[] = { "/proc", "/sys", "/dev", "/run", "/tmp" };

/** value() - Copy a value of the command line; one too long counts as absent */
static void value(struct span line, const char *name, char *buf, size_t size)
{
	int rc = cmdline_get(line, name, buf, size);

	if (rc == -ENAMETOOLONG)
		log_err("root: %s= is too long", name);
	if (rc < 0)
		buf[0] = '\0';
}

void root_parse(struct span line, struct root *r)
{
	char word[8];

	memset(r, 0, sizeof(*r));
	value(line, "root", r->dev, sizeof(r->dev));
	value(line, "rootfstype", r->type, sizeof(r->type));
	value(line, "rootflags", r->data, sizeof(r->data));
	value(line, "init", r->init, sizeof(r->init));
	while (cmdline_next(&line, word, sizeof(word))) {
		if (strcmp(word, "--") == 0)
			break;
		if (strcmp(word, "ro") == 0)
			r->flags = MS_RDONLY;
		else if (strcmp(word, "rw") == 0)
			r->flags = 0;
	}
}

bool root_wanted(const struct root *r)
{
	unsigned long magic;

	if (!r->dev[0] || sys_fstype("/", &magic) < 0)
		return false;
	if (magic != RAMFS_MAGIC && magic != TMPFS_MAGIC)
		return false;
	if (strncmp(r->dev, "/dev/", 5) != 0) {
		log_err("root: root=%s: only a path below /dev is supported",
			r->dev);
		return false;
	}
	return true;
}

/** move_mounts() - Take the mounts along; one without a place there is shut */
static void move_mounts(void)
{
	char to[64];

	for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
		snprintf(to, sizeof(to), NEW_ROOT "%s", moved[i]);
		sys_mkdir(to, 0755);
		if (sys_mount(moved[i], to, NULL, MS_MOVE, NULL) < 0)
			sys_umount(moved[i], MNT_DETACH);
	}
}

/** enter() - Make NEW_ROOT the root; @stage says how far it came */
static int enter(const char **stage)
{
	int rc;

	*stage = "chdir";
	rc = sys_chdir(NEW_ROOT);
	if (rc < 0)
		return rc;
	move_mounts();
	*stage = "move";
	rc = sys_mount(".", "/", NULL, MS_MOVE, NULL);
	if (rc < 0)
		return rc;
	*stage = "chroot";
	rc = sys_chroot(".");
	if (rc < 0)
		return rc;
	*stage = "chdir /";
	return sys_chdir("/");
}

/** lacks() - The first mount point that is not there and cannot be made */
static const char *lacks(void)
{
	struct stat st;
	char to[64];

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		snprintf(to, sizeof(to), NEW_ROOT "%s", needed[i]);
		if (sys_stat(to, &st) < 0 && sys_mkdir(to, 0755) == -EROFS)
			return needed[i];
	}
	return NULL;
}

/** layer() - An overlay as the new root; what is written goes to ROOT_UPPER */
static int layer(const char *data)
{
	sys_mkdir(ROOT_UPPER "/upper", 0755);
	sys_mkdir(ROOT_UPPER "/work", 0755);
	return sys_mount("overlay", NEW_ROOT, "overlay", 0, data);
}

static void layer_dirs(void)
{
	sys_mkdir("/run/msb", 0755);
	sys_mkdir(LAYERS, 0700);
}

/**
 * complete() - Give a read-only root the mount points that it lacks
 *
 * By an overlay, that is made read-only again when they are there.
 */
static void complete(void)
{
	const char *path = lacks();
	int rc;

	if (!path)
		return;
	layer_dirs();
	sys_mkdir(ROOT_UPPER, 0755);
	rc = sys_mount("tmpfs", ROOT_UPPER, "tmpfs", 0, "mode=755");
	if (rc == 0)
		rc = layer("lowerdir=" NEW_ROOT ",upperdir=" ROOT_UPPER
			   "/upper,workdir=" ROOT_UPPER "/work");
	if (rc < 0) {
		log_err("root: it is read-only and has no %s, and there is no "
			"overlay: %s", path, strerror(-rc));
		return;
	}
	path = lacks();
	if (path)
		log_err("root: %s cannot be made", path);
	sys_mount(NULL, NEW_ROOT, NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

int root_switch(const struct root *r)
{
	const struct diskfs f = { .dev = r->dev, .dir = NEW_ROOT,
				   .type = r->type, .data = r->data,
				   .flags = r->flags };
	const char *stage = "wait";
	int rc = diskfs_wait(r->dev);

	if (rc == 0) {
		stage = "mount";
		sys_mkdir(NEW_ROOT, 0755);
		rc = diskfs_mount(&f);
	}
	if (rc >= 0) {
		complete();
		rc = enter(&stage);
	}
	if (rc < 0) {
		sys_chdir("/");
		log_err("root: %s: %s: %s", r->dev, stage, strerror(-rc));
	}
	return rc;
}

/* --- assembled ------------------------------------------------------------ */

/** mount_part() - Wait for one device of MSB_BLOCK_ROOT and mount it */
static int mount_part(struct span device, struct span fstype, const char *dir,
		      unsigned long flags)
{
	char dev[PATH_MAX], type[32];
	const struct diskfs f = { .dev = dev, .dir = dir, .type = type,
				   .data = "", .flags = flags };
	int rc = span_copy(device, dev, sizeof(dev));

	if (rc == 0)
		rc = span_copy(fstype, type, sizeof(type));
	if (rc == 0)
		rc = diskfs_wait(dev);
	if (rc == 0)
		rc = diskfs_mount(&f);
	if (rc < 0)
		log_err("root: %s: %s", dev, strerror(-rc));
	return rc;
}

/** mount_upper() - The writable layer: a disk, or a tmpfs */
static int mount_upper(const struct blockroot *b)
{
	char data[64] = "mode=755";
	int rc;

	if (b->upper.len) {
		rc = mount_part(b->upper, b->fstype, ROOT_UPPER, 0);
		if (rc > 0)
			log_err("root: the upper layer is read-only");
		return rc > 0 ? -EROFS : rc;
	}
	if (b->size_mib)
		snprintf(data, sizeof(data), "size=%um,mode=755", b->size_mib);
	rc = sys_mount("tmpfs", ROOT_UPPER, "tmpfs", 0, data);
	if (rc < 0)
		log_err("root: the upper layer: %s", strerror(-rc));
	return rc;
}

/**
 * mount_layers() - An overlay of the layers
 *
 * They lie in a directory that only root may look into.  /run goes along to the
 * new root and takes them with it: the shutdown finds the upper one there.
 */
static int mount_layers(const struct blockroot *b)
{
	int rc;

	layer_dirs();
	sys_mkdir(LOWER, 0755);
	sys_mkdir(ROOT_UPPER, 0755);
	rc = mount_part(b->lower, span_str(NULL), LOWER, MS_RDONLY);
	if (rc == 0)
		rc = mount_upper(b);
	if (rc < 0)
		return rc;
	rc = layer("lowerdir=" LOWER ",upperdir=" ROOT_UPPER "/upper,"
		   "workdir=" ROOT_UPPER "/work");
	if (rc < 0)
		log_err("root: overlay: %s", strerror(-rc));
	return rc;
}

int root_assemble(const struct blockroot *b)
{
	const char *stage;
	int rc;

	sys_mkdir(NEW_ROOT, 0755);
	if (b->kind == BLOCKROOT_LAYERS) {
		rc = mount_layers(b);
		/* In this order: the lower one may be busy otherwise */
		if (rc < 0) {
			sys_umount(ROOT_UPPER, MNT_DETACH);
			sys_umount(LOWER, MNT_DETACH);
		}
	} else {
		rc = mount_part(b->device, b->fstype, NEW_ROOT, 0);
	}
	if (rc < 0)
		return rc;
	rc = enter(&stage);
	if (rc < 0) {
		sys_chdir("/");
		log_err("root: %s: %s", stage, strerror(-rc));
	}
	return rc;
}

const char *root_init(const struct root *r)
{
	if (r->init[0]) {
		if (spawn_executable(r->init))
			return r->init;
		log_err("root: init=%s cannot be executed", r->init);
	}
	return spawn_executable(OWN_PATH) ? OWN_PATH : NULL;
}
