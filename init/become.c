#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "init/become.h"
#include "init/cgroup.h"
#include "init/profile.h"
#include "init/spawn.h"
#include "init/sys.h"
#include "init/userspec.h"

#define FILE_MAX	(256 * 1024)	/* only what is used costs memory */

/** slurp() - The beginning of a file; empty if it cannot be read */
static struct span slurp(const char *path, char *buf)
{
	ssize_t n = sys_read_file(path, buf, FILE_MAX);

	if (n == FILE_MAX - 1)
		log_warn("workload: %s: only %d bytes are read", path,
			 FILE_MAX - 1);
	return (struct span){ (uint8_t *)buf, n > 0 ? (size_t)n : 0 };
}

/** look_up() - Who @user is; 1, 0 if it is absent, -EINVAL reported */
static int look_up(const char *user, struct userspec_ids *ids)
{
	static char passwd[FILE_MAX], group[FILE_MAX];
	struct env_err err;
	struct userspec u;
	int rc = userspec_parse(user, &u, &err);

	if (rc > 0 && userspec_resolve(&u, slurp("/etc/passwd", passwd),
				       slurp("/etc/group", group), ids,
				       &err) < 0)
		rc = -EINVAL;
	if (rc < 0)
		log_err(USERSPEC_VAR ": %s", err.reason);
	else if (rc && ids->more)
		log_warn("workload: %s is in more than %d groups", ids->name,
			 USERSPEC_GROUPS_MAX);
	return rc;
}

static int change(const struct userspec_ids *ids)
{
	const char *stage = "setgroups";
	int rc = sys_setgroups(ids->groups, ids->ngroups);

	if (rc == 0) {
		stage = "setgid";
		rc = sys_setgid(ids->gid);
	}
	if (rc == 0) {
		stage = "setuid";
		rc = sys_setuid(ids->uid);
	}
	if (rc < 0)
		log_err("workload: %s: %s", stage, strerror(-rc));
	return rc;
}

int become(const struct become *b, struct spawn_env *e)
{
	struct userspec_ids ids;
	int rc;

	if (b->cgroup)
		cgroup_enter();
	sys_write_file("/proc/self/oom_score_adj", 0, "0");
	rlimits_apply(&b->limits);
	rc = b->restricted ? profile_enter() : 0;
	if (rc < 0)
		return rc;
	rc = look_up(b->user, &ids);
	if (rc > 0) {
		rc = change(&ids);
		if (rc < 0)
			return rc;
		if (b->home)
			spawn_env_set(e, "HOME", ids.home[0] ? ids.home : "/",
				      false);
		if (ids.name[0]) {
			spawn_env_set(e, "USER", ids.name, true);
			spawn_env_set(e, "LOGNAME", ids.name, true);
		}
	}
	return rc;
}
