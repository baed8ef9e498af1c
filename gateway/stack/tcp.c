/* The table of connections, their states and lists, and the interface */
#include "gateway/stack/tcp_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "base/siphash.h"
#include "base/util.h"
#include "base/wr.h"

COUNT(tcp_closed, "TCP connections that ended after both FINs");
COUNT(tcp_reset_by_guest, "TCP connections that the guest reset");
COUNT(tcp_refused_by_guest, "TCP connections that the guest did not accept");
COUNT(tcp_aborted, "TCP connections that the gateway reset");
COUNT(tcp_timed_out, "TCP connections that ended because the guest is silent");
COUNT(tcp_connects, "TCP connections begun toward the guest");
COUNT(tcp_tw_evicted, "TIME-WAIT entries given up because the table was full");
COUNT(tcp_dial_evicted, "TCP dials given up because the table was full");
COUNT(tcp_half_open_evicted, "unfinished TCP handshakes given up: full table");

#define FROM(s)	[TCP_STATE_##s] =
#define TO(s)	(1u << TCP_STATE_##s)

static const uint16_t legal[] = {
	FROM(CLOSED)		TO(DIALLING) | TO(SYN_SENT),
	FROM(DIALLING)		TO(SYN_RECEIVED) | TO(CLOSED),
	FROM(SYN_SENT)		TO(SYN_RECEIVED) | TO(ESTABLISHED) | TO(CLOSED),
	FROM(SYN_RECEIVED)	TO(ESTABLISHED) | TO(CLOSED),
	FROM(ESTABLISHED)	TO(FIN_WAIT_1) | TO(CLOSE_WAIT) | TO(CLOSED),
	FROM(FIN_WAIT_1)	TO(FIN_WAIT_2) | TO(CLOSING) | TO(CLOSED),
	FROM(FIN_WAIT_2)	TO(TIME_WAIT) | TO(CLOSED),
	FROM(CLOSE_WAIT)	TO(LAST_ACK) | TO(CLOSED),
	FROM(CLOSING)		TO(TIME_WAIT) | TO(CLOSED),
	FROM(LAST_ACK)		TO(CLOSED),
	FROM(TIME_WAIT)		TO(CLOSED),
};
_Static_assert(ARRAY_SIZE(legal) == TCP_STATE_NUM, "a row for each state");

static const char *const names[] = {
	FROM(CLOSED)		"CLOSED",
	FROM(DIALLING)		"DIALLING",
	FROM(SYN_SENT)		"SYN-SENT",
	FROM(SYN_RECEIVED)	"SYN-RECEIVED",
	FROM(ESTABLISHED)	"ESTABLISHED",
	FROM(FIN_WAIT_1)	"FIN-WAIT-1",
	FROM(FIN_WAIT_2)	"FIN-WAIT-2",
	FROM(CLOSE_WAIT)	"CLOSE-WAIT",
	FROM(CLOSING)		"CLOSING",
	FROM(LAST_ACK)		"LAST-ACK",
	FROM(TIME_WAIT)		"TIME-WAIT",
};
_Static_assert(ARRAY_SIZE(names) == TCP_STATE_NUM, "a name for each state");

/* --- lists ---------------------------------------------------------------- */

static struct tcp_list *list_of(struct tcp_stack *ts, enum tcp_where where)
{
	switch (where) {
	case TCP_WHERE_DIRTY:
		return &ts->dirty;
	case TCP_WHERE_EMBRYO:
		return &ts->embryo;
	case TCP_WHERE_TIME_WAIT:
		return &ts->time_wait;
	case TCP_WHERE_DEAD:
		return &ts->dead;
	case TCP_WHERE_NONE:
	case TCP_WHERE_NUM:
		break;
	}
	return NULL;
}

static void list_leave(struct tcp *c)
{
	struct tcp_list *l = list_of(c->ts, (enum tcp_where)c->where);

	if (!l)
		return;
	*(c->prev ? &c->prev->next : &l->head) = c->next;
	*(c->next ? &c->next->prev : &l->tail) = c->prev;
	c->prev = c->next = NULL;
	c->where = TCP_WHERE_NONE;
	l->n--;
}

static void list_move(struct tcp *c, enum tcp_where where)
{
	struct tcp_list *l = list_of(c->ts, where);

	list_leave(c);
	c->prev = l->tail;
	*(l->tail ? &l->tail->next : &l->head) = c;
	l->tail = c;
	c->where = (uint8_t)where;
	l->n++;
}

