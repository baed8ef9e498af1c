#ifndef MONITOR_LISTEN_H
#define MONITOR_LISTEN_H

#include <stddef.h>
#include <stdint.h>

/* listen - open the sockets that a guest or a VMM connects to */

/**
 * listen_unix() - Bind and listen on a Unix socket
 * @path:	1 to 107 bytes, in a directory that exists
 * @group:	Group that may connect too (0660); NULL or "": the user alone (0600)
 * @err:	Says what is wrong and what would help
 *
 * A stale socket is removed only if nobody answers on it; another kind of file
 * never is.  Of several that start at once one gets the place: they take turns, by
 * flock() on the directory, and wait for it two seconds at most.
 *
 * Return: descriptor, non-blocking and close-on-exec, owned by the caller;
 *	   -errno with @err set
 */
int listen_unix(const char *path, const char *group, char *err, size_t size);

/** listen_vsock() - The same on an AF_VSOCK port of this host */
int listen_vsock(uint32_t port, char *err, size_t size);

#endif /* MONITOR_LISTEN_H */
