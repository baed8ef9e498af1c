#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/wr.h"
#include "gateway/relay/flows.h"
#include "gateway/relay/icmp_relay.h"
#include "gateway/relay/path.h"
#include "gateway/wire/icmp4.h"
#include "gateway/wire/icmp6.h"

/* #syscalls connect sendmsg recvmsg setsockopt getsockopt close */

#define IDLE		(10 * NS_PER_S)
#define REPLY_MAX	65536
#define BATCH		16
#define QUOTE_MAX	1240	/* of the request, in an ICMP error */
#define FLOWS_PER_S	200	/* without an answer; 30 us each */

COUNT(drop_ping_denied, "Echo requests that the policy denied");
COUNT(drop_ping_no_socket, "Echo requests lost: the host has no ping sockets");
COUNT(ping_evicted, "Pings ended early because the table was full");
COUNT(drop_ping_rate, "Echo requests lost: too many that nobody answered");
COUNT(drop_ping_send, "Echo requests that the host did not take");

struct fkey {
	struct ipaddr guest, dst;
	uint16_t id, pad[3];
};

/** struct pflow - One destination and identifier, and its ping socket */
struct pflow {
	struct flow flow;
	struct icmp_relay *r;
	struct ev_src src;
	struct timer idle;
	struct fkey key;
	struct path path;
	uint64_t last_ns;
	bool answered;
};

struct icmp_relay {
	struct ev *ev;
	struct icmp *icmp;
	const struct dial *dial;
	struct flows flows;
	struct hash by_key;
	struct dial_rate rate;
	uint8_t *buf;
	bool told;
};

static void flow_end(struct pflow *f)
{
	struct icmp_relay *r = f->r;

	if (f->flow.dead)
		return;
	timer_del(ev_timerq(r->ev), &f->idle);
	hash_del(&r->by_key, &f->key, sizeof(f->key));
	ev_del(r->ev, &f->src);
	fd_close(&f->src.fd);
	flows_end(&r->flows, &f->flow);
}

static void flow_used(struct pflow *f)
{
	f->last_ns = ev_now(f->r->ev);
	flows_used(&f->r->flows, &f->flow);
}

static void on_idle(struct timer *t)
{
	struct pflow *f = container_of(t, struct pflow, idle);
	struct timerq *q = ev_timerq(f->r->ev);

	if (f->last_ns + IDLE > timerq_now(q))
		timer_set(q, t, f->last_ns + IDLE);
	else
		flow_end(f);
}

static bool key_eq(const void *key, uint32_t slot, void *arg)
{
	const struct pflow *f = slab_at(arg, slot);

	return f && !memcmp(key, &f->key, sizeof(f->key));
}

/* ---- host to guest -------------------------------------------------------- */

static int ttl_of(struct msghdr *m)
{
	int ttl = 64;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
		    (c->cmsg_level == IPPROTO_IPV6 &&
		     c->cmsg_type == IPV6_HOPLIMIT))
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
	return ttl;
}

static void deliver(struct pflow *f, const uint8_t *msg, size_t len, int ttl)
{
	const bool v4 = ipaddr_is4(&f->key.dst);
	struct rd r = rd_init(msg, len);
	struct iovec data;
	uint8_t type = rd_u8(&r);
	uint16_t seq;

	rd_take(&r, 1 + 2 + 2);		/* code, checksum, the kernel's id */
	seq = rd_u16(&r);
	if (r.bad || type != (v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY))
		return;
	data.iov_base = (void *)(uintptr_t)r.p;
	data.iov_len = rd_left(&r);
	flow_used(f);
	if (!f->answered)
		dial_rate_give(&f->r->rate);
	f->answered = true;
	icmp_echo_reply(f->r->icmp, &f->key.dst, &f->key.guest, (uint8_t)ttl,
			f->key.id, seq, &data, 1);
}

