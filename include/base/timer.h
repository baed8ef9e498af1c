#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * timer - deadlines in a binary heap, on a clock that is an argument
 *
 * A timerq knows the time only from timerq_run() and timerq_set_now(), so the
 * same engine runs on CLOCK_MONOTONIC and on a test's virtual clock.  Arming,
 * moving and stopping cost O(log n); nothing scans all timers.
 */

/**
 * struct timer - One deadline, embedded in what it serves
 * @fire:	Called once when the deadline has passed; may arm it again
 * @due_ns:	Deadline
 * @slot:	Place in the heap plus 1; 0 when not armed
 */
struct timer {
	void (*fire)(struct timer *t);
	uint64_t due_ns;
	uint32_t slot;
};

struct timerq {
	struct timer **heap;
	uint32_t n, cap;
	uint64_t now_ns;
	bool running;		/* in timerq_run() */
};

#define TIMERQ_NEVER	UINT64_MAX

/**
 * timerq_init() - Set up an empty queue
 * @cap:	Most timers armed at once; memory is taken here and never again
 *
 * Return: 0; -ENOMEM
 */
int timerq_init(struct timerq *q, uint32_t cap);

/** timerq_free() - Release the heap; armed timers are forgotten */
void timerq_free(struct timerq *q);

/** timerq_set_now() - Move the clock forward without firing; never back */
void timerq_set_now(struct timerq *q, uint64_t now_ns);

/** timerq_now() - The time of this turn */
static inline uint64_t timerq_now(const struct timerq *q)
{
	return q->now_ns;
}

/**
 * timer_set() - Arm @t, or move it if it is armed
 *
 * A queue that is full is a broken invariant: the owner of the objects sizes
 * it.
 */
void timer_set(struct timerq *q, struct timer *t, uint64_t due_ns);

/** timer_del() - Stop @t; no effect if it is not armed */
void timer_del(struct timerq *q, struct timer *t);

static inline bool timer_armed(const struct timer *t)
{
	return t->slot != 0;
}

/** timerq_next() - Earliest deadline; TIMERQ_NEVER if none is armed */
uint64_t timerq_next(const struct timerq *q);

/**
 * timerq_run() - Set the clock and fire what is due
 *
 * In the order of their deadlines.  A timer that a handler arms for now or
 * earlier is put off to one nanosecond later and fires in the next call that
 * moves the clock, so this always returns.
 */
void timerq_run(struct timerq *q, uint64_t now_ns);

#endif /* BASE_TIMER_H */
