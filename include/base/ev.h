#ifndef BASE_EV_H
#define BASE_EV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timer.h"
#include "base/util.h"

/*
 * ev - one thread, one epoll
 *
 * A turn: wait; read the clock once; fire timers; call the handlers of ready
 * descriptors, then those of ev_again(); then run the deferred tasks, in the
 * order in which they were deferred; what a task defers waits for the next
 * turn, which then does not sleep.  Nothing is freed before the tasks, so a
 * handler may hold what another one of the same turn has closed.
 */

struct ev;

/**
 * struct ev_src - Event source, embedded in what it serves
 * @fd:		Non-blocking descriptor, owned by the embedding object
 * @ready:	Handler: epoll bits, or 0 after ev_again()
 * @events:	What is being waited for; written by ev_add() and ev_mod()
 */
struct ev_src {
	int fd;
	void (*ready)(struct ev_src *src, uint32_t events);
	uint32_t events;
	struct ev_src *again_next, **again_at;	/* _at: what points here */
	bool again, added;
	uint32_t batch;		/* index+1 in the running batch, for ev_del() */
};

/** struct ev_task - Work deferred to the end of the turn */
struct ev_task {
	void (*run)(struct ev_task *t);
	struct ev_task *next, **at;	/* at: what points here */
	bool queued;
};

/**
 * ev_new() - Make an event loop
 * @timers:	Most timers armed at once
 *
 * Return: the loop, owned by the caller; NULL with errno set
 */
struct ev *ev_new(uint32_t timers);

/** ev_free() - Close the epoll descriptor and release the loop */
void ev_free(struct ev *ev);

/** ev_timerq() - The loop's timers, on CLOCK_MONOTONIC; borrowed */
struct timerq *ev_timerq(struct ev *ev);

/** ev_now() - CLOCK_MONOTONIC in ns, read once per turn */
uint64_t ev_now(const struct ev *ev);

/**
 * ev_add() - Wait for @events (EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET)
 *
 * Level-triggered unless EPOLLET is given.
 *
 * Return: 0; -errno of epoll_ctl()
 */
int ev_add(struct ev *ev, struct ev_src *src, uint32_t events);

/** ev_mod() - Change what is waited for; no system call if nothing changes
 *
 * With EPOLLET the call is always made: it is how an edge is asked for again.
 * An event of the running batch that is no longer wanted is not reported.
 *
 * Return: 0; -ENOENT if @src is not added; -errno of epoll_ctl()
 */
int ev_mod(struct ev *ev, struct ev_src *src, uint32_t events);

/**
 * ev_del() - Stop waiting; pending events and ev_again() of @src are dropped
 *
 * To be called before the descriptor is closed.  No effect if not added.
 */
void ev_del(struct ev *ev, struct ev_src *src);

/**
 * ev_close() - Stop waiting and close the descriptor, which becomes -1
 *
 * As ev_del() and close(), with one system call less: the kernel takes a closed
 * descriptor off the epoll by itself, provided that nobody holds a duplicate.
 */
void ev_close(struct ev *ev, struct ev_src *src);

/** ev_again() - Call @src's handler in the next turn too, with events 0 */
void ev_again(struct ev *ev, struct ev_src *src);

/** ev_defer() - Run @t at the end of this turn; no effect if it is queued */
void ev_defer(struct ev *ev, struct ev_task *t);

/** ev_undefer() - Forget @t; no effect if it is not queued */
void ev_undefer(struct ev *ev, struct ev_task *t);

/** ev_turn() - One turn, waiting at most @max_ms (-1: until something happens)
 *
 * Return: 0; -errno of epoll_wait(), never -EINTR
 */
int ev_turn(struct ev *ev, int max_ms);

/** ev_run() - Turn until ev_stop(); returns as ev_turn() does */
int ev_run(struct ev *ev);

/** ev_stop() - End ev_run() after this turn */
void ev_stop(struct ev *ev);

#endif /* BASE_EV_H */
