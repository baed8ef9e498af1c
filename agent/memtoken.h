#ifndef AGENT_MEMTOKEN_H
#define AGENT_MEMTOKEN_H

#include <stdint.h>

#include "proto/hello.h"

/*
 * memtoken - the link's token between two lives of an agent without our PID 1
 *
 * In an anonymous file: it has no name, its descriptor outlives the agent in
 * whoever keeps that, and nobody else can open it.
 */

/** memtoken_file() - Make such a file, empty; descriptor, O_CLOEXEC, or -errno */
int memtoken_file(void);

/** memtoken_save() - Replace the content; 0 or -errno */
int memtoken_save(int fd, const uint8_t token[static HELLO_TOKEN_LEN]);

/**
 * memtoken_load() - Read it
 * @token:	Set on success
 *
 * Return: 0; -ENOENT if there is none yet; -EBADMSG if that is no token;
 *	   -errno
 */
int memtoken_load(int fd, uint8_t token[static HELLO_TOKEN_LEN]);

#endif /* AGENT_MEMTOKEN_H */