/* What came back of the request, with the identifier that the guest gave it */
static void tell_error(struct pflow *f, const struct path_error *e,
		       const uint8_t *msg)
{
	const bool v4 = ipaddr_is4(&f->key.dst);
	struct rd r = rd_init(msg, e->len);
	uint8_t buf[QUOTE_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	struct icmp4 m;		/* the same 8 bytes in ICMPv6 */
	struct ipaddr from = f->key.dst;

	if (e->local || icmp4_parse(&r, &m))
		return;		/* told when sendmsg() said so */
	if (e->told && ipaddr_is4(&e->from) == v4)
		from = e->from;
	m.rest = (uint32_t)f->key.id << 16 | (m.rest & 0xffff);
	m.csum = 0;		/* of the host's request, not the guest's */
	icmp4_emit(&m, &w);
	wr_bytes(&w, r.p, rd_left(&r));
	icmp_error_l4(f->r->icmp, e->what, &from, &f->key.guest, &f->key.dst,
		      v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, buf, wr_len(&w),
		      e->mtu);
}

static void take_errors(struct pflow *f)
{
	uint8_t buf[QUOTE_MAX];
	struct path_error e;

	for (int i = 0; i < BATCH; i++) {
		int rc = path_error(f->src.fd, buf, sizeof(buf), &e);

		if (rc < 0)
			break;
		if (rc)
			tell_error(f, &e, buf);
	}
}

static void flow_ready(struct ev_src *src, uint32_t events)
{
	struct pflow *f = container_of(src, struct pflow, src);
	_Alignas(struct cmsghdr) char ctl[64];

	if (events & EPOLLERR)
		take_errors(f);
	for (int i = 0; i < BATCH && !f->flow.dead; i++) {
		struct iovec iov = { .iov_base = f->r->buf,
				     .iov_len = REPLY_MAX };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
				    .msg_control = ctl,
				    .msg_controllen = sizeof(ctl) };
		ssize_t n = recvmsg(src->fd, &m, MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			continue;	/* an error that has been told above */
		if (n < 0)
			return;
		deliver(f, f->r->buf, (size_t)n, ttl_of(&m));
	}
}

/* ---- guest to host -------------------------------------------------------- */

static int flow_socket(struct icmp_relay *r, const struct ipaddr *to)
{
	const bool v4 = ipaddr_is4(to);
	struct sockaddr_storage ss;
	socklen_t len = ipaddr_to_sa(to, 0, &ss);
	const int one = 1;
	int fd, rc;

	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (fd < 0) {
		rc = -errno;
		count_inc(drop_ping_no_socket);
		if (!r->told)
			log_warn("guests can ping the gateway only: no ping "
				 "sockets on this host (%s); sysctl -w "
				 "net.ipv4.ping_group_range=\"0 2147483647\"",
				 strerror(-rc));
		r->told = true;
		return rc;
	}
	path_open(fd, v4);
	if (v4)
		setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one,
			   sizeof(one));
	if (connect(fd, (const struct sockaddr *)&ss, len) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static struct pflow *flow_new(struct icmp_relay *r, const struct fkey *k,
			      int fd)
{
	struct pflow *f;

	if (flows_is_full(&r->flows) && r->flows.oldest) {
		count_inc(ping_evicted);
		flow_end(container_of(r->flows.oldest, struct pflow, flow));
		flows_reap(&r->flows);	/* no handler of a flow is running */
	}
	f = flows_new(&r->flows);
	if (!f) {
		count_inc(drop_ping_no_socket);
		close(fd);
		return NULL;
	}
	f->r = r;
	f->src.fd = fd;
	f->src.ready = flow_ready;
	f->idle.fire = on_idle;
	f->key = *k;
	if (hash_add(&r->by_key, k, sizeof(*k),
		     slab_slot(&r->flows.slab, f)) < 0 ||
	    ev_add(r->ev, &f->src, EPOLLIN) < 0) {
		flow_end(f);
		return NULL;
	}
	timer_set(ev_timerq(r->ev), &f->idle, ev_now(r->ev) + IDLE);
	return f;
}

/* The host says what is too long for it, but not how long it may be */
static void tell_too_big(struct pflow *f, const struct pkt *p)
{
	const bool v4 = ipaddr_is4(&p->dst);
	const struct dial *d = f->r->dial;
	int mtu = 0;
	socklen_t len = sizeof(mtu);

	if (getsockopt(f->src.fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
		       v4 ? IP_MTU : IPV6_MTU, &mtu, &len) == 0 && mtu > 0)
		icmp_error(f->r->icmp, ICMP_ERR_TOO_BIG,
			   v4 ? &d->gw4 : &d->gw6, p->ip, p->ip_head,
			   (uint32_t)mtu);
}

static void send_echo(struct pflow *f, const struct pkt *p, uint16_t seq,
		      const struct iovec *data, int n)
{
	const bool v4 = ipaddr_is4(&f->key.dst);
	uint8_t head[8] = { v4 ? ICMP4_ECHO : ICMP6_ECHO };
	struct iovec v[LINK_IOV_MAX + 2];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n + 1 };
	const struct path path = path_of(p);

	if (n > LINK_IOV_MAX + 1)
		return;
	if (!path_is(&f->path, &path))
		path_set(f->src.fd, v4, &f->path, &path);
	head[6] = (uint8_t)(seq >> 8);	/* the kernel writes sum and id */
	head[7] = (uint8_t)seq;
	v[0] = (struct iovec){ .iov_base = head, .iov_len = sizeof(head) };
	memcpy(v + 1, data, (size_t)n * sizeof(*data));
	/* An earlier request's error is reported once, in place of this send */
	for (int i = 0; i < 2; i++) {
		if (sendmsg(f->src.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return;
		if (errno == EAGAIN || errno == EMSGSIZE)
			break;
	}
	count_inc(drop_ping_send);
	if (errno == EMSGSIZE)
		tell_too_big(f, p);
}

static void on_echo(void *arg, const struct pkt *p, uint16_t id, uint16_t seq,
		    const struct iovec *data, int n)
{
	struct icmp_relay *r = arg;
	const struct fkey k = { .guest = p->src, .dst = p->dst, .id = id };
	const enum policy_proto proto = ipaddr_is4(&p->dst) ?
					POLICY_PROTO_ICMP4 :
					POLICY_PROTO_ICMP6;
	uint32_t slot = hash_find(&r->by_key, &k, sizeof(k));
	struct pflow *f = slot == HASH_NONE ? NULL :
			  slab_at(&r->flows.slab, slot);
	const struct policy_query q = { .dst = p->dst, .port = -1,
					.proto = proto };
	int fd;

	if (!policy_egress(r->dial->policy, &q).allow) {
		count_inc(drop_ping_denied);
		return;
	}
	if (!f && !dial_rate_take(&r->rate, ev_now(r->ev))) {
		count_inc(drop_ping_rate);
		return;
	}
	if (!f) {
		fd = flow_socket(r, &p->dst);
		if (fd == -ENETUNREACH || fd == -EHOSTUNREACH)
			icmp_error(r->icmp, icmp_err_of(-fd), &p->dst, p->ip,
				   p->ip_head, 0);
		f = fd < 0 ? NULL : flow_new(r, &k, fd);
	}
	if (!f)
		return;
	flow_used(f);
	send_echo(f, p, seq, data, n);
}

static bool on_ping(void *arg, const struct pkt *p)
{
	struct icmp_relay *r = arg;
	const struct policy_query q = {
		.dst = p->dst,
		.port = -1,
		.proto = ipaddr_is4(&p->dst) ? POLICY_PROTO_ICMP4 :
					       POLICY_PROTO_ICMP6,
	};

	if (policy_egress(r->dial->policy, &q).allow)
		return true;
	count_inc(drop_ping_denied);
	return false;
}

const struct icmp_ops *icmp_relay_ops(void)
{
	static const struct icmp_ops ops = {
		.ping = on_ping,
		.echo = on_echo,
	};

	return &ops;
}

/* ---- */

struct icmp_relay *icmp_relay_new(struct ev *ev, const struct dial *dial,
				  uint32_t max_flows)
{
	struct icmp_relay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ev = ev;
	r->dial = dial;
	dial_rate_init(&r->rate, FLOWS_PER_S,
		       MAX(max_flows, DIAL_BURST_MIN));
	r->buf = malloc(REPLY_MAX);
	if (r->buf &&
	    flows_init(&r->flows, ev, sizeof(struct pflow), max_flows) == 0 &&
	    hash_init(&r->by_key, max_flows, key_eq, &r->flows.slab) == 0)
		return r;
	icmp_relay_free(r);
	errno = ENOMEM;
	return NULL;
}

void icmp_relay_bind(struct icmp_relay *r, struct icmp *icmp)
{
	r->icmp = icmp;
}

void icmp_relay_free(struct icmp_relay *r)
{
	while (r->flows.newest)
		flow_end(container_of(r->flows.newest, struct pflow, flow));
	hash_done(&r->by_key);
	flows_done(&r->flows);
	free(r->buf);
	free(r);
}
