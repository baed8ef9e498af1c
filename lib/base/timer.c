#include "base/timer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

int timerq_init(struct timerq *q, uint32_t cap)
{
	*q = (struct timerq){ .cap = cap };
	q->heap = calloc(cap ? cap : 1, sizeof(*q->heap));
	return q->heap ? 0 : -ENOMEM;
}

void timerq_free(struct timerq *q)
{
	for (uint32_t i = 0; i < q->n; i++)
		q->heap[i]->slot = 0;
	free(q->heap);
	*q = (struct timerq){ 0 };
}

void timerq_set_now(struct timerq *q, uint64_t now_ns)
{
	if (now_ns > q->now_ns)
		q->now_ns = now_ns;
}

static void put(struct timerq *q, uint32_t i, struct timer *t)
{
	q->heap[i] = t;
	t->slot = i + 1;
}

/* Find @t's place, beginning at the hole @i */
static void sift(struct timerq *q, uint32_t i, struct timer *t)
{
	while (i && t->due_ns < q->heap[(i - 1) / 2]->due_ns) {
		put(q, i, q->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint64_t kid = 2 * (uint64_t)i + 1;

		if (kid + 1 < q->n &&
		    q->heap[kid + 1]->due_ns < q->heap[kid]->due_ns)
			kid++;
		if (kid >= q->n || t->due_ns <= q->heap[kid]->due_ns)
			break;
		put(q, i, q->heap[kid]);
		i = (uint32_t)kid;
	}
	put(q, i, t);
}

void timer_set(struct timerq *q, struct timer *t, uint64_t due_ns)
{
	if (q->running && due_ns <= q->now_ns)
		due_ns = q->now_ns + 1;
	if (t->slot) {
		ASSERT(t->slot <= q->n && q->heap[t->slot - 1] == t);
	} else {
		ASSERT(q->n < q->cap);
		put(q, q->n++, t);
	}
	t->due_ns = due_ns;
	sift(q, t->slot - 1, t);
}

void timer_del(struct timerq *q, struct timer *t)
{
	uint32_t i = t->slot;
	struct timer *last;

	if (!i)
		return;
	ASSERT(i <= q->n && q->heap[i - 1] == t);
	t->slot = 0;
	last = q->heap[--q->n];
	if (last != t)
		sift(q, i - 1, last);
}

uint64_t timerq_next(const struct timerq *q)
{
	return q->n ? q->heap[0]->due_ns : TIMERQ_NEVER;
}

void timerq_run(struct timerq *q, uint64_t now_ns)
{
	ASSERT(!q->running);
	timerq_set_now(q, now_ns);
	q->running = true;
	while (q->n && q->heap[0]->due_ns <= q->now_ns) {
		struct timer *t = q->heap[0];

		timer_del(q, t);
		t->fire(t);
	}
	q->running = false;
}
