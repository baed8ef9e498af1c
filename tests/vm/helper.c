/*
 * helper - what the guest's busybox cannot do
 *
 *	helper udp ADDR PORT SIZE...	send datagrams to an echo server, one
 *					at a time; each must come back as it was
 *	helper netns CMD...		run CMD in a new network namespace
 *	helper orphans N		leave N children to PID 1, 100 at a time
 *
 * Exits with 0 if all went well; says on stderr what did not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATAGRAM_MAX	65536
#define TRIES		3
#define WAIT_MS		1500
#define ORPHANS_AT_ONCE	100

static int fail(const char *what)
{
	fprintf(stderr, "helper: %s: %s\n", what, strerror(errno));
	return 1;
}

static int udp_connect(const char *addr, const char *port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	in_port_t port_be = htons((in_port_t)strtoul(port, NULL, 10));
	int fd, rc;

	in.sin_port = in6.sin6_port = port_be;
	if (inet_pton(AF_INET, addr, &in.sin_addr) == 1) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		rc = connect(fd, (struct sockaddr *)&in, sizeof(in));
	} else if (inet_pton(AF_INET6, addr, &in6.sin6_addr) == 1) {
		fd = socket(AF_INET6, SOCK_DGRAM, 0);
		rc = connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	} else {
		errno = EINVAL;
		return -1;
	}
	return rc ? -1 : fd;
}

/** udp_echo() - One datagram there and back; 0, or -1 with errno */
static int udp_echo(int fd, size_t size, unsigned int seed)
{
	static uint8_t tx[DATAGRAM_MAX], rx[DATAGRAM_MAX];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	for (size_t i = 0; i < size; i++)
		tx[i] = (uint8_t)((i + seed) * 0x9e3779b1U >> 24);
	if (send(fd, tx, size, 0) != (ssize_t)size)
		return -1;
	if (poll(&p, 1, WAIT_MS) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	n = recv(fd, rx, sizeof(rx), 0);
	if (n < 0)
		return -1;
	if ((size_t)n != size || memcmp(rx, tx, size) != 0) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

static int udp(char **argv)
{
	int fd = udp_connect(argv[0], argv[1]);
	unsigned int bad = 0;

	if (fd < 0)
		return fail(argv[0]);
	for (char **size = argv + 2; *size; size++) {
		int rc = -1;

		/* UDP may lose; what is broken is broken each time */
		for (unsigned int i = 0; rc && i < TRIES; i++)
			rc = udp_echo(fd, strtoul(*size, NULL, 10), i);
		if (rc)
			bad += (unsigned int)fail(*size);
		else
			printf("%s ok\n", *size);
	}
	return bad != 0;
}

static int netns(char **argv)
{
	if (unshare(CLONE_NEWNET))
		return fail("unshare");
	execvp(argv[0], argv);
	return fail(argv[0]);
}

/** litter() - A hundred children that end when their parent has left them */
static void litter(void)
{
	int p[2];
	char c;

	if (pipe(p))
		_exit(1);
	for (int i = 0; i < ORPHANS_AT_ONCE; i++) {
		pid_t pid = fork();

		if (pid < 0)
			_exit(1);
		if (pid == 0) {
			close(p[1]);
			(void)!read(p[0], &c, 1);
			_exit(i);
		}
	}
	_exit(0);
}

static int orphans(unsigned long n)
{
	int status;
	pid_t pid;

	for (; n >= ORPHANS_AT_ONCE; n -= ORPHANS_AT_ONCE) {
		pid = fork();
		if (pid == 0)
			litter();
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return fail("fork");
		if (status) {
			fprintf(stderr, "helper: too many at once\n");
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && strcmp(argv[1], "udp") == 0)
		return udp(argv + 2);
	if (argc >= 3 && strcmp(argv[1], "netns") == 0)
		return netns(argv + 2);
	if (argc == 3 && strcmp(argv[1], "orphans") == 0)
		return orphans(strtoul(argv[2], NULL, 10));
	fprintf(stderr, "usage: helper udp ADDR PORT SIZE... | netns CMD... |"
		" orphans N\n");
	return 2;
}
