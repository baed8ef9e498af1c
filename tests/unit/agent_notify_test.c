#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/memtoken.h"
#include "agent/notify.h"
#include "base/util.h"

int agent_notify_test(void);

/** manager() - A socket like systemd's, at @name, which may begin with '@' */
static int manager(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, name, len);
	if (name[0] == '@')
		a.sun_path[0] = '\0';
	else
		len++;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, (socklen_t)
			      (offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	return fd;
}

/** heard() - The next datagram, and the descriptor with it or -1 */
static const char *heard(int sock, int *fd)
{
	static char text[512];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return NULL;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
	text[n] = '\0';
	return text;
}

static void test_open(void **state)
{
	static const struct {
		const char *socket;
		int rc;
		socklen_t len;
	} cases[] = {
		{ NULL, 0, 0 }, { "", 0, 0 }, { "x", -EINVAL, 0 },
		{ "/", -EINVAL, 0 }, { "@", -EINVAL, 0 },
		{ "vsock:2:1", -EINVAL, 0 }, { "./a", -EINVAL, 0 },
		{ "/a", 0, offsetof(struct sockaddr_un, sun_path) + 3 },
		{ "@a", 0, offsetof(struct sockaddr_un, sun_path) + 2 },
	};
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct notify n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(notify_open(&n, cases[i].socket, -1),
				 cases[i].rc);
		assert_int_equal(n.len, cases[i].len);
	}
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(notify_open(&n, path, -1), -EINVAL);
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(notify_open(&n, path, -1), 0);
}

/* To a path and to an abstract name: what a service says in its life */
static void test_life(void **state)
{
	char path[] = "/tmp/notify-XXXXXX", name[64], at[64];
	const char *names[] = { name, at };

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/sock", path);
	snprintf(at, sizeof(at), "@msb-notify-test-%d", (int)getpid());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int sock = manager(names[i]), fd, got, p[2];
		struct notify n;
		char c;

		assert_int_equal(pipe2(p, O_CLOEXEC), 0);
		assert_int_equal(notify_open(&n, names[i], p[1]), 0);
		notify_status(&n, "starting");
		assert_string_equal(heard(sock, &fd), "STATUS=starting");
		notify_status(&n, "starting");
		assert_null(heard(sock, &fd));		/* told already */
		notify_ready(&n);
		assert_string_equal(heard(sock, &fd), "READY=1");
		assert_int_equal(n.fd, -1);
		assert_int_equal(read(p[0], &c, 1), 1);
		assert_int_equal(c, '\n');
		assert_int_equal(read(p[0], &c, 1), 0);	/* and shut */

		got = memtoken_file();
		assert_int_equal(notify_store(&n, got, "token"), 0);
		assert_string_equal(heard(sock, &fd),
				    "FDSTORE=1\nFDNAME=token");
		assert_true(fd >= 0);
		close(fd);
		close(got);
		assert_int_equal(notify_send(&n, "STOPPING=1"), 0);
		assert_string_equal(heard(sock, &fd), "STOPPING=1");

		/* A manager that is gone, or does not read, stops nobody */
		for (int k = 0; k < 5000 &&
		     notify_send(&n, "STATUS=x") == 0; k++)
			;
		close(sock);
		assert_true(notify_send(&n, "STATUS=x") < 0);
		close(p[0]);
	}
	unlink(name);
	rmdir(path);
}

static void test_nobody(void **state)
{
	struct notify n;

	(void)state;
	assert_int_equal(notify_open(&n, NULL, -1), 0);
	notify_status(&n, "x");
	notify_ready(&n);
	assert_int_equal(notify_send(&n, "x"), 0);
	assert_int_equal(notify_store(&n, 0, "x"), 0);
}

static void test_stored(void **state)
{
	static const struct {
		const char *pid, *fds;
		bool ok;
	} cases[] = {
		{ NULL, NULL, false }, { "1", "1", false },
		{ "", "1", false }, { "me", "0", false },
		{ "me", "x", false }, { "me", NULL, false },
		{ "me", "1", true }, { "me", "2", true },
	};
	int was = fcntl(3, F_DUPFD_CLOEXEC, 100), null;
	char me[16];

	(void)state;
	null = open("/dev/null", O_RDONLY);
	assert_int_equal(dup2(null, 3), 3);
	snprintf(me, sizeof(me), "%d", (int)getpid());
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].pid)
			setenv("LISTEN_PID", strcmp(cases[i].pid, "me") ?
			       cases[i].pid : me, 1);
		if (cases[i].fds)
			setenv("LISTEN_FDS", cases[i].fds, 1);
		setenv("LISTEN_FDNAMES", "token", 1);
		assert_int_equal(notify_stored(), cases[i].ok ? 3 : -ENOENT);
		/* None of it is for our children */
		assert_null(getenv("LISTEN_PID"));
		assert_null(getenv("LISTEN_FDS"));
		assert_null(getenv("LISTEN_FDNAMES"));
	}
	assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
	if (was >= 0) {
		dup2(was, 3);
		close(was);
	}
	if (null != 3)
		close(null);
}

static void test_token(void **state)
{
	uint8_t token[HELLO_TOKEN_LEN] = { 1, 2, 3 }, got[HELLO_TOKEN_LEN];
	int fd = memtoken_file();

	(void)state;
	assert_true(fd >= 0);
	memset(got, 7, sizeof(got));
	assert_int_equal(memtoken_load(fd, got), -ENOENT);
	assert_int_equal(got[0], 7);
	assert_int_equal(memtoken_save(fd, token), 0);
	token[15] = 9;
	assert_int_equal(memtoken_save(fd, token), 0);
	assert_int_equal(memtoken_load(fd, got), 0);
	assert_memory_equal(got, token, sizeof(token));
	/* Of another program, or half of one */
	assert_int_equal(ftruncate(fd, HELLO_TOKEN_LEN - 1), 0);
	assert_int_equal(memtoken_load(fd, got), -EBADMSG);
	assert_int_equal(ftruncate(fd, HELLO_TOKEN_LEN + 1), 0);
	assert_int_equal(memtoken_load(fd, got), -EBADMSG);
	close(fd);
	assert_int_equal(memtoken_load(fd, got), -EBADF);
	assert_int_equal(memtoken_save(fd, got), -EBADF);
}

int agent_notify_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open), cmocka_unit_test(test_life),
		cmocka_unit_test(test_nobody), cmocka_unit_test(test_stored),
		cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests_name("agent_notify", tests, NULL, NULL);
}
