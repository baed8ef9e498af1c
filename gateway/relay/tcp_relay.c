#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slab.h"
#include "gateway/relay/ahead.h"
#include "gateway/relay/sndbuf.h"
#include "gateway/relay/tcp_relay.h"

/* #syscalls connect setsockopt getsockopt recvfrom recvmsg sendmsg */
/* #syscalls shutdown close */

#define WATCH		(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define KEEPALIVE_S	7200	/* RFC 9293 3.8.4: flows of a rebooted guest end */
/*
 * In flight toward the guest where the kernel has no SO_PEEK_OFF: each peek
 * copies again what is in flight, so a small bound beats a large one.  But a
 * path that takes long, or loses, needs more under way: from PEEK_LONG_US on the
 * bound is PEEK_LONG_MAX, and then a quarter of it has to be free before the
 * next peek: with frames of 64 KiB at most 16 bytes are copied for each that is
 * sent.  Without offloads a frame is a segment, and it is 700.
 */
#define PLAIN_PEEK_MAX	(256u * 1024)
#define PEEK_LONG_MAX	(1024u * 1024)
#define PEEK_LONG_US	5000

COUNT(tcp_flow_denied, "TCP connections that the policy denied");
COUNT(tcp_flow_refused, "TCP connections that the host could not make");
COUNT(drop_tcp_dials, "SYNs unanswered: too many dials to that destination");
COUNT(drop_tcp_dial_rate, "SYNs unanswered: too many that lead to nothing");
COUNT(drop_tcp_no_flow, "TCP connections refused: no memory or descriptor");
COUNT(tcp_flow_lingers, "TCP flows that were over before the host had all");
COUNT(tcp_linger_evicted, "Those that were reset for a new flow's place");
COUNT(tcp_linger_stuck, "Those that were reset because nothing went on");

/* How a flow that is over waits for the host to take the rest */
#define LINGER_LOOK	(100 * NS_PER_MS)	/* and then twice as long, */
#define LINGER_LOOKS	6			/* so often */
#define LINGER_STUCK	(60 * NS_PER_S)

/* Whether the kernel has SO_PEEK_OFF for TCP: told by the first socket */
enum relay_peek {
	RELAY_PEEK_UNKNOWN,
	RELAY_PEEK_OFF,		/* it keeps an offset */
	RELAY_PEEK_PLAIN,
};

/**
 * struct tflow - One connection and its host socket
 * @next:	Second address to dial, if @has_next
 * @seen:	Where the latest peek ended; that is the kernel's peek offset,
 *		if it has been told to keep one (@peek_set)
 * @out_wait:	An edge of EPOLLOUT was asked for
 * @base:	Bytes acknowledged so far, modulo 2^32
 * @held:	A plain peek left off at its bound: no edge will tell of the rest
 * @dry:	There is nothing to read: the next byte comes with an edge
 * @urgent:	Urgent data was seen, before which a peek stops short: no @dry
 * @look:	When to look whether the host has all; @looks so far, and since
 *		@stuck_ns it has taken nothing
 * @newer, @older: Among those that @lingers
 */
struct tflow {
	struct tcp_relay *r;
	struct tcp *c;
	struct ev_src src;
	struct tflow *dead_next, *newer, *older;
	struct timer look;
	uint64_t stuck_ns;
	unsigned int looks;
	struct ipaddr next;
	struct sndbuf sndbuf;
	uint32_t bucket, base;
	size_t seen;
	bool has_next, connected, peek_off, peek_set, out_wait, held, rdhup;
	bool dry, urgent, dead, lingers;
};

struct tcp_relay {
	struct ev *ev;
	struct tcp_stack *ts;
	struct icmp *icmp;
	const struct dial *dial;
	struct tcp_relay_cfg cfg;
	struct tcp_local local[4];
	unsigned int nlocal;
	struct slab flows;
	struct tflow *dead, *newest, *oldest;
	struct ev_task reap;
	struct dial_target to;		/* from on_admit() to on_open() */
	struct dial_gate gate;
	enum relay_peek peek[2];	/* IPv4, IPv6: it came later there */
	uint32_t sndbuf_max;
	uint8_t *skip;		/* where a plain peek puts what was seen before */
	struct tcp_relay_stats st;
	struct ahead ahead;
};

