#ifndef AGENT_CONF_H
#define AGENT_CONF_H

#include "agent/ca_env.h"
#include "agent/report.h"
#include "base/log.h"
#include "proto/env.h"
#include "proto/hello.h"

#define CONF_URL_MAX	1024
#define CONF_CA_MAX	1024

/**
 * struct conf - Options and variables of the agent
 * @pid1:	PID 1 started us, so the environment is complete
 * @once:	Configure, and leave
 * @dry:	Print what would be done, and do nothing
 * @handoff:	PID 1 will be another init: outlive its SIGTERM, and it
 * @verbose:	Say when each stage was reached
 * @bad_net:	A variable about the interface was refused: it is left alone
 * @link:	Stands in for MSB_LINK; NULL if it is not given; borrowed
 * @root:	Prefix of the files that are written; "" except in tests
 * @ready_fd:	Pipe to PID 1; -1 for none
 * @keep:	Start the agent again when it dies
 * @notify_fd:	Gets a newline when we are ready; -1 for none
 * @token:	Given by PID 1; zero if there is none
 * @probe:	URL to fetch once we are ready; "" for none
 * @ca:		Files with CA certificates, parted by commas; "" for none
 * @ca_env:	Whether login shells get variables for them
 */
struct conf {
	struct env env;
	bool pid1, once, dry, verbose, handoff, keep, bad_net;
	enum log_level level;
	const char *link, *root, *run_dir;
	int ready_fd, notify_fd;
	uint8_t token[HELLO_TOKEN_LEN];
	char probe[CONF_URL_MAX], ca[CONF_CA_MAX];
	enum ca_env_mode ca_env;
};

/**
 * conf_args() - Parse the command line of "msb-init agent" or "msb-init net"
 * @c:		Set up completely
 * @net:	It is the latter
 *
 * Return: 0; -EINVAL after a message to stderr; -ECANCELED after --help
 */
int conf_args(struct conf *c, bool net, int argc, char **argv);

/**
 * conf_env() - Read the variables
 * @r:		Is told what is wrong, a line for each variable
 *
 * From our own environment; unless PID 1 started us, and if none of the
 * variables is there, from /proc/cmdline, then from /proc/1/environ.
 */
void conf_env(struct conf *c, struct report *r);

/**
 * conf_ca() - Read only what concerns CA certificates
 * @c:		Zeroed by the caller
 *
 * From our own environment, then from where PID 1 has its variables.
 */
void conf_ca(struct conf *c);

/** conf_token() - Read 32 hex digits and a newline into @token; -EBADMSG */
int conf_token(struct span text, uint8_t token[static HELLO_TOKEN_LEN]);

/**
 * conf_environ() - Value of a variable in the form of /proc/PID/environ
 * @all:	NAME=VALUE strings, each ended by NUL
 *
 * Return: 0; -ENOENT; -ENAMETOOLONG
 */
int conf_environ(struct span all, const char *name, char *buf, size_t size);

#endif /* AGENT_CONF_H */
