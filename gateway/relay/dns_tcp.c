#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "gateway/relay/dns_priv.h"

/*
 * Connections of the guest to port 53: two bytes of length before each message,
 * in both directions (RFC 7766).  Any number of queries may be sent before the
 * first answer; a few of them are worked on at a time, and the TCP window holds
 * the others back.
 */

#define IN_CAP		8192	/* one query of the largest size, and more */
#define OUT_CAP		(128u * 1024)	/* one answer of the largest size */
#define IDLE		(30 * NS_PER_S)

COUNT(drop_dns_conn_full, "DNS connections refused: too many");
COUNT(drop_dns_conn_long, "DNS connections ended: query longer than 4096 bytes");

_Static_assert(IN_CAP >= 2 + DNS_QUERY_MAX, "a query does not fit");
_Static_assert(OUT_CAP >= 2 + DNS_MSG_MAX, "an answer does not fit");

/**
 * struct dns_conn - One connection
 * @jobs:	Queries on their way
 * @fin:	The guest sends no more
 * @shut:	We send no more than what is in @out
 * @full:	An answer waits for room, which the guest is to make
 */
struct dns_conn {
	struct dns_fwd *d;
	struct tcp *c;
	struct ring in, out;
	struct timer idle;
	unsigned int jobs;
	bool fin, shut, busy, full;
};

static bool job_of(const struct dns_job *j, struct slab_id conn)
{
	return !j->dead && j->tcp && j->conn.slot == conn.slot &&
	       j->conn.gen == conn.gen;
}

/* Nobody waits for the answers any more: their jobs end, too */
static void conn_free(struct dns_conn *k)
{
	struct dns_fwd *d = k->d;
	const struct slab_id id = slab_id(&d->conns, k);

	timer_del(ev_timerq(d->ev), &k->idle);
	ring_free(&k->in);
	ring_free(&k->out);
	slab_del(&d->conns, k);
	for (uint32_t i = 0; i < d->jobs.cap; i++) {
		struct dns_job *j = slab_at(&d->jobs, i);

		if (j && job_of(j, id))
			dns_job_end(j);
	}
}

static void conn_alive(struct dns_conn *k)
{
	timer_set(ev_timerq(k->d->ev), &k->idle, ev_now(k->d->ev) + IDLE);
}

static void on_idle(struct timer *t)
{
	struct dns_conn *k = container_of(t, struct dns_conn, idle);

	if (k->full) {
		tcp_abort(k->c);	/* it asks, and does not listen */
	} else if (k->jobs) {
		conn_alive(k);
	} else if (k->shut) {
		tcp_abort(k->c);	/* it got its FIN, and never closed */
	} else {
		k->shut = true;
		conn_alive(k);
		tcp_readable(k->c);
	}
}

/* Work on the queries that have come in whole */
static void conn_work(struct dns_conn *k)
{
	const struct dns_job tmpl = {
		.tcp = true,
		.conn = slab_id(&k->d->conns, k),
		.guest = tcp_tuple(k->c)->guest,
		.dst = tcp_tuple(k->c)->peer,
		.gport = tcp_tuple(k->c)->guest_port,
	};
	uint8_t head[2], msg[DNS_QUERY_MAX];
	size_t len;

	/* An answer from here came back to us, or on_acked() will see to it */
	if (k->busy || k->d->evicting)
		return;
	k->busy = true;
	while (k->jobs < DNS_CONN_QUERIES && !k->shut &&
	       ring_peek(&k->in, 0, head, 2) == 2 &&
	       ring_room(&k->out) >= 2 + 1024) {
		len = (size_t)head[0] << 8 | head[1];
		if (len > sizeof(msg)) {
			count_inc(drop_dns_conn_long);
			k->shut = true;
			break;
		}
		if (ring_peek(&k->in, 2, msg, len) < len)
			break;
		ring_take(&k->in, 2 + len);
		dns_handle(k->d, (struct span){ .p = msg, .len = len }, &tmpl);
	}
	k->busy = false;
	if ((k->fin || k->shut) && !k->jobs)
		tcp_readable(k->c);	/* perhaps the end of the stream */
}

int dns_conn_answer(struct dns_fwd *d, struct slab_id conn, struct span msg)
{
	struct dns_conn *k = slab_get(&d->conns, conn);
	const uint8_t head[2] = { (uint8_t)(msg.len >> 8), (uint8_t)msg.len };

	if (!k)
		return 0;
	if (ring_room(&k->out) < 2 + msg.len) {
		k->full = true;
		return -EAGAIN;
	}
	ring_put(&k->out, head, sizeof(head));
	ring_put(&k->out, msg.p, msg.len);
	conn_alive(k);
	tcp_readable(k->c);
	return 0;
}

