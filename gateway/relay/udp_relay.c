#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/slab.h"
#include "gateway/relay/udp_relay.h"

/* #syscalls bind sendmsg recvmmsg recvmsg setsockopt close */

#define IDLE_ONE_WAY	(60 * NS_PER_S)	/* below RFC 4787's 120 s on purpose */
#define IDLE_BOTH_WAYS	(180 * NS_PER_S)
#define BATCH		16	/* datagrams a system call, from one socket */
#define DGRAM_MAX	65536
#define ERRORS_MAX	16	/* error queue entries a turn, from one socket */

COUNT(drop_udp_denied, "UDP datagrams that the policy denied");
COUNT(drop_udp_filtered, "UDP datagrams from endpoints not sent to before");
COUNT(drop_udp_send, "UDP datagrams that the host did not take");
COUNT(drop_udp_link, "UDP datagrams for the guest lost: link full");
COUNT(drop_udp_no_flow, "UDP datagrams lost: no memory or descriptor");
COUNT(udp_flow_evicted, "UDP flows ended early because the table was full");
COUNT(udp_peer_evicted, "UDP endpoints forgotten because the table was full");

/**
 * struct ukey - A guest port
 */
struct ukey {
	struct ipaddr guest;
	uint16_t port, pad[3];
};

/**
 * struct pkey - An endpoint that a flow has sent to
 * @host:	As the host sees it: loopback where the guest said gateway
 */
struct pkey {
	struct ipaddr host;
	uint32_t flow;
	uint16_t port, pad;
};

struct upeer {
	struct pkey key;
	struct ipaddr seen;		/* as the guest sees it */
	uint32_t newer, older;		/* in its flow's list, by slot */
};

/**
 * struct uflow - One guest port and its host socket
 * @newest:	Of its endpoints, by last use; slots in the peer slab
 * @newer:	Of all flows, by last use
 */
struct uflow {
	struct udp_relay *r;
	struct ev_src src;
	struct timer idle;
	struct ukey key;
	uint64_t last_ns;
	uint32_t newest, oldest;
	struct uflow *newer, *older, *dead_next;
	bool answered, dead;
};

struct udp_relay {
	struct ev *ev;
	struct udp *udp;
	struct icmp *icmp;
	const struct dial *dial;
	struct udp_relay_cfg cfg;
	struct slab flows, peers;
	struct hash by_guest, by_peer;
	struct uflow *newest, *oldest, *dead;
	struct ev_task reap;
	uint8_t *buf;			/* BATCH datagrams */
	struct udp_relay_stats st;
};

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
	hash_del(&f->r->by_peer, &p->key, sizeof(p->key));
	slab_del(&f->r->peers, p);
}

static struct upeer *peer_find(struct uflow *f, const struct ipaddr *host,
			       uint16_t port)
{
	struct udp_relay *r = f->r;
	const struct pkey k = { .host = *host, .port = port,
				.flow = slab_slot(&r->flows, f) };
	uint32_t slot = hash_find(&r->by_peer, &k, sizeof(k));

	return slot == HASH_NONE ? NULL : slab_at(&r->peers, slot);
}

static bool peer_eq(const void *key, uint32_t slot, void *arg)
{
	const struct upeer *p = slab_at(arg, slot);

	return p && !memcmp(key, &p->key, sizeof(p->key));
}

/* ---- flows ---------------------------------------------------------------- */

static void flow_unlink(struct uflow *f)
{
	struct udp_relay *r = f->r;

	if (f->newer)
		f->newer->older = f->older;
	else
		r->newest = f->older;
	if (f->older)
		f->older->newer = f->newer;
	else
		r->oldest = f->newer;
}

static void flow_push(struct uflow *f)
{
	struct udp_relay *r = f->r;

	f->newer = NULL;
	f->older = r->newest;
	if (r->newest)
		r->newest->newer = f;
	else
		r->oldest = f;
	r->newest = f;
}

static void flow_used(struct uflow *f)
{
	f->last_ns = ev_now(f->r->ev);
	if (f->r->newest == f)
		return;
	flow_unlink(f);
	flow_push(f);
}

static void flow_end(struct uflow *f)
{
	struct udp_relay *r = f->r;

	if (f->dead)
		return;
	f->dead = true;
	timer_del(ev_timerq(r->ev), &f->idle);
	while (f->newest != SLAB_NONE)
		peer_del(f, peer_at(r, f->newest));
	hash_del(&r->by_guest, &f->key, sizeof(f->key));
	flow_unlink(f);
	ev_del(r->ev, &f->src);
	fd_close(&f->src.fd);
	r->st.active--;
	f->dead_next = r->dead;
	r->dead = f;
	ev_defer(r->ev, &r->reap);
}

