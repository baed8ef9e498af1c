#ifndef MONITOR_TOKEN_H
#define MONITOR_TOKEN_H

#include <stdint.h>

#include "gateway/monitor/msg.h"

/* token - keep a sandbox's token in a file, as 32 hexadecimal digits, 0600 */

/**
 * token_load() - Read the file
 *
 * Return: 0; -ENOENT if there is none; -EACCES if others could read it, or
 *	   own it; -EBADMSG if it holds no token, -errno: each is logged
 */
int token_load(const char *path, uint8_t token[static MON_TOKEN_LEN]);

/** token_save() - Write it, atomically; a failure is logged, 0 or -errno */
int token_save(const char *path, const uint8_t token[static MON_TOKEN_LEN]);

#endif /* MONITOR_TOKEN_H */
