#include "base/ev.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

/*
 * Theory of operation
 * -------------------
 * The events of one epoll_pwait() stay in @batch while timers and handlers run.
 * Each source that has one knows its place there, so ev_del() can strike it
 * out, and a source that was deleted is never looked at again, even if its
 * memory serves something else by then.
 *
 * ev_again() and ev_defer() append to a list; at its time the list is moved
 * aside whole and worked off, so what is appended meanwhile belongs to the next
 * turn, and one turn always ends.  An element knows what points to it, and can
 * leave whichever of the two lists it is in.
 */
#define EV_BATCH	64

struct ev {
	int epfd;
	bool stop;
	struct timerq timers;
	int nbatch;
	struct epoll_event batch[EV_BATCH];
	struct ev_src *again, **again_end, *again_now;
	struct ev_task *tasks, **tasks_end, *tasks_now;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

struct ev *ev_new(uint32_t timers)
{
	struct ev *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return NULL;
	ev->again_end = &ev->again;
	ev->tasks_end = &ev->tasks;
	ev->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (ev->epfd < 0 || timerq_init(&ev->timers, timers)) {
		int saved = ev->epfd < 0 ? errno : ENOMEM;

		ev_free(ev);
		errno = saved;
		return NULL;
	}
	timerq_set_now(&ev->timers, clock_ns());
	return ev;
}

void ev_free(struct ev *ev)
{
	if (!ev)
		return;
	timerq_free(&ev->timers);
	if (ev->epfd >= 0)
		close(ev->epfd);
	free(ev);
}

struct timerq *ev_timerq(struct ev *ev)
{
	return &ev->timers;
}

uint64_t ev_now(const struct ev *ev)
{
	return timerq_now(&ev->timers);
}

/* #syscalls epoll_create1 epoll_ctl epoll_pwait clock_gettime */
static int control(struct ev *ev, int op, struct ev_src *src, uint32_t events)
{
	struct epoll_event ee = { .events = events, .data.ptr = src };

	return epoll_ctl(ev->epfd, op, src->fd, &ee) ? -errno : 0;
}

int ev_add(struct ev *ev, struct ev_src *src, uint32_t events)
{
	int rc = control(ev, EPOLL_CTL_ADD, src, events);

	if (rc)
		return rc;
	src->events = events;
	src->added = true;
	src->batch = 0;
	return 0;
}

int ev_mod(struct ev *ev, struct ev_src *src, uint32_t events)
{
	int rc;

	if (!src->added)
		return -ENOENT;
	if (events == src->events && !(events & EPOLLET))
		return 0;
	rc = control(ev, EPOLL_CTL_MOD, src, events);
	if (!rc)
		src->events = events;
	return rc;
}

static void again_unlink(struct ev *ev, struct ev_src *src)
{
	if (!src->again)
		return;
	*src->again_at = src->again_next;
	if (src->again_next)
		src->again_next->again_at = src->again_at;
	else if (ev->again_end == &src->again_next)
		ev->again_end = src->again_at;
	src->again = false;
}

static void forget(struct ev *ev, struct ev_src *src)
{
	again_unlink(ev, src);
	if (src->batch)
		ev->batch[src->batch - 1].data.ptr = NULL;
	src->batch = 0;
	src->added = false;
	src->events = 0;
}

void ev_del(struct ev *ev, struct ev_src *src)
{
	if (src->added)
		ASSERT(!control(ev, EPOLL_CTL_DEL, src, 0));
	forget(ev, src);
}

void ev_close(struct ev *ev, struct ev_src *src)
{
	forget(ev, src);
	fd_close(&src->fd);
}

void ev_again(struct ev *ev, struct ev_src *src)
{
	if (src->again)
		return;
	src->again = true;
	src->again_next = NULL;
	src->again_at = ev->again_end;
	*ev->again_end = src;
	ev->again_end = &src->again_next;
}

void ev_defer(struct ev *ev, struct ev_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	t->at = ev->tasks_end;
	*ev->tasks_end = t;
	ev->tasks_end = &t->next;
}

void ev_undefer(struct ev *ev, struct ev_task *t)
{
	if (!t->queued)
		return;
	*t->at = t->next;
	if (t->next)
		t->next->at = t->at;
	else if (ev->tasks_end == &t->next)
		ev->tasks_end = t->at;
	t->queued = false;
}

/* Rounded up: a wake-up short of the deadline would be followed by more */
static int wait_ms(const struct ev *ev, int max_ms)
{
	uint64_t next = timerq_next(&ev->timers), now, ms;

	if (ev->again || ev->tasks)
		return 0;
	if (next == TIMERQ_NEVER || max_ms == 0)
		return max_ms;
	now = clock_ns();
	if (next <= now)
		return 0;
	ms = (next - now - 1) / NS_PER_MS + 1;
	if (max_ms >= 0 && ms > (uint64_t)max_ms)
		return max_ms;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void run_batch(struct ev *ev)
{
	for (int i = 0; i < ev->nbatch; i++) {
		struct ev_src *src = ev->batch[i].data.ptr;
		uint32_t events = ev->batch[i].events;

		if (!src)
			continue;
		src->batch = 0;
		events &= src->events | EPOLLERR | EPOLLHUP;
		if (events)
			src->ready(src, events);
	}
	ev->nbatch = 0;
}

static void run_again(struct ev *ev)
{
	struct ev_src *src;

	while ((src = ev->again_now)) {
		again_unlink(ev, src);
		src->ready(src, 0);
	}
}

static void run_tasks(struct ev *ev)
{
	struct ev_task *t;

	if (!ev->tasks)
		return;
	ev->tasks_now = ev->tasks;
	ev->tasks_now->at = &ev->tasks_now;
	ev->tasks = NULL;
	ev->tasks_end = &ev->tasks;
	while ((t = ev->tasks_now)) {
		ev_undefer(ev, t);
		t->run(t);
	}
}

/* What is asked for again from now on belongs to the next turn */
static void move_again(struct ev *ev)
{
	ev->again_now = ev->again;
	if (ev->again_now)
		ev->again_now->again_at = &ev->again_now;
	ev->again = NULL;
	ev->again_end = &ev->again;
}

int ev_turn(struct ev *ev, int max_ms)
{
	int n = epoll_pwait(ev->epfd, ev->batch, EV_BATCH,
			    wait_ms(ev, max_ms), NULL);

	if (n < 0 && errno != EINTR)
		return -errno;
	ev->nbatch = n < 0 ? 0 : n;
	for (int i = 0; i < ev->nbatch; i++) {
		struct ev_src *src = ev->batch[i].data.ptr;

		src->batch = (uint32_t)i + 1;
	}
	move_again(ev);
	timerq_run(&ev->timers, clock_ns());
	run_batch(ev);
	run_again(ev);
	run_tasks(ev);
	return 0;
}

int ev_run(struct ev *ev)
{
	int rc = 0;

	ev->stop = false;
	while (!ev->stop && !rc)
		rc = ev_turn(ev, -1);
	return rc;
}

void ev_stop(struct ev *ev)
{
	ev->stop = true;
}
