#ifndef AGENT_RESOLV_H
#define AGENT_RESOLV_H

#include "agent/file.h"
#include "proto/env.h"

/** resolv_emit() - The content of /etc/resolv.conf; nothing without a server */
void resolv_emit(const struct env *e, struct wr *w);

/**
 * resolv_write() - Make /etc/resolv.conf name our servers, and no other
 * @w:		@w->path is ignored
 * @link:	Set to the target of the symbolic link that was replaced, "" if
 *		there was none
 * @size:	Size of @link
 *
 * The image's file stays as it is if no variable names a server.
 *
 * Return: 0; -errno as of file_put()
 */
int resolv_write(const struct env *e, const struct file_where *w, char *link,
		 size_t size);

#endif /* AGENT_RESOLV_H */
