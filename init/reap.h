#ifndef INIT_REAP_H
#define INIT_REAP_H

#include <sys/types.h>

/** reap_fn - Told of each child that has ended; @status is that of wait() */
typedef void (*reap_fn)(void *arg, pid_t pid, int status);

/**
 * reap_all() - Collect every child that has ended, our own and adopted ones
 *
 * Return: 0 if children are left; -ECHILD if there is none; -errno
 */
int reap_all(reap_fn fn, void *arg);

/** reap_code() - Exit code, or 128 + signal: what a shell puts in $? */
int reap_code(int status);

#endif /* INIT_REAP_H */
