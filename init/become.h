#ifndef INIT_BECOME_H
#define INIT_BECOME_H

#include <stdbool.h>

#include "init/rlimits.h"

/* become - from a copy of PID 1 to the one who the workload runs as */

struct spawn_env;

/**
 * struct become - Who that is
 * @user:	MSB_USER, or NULL for root
 * @limits:	MSB_RLIMITS
 * @restricted: MSB_SECURITY_PROFILE says so
 * @cgroup:	There is a control group to enter
 * @home:	The environment has no HOME of its own: it is that of the user
 */
struct become {
	const char *user;
	struct rlimits limits;
	bool restricted, cgroup, home;
};

/**
 * become() - Leave the rank of PID 1 behind
 * @e:		Environment of the workload: HOME, USER and LOGNAME may be set
 *
 * Its control group, an ordinary oom_score_adj, the limits while they may still
 * be raised, the profile, groups before the user.  A limit that cannot be set
 * is reported; a profile or a user that cannot be had is the end: what should
 * be nobody never runs as root.
 *
 * Return: 0; -errno, reported
 */
int become(const struct become *b, struct spawn_env *e);

#endif /* INIT_BECOME_H */
