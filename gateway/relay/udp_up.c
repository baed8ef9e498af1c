#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/count.h"
#include "base/fd.h"
#include "gateway/relay/udp_priv.h"

/*
 * udp_relay - guest to host
 *
 * Small datagrams are copied and wait until the end of the turn; those to one
 * endpoint and of one size become a train, which the kernel cuts again
 * (UDP_SEGMENT): its stack is walked once, not once for each.  All trains of a
 * flow leave in one system call.  Whatever would change their order sends what
 * waits first: another flow, another path, a long datagram, a train made by the
 * guest itself.
 */

/* #syscalls sendmsg sendmmsg */

#define COPY_MAX	2048	/* what is longer goes without a copy */
#define TRAIN_MAX	64	/* the kernel's limit, UDP_MAX_SEGMENTS */
#define TRAIN_BYTES	65000	/* of payload, in one packet */

COUNT(drop_udp_denied, "UDP datagrams that the policy denied");
COUNT(drop_udp_send, "UDP datagrams that the host did not take");

/* ---- one train ------------------------------------------------------------ */

static void put_segment(struct msghdr *m, char *ctl, uint16_t size)
{
	struct cmsghdr *c;

	m->msg_control = ctl;
	m->msg_controllen = CMSG_SPACE(sizeof(size));
	memset(ctl, 0, m->msg_controllen);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
}

/* @gso: 0, or the size of the datagrams that the kernel cuts it into */
static int send_once(struct uflow *f, const struct ipaddr *host, uint16_t port,
		     const struct iovec *iov, int n, uint16_t gso)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(sizeof(uint16_t))];
	struct sockaddr_storage ss;
	struct msghdr m = { .msg_name = &ss,
			    .msg_iov = (struct iovec *)(uintptr_t)iov,
			    .msg_iovlen = (size_t)n };

	m.msg_namelen = ipaddr_to_sa(host, port, &ss);
	if (gso)
		put_segment(&m, ctl, gso);
	/* An earlier datagram's error is reported once, in place of this send */
	for (int i = 0; i < 2; i++) {
		if (sendmsg(f->src.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EAGAIN || errno == EMSGSIZE)
			break;
	}
	return -errno;
}

/**
 * send_train() - At once if the kernel cuts it, else one by one
 * @lost:	Incremented for each datagram that the host did not take
 *
 * Return: 0; -errno of the last one lost
 */
static int send_train(struct uflow *f, const struct ipaddr *host, uint16_t port,
		      const struct iovec *iov, int n, size_t len, uint16_t gso,
		      unsigned int *lost)
{
	struct iovec v[LINK_IOV_MAX + 1];
	int rc, last = 0;

	if (!gso || gso <= f->train_max) {
		rc = send_once(f, host, port, iov, n, gso);
		if (rc == 0)
			return 0;
		if (!gso || rc == -EAGAIN) {
			*lost += gso ? (unsigned int)(len / gso + 1) : 1;
			return rc;
		}
		if (rc == -EINVAL || rc == -EMSGSIZE || rc == -EIO)
			f->train_max = (uint16_t)(gso - 1);
	}
	for (size_t off = 0; off < len; off += gso) {
		size_t k = MIN((size_t)gso, len - off);
		int m = iov_slice(iov, n, off, k, v, LINK_IOV_MAX + 1);

		rc = m < 0 ? m : send_once(f, host, port, v, m, 0);
		if (rc < 0) {
			++*lost;
			last = rc;
		}
	}
	return last;
}

static bool is_told(int rc)
{
	return rc == -ENETUNREACH || rc == -EHOSTUNREACH || rc == -EPERM ||
	       rc == -EACCES;
}

/* ---- what waits ----------------------------------------------------------- */

static void retry(struct uflow *f, const struct up_train *t, uint8_t *data)
{
	const struct iovec iov = { .iov_base = data, .iov_len = t->len };
	unsigned int lost = 0;
	int rc = send_train(f, &t->host, t->port, &iov, 1, t->len,
			    t->n > 1 ? t->size : 0, &lost);

	count_add(drop_udp_send, lost);
	if (is_told(rc))
		udp_error(f, icmp_err_of(-rc), &t->seen, &t->seen, t->port,
			  data, MIN(t->len, (size_t)t->size), 0);
}

