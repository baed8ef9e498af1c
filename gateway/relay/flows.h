#ifndef RELAY_FLOWS_H
#define RELAY_FLOWS_H

#include "base/ev.h"
#include "base/slab.h"

/*
 * flows - the table of a relay: flows by last use, freed when the turn is over
 *
 *	flows_new() --flows_used()--> newest ... oldest --flows_end()--> gone
 *
 * What is ended stays readable until the end of the turn, since a handler may
 * still hold it; flows_reap() frees it earlier, where no handler of a flow runs.
 */

/** struct flow - First member of a relay's own flow */
struct flow {
	struct flow *newer, *older;	/* @older alone once it is dead */
	bool dead;
};

struct flows {
	struct ev *ev;
	struct slab slab;
	struct flow *newest, *oldest, *dead;
	struct ev_task reap;
};

/**
 * flows_init() - Make a table of @cap flows of @size bytes
 *
 * Return: 0; -ENOMEM
 */
int flows_init(struct flows *fs, struct ev *ev, size_t size, uint32_t cap);

/** flows_done() - Release the table; every flow has been ended */
void flows_done(struct flows *fs);

/** flows_new() - A zeroed flow, the newest; NULL if the table is full */
void *flows_new(struct flows *fs);

/** flows_is_full() - Whether flows_new() would give none */
bool flows_is_full(const struct flows *fs);

/** flows_used() - Now is when this flow was last used */
void flows_used(struct flows *fs, struct flow *f);

/** flows_end() - It is over; freed when the turn is */
void flows_end(struct flows *fs, struct flow *f);

/** flows_reap() - Free what has ended */
void flows_reap(struct flows *fs);

#endif /* RELAY_FLOWS_H */