static void reap(struct ev_task *t)
{
	struct udp_relay *r = container_of(t, struct udp_relay, reap);

	while (r->dead) {
		struct uflow *f = r->dead;

		r->dead = f->dead_next;
		slab_del(&r->flows, f);
	}
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

static void flow_ready(struct ev_src *src, uint32_t events);

static int flow_socket(bool v4)
{
	struct ipaddr any = v4 ? ipaddr_host4(0) : (struct ipaddr){ { 0 } };
	struct sockaddr_storage ss;
	socklen_t len = ipaddr_to_sa(&any, 0, &ss);
	const int one = 1;
	int fd, rc;

	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (v4)
		setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
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
	int fd = flow_socket(ipaddr_is4(&k->guest));
	struct uflow *f;

	if (fd < 0)
		return NULL;
	if (r->flows.used == r->flows.cap && r->oldest) {
		count_inc(udp_flow_evicted);
		flow_end(r->oldest);
		reap(&r->reap);		/* no handler of a flow is running */
	}
	f = slab_new(&r->flows);
	if (!f) {
		close(fd);
		return NULL;
	}
	*f = (struct uflow){
		.r = r,
		.src = { .fd = fd, .ready = flow_ready },
		.idle = { .fire = on_idle },
		.key = *k,
		.last_ns = ev_now(r->ev),
		.newest = SLAB_NONE,
		.oldest = SLAB_NONE,
	};
	flow_push(f);
	r->st.active++;
	if (hash_add(&r->by_guest, k, sizeof(*k),
		     slab_slot(&r->flows, f)) < 0 ||
	    ev_add(r->ev, &f->src, EPOLLIN) < 0) {
		flow_end(f);
		return NULL;
	}
	timer_set(ev_timerq(r->ev), &f->idle, f->last_ns + IDLE_ONE_WAY);
	return f;
}

static struct upeer *peer_new(struct uflow *f, const struct ipaddr *host,
			      uint16_t port, const struct ipaddr *seen)
{
	struct udp_relay *r = f->r;
	struct upeer *p = slab_new(&r->peers);

	if (!p) {	/* this flow pays first, then the one silent longest */
		count_inc(udp_peer_evicted);
		if (f->oldest != SLAB_NONE)
			peer_del(f, peer_at(r, f->oldest));
		else if (r->oldest != f)
			flow_end(r->oldest);
		p = slab_new(&r->peers);
		if (!p)
			return NULL;
	}
	*p = (struct upeer){
		.key = { .host = *host, .port = port,
			 .flow = slab_slot(&r->flows, f) },
		.seen = *seen,
	};
	if (hash_add(&r->by_peer, &p->key, sizeof(p->key),
		     slab_slot(&r->peers, p)) < 0) {
		slab_del(&r->peers, p);
		return NULL;
	}
	peer_push(f, p);
	return p;
}

/* ---- host to guest -------------------------------------------------------- */

static void deliver(struct uflow *f, const struct sockaddr_storage *from,
		    const void *data, size_t len)
{
	struct udp_relay *r = f->r;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data,
			     .iov_len = len };
	struct ipaddr host, seen;
	struct upeer *p;
	uint16_t port;

	if (ipaddr_from_sa(from, &host, &port) < 0)
		return;
	p = peer_find(f, &host, port);
	if (p) {
		seen = p->seen;
	} else if (r->cfg.endpoint_independent && !ipaddr_is_loopback(&host)) {
		seen = host;
	} else {
		count_inc(drop_udp_filtered);
		return;
	}
	f->answered = true;
	flow_used(f);
	if (udp_send(r->udp, &seen, port, &f->key.guest, f->key.port, &iov,
		     1) < 0) {
		count_inc(drop_udp_link);
		return;
	}
	r->st.down_dgrams++;
	r->st.down_bytes += len;
}

