#ifndef AGENT_NOTIFY_H
#define AGENT_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

/*
 * notify - tell the service manager that started us how we stand
 *
 * systemd: datagrams of lines KEY=VALUE to the socket in NOTIFY_SOCKET, see
 * sd_notify(3).  s6, dinit and others: a newline on a descriptor.
 */

/**
 * struct notify - Whom to tell
 * @addr:	Socket of the manager, @len bytes of it; 0 for none
 * @fd:		Descriptor for the newline; -1 for none
 * @status:	The last STATUS= that was sent
 */
struct notify {
	struct sockaddr_un addr;
	socklen_t len;
	int fd;
	char status[256];
};

/**
 * notify_open() - Set it up
 * @socket:	A path, or '@' and an abstract name; NULL or "" for none
 * @fd:		Owned from here on; -1 for none
 *
 * Return: 0; -EINVAL if @socket is of another kind, or too long: there is none
 */
int notify_open(struct notify *n, const char *socket, int fd);

/** notify_send() - Send lines; nothing if there is no socket; 0 or -errno */
int notify_send(const struct notify *n, const char *lines);

/** notify_status() - Send a line for people, unless it was the last one */
void notify_status(struct notify *n, const char *text);

/** notify_ready() - The service is up */
void notify_ready(struct notify *n);

/**
 * notify_store() - Have a descriptor kept for our next life
 * @name:	What it is called
 *
 * Return: 0, also if there is no socket; -errno
 */
int notify_store(const struct notify *n, int fd, const char *name);

/**
 * notify_stored() - The descriptor that was kept
 *
 * Return: descriptor, O_CLOEXEC, owned by the caller; -ENOENT if there is none
 */
int notify_stored(void);

#endif /* AGENT_NOTIFY_H */