/* ---- ending --------------------------------------------------------------- */

static void reap(struct ev_task *t)
{
	struct tcp_relay *r = container_of(t, struct tcp_relay, reap);

	while (r->dead) {
		struct tflow *f = r->dead;

		r->dead = f->dead_next;
		slab_del(&r->flows, f);
	}
}

static void dial_over(struct tflow *f)
{
	if (!f->connected)
		dial_gate_leave(&f->r->gate, f->bucket);
}

static void socket_close(struct tflow *f, bool rst)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (f->src.fd < 0)
		return;
	if (rst)
		setsockopt(f->src.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	ev_close(f->r->ev, &f->src);
}

static void linger_over(struct tflow *f)
{
	struct tcp_relay *r = f->r;

	if (!f->lingers)
		return;
	f->lingers = false;
	timer_del(ev_timerq(r->ev), &f->look);
	*(f->newer ? &f->newer->older : &r->newest) = f->older;
	*(f->older ? &f->older->newer : &r->oldest) = f->newer;
}

/* The handler that brought us here may still hold @f: freed at turn's end */
static void flow_end(struct tflow *f, bool rst)
{
	struct tcp_relay *r = f->r;

	if (f->dead)
		return;
	f->dead = true;
	linger_over(f);
	ahead_forget(&r->ahead, f);
	dial_over(f);
	socket_close(f, rst);
	r->st.active--;
	f->dead_next = r->dead;
	r->dead = f;
	ev_defer(r->ev, &r->reap);
}

/* ---- lingering ------------------------------------------------------------ */

static void linger_look(struct tflow *f)
{
	struct timerq *q = ev_timerq(f->r->ev);
	const uint32_t before = f->sndbuf.outq;
	const uint32_t left = sndbuf_unacked(&f->sndbuf, f->src.fd);

	if (!left) {
		flow_end(f, false);
		return;
	}
	if (left < before)
		f->stuck_ns = timerq_now(q);
	if (timerq_now(q) - f->stuck_ns >= LINGER_STUCK) {
		count_inc(tcp_linger_stuck);
		flow_end(f, true);
		return;
	}
	f->looks += f->looks < LINGER_LOOKS;
	timer_set(q, &f->look, timerq_now(q) + (LINGER_LOOK << f->looks));
}

static void on_look(struct timer *t)
{
	linger_look(container_of(t, struct tflow, look));
}

/*
 * Both sides have ended, and the kernel still has bytes that the host has not
 * taken, or its FIN.  A socket closed now is out of our hands and of every bound: with a
 * server that reads nothing a guest could fill the host's memory.  So it keeps
 * its place, until that is wanted for a new flow.
 */
static void linger(struct tflow *f)
{
	struct tcp_relay *r = f->r;

	count_inc(tcp_flow_lingers);
	ahead_forget(&r->ahead, f);
	f->c = NULL;
	f->lingers = true;
	f->older = r->newest;
	*(r->newest ? &r->newest->newer : &r->oldest) = f;
	r->newest = f;
	f->stuck_ns = ev_now(r->ev);
	f->look.fire = on_look;
	timer_set(ev_timerq(r->ev), &f->look, f->stuck_ns + LINGER_LOOK);
}

/* ---- dialling ------------------------------------------------------------- */

/* Return: 0; -errno if the kernel does not keep a peek offset */
static int set_peek_off(struct tflow *f, int fd, size_t off)
{
	int pos = (int)off;

	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &pos, sizeof(pos)) < 0)
		return -errno;
	f->peek_set = true;
	f->seen = off;
	return 0;
}

/*
 * A flow that answers each request with one frame never needs the offset, and
 * so does not set it before it does.
 */