void dns_conn_job(struct dns_fwd *d, struct slab_id conn, int delta)
{
	struct dns_conn *k = slab_get(&d->conns, conn);

	if (!k)
		return;
	if (delta > 0) {
		k->jobs++;
		return;
	}
	k->jobs--;
	conn_work(k);
	tcp_room_changed(k->c);
}

/* ---- what the engine asks ------------------------------------------------- */

static void on_open(void *arg, struct tcp *c)
{
	struct dns_fwd *d = arg;
	struct dns_conn *k = slab_new(&d->conns);

	if (!k) {
		count_inc(drop_dns_conn_full);
		tcp_refuse(c);
		return;
	}
	k->d = d;
	k->c = c;
	k->idle.fire = on_idle;
	if (ring_alloc(&k->in, IN_CAP) < 0 ||
	    ring_alloc(&k->out, OUT_CAP) < 0) {
		conn_free(k);
		tcp_refuse(c);
		return;
	}
	conn_alive(k);
	tcp_set_user(c, k);
	tcp_accept(c);
}

static size_t on_room(void *arg, struct tcp *c)
{
	struct dns_conn *k = tcp_user(c);

	(void)arg;
	return k->shut ? IN_CAP : ring_room(&k->in);
}

static ssize_t on_recv(void *arg, struct tcp *c, const struct iovec *iov,
		       int n, size_t len)
{
	struct dns_conn *k = tcp_user(c);
	size_t took = 0;

	(void)arg;
	if (k->shut)
		return (ssize_t)len;	/* nobody listens any more */
	for (int i = 0; i < n && ring_room(&k->in); i++)
		took += ring_put(&k->in, iov[i].iov_base, iov[i].iov_len);
	if (!k->full)
		conn_alive(k);
	conn_work(k);
	return (ssize_t)took;
}

static void on_recv_fin(void *arg, struct tcp *c)
{
	struct dns_conn *k = tcp_user(c);

	(void)arg;
	k->fin = true;
	conn_work(k);
}

static ssize_t on_peek(void *arg, struct tcp *c, size_t off,
		       const struct iovec *iov, int n, size_t len)
{
	struct dns_conn *k = tcp_user(c);
	size_t got = 0;

	(void)arg;
	for (int i = 0; i < n && got < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - got);
		size_t had = ring_peek(&k->out, off + got, iov[i].iov_base,
				       part);

		got += had;
		if (had < part)
			break;
	}
	if (got)
		return (ssize_t)got;
	return (k->fin || k->shut) && !k->jobs && off >= ring_used(&k->out) ?
	       -ENODATA : 0;
}

/* An answer that had no room may have it now */
static void deliver_waiting(struct dns_conn *k)
{
	struct dns_fwd *d = k->d;
	const struct slab_id id = slab_id(&d->conns, k);

	for (uint32_t i = 0; i < d->jobs.cap && k->jobs; i++) {
		struct dns_job *j = slab_at(&d->jobs, i);

		if (j && j->done && job_of(j, id))
			dns_up_deliver(j);
	}
}

static void on_acked(void *arg, struct tcp *c, size_t n)
{
	struct dns_conn *k = tcp_user(c);

	(void)arg;
	ring_take(&k->out, n);
	conn_alive(k);
	k->full = false;
	if (k->jobs)
		deliver_waiting(k);
	conn_work(k);
	tcp_room_changed(c);
}

static void on_closed(void *arg, struct tcp *c, int why)
{
	struct dns_conn *k = tcp_user(c);

	(void)arg;
	(void)why;
	if (k)
		conn_free(k);
}

const struct tcp_ops *dns_fwd_tcp_ops(void)
{
	static const struct tcp_ops ops = {
		.open = on_open,
		.room = on_room,
		.recv = on_recv,
		.recv_fin = on_recv_fin,
		.peek = on_peek,
		.acked = on_acked,
		.closed = on_closed,
	};

	return &ops;
}

/* ---- */

int dns_conns_init(struct dns_fwd *d)
{
	return slab_init(&d->conns, sizeof(struct dns_conn), DNS_CONNS_MAX);
}

void dns_conns_done(struct dns_fwd *d)
{
	for (uint32_t i = 0; i < d->conns.cap; i++) {
		struct dns_conn *k = slab_at(&d->conns, i);

		if (k)
			conn_free(k);
	}
	slab_done(&d->conns);
}