void udp_up_flush(struct udp_relay *r)
{
	_Alignas(struct cmsghdr) char
		ctl[UDP_UP_MSGS][CMSG_SPACE(sizeof(uint16_t))];
	struct sockaddr_storage ss[UDP_UP_MSGS];
	struct mmsghdr m[UDP_UP_MSGS];
	struct iovec iov[UDP_UP_MSGS];
	struct up_batch *b = &r->up;
	struct uflow *f = b->f;
	const unsigned int n = b->n;

	if (!f)
		return;
	b->f = NULL;	/* an error told to the guest may come back here */
	b->n = 0;
	b->used = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct up_train *t = &b->train[i];

		iov[i].iov_base = b->buf + t->off;
		iov[i].iov_len = t->len;
		m[i].msg_hdr = (struct msghdr){
			.msg_name = &ss[i], .msg_iov = &iov[i],
			.msg_namelen = ipaddr_to_sa(&t->host, t->port, &ss[i]),
			.msg_iovlen = 1 };
		if (t->n > 1)
			put_segment(&m[i].msg_hdr, ctl[i], t->size);
	}
	for (unsigned int i = 0; i < n;) {
		int k = sendmmsg(f->src.fd, m + i, n - i,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k > 0) {
			i += (unsigned int)k;
			continue;
		}
		retry(f, &b->train[i], iov[i].iov_base);
		i++;
	}
}

static void end_of_turn(struct ev_task *t)
{
	udp_up_flush(container_of(t, struct udp_relay, up.task));
}

static bool fits(const struct uflow *f, const struct up_train *t,
		 const struct upeer *p, size_t len)
{
	return !t->closed && len && len <= t->size && t->n < TRAIN_MAX &&
	       t->size <= f->train_max && t->len + len <= TRAIN_BYTES &&
	       t->port == p->key.port && ipaddr_eq(&t->host, &p->key.host);
}

static void queue(struct uflow *f, const struct upeer *p,
		  const struct udp_dgram *d)
{
	struct up_batch *b = &f->r->up;
	struct up_train *t = b->f == f ? &b->train[b->n - 1] : NULL;

	if (t && !fits(f, t, p, d->len))
		t = NULL;
	if (b->f && (b->f != f || b->used + d->len > UDP_UP_BUF ||
		     (!t && b->n == UDP_UP_MSGS))) {
		udp_up_flush(f->r);
		t = NULL;
	}
	if (!t) {
		t = &b->train[b->n++];
		*t = (struct up_train){
			.host = p->key.host, .seen = p->seen,
			.port = p->key.port, .size = (uint16_t)d->len,
			.off = b->used, .closed = !d->len };
	} else if (d->len < t->size) {
		t->closed = true;
	}
	iov_copy_out(d->iov, d->n, 0, b->buf + b->used, d->len);
	t->n++;
	t->len += d->len;
	b->used += d->len;
	b->f = f;
	b->task.run = end_of_turn;
	ev_defer(f->r->ev, &b->task);
}

/* ---- */

static bool allowed(struct udp_relay *r, const struct udp_dgram *d,
		    struct dial_target *to)
{
	if (dial_resolve(r->dial, &d->dst, d->dport, POLICY_PROTO_UDP, false,
			 to) == 0)
		return true;
	count_inc(drop_udp_denied);
	r->st.denied++;
	return false;
}

static void send_now(struct uflow *f, const struct upeer *p,
		     const struct udp_dgram *d)
{
	unsigned int lost = 0;
	int rc;

	udp_up_flush(f->r);
	rc = send_train(f, &p->key.host, p->key.port, d->iov, d->n, d->len,
			d->gso_size, &lost);
	count_add(drop_udp_send, lost);
	if (is_told(rc))
		icmp_error(f->r->icmp, icmp_err_of(-rc), &d->dst, d->pkt->ip,
			   d->pkt->ip_head, 0);
}

void udp_relay_input(struct udp_relay *r, const struct udp_dgram *d)
{
	const struct ukey k = { .guest = d->src, .port = d->sport };
	const struct path path = path_of(d->pkt);
	struct uflow *f = udp_flow_get(r, &k, false);
	struct dial_target to;
	struct upeer *p;

	if (!allowed(r, d, &to))
		return;			/* and makes no flow */
	if (!f)
		f = udp_flow_get(r, &k, true);
	if (!f)
		return;			/* and that was counted */
	p = udp_peer_get(f, &to.addr[0], to.port, &d->dst);
	udp_flow_used(f);
	if (!path_is(&f->path, &path)) {
		if (r->up.f == f)
			udp_up_flush(r);
		path_set(f->src.fd, ipaddr_is4(&d->src), &f->path, &path);
	}
	r->st.up_dgrams += d->gso_size ?
			   (d->len + d->gso_size - 1) / d->gso_size : 1;
	r->st.up_bytes += d->len;
	if (d->gso_size || d->len > COPY_MAX)
		send_now(f, p, d);
	else
		queue(f, p, d);
}
