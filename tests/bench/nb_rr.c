#include "tests/bench/nb.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNS_MAX	64
#define ERRORS_MAX	50	/* and a worker gives up */

/* --- on connections that stay ---------------------------------------------- */

struct conn {
	int fd;
	double since;
};

static bool ask(struct conn *c)
{
	c->since = nb_now();
	return write(c->fd, "x", 1) == 1;
}

static bool answer(struct conn *c)
{
	char b;

	if (read(c->fd, &b, 1) != 1)
		return false;
	nb_sample(nb_now() - c->since);
	return true;
}

/* One connection needs no epoll: nothing but the network is measured */
static uint64_t rr_one(struct conn *c, double end)
{
	while (nb_now() < end)
		if (!ask(c) || !answer(c))
			return 1;
	return 0;
}

static uint64_t rr_many(struct conn *c, int n, double end)
{
	struct epoll_event batch[CONNS_MAX];
	int ep = epoll_create1(EPOLL_CLOEXEC), got;

	if (ep < 0)
		nb_die("epoll");
	for (int i = 0; i < n; i++) {
		struct epoll_event e = { .events = EPOLLIN,
					 .data.ptr = &c[i] };

		if (epoll_ctl(ep, EPOLL_CTL_ADD, c[i].fd, &e) || !ask(&c[i]))
			return 1;
	}
	while (nb_now() < end) {
		got = epoll_wait(ep, batch, CONNS_MAX, 1000);
		if (got <= 0)
			return 1;
		for (int i = 0; i < got; i++) {
			struct conn *k = batch[i].data.ptr;

			if (!answer(k) || !ask(k))
				return 1;
		}
	}
	close(ep);
	return 0;
}

int nb_rr(const struct sockaddr_in *a, double secs, int conns)
{
	struct conn c[CONNS_MAX];
	uint64_t errors;
	double start;

	for (int i = 0; i < conns; i++) {
		c[i].fd = nb_connect(a);
		if (c[i].fd < 0)
			nb_die("connect");
	}
	start = nb_now();
	errors = conns == 1 ? rr_one(c, start + secs) :
			      rr_many(c, conns, start + secs);
	nb_report("rr", nb_now() - start, errors);
	return 0;
}

/* --- on a new connection each ---------------------------------------------- */

struct worker {
	pthread_t thread;
	const struct sockaddr_in *to;
	double end;
	uint64_t errors;
};

static bool once(const struct sockaddr_in *to)
{
	double since = nb_now();
	int fd = nb_connect(to);
	bool ok;
	char b;

	if (fd < 0)
		return false;
	ok = write(fd, "x", 1) == 1 && read(fd, &b, 1) == 1;
	close(fd);
	if (ok)
		nb_sample(nb_now() - since);
	return ok;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (nb_now() < w->end && w->errors < ERRORS_MAX)
		w->errors += !once(w->to);
	return NULL;
}

int nb_crr(const struct sockaddr_in *a, double secs, int workers)
{
	struct worker w[CONNS_MAX];
	double start = nb_now();
	uint64_t errors = 0;

	for (int i = 0; i < workers; i++) {
		w[i] = (struct worker){ .to = a, .end = start + secs };
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			nb_die("thread");
	}
	for (int i = 0; i < workers; i++) {
		pthread_join(w[i].thread, NULL);
		errors += w[i].errors;
	}
	nb_report("crr", nb_now() - start, errors);
	return 0;
}
