#ifndef INIT_WORKLOAD_H
#define INIT_WORKLOAD_H

#include "base/span.h"
#include "init/spawn.h"
#include "init/watch.h"

#define WORKLOAD_FILE		"/etc/msb/workload"
#define WORKLOAD_WORDS_MAX	64
#define WORKLOAD_TEXT_MAX	4096

/** Where the workload comes from, in order of precedence */
enum workload_kind {
	WORKLOAD_ARGS,	/* the words after "--" */
	WORKLOAD_EXEC,	/* MSB_EXEC, by /bin/sh -c */
	WORKLOAD_WORDS,	/* MSB_EXEC, split at blanks: there is no /bin/sh */
	WORKLOAD_SCRIPT,/* /etc/msb/workload */
	WORKLOAD_SHELL,	/* a shell on the console */
	WORKLOAD_NONE,	/* nothing to run, and not even a shell */
};

/**
 * struct workload - What to run
 * @argv:	NULL-terminated; borrowed from the arguments of
 *		workload_select(), or from @words
 * @words:	Room for argv
 * @text:	Room for the words of a split MSB_EXEC
 */
struct workload {
	enum workload_kind kind;
	char *const *argv;
	char *words[WORKLOAD_WORDS_MAX + 1];
	char text[WORKLOAD_TEXT_MAX];
};

/**
 * workload_select() - Choose what to run
 * @cmdline:	Of the kernel; empty if it cannot be read
 * @argc:	Of PID 1
 * @argv:	Of PID 1: the kernel puts words that it does not know there too,
 *		so the words after "--" are counted in @cmdline and taken from
 *		the end
 * @exec:	MSB_EXEC, or NULL
 */
void workload_select(struct workload *w, struct span cmdline, int argc,
		     char *const *argv, const char *exec);

/**
 * workload_env() - Environment of the workload, on top of that of PID 1
 *
 * PATH, HOME and TERM where they are missing (the kernel's HOME=/ counts as
 * missing if there is a /root), and the variables that point programs to the CA
 * that the agent has installed.  What is set already is kept.
 */
void workload_env(struct spawn_env *e, const struct watch *agent);

/** workload_ca_var() - Name of such a variable, by index; NULL at the end */
const char *workload_ca_var(unsigned int i);

#endif /* INIT_WORKLOAD_H */
