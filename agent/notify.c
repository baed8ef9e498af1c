#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/notify.h"
#include "base/fd.h"
#include "base/span.h"
#include "base/util.h"

#define STORED_FD	3	/* SD_LISTEN_FDS_START, sd_listen_fds(3) */

int notify_open(struct notify *n, const char *socket, int fd)
{
	size_t len = socket ? strlen(socket) : 0;

	*n = (struct notify){ .fd = fd };
	if (!len)
		return 0;
	if ((socket[0] != '@' && socket[0] != '/') || len < 2 ||
	    len >= sizeof(n->addr.sun_path))
		return -EINVAL;
	n->addr.sun_family = AF_UNIX;
	memcpy(n->addr.sun_path, socket, len);
	n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (socket[0] == '@')
		n->addr.sun_path[0] = '\0';	/* its length ends the name */
	else
		n->len++;
	return 0;
}

/**
 * send_to() - One datagram, never waited for
 * @fd:		To go along, or -1
 *
 * By a socket of its own: the manager may have come back as another one.
 */
static int send_to(const struct notify *n, const char *lines, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (char *)(uintptr_t)lines, strlen(lines) };
	struct msghdr msg = { .msg_name = (void *)(uintptr_t)&n->addr,
			      .msg_namelen = n->len,
			      .msg_iov = &iov, .msg_iovlen = 1 };
	int sock, rc = 0;

	if (!n->len)
		return 0;
	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		rc = -errno;
	fd_close(&sock);
	return rc;
}

int notify_send(const struct notify *n, const char *lines)
{
	return send_to(n, lines, -1);
}

void notify_status(struct notify *n, const char *text)
{
	char line[sizeof(n->status) + 8];

	if (!n->len || strncmp(n->status, text, sizeof(n->status) - 1) == 0)
		return;
	snprintf(n->status, sizeof(n->status), "%s", text);
	snprintf(line, sizeof(line), "STATUS=%s", n->status);
	(void)notify_send(n, line);
}

void notify_ready(struct notify *n)
{
	if (n->fd >= 0)
		(void)fd_write_all(n->fd, "\n", 1);
	fd_close(&n->fd);
	(void)notify_send(n, "READY=1");
}

int notify_store(const struct notify *n, int fd, const char *name)
{
	char lines[64];

	snprintf(lines, sizeof(lines), "FDSTORE=1\nFDNAME=%s", name);
	return send_to(n, lines, fd);
}

/** number() - A decimal number in a variable, which is then forgotten; 0 */
static uint64_t number(const char *name)
{
	const char *text = getenv(name);
	uint64_t v;

	if (!text || span_uint(span_str(text), UINT32_MAX, &v) < 0)
		v = 0;
	unsetenv(name);
	return v;
}

int notify_stored(void)
{
	uint64_t pid = number("LISTEN_PID"), fds = number("LISTEN_FDS");

	unsetenv("LISTEN_FDNAMES");
	if (pid != (uint64_t)getpid() || !fds ||
	    fd_cloexec(STORED_FD, true) < 0)
		return -ENOENT;
	return STORED_FD;
}
