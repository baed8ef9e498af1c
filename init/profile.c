#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "init/profile.h"
#include "init/sys.h"
#include "init/vlist.h"

int profile_parse(const char *value, bool *restricted, struct env_err *err)
{
	struct vlist l;

	if (!vlist_init(&l, PROFILE_VAR, value) || span_is(l.rest, "default")) {
		*restricted = false;
	} else if (span_is(l.rest, "restricted")) {
		*restricted = true;
	} else {
		return vlist_refuse(&l, l.rest.p, err,
				    PROFILE_VAR " unknown value: %.*s",
				    VLIST_TEXT(l.rest));
	}
	return 0;
}

bool profile_read(const char *value)
{
	bool restricted = true;
	struct env_err err;

	if (profile_parse(value, &restricted, &err) < 0)
		log_err("%s; taken for \"restricted\"", err.reason);
	return restricted;
}

int profile_enter(void)
{
	const char *stage = "no_new_privs";
	int rc = sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0);

	if (rc == 0) {
		stage = "ambient capabilities";
		rc = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0);
		if (rc == -EINVAL)	/* a kernel without them */
			rc = 0;
	}
	if (rc == 0) {
		stage = "bounding set";
		rc = sys_prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0);
	}
	if (rc == 0) {
		stage = "capabilities";
		rc = sys_capdrop(CAP_SYS_ADMIN);
	}
	if (rc < 0)
		log_err("workload: profile: %s: %s", stage, strerror(-rc));
	return rc;
}
