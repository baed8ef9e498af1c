#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define FDS_MAX	16

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* #syscalls fcntl close */
int fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int fd_write_all(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_file(const char *path, char *buf, size_t size)
{
	ssize_t n, rc = -EFBIG;
	size_t len = 0;
	int fd;

	if (!size)
		return -EFBIG;
	buf[0] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The byte that is kept for the NUL tells a full buffer from a file
	 * that is too large */
	while (len < size) {
		n = read(fd, buf + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n < 0 ? -errno : (ssize_t)len;
			break;
		}
		len += (size_t)n;
	}
	fd_close(&fd);
	buf[rc < 0 ? 0 : rc] = '\0';
	return rc;
}

/* #syscalls sendmsg recvmsg */
int fd_send(int sock, const void *buf, size_t len, const int *fds, int nfds)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(FDS_MAX * sizeof(int))];
	union {
		const void *in;
		void *out;
	} base = { .in = buf };
	struct iovec iov = { .iov_base = base.out, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	ASSERT(nfds >= 0 && nfds <= FDS_MAX);
	if (nfds) {
		size_t size = (size_t)nfds * sizeof(int);
		struct cmsghdr *c;

		memset(ctl, 0, sizeof(ctl));
		msg.msg_control = ctl;
		msg.msg_controllen = CMSG_SPACE(size);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(c), fds, size);
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Take the descriptors out of @msg; returns how many there were */
static int take_fds(struct msghdr *msg, int got[static FDS_MAX])
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t size = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int))
			memcpy(&got[n++], CMSG_DATA(c) + at, sizeof(int));
	}
	return n;
}

ssize_t fd_recv(int sock, void *buf, size_t size, int *fds, int *nfds)
{
	/* Room for exactly FDS_MAX: padding would let one more in */
	_Alignas(struct cmsghdr) char ctl[CMSG_LEN(FDS_MAX * sizeof(int))];
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = ctl,
			      .msg_controllen = sizeof(ctl) };
	int got[FDS_MAX], room = *nfds, n;
	ssize_t len;

	do {
		len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	n = take_fds(&msg, got);
	*nfds = 0;
	if (n > room || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (int i = 0; i < n; i++)
			fd_close(&got[i]);
		return -EMSGSIZE;
	}
	if (n)
		memcpy(fds, got, (size_t)n * sizeof(int));
	*nfds = n;
	return len;
}

size_t iov_len(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Walk the pieces of [@off, @off+@len): copy to @to, or @from if it is NULL */
static size_t iov_copy(const struct iovec *iov, int n, size_t off,
		       uint8_t *to, const uint8_t *from, size_t len)
{
	size_t done = 0;

	for (int i = 0; i < n && done < len; i++) {
		uint8_t *p = iov[i].iov_base;
		size_t k;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		k = MIN(iov[i].iov_len - off, len - done);
		if (to)
			memcpy(to + done, p + off, k);
		else
			memcpy(p + off, from + done, k);
		done += k;
		off = 0;
	}
	return done;
}

size_t iov_copy_out(const struct iovec *iov, int n, size_t off, void *dst,
		    size_t len)
{
	return len ? iov_copy(iov, n, off, dst, NULL, len) : 0;
}

size_t iov_copy_in(const struct iovec *iov, int n, size_t off, const void *src,
		   size_t len)
{
	return len ? iov_copy(iov, n, off, NULL, src, len) : 0;
}

int iov_slice(const struct iovec *iov, int n, size_t off, size_t len,
	      struct iovec *out, int max)
{
	int k = 0;

	for (int i = 0; i < n && len; i++) {
		uint8_t *p = iov[i].iov_base;
		size_t part;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		if (k == max)
			return -ENOSPC;
		part = MIN(iov[i].iov_len - off, len);
		out[k++] = (struct iovec){ .iov_base = p + off,
					   .iov_len = part };
		len -= part;
		off = 0;
	}
	return k;
}