/* Back to where it was taken from: its turn is not over */
static void list_push_front(struct tcp *c)
{
	struct tcp_list *l = &c->ts->dirty;

	c->next = l->head;
	*(l->head ? &l->head->prev : &l->tail) = c;
	l->head = c;
	c->where = TCP_WHERE_DIRTY;
	l->n++;
}

static void wake(struct tcp_stack *ts)
{
	if (ts->wake && !ts->flushing)
		ts->wake(ts->wake_arg);
}

void tcp_dirty(struct tcp *c)
{
	bool first = !c->ts->dirty.n;

	/* What is closed is dirty only because its RST is still to be sent */
	if (c->where != TCP_WHERE_NONE && c->where != TCP_WHERE_EMBRYO)
		return;
	list_move(c, TCP_WHERE_DIRTY);
	if (first)
		wake(c->ts);
}

/* --- table ---------------------------------------------------------------- */

static bool tuple_eq(const void *key, uint32_t slot, void *arg)
{
	const struct tcp_stack *ts = arg;
	const struct tcp *c = slab_at(&ts->slab, slot);

	return c && !memcmp(&c->tuple, key, sizeof(c->tuple));
}

/* The tuple is hashed and compared as bytes */
_Static_assert(sizeof(struct tcp_tuple) == 2 * 16 + 2 * 2, "no padding");

struct tcp *tcp_find(struct tcp_stack *ts, const struct tcp_tuple *tuple)
{
	uint32_t slot = hash_find(&ts->hash, tuple, sizeof(*tuple));

	return slot == HASH_NONE ? NULL : slab_at(&ts->slab, slot);
}

static void log_state(const struct tcp *c, enum tcp_state to)
{
	char guest[IPADDR_STRLEN], peer[IPADDR_STRLEN];

	log_debug("tcp [%s]:%u -> [%s]:%u: %s -> %s",
		  ipaddr_fmt(&c->tuple.guest, guest), c->tuple.guest_port,
		  ipaddr_fmt(&c->tuple.peer, peer), c->tuple.peer_port,
		  names[c->state], names[to]);
}

void tcp_set_state(struct tcp *c, enum tcp_state to)
{
	ASSERT(legal[c->state] & 1u << to);
	if (log_enabled(LOG_LEVEL_DEBUG))
		log_state(c, to);
	c->state = (uint8_t)to;
}

/* Out of the table: from here on the tuple is free for a new connection */
static void forget(struct tcp *c)
{
	tcp_set_state(c, TCP_STATE_CLOSED);
	hash_del(&c->ts->hash, &c->tuple, sizeof(c->tuple));
	timer_del(c->ts->netif->tq, &c->timer);
	c->rtx_due = c->life_due = c->ack_due = 0;
	tcp_ooo_drop(c);
	tcp_gather_drop(c);
	tcp_sack_clear(c);
}

static void bury(struct tcp *c)
{
	if (c->do_rst && tcp_send_rst(c)) {
		list_leave(c);
		tcp_dirty(c);	/* as a zombie until it can be sent */
		return;
	}
	c->do_rst = false;
	list_move(c, TCP_WHERE_DEAD);
}

static void count_end(int why)
{
	if (!why)
		count_inc(tcp_closed);
	else if (why == -ECONNRESET)
		count_inc(tcp_reset_by_guest);
	else if (why == -ECONNREFUSED)
		count_inc(tcp_refused_by_guest);
	else if (why == -ETIMEDOUT)
		count_inc(tcp_timed_out);
	else
		count_inc(tcp_aborted);
}

static void tell_closed(struct tcp *c, int why)
{
	const struct tcp_ops *ops = c->ts->ops;
	uint32_t acked = c->acked;

	count_end(why);
	c->acked = 0;
	if (acked)
		ops->acked(c->ts->arg, c, acked);
	ops->closed(c->ts->arg, c, why);
}

void tcp_end(struct tcp *c, int why, bool rst)
{
	if (tcp_closed(c))
		return;
	c->do_rst = rst && c->state != TCP_STATE_SYN_SENT;
	forget(c);
	bury(c);
	tell_closed(c, why);
}

/* --- room in the table ----------------------------------------------------- */

/* Owners may hold a struct tcp until the flush after @closed: not before it */
static bool evict_time_wait(struct tcp_stack *ts)
{
	struct tcp *c = ts->time_wait.head;

	if (!c || c->flush == ts->flushes)
		return false;
	count_inc(tcp_tw_evicted);
	tcp_tw_drop(c);
	list_leave(c);
	slab_del(&ts->slab, c);
	return true;
}

