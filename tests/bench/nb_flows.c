#include "tests/bench/nb.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH		64
#define IN_FLIGHT	64	/* connects that have not been answered */
#define STALL_S		4	/* without one more flow: there is no room */
#define HOLD_MS		120000	/* at most, should nobody close our stdin */

/*
 * A flow counts when a byte has come back: it reaches the server, and what a
 * gateway allocates at first use has been used.
 */
enum state { OPENING, ASKED, IDLE };

struct flow {
	int fd;
	enum state state;
};

static void flow_open(struct flow *f, int ep, const struct sockaddr_in *a)
{
	struct epoll_event e = { .events = EPOLLOUT, .data.ptr = f };

	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	f->state = OPENING;
	if (f->fd < 0)
		nb_die("socket");
	if (connect(f->fd, (const struct sockaddr *)a, sizeof(*a)) &&
	    errno != EINPROGRESS)
		nb_die("connect");
	if (epoll_ctl(ep, EPOLL_CTL_ADD, f->fd, &e))
		nb_die("epoll");
}

static void flow_ask(struct flow *f, int ep)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = f };
	socklen_t len = sizeof(errno);
	int err = 0;

	if (!getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len) && err) {
		errno = err;
		nb_die("connect");
	}
	if (write(f->fd, "x", 1) != 1 ||
	    epoll_ctl(ep, EPOLL_CTL_MOD, f->fd, &e))
		nb_die("write");
	f->state = ASKED;
}

static void flow_answer(struct flow *f, int ep)
{
	ssize_t n;
	char b;

	n = read(f->fd, &b, 1);
	if (n != 1) {
		errno = n ? errno : ECONNRESET;
		nb_die("read");
	}
	epoll_ctl(ep, EPOLL_CTL_DEL, f->fd, NULL);
	f->state = IDLE;
}

/* Until somebody closes our standard input */
static void hold(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	poll(&p, 1, HOLD_MS);
}

int nb_flows(const struct sockaddr_in *a, double secs, int flows)
{
	struct flow *f = calloc((size_t)flows, sizeof(*f));
	int ep = epoll_create1(EPOLL_CLOEXEC), begun = 0, done = 0;
	struct epoll_event batch[BATCH];
	double start = nb_now(), last = start, now;

	if (!f || ep < 0)
		nb_die("epoll");
	while (done < flows) {
		int n;

		while (begun < flows && begun - done < IN_FLIGHT)
			flow_open(&f[begun++], ep, a);
		n = epoll_wait(ep, batch, BATCH, 100);
		for (int i = 0; i < n; i++) {
			struct flow *k = batch[i].data.ptr;

			if (k->state == OPENING) {
				flow_ask(k, ep);
			} else {
				flow_answer(k, ep);
				last = nb_now();
				done++;
			}
		}
		now = nb_now();
		if (now > start + secs || now > last + STALL_S) {
			fprintf(stderr, "nb: %d of %d flows in %.0f s\n", done,
				flows, now - start);
			return 1;
		}
	}
	printf("{\"test\":\"flows\",\"n\":%d,\"s\":%.3f}\n", done,
	       nb_now() - start);
	fflush(stdout);
	hold();
	return 0;
}
