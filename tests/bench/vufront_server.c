#include "tests/bench/vufront_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

#define BUF_LEN		(128u * 1024)	/* as iperf3's */
#define LAST_MS		2000

static void look(const struct vf_server *s, const uint8_t *p, size_t n)
{
	uint64_t at = s->sh->bytes;

	for (size_t k; n; p += k, at += k, n -= k) {
		size_t off = (size_t)(at % s->period);

		k = MIN(n, s->period - off);
		if (memcmp(p, s->pattern + off, k))
			s->sh->bad++;
	}
}

static void serve_take(const struct vf_server *s, int fd)
{
	static uint8_t buf[BUF_LEN];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (s->check)
			look(s, buf, (size_t)n);
		s->sh->reads++;
		s->sh->bytes += (uint64_t)n;
	}
}

static void serve_give(const struct vf_server *s, int fd)
{
	size_t chunk = s->period * MAX(1, BUF_LEN / s->period), at = 0;
	uint8_t *buf = malloc(chunk);
	uint64_t left = s->bytes;
	ssize_t n;

	if (!buf)
		die("no memory");
	for (size_t i = 0; i < chunk; i += s->period)
		memcpy(buf + i, s->pattern, s->period);
	do {
		size_t k = chunk - at;

		if (s->bytes)
			k = (size_t)MIN(k, left);
		n = write(fd, buf + at, k);
		at = (at + (size_t)MAX(n, 0)) % chunk;
		left -= (uint64_t)MAX(n, 0);
	} while (n > 0 && (!s->bytes || left));
	free(buf);
	pause();
}

static void serve_echo(const struct vf_server *s, int fd)
{
	static uint8_t buf[BUF_LEN];
	const int one = 1;
	ssize_t n;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		s->sh->bytes += (uint64_t)n;
		if (write(fd, buf, (size_t)n) != n)
			return;
	}
}

static _Noreturn void serve(const struct vf_server *s, int fd)
{
	int c = s->mode == VF_MODE_UDP ? fd : accept(fd, NULL, NULL);

	if (c < 0)
		die("accept: %s", strerror(errno));
	if (s->mode == VF_MODE_DOWN)
		serve_give(s, c);
	else if (s->mode == VF_MODE_RR)
		serve_echo(s, c);
	else
		serve_take(s, c);
	_exit(0);
}

uint16_t vf_server_start(struct vf_server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	bool udp = s->mode == VF_MODE_UDP;
	int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) |
			SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) ||
	    (!udp && listen(fd, 1)) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die("server: %s", strerror(errno));
	s->pid = fork();
	if (s->pid < 0)
		die("fork: %s", strerror(errno));
	if (!s->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		serve(s, fd);
	}
	close(fd);
	return ntohs(a.sin_port);
}

void vf_server_stop(struct vf_server *s, uint64_t want)
{
	bool takes = s->mode == VF_MODE_UP || s->mode == VF_MODE_UDP;

	/* What was acknowledged may still be in its socket; datagrams get lost */
	for (int ms = 0; takes && s->sh->bytes < want && ms < LAST_MS; ms += 5)
		usleep(5000);
	if (s->mode == VF_MODE_UP && s->sh->bytes != want)
		die("the server has seen %llu bytes of %llu",
		    (unsigned long long)s->sh->bytes,
		    (unsigned long long)want);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}
