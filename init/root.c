#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/util.h"
#include "init/root.h"
#include "init/spawn.h"
#include "init/sys.h"
#include "proto/cmdline.h"

#define NEW_ROOT	"/newroot"
#define OWN_PATH	"/sbin/msb-init"
#define WAIT_MS		2000
#define POLL_MS		5

/* Mounts that go along; what is mounted below them comes with them */
static const char *const moved[] = { "/proc", "/sys", "/dev", "/run" };

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

/** wait_for() - Wait until a block device exists; 0, -ENODEV or -ENOTBLK */
static int wait_for(const char *dev)
{
	struct stat st;

	for (unsigned int ms = 0; ; ms += POLL_MS) {
		if (sys_stat(dev, &st) == 0)
			return S_ISBLK(st.st_mode) ? 0 : -ENOTBLK;
		if (ms >= WAIT_MS)
			return -ENODEV;
		sys_sleep_ms(POLL_MS);
	}
}

static int mount_as(const struct root *r, const char *type)
{
	return sys_mount(r->dev, NEW_ROOT, type, r->flags,
			 r->data[0] ? r->data : NULL);
}

/**
 * mount_any() - Mount without knowing the type: ext4, then what the kernel has
 *
 * Return: 0; the errno of the last one that was not "wrong type" (-EINVAL), or
 *	   -EINVAL
 */
static int mount_any(const struct root *r)
{
	char list[4096], type[32];
	struct span rest, line;
	int why = mount_as(r, "ext4");
	int rc;

	if (why == 0)
		return 0;
	if (sys_read_file("/proc/filesystems", list, sizeof(list)) < 0)
		return why;
	rest = span_str(list);
	while (rest.len) {
		line = span_cut(&rest, '\n', NULL);
		if (span_starts(line, "nodev"))
			continue;
		if (span_copy(span_trim(line), type, sizeof(type)) < 0 ||
		    !type[0] || strcmp(type, "ext4") == 0)
			continue;
		rc = mount_as(r, type);
		if (rc == 0)
			return 0;
		if (rc != -EINVAL)
			why = rc;
	}
	return why;
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

int root_switch(const struct root *r)
{
	const char *stage = "wait";
	int rc = wait_for(r->dev);

	if (rc == 0) {
		stage = "mount";
		sys_mkdir(NEW_ROOT, 0755);
		rc = r->type[0] ? mount_as(r, r->type) : mount_any(r);
		/* A read-only device can still be a root */
		if ((rc == -EROFS || rc == -EACCES) && !r->flags) {
			struct root ro = *r;

			ro.flags = MS_RDONLY;
			rc = r->type[0] ? mount_as(&ro, r->type) :
			     mount_any(&ro);
		}
	}
	if (rc == 0)
		rc = enter(&stage);
	if (rc < 0) {
		sys_chdir("/");
		log_err("root: %s: %s: %s", r->dev, stage, strerror(-rc));
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
