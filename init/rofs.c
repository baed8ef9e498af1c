#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "init/rofs.h"
#include "init/sys.h"

#define LAYERS	"/run/msb/etc"

static const char *const written[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/hostname",
};

/** lacking() - The first file that nothing could be mounted over, or NULL */
static const char *lacking(void)
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(written); i++)
		if (sys_stat(written[i], &st) < 0)
			return written[i];
	return NULL;
}

int rofs_etc(void)
{
	const char *file;
	int rc;

	if (!sys_readonly("/etc"))
		return 0;
	file = lacking();
	if (!file)
		return 0;
	sys_mkdir("/run/msb", 0755);
	sys_mkdir(LAYERS, 0700);
	sys_mkdir(LAYERS "/upper", 0755);
	sys_mkdir(LAYERS "/work", 0755);
	rc = sys_mount("overlay", "/etc", "overlay", 0,
		       "lowerdir=/etc,upperdir=" LAYERS "/upper,"
		       "workdir=" LAYERS "/work");
	if (rc < 0)
		log_warn("mounts: /etc is read-only, has no %s, and no "
			 "overlay: %s", file + sizeof("/etc"), strerror(-rc));
	return rc;
}
