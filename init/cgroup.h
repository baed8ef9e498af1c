#ifndef INIT_CGROUP_H
#define INIT_CGROUP_H

#include <stdbool.h>

/*
 * cgroup - a control group for the workload
 *
 * So that a fork bomb ends at a limit below that of the kernel, with room for
 * PID 1 and the agent, and the out-of-memory killer takes the workload as a
 * whole: half a workload is of no use to anybody.  All of this is best effort:
 * a kernel without control groups runs workloads too.
 */
#define CGROUP_VAR	"MSB_PIDS_MAX"
#define CGROUP_DIR	"/sys/fs/cgroup/workload"

/**
 * cgroup_setup() - Make the group
 * @pids_max:	MSB_PIDS_MAX: a number from 1, "max" for no limit, or NULL for
 *		seven eighths of what the kernel allows
 *
 * In a PID namespace the groups are not ours to make, and where something else
 * is mounted it is no group.
 *
 * Return: whether there is a group to enter; what is wrong with it is reported
 */
bool cgroup_setup(const char *pids_max);

/** cgroup_enter() - Move this process into it; a failure is reported */
void cgroup_enter(void);

/**
 * cgroup_events() - Say what the kernel has done to the workload since the last
 *		     call: processes killed for want of memory, forks refused
 */
void cgroup_events(void);

/** cgroup_kill() - Kill whatever is left in it */
void cgroup_kill(void);

#endif /* INIT_CGROUP_H */
