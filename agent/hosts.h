#ifndef AGENT_HOSTS_H
#define AGENT_HOSTS_H

#include "agent/file.h"
#include "proto/env.h"

/** hosts_emit() - The lines of our block in /etc/hosts */
void hosts_emit(const struct env *e, struct wr *w);

/**
 * hosts_write() - Put our block into /etc/hosts; the other lines stay
 * @w:		@w->path is ignored
 *
 * Return: 0; -errno as of file_put()
 */
int hosts_write(const struct env *e, const struct file_where *w);

/**
 * hosts_name() - Set the host name, and write /etc/hostname
 * @w:		@w->path is ignored
 *
 * No effect without MSB_HOSTNAME, or if it is set already.
 *
 * Return: 0; -errno of sethostname() or as of file_put()
 */
int hosts_name(const struct env *e, const struct file_where *w);

#endif /* AGENT_HOSTS_H */