static void take_datagrams(struct uflow *f)
{
	struct sockaddr_storage from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	int n;

	memset(m, 0, sizeof(m));
	for (size_t i = 0; i < BATCH; i++) {
		iov[i].iov_base = f->r->buf + i * DGRAM_MAX;
		iov[i].iov_len = DGRAM_MAX;
		m[i].msg_hdr.msg_name = &from[i];
		m[i].msg_hdr.msg_namelen = sizeof(from[i]);
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(f->src.fd, m, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n && !f->dead; i++)
		deliver(f, &from[i], iov[i].iov_base, m[i].msg_len);
}

/* ---- the host's error queue ----------------------------------------------- */

static enum icmp_err error_of(const struct sock_extended_err *ee)
{
	if ((ee->ee_origin == SO_EE_ORIGIN_ICMP &&
	     ee->ee_type == ICMP_TIME_EXCEEDED) ||
	    (ee->ee_origin == SO_EE_ORIGIN_ICMP6 &&
	     ee->ee_type == ICMPV6_TIME_EXCEED))
		return ICMP_ERR_TTL;
	return icmp_err_of((int)ee->ee_errno);
}

/* Who sent the error: a router on the way, or in doubt the destination */
static struct ipaddr offender(const struct sock_extended_err *ee,
			      const struct ipaddr *dst)
{
	struct sockaddr_storage ss;
	struct ipaddr a;

	memset(&ss, 0, sizeof(ss));
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP)
		memcpy(&ss, SO_EE_OFFENDER(ee), sizeof(struct sockaddr_in));
	else if (ee->ee_origin == SO_EE_ORIGIN_ICMP6)
		memcpy(&ss, SO_EE_OFFENDER(ee), sizeof(struct sockaddr_in6));
	if (ipaddr_from_sa(&ss, &a, NULL) < 0 || ipaddr_is_any(&a) ||
	    ipaddr_is_loopback(&a) || ipaddr_is4(&a) != ipaddr_is4(dst))
		return *dst;
	return a;
}

static void tell_error(struct uflow *f, const struct sock_extended_err *ee,
		       const struct sockaddr_storage *to, size_t len)
{
	const uint16_t gp = f->key.port, total = (uint16_t)(len + 8);
	struct ipaddr host, from;
	struct upeer *p;
	uint16_t port;
	uint8_t head[8];

	if (ipaddr_from_sa(to, &host, &port) < 0)
		return;
	p = peer_find(f, &host, port);
	if (!p)
		return;
	head[0] = (uint8_t)(gp >> 8);
	head[1] = (uint8_t)gp;
	head[2] = (uint8_t)(port >> 8);
	head[3] = (uint8_t)port;
	head[4] = (uint8_t)(total >> 8);
	head[5] = (uint8_t)total;
	head[6] = head[7] = 0;
	from = offender(ee, &p->seen);
	icmp_error_l4(f->r->icmp, error_of(ee), &from, &f->key.guest, &p->seen,
		      IPPROTO_UDP, head, sizeof(head), ee->ee_info);
}

static bool take_error(struct uflow *f)
{
	_Alignas(struct cmsghdr) char ctl[256];
	struct sockaddr_storage to;
	struct iovec iov = { .iov_base = f->r->buf, .iov_len = DGRAM_MAX };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof(to),
			    .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	ssize_t n = recvmsg(f->src.fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);

	if (n < 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		const bool ours =
			(c->cmsg_level == IPPROTO_IP &&
			 c->cmsg_type == IP_RECVERR) ||
			(c->cmsg_level == IPPROTO_IPV6 &&
			 c->cmsg_type == IPV6_RECVERR);
		/* the offender's address follows in the same buffer */
		if (ours && c->cmsg_len >=
			    CMSG_LEN(sizeof(struct sock_extended_err) +
				     sizeof(struct sockaddr_in)))
			tell_error(f, (const void *)CMSG_DATA(c), &to,
				   (size_t)n);
	}
	return true;
}

static void flow_ready(struct ev_src *src, uint32_t events)
{
	struct uflow *f = container_of(src, struct uflow, src);

	if (events & EPOLLERR)
		for (int i = 0; i < ERRORS_MAX && take_error(f); i++)
			;
	if (events & EPOLLIN && !f->dead)
		take_datagrams(f);
}

/* ---- guest to host -------------------------------------------------------- */

static ssize_t send_once(struct uflow *f, const struct upeer *p,
			 const struct iovec *iov, int n, uint16_t gso)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(sizeof(uint16_t))];
	struct sockaddr_storage ss;
	struct msghdr m = { .msg_name = &ss,
			    .msg_iov = (struct iovec *)(uintptr_t)iov,
			    .msg_iovlen = (size_t)n };
	struct cmsghdr *c;
	ssize_t sent;

	m.msg_namelen = ipaddr_to_sa(&p->key.host, p->key.port, &ss);
	if (gso) {
		memset(ctl, 0, sizeof(ctl));
		m.msg_control = ctl;
		m.msg_controllen = sizeof(ctl);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(gso));
		memcpy(CMSG_DATA(c), &gso, sizeof(gso));
	}
	/* An earlier datagram's error is reported once, in place of this send */
	for (int i = 0; i < 2; i++) {
		sent = sendmsg(f->src.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0 || errno == EAGAIN || errno == EMSGSIZE)
			break;
	}
	return sent < 0 ? -errno : sent;
}

