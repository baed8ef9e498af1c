#ifndef INIT_SPAWN_H
#define INIT_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "init/become.h"
#include "init/watch.h"

#define SPAWN_PATH	\
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define SPAWN_ENV_MAX		256
#define SPAWN_ENV_TEXT		8192

/* Descriptors of the agent; their numbers stand in its environment */
#define SPAWN_READY_FD		3
#define SPAWN_TOKEN_FD		4

/* What a shell answers, too */
#define SPAWN_NOT_EXECUTABLE	126
#define SPAWN_NOT_FOUND		127

/**
 * struct spawn_env - An environment
 * @v:		NULL-terminated; borrowed, or from @text
 * @n:		Entries of @v
 * @text:	Entries made by spawn_env_set()
 * @used:	Bytes used of it
 */
struct spawn_env {
	char *v[SPAWN_ENV_MAX + 1];
	size_t n;
	char text[SPAWN_ENV_TEXT];
	size_t used;
};

/**
 * spawn_env_init() - Begin with an environment
 * @base:	NULL-terminated; its entries are borrowed as long as @e lives.
 *		What is over SPAWN_ENV_MAX is left out, with a warning
 */
void spawn_env_init(struct spawn_env *e, char *const *base);

/** spawn_env_unset() - Take a variable out; no effect if it is not there */
void spawn_env_unset(struct spawn_env *e, const char *name);

/** spawn_env_get() - Value of a variable, or NULL; borrowed */
const char *spawn_env_get(const struct spawn_env *e, const char *name);

/**
 * spawn_env_set() - Set a variable
 * @keep:	Leave one alone that is there already
 *
 * Return: 0; -ENOSPC, reported
 */
int spawn_env_set(struct spawn_env *e, const char *name, const char *value,
		  bool keep);

/**
 * spawn_env_put() - Put a variable in, in place of one of the same name
 * @word:	NAME=VALUE; borrowed as long as @e lives
 *
 * Return: 0; -ENOSPC, reported
 */
int spawn_env_put(struct spawn_env *e, char *word);

/** spawn_executable() - Whether @path is a file with an execute bit */
bool spawn_executable(const char *path);

/**
 * spawn_find() - Find a program
 * @name:	With a slash it is a path, else it is looked for in @path
 * @path:	Directories separated by ':'
 * @buf:	Receives the path
 *
 * Return: 0; -EACCES if there is only a file that cannot be executed; -ENOENT;
 *	   -ENAMETOOLONG
 */
int spawn_find(const char *name, const char *path, char *buf, size_t size);

/**
 * spawn_interp() - Name of the interpreter that a program asks for
 * @head:	The first bytes of a "#!" script or of a 64-bit ELF file of this
 *		byte order
 * @buf:	Receives the name
 *
 * Return: 0; -ENOENT if it names none
 */
int spawn_interp(const void *head, size_t len, char *buf, size_t size);

/**
 * spawn_exec() - Become a program: default signals, descriptors 0 to 2 only
 *
 * Return: only on failure, which is reported: exit status for the child, 127 if
 *	   the program or its interpreter is not there, else 126
 */
int spawn_exec(char *const *argv, char *const *env);

/**
 * spawn_failed() - Say why a program could not be executed
 * @rc:		What execve() said
 *
 * Return: exit status for the child, as of spawn_exec()
 */
int spawn_failed(const char *path, int rc);

/**
 * struct spawn_job - A workload
 * @argv:	NULL-terminated, at least one word
 * @env:	Changed in the child only
 */
struct spawn_job {
	char *const *argv;
	struct spawn_env *env;
	const struct become *who;
};

/**
 * spawn_workload() - Start the workload
 *
 * It runs in a session and process group of its own, with standard input as its
 * controlling terminal if that is one, and as @who says.
 *
 * When a session leader with a terminal exits, the kernel throws away what the
 * terminal has not sent yet: the last words of the workload.  So on a terminal
 * the leader is a process of ours in the workload's group, which waits for it,
 * lets the terminal drain, and exits as the workload did.  It stays out of the
 * workload's control group: what kills that as a whole must not take away the
 * one who can tell.
 *
 * Return: pid, which is the process group too; -errno of fork()
 */
pid_t spawn_workload(const struct spawn_job *job);

/** spawn_workload_child() - The part in the child; returns an exit status */
int spawn_workload_child(const struct spawn_job *job);

/**
 * struct spawn_agent - How the agent is started
 * @watch:	Its token, if there is one, is handed over through a pipe
 * @env:	MSB_READY_FD and MSB_TOKEN_FD are added for the child
 * @self:	Path of this program if /proc/self/exe is not there, or NULL
 * @handoff:	It will live beside another init
 */
struct spawn_agent {
	const struct watch *watch;
	char *const *env;
	const char *self;
	bool handoff;
};

/**
 * spawn_agent() - Start this program as the agent
 * @ready:	Set to the non-blocking pipe to be read; owned by the caller
 *
 * Return: pid; -errno
 */
pid_t spawn_agent(const struct spawn_agent *a, int *ready);

#endif /* INIT_SPAWN_H */
