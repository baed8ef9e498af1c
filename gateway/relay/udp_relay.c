#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "gateway/relay/udp_priv.h"

/* udp_relay - the tables; the two directions are in udp_up.c and udp_down.c */

/* #syscalls bind setsockopt close */

#define IDLE_ONE_WAY	(60 * NS_PER_S)	/* below RFC 4787's 120 s on purpose */
#define IDLE_BOTH_WAYS	(180 * NS_PER_S)

/* A flow costs 40 us, with its end: 1000 of them a second are 4 % of a processor */
#define FLOWS_PER_S	1000
/*
 * What waits while this process does not get the processor: a kernel's usual
 * limit makes it 416 KiB, 180 datagrams of 1200 bytes, which is twice the default.
 * At 50 Mbit/s that is 35 ms.
 */
#define RCVBUF		(1 << 20)
#define SHARE		4	/* of the endpoints that flows share, for one */

COUNT(udp_guest_unreach, "Endpoints that the guest does not listen to any more");
COUNT(drop_udp_unreach, "Errors of the guest about UDP that nobody sent");
COUNT(udp_flow_evicted, "UDP flows ended early because the table was full");
COUNT(udp_peer_evicted, "UDP endpoints forgotten: table full, or a flow's share");
COUNT(drop_udp_no_flow, "UDP datagrams lost: no memory or descriptor");
COUNT(drop_udp_flow_rate, "UDP datagrams lost: too many flows without an answer");

/* ---- endpoints ------------------------------------------------------------ */

static struct upeer *peer_at(struct udp_relay *r, uint32_t slot)
{
	return slot == SLAB_NONE ? NULL : slab_at(&r->peers, slot);
}

static void peer_unlink(struct uflow *f, struct upeer *p)
{
	struct udp_relay *r = f->r;
	struct upeer *newer = peer_at(r, p->newer);
	struct upeer *older = peer_at(r, p->older);

	if (newer)
		newer->older = p->older;
	else
		f->newest = p->older;
	if (older)
		older->newer = p->newer;
	else
		f->oldest = p->newer;
}

static void peer_push(struct uflow *f, struct upeer *p)
{
	struct udp_relay *r = f->r;
	uint32_t slot = slab_slot(&r->peers, p);
	struct upeer *newest = peer_at(r, f->newest);

	p->newer = SLAB_NONE;
	p->older = f->newest;
	if (newest)
		newest->newer = slot;
	else
		f->oldest = slot;
	f->newest = slot;
}

static void peer_del(struct uflow *f, struct upeer *p)
{
	peer_unlink(f, p);
	if (--f->npeers)
		f->r->shared--;
	hash_del(&f->r->by_peer, &p->key, sizeof(p->key));
	slab_del(&f->r->peers, p);
}

struct upeer *udp_peer_find(struct uflow *f, const struct ipaddr *host,
			    uint16_t port)
{
	struct udp_relay *r = f->r;
	const struct pkey k = { .host = *host, .port = port,
				.flow = slab_slot(&r->flows.slab, f) };
	uint32_t slot = hash_find(&r->by_peer, &k, sizeof(k));

	return slot == HASH_NONE ? NULL : slab_at(&r->peers, slot);
}

static bool peer_eq(const void *key, uint32_t slot, void *arg)
{
	const struct upeer *p = slab_at(arg, slot);

	return p && !memcmp(key, &p->key, sizeof(p->key));
}

/* ---- flows ---------------------------------------------------------------- */

void udp_flow_used(struct uflow *f)
{
	f->last_ns = ev_now(f->r->ev);
	flows_used(&f->r->flows, &f->flow);
}

void udp_flow_answered(struct uflow *f)
{
	if (f->answered)
		return;
	f->answered = true;
	dial_rate_give(&f->r->rate);
}

static void flow_end(struct uflow *f)
{
	struct udp_relay *r = f->r;

	if (f->flow.dead)
		return;
	if (r->up.f == f)
		udp_up_flush(r);
	udp_down_forget(f);
	timer_del(ev_timerq(r->ev), &f->idle);
	while (f->newest != SLAB_NONE)
		peer_del(f, peer_at(r, f->newest));
	hash_del(&r->by_guest, &f->key, sizeof(f->key));
	ev_del(r->ev, &f->src);
	fd_close(&f->src.fd);
	r->st.active--;
	flows_end(&r->flows, &f->flow);
}