static bool has_peek_off(struct tflow *f, int family, int fd)
{
	enum relay_peek *p = &f->r->peek[family == AF_INET6];

	if (f->r->cfg.no_peek_off)
		return false;
	if (*p == RELAY_PEEK_UNKNOWN)
		*p = set_peek_off(f, fd, 0) ? RELAY_PEEK_PLAIN : RELAY_PEEK_OFF;
	return *p == RELAY_PEEK_OFF;
}

/* Return: the socket, which @f owns, or -errno */
static int flow_socket(struct tflow *f, int family)
{
	const int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* Else a peek skips the urgent byte, and the peek offset does not */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	f->peek_set = false;
	f->seen = 0;
	f->peek_off = has_peek_off(f, family, fd);
	f->src.fd = fd;
	return fd;
}

static void tell_unreachable(struct tflow *f, int err)
{
	const struct tcp_tuple *t = tcp_tuple(f->c);
	uint8_t head[8];

	tcp_syn_header(f->c, head);
	icmp_error_l4(f->r->icmp, icmp_err_of(err), &t->peer, &t->guest,
		      &t->peer, IPPROTO_TCP, head, sizeof(head), 0);
}

/* The guest hears what the host heard: RST, ICMP and RST, or nothing */
static void dial_failed(struct tflow *f, int err)
{
	count_inc(tcp_flow_refused);
	f->r->st.refused++;
	log_debug("tcp: dial failed: %s", strerror(err));
	if (err == ETIMEDOUT) {
		tcp_drop(f->c);
	} else {
		if (err == ENETUNREACH || err == EHOSTUNREACH ||
		    err == EACCES || err == EPERM)
			tell_unreachable(f, err);
		tcp_refuse(f->c);
	}
	flow_end(f, true);
}

static void dial_done(struct tflow *f)
{
	dial_over(f);
	f->connected = true;
	f->dry = true;		/* the socket is watched before its first byte */
	tcp_accept(f->c);
}

/**
 * dial_addr() - Start to connect to one address
 *
 * A local destination has usually answered by the time connect() returns, and
 * a second call says so: one turn of the loop less per connection.
 *
 * Return: 0 if it is under way or done; else a positive errno
 */
static int dial_addr(struct tflow *f, const struct ipaddr *a, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = ipaddr_to_sa(a, port, &ss);
	int fd = flow_socket(f, ss.ss_family), rc;
	bool done;

	if (fd < 0)
		return -fd;
	rc = connect(fd, (const struct sockaddr *)&ss, len);
	if (rc < 0 && errno == EINPROGRESS)
		rc = connect(fd, (const struct sockaddr *)&ss, len);
	if (rc < 0 && errno != EALREADY) {
		rc = errno;
		socket_close(f, false);
		return rc;
	}
	done = rc == 0;
	rc = ev_add(f->r->ev, &f->src, WATCH);
	if (rc < 0)
		return -rc;
	if (done)
		dial_done(f);
	return 0;
}

static void dial(struct tflow *f, const struct ipaddr *a)
{
	const uint16_t port = tcp_tuple(f->c)->peer_port;
	int err = dial_addr(f, a, port);

	if (err && f->has_next && dial_retry(err)) {
		f->has_next = false;
		err = dial_addr(f, &f->next, port);
	}
	if (err)
		dial_failed(f, err);
}

/* The socket is ready for the first time: connected, or not */
static void dial_ready(struct tflow *f)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(f->src.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (!err) {
		dial_done(f);
		return;
	}
	socket_close(f, false);
	if (f->has_next && dial_retry(err)) {
		f->has_next = false;
		dial(f, &f->next);
		return;
	}
	dial_failed(f, err);
}

static void flow_ready(struct ev_src *src, uint32_t events)
{
	struct tflow *f = container_of(src, struct tflow, src);

	if (f->lingers) {
		if (events & EPOLLERR)
			flow_end(f, true);
		return;
	}
	if (!f->connected) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			dial_ready(f);
		if (f->dead || !f->connected)
			return;
	}
	if (events & EPOLLERR) {	/* RST from upstream stays RST */
		tcp_abort(f->c);
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP))
		f->rdhup = true;
	if (events & EPOLLPRI)
		f->urgent = true;
	if (events & EPOLLOUT && f->out_wait) {
		f->out_wait = false;
		tcp_room_changed(f->c);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLPRI)) {
		f->dry = false;
		tcp_readable(f->c);
	}
}

