#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/** fd_close() - Close @*fd if it is not -1, and set it to -1; errno is kept */
void fd_close(int *fd);

/** fd_nonblock() - Set O_NONBLOCK; 0 or -errno */
int fd_nonblock(int fd);

/** fd_cloexec() - Set or clear FD_CLOEXEC; 0 or -errno */
int fd_cloexec(int fd, bool on);

/** fd_write_all() - Write everything to a blocking descriptor; 0 or -errno */
int fd_write_all(int fd, const void *buf, size_t len);

/**
 * fd_read_file() - Read a whole file
 * @path:	File
 * @buf:	NUL-terminated after the content
 * @size:	Size of @buf
 *
 * Return: bytes read, without the NUL; -EFBIG if it does not fit; -errno
 */
ssize_t fd_read_file(const char *path, char *buf, size_t size);

/**
 * fd_send() - Send a message with descriptors over a Unix socket
 * @fds:	Borrowed
 * @nfds:	0 to 16
 *
 * Meant for short messages: one that a stream socket takes only in part is
 * -EMSGSIZE, and the stream has lost its boundaries then.
 *
 * Return: 0; -errno, -EAGAIN among them
 */
int fd_send(int sock, const void *buf, size_t len, const int *fds, int nfds);

/**
 * fd_recv() - Receive a message and its descriptors, as close-on-exec
 * @fds:	Receives up to @*nfds descriptors, owned by the caller
 * @nfds:	In: room; out: how many came
 *
 * Return: bytes received, 0 at end of stream; -EMSGSIZE if descriptors or bytes
 *	   were cut off (all are closed then); -errno
 */
ssize_t fd_recv(int sock, void *buf, size_t size, int *fds, int *nfds);

/** iov_len() - Sum of the lengths */
size_t iov_len(const struct iovec *iov, int n);

/**
 * iov_copy_out() - Gather @len bytes from @off into @dst
 *
 * Return: bytes copied, fewer if @iov is shorter
 */
size_t iov_copy_out(const struct iovec *iov, int n, size_t off, void *dst,
		    size_t len);

/** iov_copy_in() - Scatter @len bytes of @src to @off; returns bytes copied */
size_t iov_copy_in(const struct iovec *iov, int n, size_t off, const void *src,
		   size_t len);

/**
 * iov_slice() - The pieces of [@off, @off+@len)
 * @out:	Pieces, borrowed from what @iov points to
 * @max:	Size of @out
 *
 * Return: number of pieces; -ENOSPC if @max is too small
 */
int iov_slice(const struct iovec *iov, int n, size_t off, size_t len,
	      struct iovec *out, int max);

#endif /* BASE_FD_H */