/*
 * Silently: who still waits sends its SYN again.  What a callback might have in
 * its hands is of this flush; while the guest's input is taken there is none.
 */
static bool evict_embryo(struct tcp_stack *ts, bool input)
{
	struct tcp *c = ts->embryo.head;

	if (!c || (!input && c->flush == ts->flushes))
		return false;
	if (c->state == TCP_STATE_DIALLING)
		count_inc(tcp_dial_evicted);
	else
		count_inc(tcp_half_open_evicted);
	forget(c);
	tell_closed(c, -ECONNABORTED);
	list_leave(c);
	slab_del(&ts->slab, c);
	return true;
}

static bool evict(struct tcp_stack *ts, bool input)
{
	return evict_time_wait(ts) || evict_embryo(ts, input);
}

struct tcp *tcp_new(struct tcp_stack *ts, const struct tcp_tuple *tuple,
		    enum tcp_state first)
{
	struct tcp *c = slab_new(&ts->slab);

	if (!c && evict(ts, first == TCP_STATE_DIALLING))
		c = slab_new(&ts->slab);
	if (!c)
		return NULL;
	c->ts = ts;
	c->tuple = *tuple;
	c->timer.fire = tcp_timer_fire;
	c->ooo = TCP_OOO_NONE;
	c->sheet = TCP_SHEET_NONE;
	c->flush = ts->flushes;
	c->rto_ms = TCP_RTO_INIT_MS;
	if (hash_add(&ts->hash, &c->tuple, sizeof(c->tuple),
		     slab_slot(&ts->slab, c))) {
		slab_del(&ts->slab, c);
		return NULL;
	}
	tcp_set_state(c, first);
	if (first == TCP_STATE_DIALLING)
		list_move(c, TCP_WHERE_EMBRYO);
	return c;
}

/* --- TIME-WAIT: one timer for all, since all wait equally long ------------ */

static void tw_arm(struct tcp_stack *ts)
{
	const struct tcp *c = ts->time_wait.head;

	if (c && !timer_armed(&ts->tw_timer))
		timer_set(ts->netif->tq, &ts->tw_timer, c->life_due);
}

static void tw_fire(struct timer *t)
{
	struct tcp_stack *ts = container_of(t, struct tcp_stack, tw_timer);
	struct tcp *c;

	while ((c = ts->time_wait.head) && c->life_due <= tcp_now(ts))
		tcp_tw_drop(c);
	tw_arm(ts);
}

void tcp_tw_restart(struct tcp *c)
{
	c->life_due = tcp_now(c->ts) + TCP_TIME_WAIT_NS;
	list_move(c, TCP_WHERE_TIME_WAIT);
	tw_arm(c->ts);
}

void tcp_tw_drop(struct tcp *c)
{
	forget(c);
	list_move(c, TCP_WHERE_DEAD);
}

void tcp_time_wait(struct tcp *c)
{
	if (c->do_ack)		/* a flush would not find it any more */
		tcp_send_ack(c);
	tcp_set_state(c, TCP_STATE_TIME_WAIT);
	timer_del(c->ts->netif->tq, &c->timer);
	c->rtx_due = 0;
	c->flush = c->ts->flushes;
	tcp_ooo_drop(c);
	tcp_sack_clear(c);
	tcp_tw_restart(c);
	tell_closed(c, 0);
}

/* --- flush ---------------------------------------------------------------- */

static void reap(struct tcp_stack *ts)
{
	struct tcp *c;

	while ((c = ts->dead.head)) {
		list_leave(c);
		slab_del(&ts->slab, c);
	}
}

static void flush_one(struct tcp *c)
{
	int rc;

	if (tcp_closed(c)) {
		bury(c);
		return;
	}
	rc = tcp_work(c);
	if (c->where == TCP_WHERE_NONE && !tcp_closed(c)) {
		if (rc > 0)
			tcp_dirty(c);
		else if (rc < 0)
			list_push_front(c);
		else if (c->state == TCP_STATE_SYN_RECEIVED && !c->active)
			list_move(c, TCP_WHERE_EMBRYO);
	}
}