/* ---- what the engine asks ------------------------------------------------- */

static const struct tcp_local *local_of(struct tcp_relay *r,
					const struct tcp_tuple *t)
{
	for (unsigned int i = 0; i < r->nlocal; i++)
		if (r->local[i].port == t->peer_port)
			return &r->local[i];
	return NULL;
}

static void on_denied(struct tcp_relay *r, const struct tcp_tuple *t, int why)
{
	char a[IPADDR_STRLEN];

	count_inc(tcp_flow_denied);
	r->st.denied++;
	log_debug("tcp: %s port %u: %s", ipaddr_fmt(&t->peer, a), t->peer_port,
		  why == -EACCES ? "denied by the policy" : "not reachable");
}

/* Before there is a connection: what is not to be has no place in the table */
static enum tcp_admit on_admit(void *arg, const struct tcp_tuple *t)
{
	struct tcp_relay *r = arg;
	int rc;

	if (local_of(r, t))
		return TCP_ADMIT_OPEN;
	rc = dial_resolve(r->dial, &t->peer, t->peer_port, POLICY_PROTO_TCP,
			  true, &r->to);
	if (rc < 0) {
		on_denied(r, t, rc);
		return TCP_ADMIT_RST;
	}
	rc = dial_gate_check(&r->gate, dial_gate_bucket(&r->gate,
							&r->to.addr[0]),
			     ev_now(r->ev));
	if (rc == 0)
		return TCP_ADMIT_OPEN;
	if (rc == -EBUSY)
		count_inc(drop_tcp_dials);
	else
		count_inc(drop_tcp_dial_rate);
	return TCP_ADMIT_DROP;	/* the guest's next SYN tries again */
}

static void on_open(void *arg, struct tcp *c)
{
	struct tcp_relay *r = arg;
	const struct tcp_local *l = local_of(r, tcp_tuple(c));
	const struct dial_target *to = &r->to;
	struct tflow *f;

	if (l) {
		l->ops->open(l->arg, c);
		return;
	}
	f = slab_new(&r->flows);
	if (!f && !r->dead && r->oldest) {
		count_inc(tcp_linger_evicted);
		flow_end(r->oldest, true);
	}
	if (!f && r->dead) {	/* the one that made room for @c, perhaps */
		reap(&r->reap);
		f = slab_new(&r->flows);
	}
	if (!f) {
		count_inc(drop_tcp_no_flow);
		tcp_refuse(c);
		return;
	}
	*f = (struct tflow){ .r = r, .c = c,
			     .bucket = dial_gate_bucket(&r->gate, &to->addr[0]),
			     .src = { .fd = -1, .ready = flow_ready } };
	dial_gate_enter(&r->gate, f->bucket);
	r->st.flows++;
	r->st.active++;
	if (to->n > 1) {
		f->next = to->addr[1];
		f->has_next = true;
	}
	tcp_set_user(c, f);
	dial(f, &to->addr[0]);
}

static void on_established(void *arg, struct tcp *c)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);

	if (!l)
		dial_gate_proved(&f->r->gate, f->bucket);
}

static size_t on_room(void *arg, struct tcp *c)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);
	struct tcp_relay *r = arg;
	uint32_t room;
	bool full;

	if (l)
		return l->ops->room(l->arg, c);
	room = sndbuf_room(&f->sndbuf, f->src.fd, r->sndbuf_max,
			   (uint32_t)(ev_now(r->ev) / NS_PER_US),
			   tcp_srtt_us(c), &full);
	if (full && !f->out_wait) {
		f->out_wait = true;	/* EPOLL_CTL_MOD polls, and arms the edge */
		ev_mod(r->ev, &f->src, WATCH);
	}
	return room;
}

