#ifndef INIT_HANDOFF_H
#define INIT_HANDOFF_H

#include <limits.h>
#include <stdbool.h>

#include "init/handoff_args.h"
#include "init/spawn.h"
#include "init/watch.h"

/*
 * handoff - give the rank of PID 1 to another init
 *
 * What can be seen to be wrong is refused before the agent is started, since
 * that behaves differently beside another init.  Whatever goes wrong, PID 1
 * goes on as if nobody had asked: a guest with a workload or a shell beats a
 * kernel panic.
 */
#define HANDOFF_VAR		"MSB_HANDOFF_INIT"
#define HANDOFF_ARGS_VAR	"MSB_HANDOFF_INIT_ARGS"
#define HANDOFF_CWD_VAR		"MSB_HANDOFF_INIT_CWD"
#define HANDOFF_ENV_VAR		"MSB_HANDOFF_INIT_ENV"

/**
 * struct handoff - Who it goes to
 * @path:	The program
 * @name:	What it is called; borrowed, or @path
 * @cwd:	"" to stay in /
 */
struct handoff {
	char path[PATH_MAX], cwd[PATH_MAX];
	const char *name;
	struct handoff_args args, env;
};

/**
 * handoff_read() - Read the variables, and see that it can be done
 * @env:	Of PID 1
 *
 * "auto" is the first that can be executed of /sbin/init, what rootfs/bake made
 * of it, /lib/systemd/systemd and /usr/lib/systemd/systemd.  This program is
 * never among them.
 *
 * Return: 1 if it is to be done; 0 if nobody asked; -errno, reported
 */
int handoff_read(struct handoff *h, char *const *env);

/**
 * handoff_env() - The other init's environment: @e without our own variables,
 *		   and with what MSB_HANDOFF_INIT_ENV says
 */
void handoff_env(const struct handoff *h, struct spawn_env *e);

/**
 * handoff_services() - Let services of systemd know where the CA is
 * @e:		Environment that has the variables of workload_env()
 *
 * They do not inherit what PID 1 has.
 */
void handoff_services(const struct spawn_env *e);

/**
 * handoff_exec() - Become it
 *
 * Return: only on failure, which is reported: everything is as before
 */
void handoff_exec(const struct handoff *h, struct spawn_env *e);

#endif /* INIT_HANDOFF_H */
