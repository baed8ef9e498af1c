#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>

#include "base/log.h"
#include "base/util.h"
#include "init/mtab.h"
#include "init/root.h"
#include "init/shutdown.h"
#include "init/sys.h"
#include "proto/env.h"

#define MOUNTS_MAX	(256 * 1024)	/* only what is used costs memory */
#define PASSES_MAX	8
#define FILES_MS	60000	/* seconds of writing are nothing unusual */

static const char *const pseudo[] = {
	"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs",
	"debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl", "hugetlbfs",
	"mqueue", "nsfs", "proc", "pstore", "ramfs", "rootfs", "rpc_pipefs",
	"securityfs", "selinuxfs", "sysfs", "tmpfs", "tracefs",
};

static const struct {
	const char *name;
	int cmd;
} hows[] = {
	[SHUTDOWN_POWEROFF] = { "poweroff",	RB_POWER_OFF },
	[SHUTDOWN_REBOOT]   = { "reboot",	RB_AUTOBOOT },
	[SHUTDOWN_HALT]	    = { "halt",		RB_HALT_SYSTEM },
};
static_assert(ARRAY_SIZE(hows) == SHUTDOWN_HOW_NUM, "one row for each way");

enum shutdown_how shutdown_parse(const char *s)
{
	struct span v = env_trim(span_str(s));

	for (unsigned int i = 0; i < SHUTDOWN_HOW_NUM; i++)
		if (!v.len || span_is(v, hows[i].name))
			return (enum shutdown_how)i;
	log_warn("MSB_POWEROFF: %.32s: not poweroff, reboot or halt", s);
	return SHUTDOWN_POWEROFF;
}

bool shutdown_pseudo(struct span type)
{
	for (size_t i = 0; i < ARRAY_SIZE(pseudo); i++)
		if (span_is(type, pseudo[i]))
			return true;
	return false;
}

/** drop() - Unmount one; 1 if that changed anything, 0, -errno if writable */
static int drop(struct span line)
{
	char path[PATH_MAX];
	struct mtab m;
	bool stays;
	int rc;

	if (!mtab_parse(line, &m) || shutdown_pseudo(m.type))
		return 0;
	rc = mtab_path(m.target, path, sizeof(path));
	if (rc < 0)
		return rc;
	/*
	 * "Unmounting" the root makes it read-only, once.  An overlay holds its
	 * upper layer: without its path it could not be made read-only
	 */
	stays = strcmp(path, ROOT_UPPER) == 0;
	if ((stays || strcmp(path, "/") == 0) && mtab_has(&m, "ro"))
		return 0;
	if (!stays && sys_umount(path, UMOUNT_NOFOLLOW) == 0)
		return 1;
	if (mtab_has(&m, "ro"))
		return 0;
	rc = sys_mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	return rc < 0 ? rc : 1;
}

/**
 * pass() - Go through all mounts once, the newest first
 * @changed:	Set to whether anything was unmounted or made read-only
 * @say:	Report what is left
 *
 * Return: how many are left writable
 */
static int pass(bool *changed, bool say)
{
	static char text[MOUNTS_MAX];
	ssize_t n = sys_read_file("/proc/self/mounts", text, sizeof(text));
	struct span rest, line;
	int left = 0, rc;

	*changed = false;
	if (n < 0) {
		log_err("shutdown: /proc/self/mounts: %s", strerror((int)-n));
		return 1;
	}
	rest = (struct span){ (uint8_t *)text, (size_t)n };
	while (mtab_last(&rest, &line)) {
		rc = drop(line);
		*changed |= rc > 0;
		left += rc < 0;
		if (rc < 0 && say)
			log_warn("shutdown: left mounted read-write: %.*s: %s",
				 (int)MIN(line.len, (size_t)200),
				 (const char *)line.p, strerror(-rc));
	}
	return left;
}

int shutdown_unmount(void)
{
	bool changed = true;
	int left = 0;

	if (sys_contained())
		return 0;
	for (int i = 0; i < PASSES_MAX && changed; i++)
		left = pass(&changed, false);
	return left ? pass(&changed, true) : 0;
}

static void files(void)
{
	sys_sync();
	shutdown_unmount();
	sys_sync();
}

void shutdown_files(void)
{
	int rc = sys_within(files, FILES_MS);

	if (rc == -ETIMEDOUT)
		log_err("shutdown: a file system does not answer; what it has "
			"not written yet is lost");
	else if (rc < 0)
		files();	/* there is no memory for a child */
}

void shutdown_off(enum shutdown_how how)
{
	int rc = sys_reboot(hows[how].cmd);

	log_err("shutdown: %s: %s", hows[how].name, strerror(-rc));
	for (unsigned int i = 0; i < SHUTDOWN_HOW_NUM; i++)
		if (i != (unsigned int)how && i != SHUTDOWN_HALT)
			sys_reboot(hows[i].cmd);
	log_err("shutdown: the kernel refuses to end; waiting for ever");
}