bool tcp_flush(struct tcp_stack *ts)
{
	uint32_t n = ts->dirty.n;
	struct tcp *c;

	ASSERT(!ts->flushing);
	tcp_gather_clear(ts);	/* of a link that went down within a batch */
	ts->flushing = true;
	ts->share = n;
	ts->flushes++;
	reap(ts);
	while (n-- && !ts->blocked && (c = ts->dirty.head)) {
		list_leave(c);
		flush_one(c);
	}
	ts->flushing = false;
	return ts->dirty.n && !ts->blocked;
}

/* Frames in flight are lost with the link: no use waiting for timers */
static void relaunch(void *arg, struct tcp *c)
{
	(void)arg;
	c->backoff = c->retries = 0;
	c->rtx_ns = tcp_now(c->ts);
	if (c->state == TCP_STATE_TIME_WAIT ||
	    c->state == TCP_STATE_DIALLING)
		return;
	if (!c->probing)
		c->rtx_due = 0;		/* that one has backed off */
	if (c->state < TCP_STATE_ESTABLISHED)
		c->do_syn = true;
	else if (c->snd_una != c->snd_max)
		tcp_recover(c, TCP_RECOVERY_RTO);
	else
		c->do_ack = true;
	tcp_dirty(c);
}

void tcp_link_up(struct tcp_stack *ts)
{
	ts->blocked = false;
	if (ts->down) {
		ts->down = false;
		tcp_each(ts, relaunch, NULL);
	}
	if (ts->dirty.n)
		wake(ts);
}

/* --- interface ------------------------------------------------------------ */

/* Smallest shift that can express the largest window (RFC 7323 2.2) */
static uint8_t window_shift(uint32_t max)
{
	uint8_t s = 0;

	while (s < TCP_WSCALE_MAX && (uint32_t)UINT16_MAX << s < max)
		s++;
	return s;
}

struct tcp_stack *tcp_stack_new(struct netif *n, const struct tcp_conf *conf,
				const struct tcp_ops *ops, void *arg)
{
	struct tcp_stack *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return NULL;
	ts->netif = n;
	ts->ops = ops;
	ts->arg = arg;
	ts->conf = *conf;
	ts->rcv_shift = window_shift(conf->max_window);
	ts->conf.max_window = MIN(conf->max_window,
				  (uint32_t)UINT16_MAX << ts->rcv_shift);
	ts->tw_timer.fire = tw_fire;
	siphash_key(ts->isn_key);
	ts->ooo = tcp_ooo_new();
	if (!ts->ooo)
		goto no_ooo;
	if (tcp_sheets_new(ts))
		goto no_sheets;
	if (slab_init(&ts->slab, sizeof(struct tcp), conf->max_conns))
		goto no_slab;
	if (hash_init(&ts->hash, conf->max_conns, tuple_eq, ts))
		goto no_hash;
	netif_set_l4(n, NETIF_L4_TCP, tcp_input, ts);
	netif_set_l4_done(n, tcp_gather_done, ts);
	return ts;

no_hash:
	slab_done(&ts->slab);
no_slab:
	tcp_sheets_free(ts);
no_sheets:
	tcp_ooo_free(ts->ooo);
no_ooo:
	free(ts);
	return NULL;
}

static void unarm(void *arg, struct tcp *c)
{
	(void)arg;
	timer_del(c->ts->netif->tq, &c->timer);
}

void tcp_stack_free(struct tcp_stack *ts)
{
	if (!ts)
		return;
	tcp_each(ts, unarm, NULL);
	timer_del(ts->netif->tq, &ts->tw_timer);
	netif_set_l4(ts->netif, NETIF_L4_TCP, NULL, NULL);
	netif_set_l4_done(ts->netif, NULL, NULL);
	hash_done(&ts->hash);
	slab_done(&ts->slab);
	tcp_ooo_free(ts->ooo);
	tcp_sheets_free(ts);
	secure_zero(ts->isn_key, sizeof(ts->isn_key));
	free(ts);
}

void tcp_set_wake(struct tcp_stack *ts, void (*fn)(void *arg), void *arg)
{
	ts->wake = fn;
	ts->wake_arg = arg;
}

const struct tcp_tuple *tcp_tuple(const struct tcp *c)
{
	return &c->tuple;
}

struct slab_id tcp_id(const struct tcp *c)
{
	return slab_id(&c->ts->slab, c);
}

struct tcp *tcp_get(struct tcp_stack *ts, struct slab_id id)
{
	struct tcp *c = slab_get(&ts->slab, id);

	if (!c || tcp_closed(c) || c->state == TCP_STATE_TIME_WAIT)
		return NULL;
	return c;
}

