#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "gateway/monitor/msg.h"

int mon_send(int fd, enum mon_type type, const void *payload, size_t len)
{
	uint32_t t = type;
	struct iovec iov[2] = {
		{ .iov_base = &t, .iov_len = sizeof(t) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = len },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };
	ssize_t n;

	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

ssize_t mon_recv(int fd, enum mon_type *type, void *buf, size_t size)
{
	uint32_t t = 0;
	struct iovec iov[2] = {
		{ .iov_base = &t, .iov_len = sizeof(t) },
		{ .iov_base = buf, .iov_len = size },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = recvmsg(fd, &m, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n < sizeof(t) || (m.msg_flags & MSG_TRUNC) || !t ||
	    t >= MON_TYPE_NUM)
		return -EBADMSG;
	*type = (enum mon_type)t;
	return n - (ssize_t)sizeof(t);
}
