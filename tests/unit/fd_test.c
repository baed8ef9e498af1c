#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_flags(void **state)
{
	int p[2], fd;

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_nonblock(p[0]), 0);
	assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_cloexec(p[0], true), 0);
	assert_int_equal(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_cloexec(p[0], false), 0);
	assert_int_equal(fcntl(p[0], F_GETFD), 0);
	fd = p[0];
	errno = EBUSY;
	fd_close(&p[0]);
	fd_close(&p[0]);
	fd_close(&p[1]);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(p[0], -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(fd_nonblock(fd), -EBADF);
	assert_int_equal(fd_cloexec(fd, true), -EBADF);
	assert_int_equal(fd_write_all(fd, "x", 1), -EBADF);
}

static void test_file(void **state)
{
	char path[] = "/tmp/fd_test.XXXXXX", buf[6];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(path, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	assert_int_equal(fd_write_all(fd, "hello", 5), 0);
	assert_int_equal(fd_read_file(path, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(fd_read_file(path, buf, 5), -EFBIG);
	assert_string_equal(buf, "");
	assert_int_equal(fd_read_file(path, buf, 0), -EFBIG);
	fd_close(&fd);
	unlink(path);
	assert_int_equal(fd_read_file(path, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(fd_read_file("/", buf, sizeof(buf)), -EISDIR);
}

static void test_pass(void **state)
{
	int s[2], p[2], got[16], n, before = open_fds();
	char buf[16];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
				    s), 0);
	assert_int_equal(pipe(p), 0);
	n = 2;
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n), -EAGAIN);

	assert_int_equal(fd_send(s[0], "abc", 3, p, 2), 0);
	n = 2;
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n), 3);
	assert_int_equal(n, 2);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_write_all(got[1], "via", 3), 0);
	assert_int_equal(read(p[0], buf, 3), 3);
	fd_close(&got[0]);
	fd_close(&got[1]);

	/* More descriptors than asked for, a cut message: nothing leaks */
	for (int room = 0; room < 2; room++) {
		assert_int_equal(fd_send(s[0], "abc", 3, p, 2), 0);
		n = room;
		assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n),
				 -EMSGSIZE);
		assert_int_equal(n, 0);
	}
	assert_int_equal(fd_send(s[0], "abcd", 4, p, 2), 0);
	n = 2;
	assert_int_equal(fd_recv(s[1], buf, 3, got, &n), -EMSGSIZE);
	assert_int_equal(open_fds(), before + 4);

	assert_int_equal(fd_send(s[0], "d", 1, NULL, 0), 0);
	n = 16;
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n), 1);
	assert_int_equal(n, 0);
	fd_close(&s[0]);
	n = 16;
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n), 0);
	assert_int_equal(fd_send(s[1], "e", 1, NULL, 0), -EPIPE);
	fd_close(&s[1]);
	fd_close(&p[0]);
	fd_close(&p[1]);
	assert_int_equal(open_fds(), before);
}

/* A peer that has gone is an error, not the end of the process */
static void test_gone(void **state)
{
	void (*old)(int) = signal(SIGPIPE, SIG_DFL);
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	fd_close(&s[0]);
	assert_int_equal(fd_send(s[1], "e", 1, NULL, 0), -EPIPE);
	fd_close(&s[1]);
	signal(SIGPIPE, old);
}

/* 16 are the most; a sender that passes more gets them closed */
static void test_pass_many(void **state)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(20 * sizeof(int))];
	struct iovec iov = { .iov_base = ctl, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = ctl,
			      .msg_controllen = sizeof(ctl) };
	int s[2], fds[20], got[16], n = 16, before = open_fds();
	struct cmsghdr *c;
	char buf[4];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	for (int i = 0; i < 20; i++)
		fds[i] = s[0];
	assert_int_equal(fd_send(s[0], "x", 1, fds, 16), 0);
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n), 1);
	assert_int_equal(n, 16);
	for (int i = 0; i < 16; i++)
		fd_close(&got[i]);

	memset(ctl, 0, sizeof(ctl));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	assert_int_equal(sendmsg(s[0], &msg, 0), 1);
	n = 16;
	assert_int_equal(fd_recv(s[1], buf, sizeof(buf), got, &n), -EMSGSIZE);
	fd_close(&s[0]);
	fd_close(&s[1]);
	assert_int_equal(open_fds(), before);
}

static void test_iov(void **state)
{
	char a[] = "abc", b[] = "", c[] = "defgh", all[] = "abcdefgh", buf[16];
	struct iovec iov[] = { { a, 3 }, { b, 0 }, { c, 5 } }, out[3];

	(void)state;
	assert_int_equal(iov_len(iov, 3), 8);
	assert_int_equal(iov_len(NULL, 0), 0);
	for (size_t off = 0; off <= 9; off++) {
		for (size_t len = 0; len <= 10; len++) {
			size_t want = off > 8 ? 0 : 8 - off;
			int n = iov_slice(iov, 3, off, len, out, 3);

			want = want < len ? want : len;
			assert_true(n >= 0 && n <= 2);
			assert_int_equal(iov_len(out, n), want);
			assert_int_equal(iov_copy_out(out, n, 0, buf, 16),
					 want);
			assert_memory_equal(buf, all + (want ? off : 0), want);
			memset(buf, 0, sizeof(buf));
			assert_int_equal(iov_copy_out(iov, 3, off, buf, len),
					 want);
			assert_memory_equal(buf, all + (want ? off : 0), want);
		}
	}
	assert_int_equal(iov_slice(iov, 3, 2, 2, out, 1), -ENOSPC);
	assert_int_equal(iov_slice(iov, 3, 3, 2, out, 1), 1);
	assert_int_equal(iov_copy_in(iov, 3, 2, "123", 3), 3);
	assert_string_equal(a, "ab1");
	assert_string_equal(c, "23fgh");
	assert_int_equal(iov_copy_in(iov, 3, 6, "1234", 4), 2);
	assert_string_equal(c, "23f12");
	assert_int_equal(iov_copy_in(iov, 3, 0, NULL, 0), 0);
}

int fd_test(void);
int fd_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_pass),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_pass_many),
		cmocka_unit_test(test_iov),
	};

	return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
