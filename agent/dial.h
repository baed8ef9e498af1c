#ifndef AGENT_DIAL_H
#define AGENT_DIAL_H

#include <stddef.h>

#include "proto/env.h"

/**
 * dial() - Begin to connect to the gateway
 * @l:		vsock or Unix socket
 * @done:	Set to whether it is connected already; otherwise the socket
 *		becomes writable, and SO_ERROR tells
 *
 * Return: non-blocking socket, owned by the caller; -errno
 */
int dial(const struct env_link *l, bool *done);

/** dial_result() - What became of a connect: 0; -errno */
int dial_result(int fd);

/** dial_name() - "vsock:2:1024", "unix:/path" or "nic" in @buf; returns it */
const char *dial_name(const struct env_link *l, char *buf, size_t size);

/** dial_remedy() - What to do about an error, to append to a message; or "" */
const char *dial_remedy(const struct env_link *l, int rc);

#endif /* AGENT_DIAL_H */
