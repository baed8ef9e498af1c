#include "tests/bench/nb.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG	4096
#define BATCH	64

static void server_accept(int ep, int listener)
{
	const int one = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
			close(fd);
	}
}

static void server_echo(int fd)
{
	char buf[2048];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || write(fd, buf, (size_t)n) != n)
		close(fd);
}

int nb_server(const struct sockaddr_in *a)
{
	struct epoll_event e = { .events = EPOLLIN }, batch[BATCH];
	const int one = 1;
	int listener, ep = epoll_create1(EPOLL_CLOEXEC), n;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			  0);
	e.data.fd = listener;
	if (ep < 0 || listener < 0 ||
	    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(listener, (const struct sockaddr *)a, sizeof(*a)) ||
	    listen(listener, BACKLOG) ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e))
		nb_die("listen");
	while ((n = epoll_wait(ep, batch, BATCH, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++)
			if (batch[i].data.fd == listener)
				server_accept(ep, listener);
			else
				server_echo(batch[i].data.fd);
	nb_die("epoll_wait");
}