uint32_t tcp_srtt_us(const struct tcp *c)
{
	return c->srtt_us;
}

void *tcp_user(const struct tcp *c)
{
	return c->user;
}

void tcp_set_user(struct tcp *c, void *user)
{
	c->user = user;
}

void tcp_syn_header(const struct tcp *c, uint8_t out[static 8])
{
	struct wr w = wr_init(out, 8);

	wr_u16(&w, c->tuple.guest_port);
	wr_u16(&w, c->tuple.peer_port);
	wr_u32(&w, c->rcv_nxt - 1);
}

/* RFC 6528: a clock of 4 us and a keyed hash; and beyond what a predecessor in
 * TIME-WAIT has used, whose last number @snd_max still holds */
static void choose_isn(struct tcp *c)
{
	uint64_t f = siphash(c->ts->isn_key, &c->tuple, sizeof(c->tuple));
	uint32_t isn = (uint32_t)f + (uint32_t)(tcp_now(c->ts) / 4000);

	if (c->snd_max && seq_le(isn, c->snd_max))
		isn = c->snd_max + (1u << 16);
	c->ts_off = (uint32_t)(f >> 32);
	c->snd_una = isn;
	c->snd_max = isn + 1;
	c->accepted = true;
}

struct tcp *tcp_connect(struct tcp_stack *ts, const struct tcp_tuple *tuple,
			void *user, int *err)
{
	struct tcp *c;

	ASSERT(ts->ops->connected);
	if (tcp_find(ts, tuple)) {
		*err = -EADDRINUSE;
		return NULL;
	}
	c = tcp_new(ts, tuple, TCP_STATE_SYN_SENT);
	if (!c) {
		*err = -ENOBUFS;
		return NULL;
	}
	count_inc(tcp_connects);
	c->user = user;
	c->active = true;
	/* Offer everything; the answer says what of it holds */
	c->ts_ok = c->sack_ok = c->scale_ok = true;
	c->rcv_shift = ts->rcv_shift;
	c->mss_own = tcp_own_mss(c);
	c->mss = TCP_MSS_MIN;
	choose_isn(c);
	tcp_window_init(c);
	c->do_syn = true;
	tcp_dirty(c);
	return c;
}

void tcp_accept(struct tcp *c)
{
	ASSERT(c->state == TCP_STATE_DIALLING);
	choose_isn(c);
	tcp_set_state(c, TCP_STATE_SYN_RECEIVED);
	tcp_window_init(c);
	c->do_syn = true;
	tcp_dirty(c);
}

void tcp_refuse(struct tcp *c)
{
	ASSERT(c->state == TCP_STATE_DIALLING);
	c->do_rst = true;
	forget(c);
	bury(c);
}

void tcp_drop(struct tcp *c)
{
	ASSERT(c->state == TCP_STATE_DIALLING);
	forget(c);
	bury(c);
}

void tcp_readable(struct tcp *c)
{
	if (tcp_closed(c) || c->state == TCP_STATE_TIME_WAIT)
		return;
	c->readable = true;
	if (c->state >= TCP_STATE_ESTABLISHED && !c->fin_sent)
		tcp_dirty(c);
}

void tcp_room_changed(struct tcp *c)
{
	if (c->state < TCP_STATE_ESTABLISHED ||
	    c->state == TCP_STATE_TIME_WAIT)
		return;
	c->do_window = c->do_ooo = true;
	tcp_dirty(c);
}

void tcp_abort(struct tcp *c)
{
	if (c->state != TCP_STATE_TIME_WAIT)
		tcp_end(c, -ECONNABORTED, true);
}

void tcp_no_recv(struct tcp *c)
{
	if (tcp_closed(c) || c->state == TCP_STATE_TIME_WAIT)
		return;
	c->no_recv = true;
	if (c->state == TCP_STATE_FIN_WAIT_2) {
		c->life_due = tcp_now(c->ts) + TCP_FIN_WAIT_NS;
		tcp_timer_arm(c);
	}
}

uint32_t tcp_count(const struct tcp_stack *ts)
{
	return ts->hash.n;
}

void tcp_each(struct tcp_stack *ts, void (*fn)(void *arg, struct tcp *c),
	      void *arg)
{
	for (uint32_t i = 0; i < ts->slab.fresh; i++) {
		struct tcp *c = slab_at(&ts->slab, i);

		if (c && !tcp_closed(c))
			fn(arg, c);
	}
}

const char *tcp_state_name(const struct tcp *c)
{
	return names[c->state];
}