/* The timer is not moved for each datagram: it looks when it fires */
static void on_idle(struct timer *t)
{
	struct uflow *f = container_of(t, struct uflow, idle);
	struct timerq *q = ev_timerq(f->r->ev);
	uint64_t due = f->last_ns +
		       (f->answered ? IDLE_BOTH_WAYS : IDLE_ONE_WAY);

	if (due > timerq_now(q))
		timer_set(q, t, due);
	else
		flow_end(f);
}

static bool flow_eq(const void *key, uint32_t slot, void *arg)
{
	const struct uflow *f = slab_at(arg, slot);

	return f && !memcmp(key, &f->key, sizeof(f->key));
}

static int flow_socket(bool v4)
{
	struct ipaddr any = v4 ? ipaddr_host4(0) : (struct ipaddr){ { 0 } };
	struct sockaddr_storage ss;
	socklen_t len = ipaddr_to_sa(&any, 0, &ss);
	const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	const int one = 1, rcvbuf = RCVBUF;
	int fd, rc;

	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	path_open(fd, v4);
	setsockopt(fd, level, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, &one,
		   sizeof(one));
	setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	if (!v4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&ss, len) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static struct uflow *flow_new(struct udp_relay *r, const struct ukey *k)
{
	struct uflow *f;
	int fd;

	if (!dial_rate_take(&r->rate, ev_now(r->ev))) {
		count_inc(drop_udp_flow_rate);
		return NULL;
	}
	fd = flow_socket(ipaddr_is4(&k->guest));
	if (fd < 0) {
		count_inc(drop_udp_no_flow);
		return NULL;
	}
	if (flows_is_full(&r->flows) && r->flows.oldest) {
		count_inc(udp_flow_evicted);
		flow_end(container_of(r->flows.oldest, struct uflow, flow));
		flows_reap(&r->flows);	/* no handler of a flow is running */
	}
	f = flows_new(&r->flows);
	if (!f) {
		count_inc(drop_udp_no_flow);
		close(fd);
		return NULL;
	}
	f->r = r;
	f->src.fd = fd;
	f->src.ready = udp_down_ready;
	f->idle.fire = on_idle;
	f->key = *k;
	f->train_max = UINT16_MAX;
	f->last_ns = ev_now(r->ev);
	f->newest = f->oldest = SLAB_NONE;
	r->st.active++;
	if (hash_add(&r->by_guest, k, sizeof(*k),
		     slab_slot(&r->flows.slab, f)) < 0 ||
	    ev_add(r->ev, &f->src, EPOLLIN) < 0) {
		count_inc(drop_udp_no_flow);
		flow_end(f);
		return NULL;
	}
	timer_set(ev_timerq(r->ev), &f->idle, f->last_ns + IDLE_ONE_WAY);
	return f;
}

struct uflow *udp_flow_get(struct udp_relay *r, const struct ukey *k,
			   bool make)
{
	uint32_t slot = hash_find(&r->by_guest, k, sizeof(*k));

	if (slot != HASH_NONE)
		return slab_at(&r->flows.slab, slot);
	return make ? flow_new(r, k) : NULL;
}

/* Whether one more endpoint of this flow is not at the expense of others */
static bool may_grow(const struct uflow *f)
{
	const struct udp_relay *r = f->r;
	uint32_t all = r->cfg.max_peers - r->cfg.max_flows;

	return !f->npeers || (r->shared < all && f->npeers <= all / SHARE);
}

static struct upeer *peer_new(struct uflow *f, const struct ipaddr *host,
			      uint16_t port, const struct ipaddr *seen)
{
	struct udp_relay *r = f->r;
	struct upeer *p;
	int rc;

	if (!may_grow(f)) {
		count_inc(udp_peer_evicted);
		peer_del(f, peer_at(r, f->oldest));
	}
	p = slab_new(&r->peers);
	ASSERT(p);		/* each flow has one of its own */
	*p = (struct upeer){
		.key = { .host = *host, .port = port,
			 .flow = slab_slot(&r->flows.slab, f) },
		.seen = *seen,
	};
	rc = hash_add(&r->by_peer, &p->key, sizeof(p->key),
		      slab_slot(&r->peers, p));
	ASSERT(rc == 0);
	peer_push(f, p);
	if (f->npeers++)
		r->shared++;
	return p;
}

struct upeer *udp_peer_get(struct uflow *f, const struct ipaddr *host,
			   uint16_t port, const struct ipaddr *seen)
{
	struct upeer *p = udp_peer_find(f, host, port);

	if (!p)
		return peer_new(f, host, port, seen);
	if (f->newest != slab_slot(&f->r->peers, p)) {
		peer_unlink(f, p);
		peer_push(f, p);
	}
	p->seen = *seen;
	return p;
}

/* ---- what the guest says --------------------------------------------------- */

/*
 * No socket of the guest wants this endpoint's datagrams any more; once none
 * wants any, the host's kernel can say so to whoever sends.
 */
static void on_unreach(void *arg, const struct icmp_unreach *u)
{
	static const struct ipaddr loop6 = { .b = { [15] = 1 } };
	const struct ipaddr loop4 = ipaddr_host4(0x7f000001);
	const struct ukey k = { .guest = u->guest, .port = u->gport };
	struct udp_relay *r = arg;
	struct uflow *f = udp_flow_get(r, &k, false);
	const struct ipaddr *host = &u->peer;
	struct upeer *p;

	if (dial_is_host(r->dial, host))
		host = ipaddr_is4(host) ? &loop4 : &loop6;
	p = f ? udp_peer_find(f, host, u->pport) : NULL;
	if (!p) {
		count_inc(drop_udp_unreach);
		return;
	}
	count_inc(udp_guest_unreach);
	peer_del(f, p);
	if (f->newest == SLAB_NONE)
		flow_end(f);
}

/* ---- */

struct udp_relay *udp_relay_new(struct ev *ev, struct udp *udp,
				struct icmp *icmp, const struct dial *dial,
				const struct udp_relay_cfg *cfg)
{
	struct udp_relay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ev = ev;
	r->udp = udp;
	r->icmp = icmp;
	r->dial = dial;
	r->cfg = *cfg;
	ASSERT(cfg->max_peers >= cfg->max_flows);
	dial_rate_init(&r->rate, FLOWS_PER_S,
		       MAX(cfg->max_flows, DIAL_BURST_MIN));
	r->stalled_end = &r->stalled;
	r->unstall.run = udp_down_unstall;
	r->up.buf = malloc(UDP_UP_BUF);
	r->down.buf = malloc((size_t)UDP_DOWN_BATCH * UDP_DGRAM_MAX);
	udp_down_init(&r->down);
	icmp->unreach = on_unreach;
	icmp->unreach_arg = r;
	if (r->up.buf && r->down.buf &&
	    flows_init(&r->flows, ev, sizeof(struct uflow),
		       cfg->max_flows) == 0 &&
	    slab_init(&r->peers, sizeof(struct upeer), cfg->max_peers) == 0 &&
	    hash_init(&r->by_guest, cfg->max_flows, flow_eq, &r->flows.slab) == 0 &&
	    hash_init(&r->by_peer, cfg->max_peers, peer_eq, &r->peers) == 0)
		return r;
	udp_relay_free(r);
	errno = ENOMEM;
	return NULL;
}

void udp_relay_free(struct udp_relay *r)
{
	r->icmp->unreach = NULL;
	while (r->flows.newest)
		flow_end(container_of(r->flows.newest, struct uflow, flow));
	ev_undefer(r->ev, &r->unstall);
	hash_done(&r->by_guest);
	hash_done(&r->by_peer);
	flows_done(&r->flows);
	slab_done(&r->peers);
	ev_undefer(r->ev, &r->up.task);
	free(r->up.buf);
	free(r->down.buf);
	free(r);
}

void udp_relay_stats(const struct udp_relay *r, struct udp_relay_stats *st)
{
	*st = r->st;
}
