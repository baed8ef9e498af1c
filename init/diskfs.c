#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "base/span.h"
#include "base/util.h"
#include "init/diskfs.h"
#include "init/sys.h"

#define WAIT_MS		2000
#define POLL_MS		5
#define LIST_MAX	4096
#define TYPE_MAX	32

static const char *const usual[] = {
	"ext4", "erofs", "squashfs", "xfs", "btrfs", "vfat",
};

int diskfs_wait(const char *dev)
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

static int mount_as(const struct diskfs *f, const char *type,
		    unsigned long flags)
{
	const char *data = f->data[0] ? f->data : NULL;

	if (!data && f->noload && flags & MS_RDONLY &&
	    strcmp(type, "ext4") == 0)
		data = "noload";
	return sys_mount(f->dev, f->dir, type, flags, data);
}

/**
 * attempt() - Try one type; whether the search is over
 * @why:	The result so far
 *
 * MS_SILENT: that it is not the right type is no news for the console.
 */
static bool attempt(const struct diskfs *f, const char *type,
		    unsigned long flags, int *why)
{
	int rc = mount_as(f, type, flags | MS_SILENT);

	if (rc == 0 || (rc != -EINVAL && rc != -ENODEV))
		*why = rc;
	return rc == 0;
}

static bool is_usual(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (strcmp(usual[i], type) == 0)
			return true;
	return false;
}

/** known() - Cut the next type with a device off /proc/filesystems */
static bool known(struct span *rest, char type[static TYPE_MAX])
{
	while (rest->len) {
		struct span line = span_cut(rest, '\n', NULL);

		if (!span_starts(line, "nodev") &&
		    span_copy(span_trim(line), type, TYPE_MAX) == 0 && type[0])
			return true;
	}
	return false;
}

static bool is_known(struct span list, const char *type)
{
	char have[TYPE_MAX];

	while (known(&list, have))
		if (strcmp(have, type) == 0)
			return true;
	return false;
}

/** mount_any() - Try the types; for one not loaded the kernel runs modprobe */
static int mount_any(const struct diskfs *f, unsigned long flags)
{
	char text[LIST_MAX], type[TYPE_MAX];
	struct span list = { 0 }, rest;
	int why = -EINVAL;

	if (sys_read_file("/proc/filesystems", text, sizeof(text)) > 0)
		list = span_str(text);
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (is_known(list, usual[i]) &&
		    attempt(f, usual[i], flags, &why))
			return 0;
	for (rest = list; known(&rest, type);)
		if (!is_usual(type) && attempt(f, type, flags, &why))
			return 0;
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (!is_known(list, usual[i]) &&
		    attempt(f, usual[i], flags, &why))
			return 0;
	return why;
}

int diskfs_mount(const struct diskfs *f)
{
	int rc = f->type[0] ? mount_as(f, f->type, f->flags) :
		 mount_any(f, f->flags);

	if ((rc == -EROFS || rc == -EACCES) && !(f->flags & MS_RDONLY)) {
		unsigned long flags = f->flags | MS_RDONLY;

		rc = f->type[0] ? mount_as(f, f->type, flags) :
		     mount_any(f, flags);
		if (rc == 0)
			rc = 1;
	}
	return rc;
}