static ssize_t on_recv(void *arg, struct tcp *c, const struct iovec *iov,
		       int n, size_t len)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov,
			    .msg_iovlen = (size_t)n };
	ssize_t sent;

	if (l)
		return l->ops->recv(l->arg, c, iov, n, len);
	sent = sendmsg(f->src.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0) {
		if (errno != EAGAIN && errno != ENOBUFS)
			return -errno;
		f->out_wait = true;	/* the failed send has armed the edge */
		return 0;
	}
	if ((size_t)sent < len)
		f->out_wait = true;
	sndbuf_took(&f->sndbuf, (uint32_t)sent);
	f->r->st.up_bytes += (uint64_t)sent;
	return sent;
}

static void on_recv_fin(void *arg, struct tcp *c)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);

	if (l)
		l->ops->recv_fin(l->arg, c);
	else
		shutdown(f->src.fd, SHUT_WR);
}

/* See PLAIN_PEEK_MAX */
static size_t peek_max(const struct tflow *f)
{
	return tcp_srtt_us(f->c) < PEEK_LONG_US ? PLAIN_PEEK_MAX :
						  PEEK_LONG_MAX;
}

/* Without SO_PEEK_OFF: read the first @off bytes into a place that nobody reads */
static ssize_t plain_peek(struct tflow *f, size_t off, const struct iovec *iov,
			  int n, size_t len)
{
	struct iovec v[LINK_IOV_MAX + 1];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n + 1 };
	/* What was sent may have to be sent again, wherever the bound is now */
	const size_t max = MAX(peek_max(f), f->seen);
	ssize_t got;

	if (off + len > max) {
		f->held = true;
		if (off >= max)
			return 0;
		len = max - off;
	}
	v[0] = (struct iovec){ .iov_base = f->r->skip, .iov_len = off };
	n = iov_slice(iov, n, 0, len, v + 1, LINK_IOV_MAX);
	if (n < 0)
		return n;
	m.msg_iovlen = (size_t)n + 1;
	got = recvmsg(f->src.fd, &m, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	f->seen = MAX(f->seen, (size_t)got);
	if ((size_t)got > off)
		return got - (ssize_t)off;
	if (off && f->urgent) {	/* it stops there until what is before is read */
		f->held = true;
		return 0;
	}
	return f->rdhup && (size_t)got == off ? -ENODATA : 0;
}

/* From the kernel, whose offset stands right: as recvmsg() */
static ssize_t peek(struct tflow *f, size_t off, const struct iovec *iov, int n,
		    size_t len)
{
	struct ahead *a = &f->r->ahead;
	struct iovec more = { .iov_base = a->buf };
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov,
			    .msg_iovlen = (size_t)n };
	bool ahead = len >= AHEAD_MIN && len <= AHEAD_MAX;
	ssize_t got;

	if (ahead) {
		len = MAX(len, MIN(tcp_turn(f->c, off), sizeof(a->buf)));
		more.iov_len = len;
		m.msg_iov = &more;
		m.msg_iovlen = 1;
	}
	got = recvmsg(f->src.fd, &m, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	f->seen = off + (size_t)got;
	f->dry = got && (size_t)got < len && !f->rdhup && !f->urgent;
	if (!got)
		return -ENODATA;
	if (!ahead)
		return got;
	ahead_put(a, f, f->base + (uint32_t)off, (size_t)got);
	return (ssize_t)iov_copy_in(iov, n, 0, a->buf,
				    MIN(iov_len(iov, n), (size_t)got));
}

static ssize_t on_peek(void *arg, struct tcp *c, size_t off,
		       const struct iovec *iov, int n, size_t len)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);
	const uint8_t *p = NULL;
	size_t have;
	int rc;

	if (l)
		return l->ops->peek(l->arg, c, off, iov, n, len);
	have = ahead_get(&f->r->ahead, f, f->base + (uint32_t)off, &p);
	if (have >= len || (have && f->dry))
		return (ssize_t)iov_copy_in(iov, n, 0, p, MIN(len, have));
	if (f->dry && f->seen == off)
		return 0;
	if (!f->peek_off)
		return plain_peek(f, off, iov, n, len);
	if (off != (f->peek_set ? f->seen : 0)) {
		rc = set_peek_off(f, f->src.fd, off);
		if (rc < 0)
			return rc;
	}
	return peek(f, off, iov, n, len);
}

