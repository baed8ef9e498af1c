#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "gateway/stack/arp.h"
#include "gateway/stack/neigh.h"
#include "gateway/stack/nud.h"

COUNT(nud_requests, "Requests to the guest: is it there, and where");
COUNT(nud_failures, "Times that the guest did not answer such requests");
COUNT(drop_nud_queue, "Packets that made room for newer ones, guest not found");
COUNT(drop_nud_failed, "Packets that waited for a guest that does not answer");
COUNT(drop_nud_memory, "Packets that could not wait: no memory");
COUNT(drop_nud_link, "Packets that had waited, lost because the link was full");

/** struct nud_frame - What waits until the guest is found */
struct nud_frame {
	struct link_vnet vh;
	size_t len;
	uint8_t b[];
};

static const char *const names[] = {
	[NUD_STALE] = "stale", [NUD_REACHABLE] = "reachable",
	[NUD_DELAY] = "delay", [NUD_PROBE] = "probe",
	[NUD_INCOMPLETE] = "incomplete", [NUD_FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(names) == NUD_NUM, "one for each");

static void set_state(struct nud_entry *e, enum nud_state to)
{
	if (e->state != to)
		log_debug("guest's neighbour entry: %s -> %s",
			  names[e->state], names[to]);
	e->state = to;
	e->asked = 0;
	e->due_ns = TIMERQ_NEVER;
	e->reachable_ns = 0;
}

static void rearm(struct netif *n)
{
	const uint64_t due = MIN(n->nud[0].due_ns, n->nud[1].due_ns);

	if (due == TIMERQ_NEVER)
		timer_del(n->tq, &n->nud_timer);
	else if (!timer_armed(&n->nud_timer) || n->nud_timer.due_ns != due)
		timer_set(n->tq, &n->nud_timer, due);
}

/* Return: how many there were */
static unsigned int forget(struct nud_entry *e)
{
	unsigned int n = e->nqueue;

	while (e->nqueue)
		free(e->queue[--e->nqueue]);
	return n;
}

/* The guest is where the latest frame came from */
static void send_held(struct netif *n, struct nud_entry *e)
{
	for (unsigned int i = 0; i < e->nqueue; i++) {
		struct nud_frame *f = e->queue[i];
		struct iovec iov = { .iov_base = f->b, .iov_len = f->len };

		memcpy(f->b, n->peer_mac, sizeof(n->peer_mac));
		if (!n->link || link_send(n->link, &f->vh, &iov, 1))
			count_inc(drop_nud_link);
	}
	forget(e);
}

/* One request; it counts only if the link took it */
static void ask(struct netif *n, bool v4)
{
	struct nud_entry *e = &n->nud[v4];
	const bool to_all = e->state == NUD_INCOMPLETE;

	if ((v4 ? arp_request(n, to_all) : neigh_solicit(n, to_all)) == 0) {
		e->asked++;
		count_inc(nud_requests);
	}
	e->due_ns = timerq_now(n->tq) + NUD_RETRANS_NS;
	netif_flush(n);
}

static void find(struct netif *n, bool v4)
{
	set_state(&n->nud[v4], NUD_INCOMPLETE);
	ask(n, v4);
}

static void give_up(struct nud_entry *e)
{
	count_inc(nud_failures);
	count_add(drop_nud_failed, forget(e));
	set_state(e, NUD_FAILED);
}

static void overdue(struct netif *n, bool v4)
{
	struct nud_entry *e = &n->nud[v4];

	/* What an upper layer has confirmed meanwhile needs no request */
	if ((e->state == NUD_DELAY || e->state == NUD_PROBE) &&
	    e->reachable_ns > timerq_now(n->tq)) {
		uint64_t until = e->reachable_ns;

		set_state(e, NUD_REACHABLE);
		e->reachable_ns = until;
	} else if (e->state == NUD_DELAY) {
		set_state(e, NUD_PROBE);
		ask(n, v4);
	} else if (e->state == NUD_PROBE && e->asked == NUD_UNICAST) {
		find(n, v4);
	} else if (e->state == NUD_INCOMPLETE && e->asked == NUD_MULTICAST) {
		give_up(e);
	} else {
		ask(n, v4);
	}
}

static void on_due(struct timer *t)
{
	struct netif *n = container_of(t, struct netif, nud_timer);

	for (int v4 = 0; v4 < 2; v4++)
		if (n->nud[v4].due_ns <= timerq_now(n->tq))
			overdue(n, v4);
	rearm(n);
}

void nud_start(struct netif *n)
{
	nud_stop(n);
	n->nud_timer.fire = on_due;
}

void nud_stop(struct netif *n)
{
	for (int v4 = 0; v4 < 2; v4++) {
		forget(&n->nud[v4]);
		set_state(&n->nud[v4], NUD_STALE);
	}
	timer_del(n->tq, &n->nud_timer);
}

bool nud_use(struct netif *n, bool v4)
{
	struct nud_entry *e = &n->nud[v4];

	switch ((enum nud_state)e->state) {
	case NUD_REACHABLE:	/* it was: nud_ready() knows the time */
	case NUD_STALE:
		set_state(e, NUD_DELAY);
		e->due_ns = timerq_now(n->tq) + NUD_DELAY_NS;
		rearm(n);
		return true;
	case NUD_DELAY:
	case NUD_PROBE:
		return true;
	case NUD_FAILED:
		find(n, v4);
		rearm(n);
		return false;
	case NUD_INCOMPLETE:
	case NUD_NUM:
		break;
	}
	return false;
}

void nud_hold(struct netif *n, bool v4, const struct link_vnet *vh,
	      const struct iovec *iov, int cnt)
{
	const size_t len = iov_len(iov, cnt);
	struct nud_frame *f = malloc(sizeof(*f) + len);
	struct nud_entry *e = &n->nud[v4];

	if (!f) {
		count_inc(drop_nud_memory);
		return;
	}
	f->vh = vh ? *vh : (struct link_vnet){ 0 };
	f->len = len;
	iov_copy_out(iov, cnt, 0, f->b, len);
	if (e->nqueue == NUD_QUEUE) {
		free(e->queue[0]);
		memmove(e->queue, e->queue + 1,
			(NUD_QUEUE - 1) * sizeof(e->queue[0]));
		e->nqueue--;
		count_inc(drop_nud_queue);
	}
	e->queue[e->nqueue++] = f;
}

static void found(struct netif *n, bool v4, enum nud_state now)
{
	struct nud_entry *e = &n->nud[v4];

	set_state(e, now);
	if (now == NUD_REACHABLE)
		e->reachable_ns = timerq_now(n->tq) + NUD_REACHABLE_NS;
	send_held(n, e);
	rearm(n);
}

void nud_seen(struct netif *n, bool v4, bool moved)
{
	const uint8_t s = n->nud[v4].state;

	if (moved) {
		found(n, false, NUD_STALE);
		found(n, true, NUD_STALE);
	} else if (s == NUD_INCOMPLETE || s == NUD_FAILED) {
		found(n, v4, NUD_STALE);
	}
}

void nud_answered(struct netif *n, bool v4)
{
	found(n, v4, NUD_REACHABLE);
}

void nud_doubt(struct netif *n, bool v4)
{
	struct nud_entry *e = &n->nud[v4];

	if (e->reachable_ns > timerq_now(n->tq)) {
		set_state(e, NUD_STALE);
		rearm(n);
	}
}
