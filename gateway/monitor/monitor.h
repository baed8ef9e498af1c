#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/monitor/msg.h"

/*
 * monitor - the process that the user started
 *
 * Theory of operation
 * -------------------
 * It holds what needs a path or a privilege: configuration, listeners, files, the
 * sandbox's token.  The packet process, which parses what the guest sends, is
 * this program again, started with an empty environment and just these
 * descriptors: 0 the message socket, 1 and 2 the log pipe, then the ones in
 * @fds, in order from MONITOR_FD_FIRST.  When it dies it is started again, after
 * 100 ms at first and at most 5 s, with the same listeners and the same token.
 * It ends when the monitor does.
 */

#define MONITOR_FD_FIRST	3
#define MONITOR_FDS_MAX		8

/**
 * struct monitor_cfg - What to run
 * @conf:	First message to the packet process; borrowed
 * @fds:	Descriptors for it, @nfds of them; owned by the caller
 * @dns:	Resolvers given by the user; with none, /etc/resolv.conf
 * @token_file:	Keeps the token across restarts of the whole gateway; NULL for
 *		none
 * @unlink_path: Socket to remove at the end; NULL for none
 */
struct monitor_cfg {
	const void *conf;
	size_t conf_len;
	const int *fds;
	unsigned int nfds;
	const struct mon_dns *dns;
	const char *token_file;
	const char *unlink_path;
};

/**
 * monitor_run() - Start the packet process and serve it until SIGTERM or SIGINT
 *
 * Return: the exit status of the program
 */
int monitor_run(const struct monitor_cfg *cfg);

/**
 * monitor_resolv() - Read the nameservers of a resolv.conf
 *
 * Return: 0, also if it names none; -errno of opening it
 */
int monitor_resolv(const char *path, struct mon_dns *out);

#endif /* MONITOR_MONITOR_H */