/* A train of datagrams at once if the kernel cuts it, else one by one */
static int send_dgram(struct uflow *f, const struct upeer *p,
		      const struct udp_dgram *d)
{
	struct iovec v[LINK_IOV_MAX];
	ssize_t rc = send_once(f, p, d->iov, d->n, d->gso_size);

	if (rc >= 0 || !d->gso_size || rc == -EAGAIN)
		return rc < 0 ? (int)rc : 0;
	for (size_t off = 0; off < d->len; off += d->gso_size) {
		size_t len = MIN((size_t)d->gso_size, d->len - off);
		int n = iov_slice(d->iov, d->n, off, len, v, LINK_IOV_MAX);

		rc = n < 0 ? n : send_once(f, p, v, n, 0);
		if (rc < 0)
			return (int)rc;
	}
	return 0;
}

static struct upeer *peer_for(struct uflow *f, const struct udp_dgram *d)
{
	struct udp_relay *r = f->r;
	struct dial_target to;
	struct upeer *p;
	int rc;

	rc = dial_resolve(r->dial, &d->dst, d->dport, POLICY_PROTO_UDP, false,
			  &to);
	if (rc < 0) {
		count_inc(drop_udp_denied);
		r->st.denied++;
		return NULL;
	}
	p = peer_find(f, &to.addr[0], to.port);
	if (p) {
		peer_unlink(f, p);
		peer_push(f, p);
		p->seen = d->dst;
		return p;
	}
	p = peer_new(f, &to.addr[0], to.port, &d->dst);
	if (!p)
		count_inc(drop_udp_no_flow);
	return p;
}

void udp_relay_input(struct udp_relay *r, const struct udp_dgram *d)
{
	const struct ukey k = { .guest = d->src, .port = d->sport };
	uint32_t slot = hash_find(&r->by_guest, &k, sizeof(k));
	struct uflow *f = slot == HASH_NONE ? NULL : slab_at(&r->flows, slot);
	struct dial_target to;
	struct upeer *p;
	int rc;

	if (!f) {	/* a denied datagram makes no flow */
		if (dial_resolve(r->dial, &d->dst, d->dport, POLICY_PROTO_UDP,
				 false, &to) < 0) {
			count_inc(drop_udp_denied);
			r->st.denied++;
			return;
		}
		f = flow_new(r, &k);
	}
	if (!f) {
		count_inc(drop_udp_no_flow);
		return;
	}
	p = peer_for(f, d);
	if (!p)
		return;
	flow_used(f);
	rc = send_dgram(f, p, d);
	if (rc == 0) {
		r->st.up_dgrams++;
		r->st.up_bytes += d->len;
		return;
	}
	count_inc(drop_udp_send);
	if (rc == -ENETUNREACH || rc == -EHOSTUNREACH || rc == -EPERM ||
	    rc == -EACCES)
		icmp_error(r->icmp, icmp_err_of(-rc), &d->dst, d->pkt->ip,
			   d->pkt->ip_head, 0);
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
	r->reap.run = reap;
	r->buf = malloc((size_t)BATCH * DGRAM_MAX);
	if (r->buf &&
	    slab_init(&r->flows, sizeof(struct uflow), cfg->max_flows) == 0 &&
	    slab_init(&r->peers, sizeof(struct upeer), cfg->max_peers) == 0 &&
	    hash_init(&r->by_guest, cfg->max_flows, flow_eq, &r->flows) == 0 &&
	    hash_init(&r->by_peer, cfg->max_peers, peer_eq, &r->peers) == 0)
		return r;
	udp_relay_free(r);
	errno = ENOMEM;
	return NULL;
}

void udp_relay_free(struct udp_relay *r)
{
	while (r->newest)
		flow_end(r->newest);
	ev_undefer(r->ev, &r->reap);
	reap(&r->reap);
	hash_done(&r->by_guest);
	hash_done(&r->by_peer);
	slab_done(&r->flows);
	slab_done(&r->peers);
	free(r->buf);
	free(r);
}

void udp_relay_stats(const struct udp_relay *r, struct udp_relay_stats *st)
{
	*st = r->st;
}
