#ifndef INIT_REAP_H
#define INIT_REAP_H

#include <sys/types.h>

/** reap_fn - Told of each child that has ended; @status is that of wait() */
typedef void (*reap_fn)(void *arg, pid_t pid, int status);

#define REAP_BUDGET	256

/**
 * reap_some() - Collect children that have ended, our own and adopted ones
 *
 * At most REAP_BUDGET of them: on other processors orphans may end as fast as
 * they are collected, and PID 1 has signals and timers to look after.
 *
 * Return: 1 if there may be more of them; 0 if only living children are left;
 *	   -ECHILD if there is none; -errno
 */
int reap_some(reap_fn fn, void *arg);

/** reap_code() - Exit code, or 128 + signal: what a shell puts in $? */
int reap_code(int status);

#endif /* INIT_REAP_H */
