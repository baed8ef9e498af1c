#ifndef UNIT_INIT_FAKE_H
#define UNIT_INIT_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * init_fake - a world for PID 1: takes the place of init/sys.c
 *
 * Calls that change something are written down, one line each, and succeed
 * unless told otherwise.  Calls that ask are answered from what the test has
 * put into the world.
 */

/** fake_reset() - An empty world: no file, no child, time 1 s */
void fake_reset(void);

/** fake_file() - Put a file into the world; @mode as in st_mode */
void fake_file(const char *path, mode_t mode, const char *text);

/** fake_mount() - Put a mount point into the world */
void fake_mount(const char *path, unsigned long magic);

/** fake_dir() - Put a plain directory on a file system of this type there */
void fake_dir(const char *path, unsigned long magic);

/** fake_readonly() - Put a directory on a read-only file system there */
void fake_readonly(const char *path);

/** fake_self() - Let @path be this program */
void fake_self(const char *path);

/** fake_fail() - Let calls whose line begins with @line fail with @rc */
void fake_fail(const char *line, int rc);

/** fake_child() - Let the next wait return this child; pid -ECHILD: no child */
void fake_child(pid_t pid, int status);

/** fake_children_for_ever() - Whether every wait returns the child 1 */
void fake_children_for_ever(bool ending);

/** fake_within() - Let no child of sys_within() do anything: it says @rc */
void fake_within(int rc);

/** fake_signal() - Let the next sigwait return this */
void fake_signal(int sig);

/** fake_fork() - What fork() returns from now on; 0: we are the child */
void fake_fork(pid_t pid);

/** fake_contained() - Whether we are in a PID namespace */
void fake_contained(bool yes);

/** fake_stdio() - Bit N: descriptor N is open, is a console */
void fake_stdio(unsigned int open, unsigned int console);

/** fake_advance() - Let time pass */
void fake_advance(uint64_t ns);

/** fake_calls() - The lines so far, each ended by '\n'; then forget them */
const char *fake_calls(void);

/** fake_logged() - What was logged so far, then forget it */
const char *fake_logged(void);

/** fake_setup() - cmocka set-up: fake_reset(), and catch the log */
int fake_setup(void **state);

/** fake_teardown() - cmocka tear-down: give the log back */
int fake_teardown(void **state);

#endif /* UNIT_INIT_FAKE_H */