static void on_acked(void *arg, struct tcp *c, size_t n)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);

	if (l) {
		l->ops->acked(l->arg, c, n);
		return;
	}
	f->r->st.down_bytes += n;
	/* What was peeked is there: this takes all of it, or the flow is over */
	while (n) {
		ssize_t got = recv(f->src.fd, NULL, n,
				   MSG_TRUNC | MSG_DONTWAIT);

		if (got <= 0)
			return;
		n -= (size_t)got;
		f->base += (uint32_t)got;
		f->seen -= MIN(f->seen, (size_t)got);
	}
	ahead_passed(&f->r->ahead, f, f->base);
	if (f->held && (peek_max(f) == PLAIN_PEEK_MAX ||
			f->seen <= PEEK_LONG_MAX / 4 * 3)) {
		f->held = false;
		tcp_readable(c);
	}
}

static void on_closed(void *arg, struct tcp *c, int why)
{
	const struct tcp_local *l = local_of(arg, tcp_tuple(c));
	struct tflow *f = tcp_user(c);

	if (l)
		l->ops->closed(l->arg, c, why);
	else if (f && !why && sndbuf_unacked(&f->sndbuf, f->src.fd))
		linger(f);
	else if (f)
		flow_end(f, why != 0);
}

static const struct tcp_ops ops = {
	.admit = on_admit,
	.open = on_open,
	.room = on_room,
	.recv = on_recv,
	.recv_fin = on_recv_fin,
	.peek = on_peek,
	.acked = on_acked,
	.established = on_established,
	.closed = on_closed,
};

/* ---- */

struct tcp_relay *tcp_relay_new(struct ev *ev, struct netif *n,
				struct icmp *icmp, const struct dial *dial,
				const struct tcp_relay_cfg *cfg,
				const struct tcp_local *local,
				unsigned int nlocal)
{
	const struct tcp_conf conf = {
		.max_conns = cfg->max_flows,
		.max_window = 4u << 20,
		.keepalive_s = KEEPALIVE_S,
		.congestion = cfg->congestion,
	};
	struct tcp_relay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	ASSERT(nlocal <= ARRAY_SIZE(r->local));
	r->ev = ev;
	r->icmp = icmp;
	r->dial = dial;
	r->cfg = *cfg;
	r->nlocal = nlocal;
	memcpy(r->local, local, nlocal * sizeof(*local));
	r->reap.run = reap;
	r->sndbuf_max = sndbuf_max();
	dial_gate_init(&r->gate, cfg->max_dials, cfg->max_flows);
	r->skip = malloc(PEEK_LONG_MAX);
	if (r->skip && slab_init(&r->flows, sizeof(struct tflow),
				 cfg->max_flows) == 0) {
		r->ts = tcp_stack_new(n, &conf, &ops, r);
		if (r->ts)
			return r;
		slab_done(&r->flows);
	}
	free(r->skip);
	free(r);
	errno = ENOMEM;
	return NULL;
}

static void abort_one(void *arg, struct tcp *c)
{
	(void)arg;
	tcp_abort(c);
}

void tcp_relay_free(struct tcp_relay *r)
{
	tcp_each(r->ts, abort_one, r);
	tcp_flush(r->ts);
	while (r->oldest)
		flow_end(r->oldest, false);
	ev_undefer(r->ev, &r->reap);
	reap(&r->reap);
	tcp_stack_free(r->ts);
	slab_done(&r->flows);
	free(r->skip);
	free(r);
}

bool tcp_relay_flush(struct tcp_relay *r)
{
	bool more = tcp_flush(r->ts);

	ev_undefer(r->ev, &r->reap);
	reap(&r->reap);
	return more;
}

struct tcp_stack *tcp_relay_stack(struct tcp_relay *r)
{
	return r->ts;
}

void tcp_relay_stats(const struct tcp_relay *r, struct tcp_relay_stats *st)
{
	*st = r->st;
}
