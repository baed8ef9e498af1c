#ifndef AGENT_UNMANAGED_H
#define AGENT_UNMANAGED_H

#include "agent/file.h"
#include "proto/env.h"

/*
 * unmanaged - keep other network managers away from our interface
 *
 * Each by its own means, and for this one interface only: systemd-udevd and
 * systemd-networkd, NetworkManager (which leaves /etc/resolv.conf alone, too),
 * cloud-init, dhcpcd.  Those that read /run find a file there; the other two
 * have no such place, so they get one in /etc, if they are installed.
 */

/** unmanaged_fn - Told of a file that could not be written */
typedef void (*unmanaged_fn)(void *arg, const char *path, int rc);

/**
 * unmanaged_write() - Write all of that
 * @w:		@w->path is ignored
 *
 * Needs e->net.  To be called before those programs are started.
 */
void unmanaged_write(const struct env *e, const struct file_where *w,
		     unmanaged_fn failed, void *arg);

/**
 * unmanaged_dhcpcd() - The text of dhcpcd.conf
 * @old:	As it is
 * @w:		The new one is appended here; test @w->bad
 *
 * Our block comes first: what follows a line "interface" is about that one.
 */
void unmanaged_dhcpcd(const struct env *e, struct span old, struct wr *w);

#endif /* AGENT_UNMANAGED_H */
