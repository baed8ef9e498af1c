#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/count.h"
#include "base/wr.h"
#include "gateway/relay/udp_priv.h"
#include "gateway/wire/udp.h"

/*
 * udp_relay - host to guest
 *
 * The kernel hands over trains of datagrams from one endpoint (UDP_GRO), and the
 * link cuts them in the guest's kernel, if it can.  CPU of the gateway for each
 * datagram of 1400 bytes in trains of 44: 634 ns; one by one, 1392.
 *
 * While the link is full no socket is read: what comes waits, and is lost, in
 * the socket's own buffer, which costs nothing.  What had been read already waits
 * in the batch.  A datagram that is longer than the link's room can be cut off
 * in the middle of its fragments; it gets a second try and no third.
 */

/* #syscalls recvmmsg recvmsg getsockopt */

#define ERRORS_MAX	16	/* error queue entries a turn, from one socket */
#define QUOTE_MAX	1232	/* of the payload, in an ICMP error */
#define UNSTALL_BATCH	16	/* flows let in a turn after the link was full */

COUNT(drop_udp_filtered, "UDP datagrams from endpoints not sent to before");
COUNT(drop_udp_rcvbuf, "UDP datagrams that came faster than they were fetched");
COUNT(drop_udp_link, "UDP datagrams for the guest lost: no link, or too long");
COUNT(drop_udp_errors, "Times that errors about UDP found no room to wait in");

/* ---- datagrams ------------------------------------------------------------ */

void udp_down_init(struct down_batch *b)
{
	for (size_t i = 0; i < UDP_DOWN_BATCH; i++) {
		b->iov[i].iov_base = b->buf + i * UDP_DGRAM_MAX;
		b->iov[i].iov_len = UDP_DGRAM_MAX;
		b->m[i].msg_hdr.msg_name = &b->from[i];
		b->m[i].msg_hdr.msg_iov = &b->iov[i];
		b->m[i].msg_hdr.msg_iovlen = 1;
		b->m[i].msg_hdr.msg_control = b->ctl[i];
	}
}

/* @all: since the socket was made; a message that is looked at twice adds nothing */
static void count_lost(struct uflow *f, uint32_t all)
{
	count_add(drop_udp_rcvbuf, all - f->lost);
	f->lost = all;
}

/* The size of a train's datagrams, the traffic class, what was lost before it */
static void take_ctl(struct uflow *f, struct msghdr *m, struct udp_train *t)
{
	int v;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			t->tos = *CMSG_DATA(c);		/* one byte */
			continue;
		}
		if (c->cmsg_len < CMSG_LEN(sizeof(v)))
			continue;
		memcpy(&v, CMSG_DATA(c), sizeof(v));
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			t->gso_size = (uint16_t)v;
		else if (c->cmsg_level == SOL_SOCKET &&
			 c->cmsg_type == SO_RXQ_OVFL)
			count_lost(f, (uint32_t)v);
		else if (c->cmsg_level == IPPROTO_IPV6 &&
			 c->cmsg_type == IPV6_TCLASS)
			t->tos = (uint8_t)v;
	}
}

/* Who it is for the guest; false if nobody who may come in */
static bool sender(struct uflow *f, const struct sockaddr_storage *from,
		   struct udp_train *t)
{
	struct ipaddr host;
	struct upeer *p;

	if (ipaddr_from_sa(from, &host, &t->sport) < 0)
		return false;
	p = udp_peer_find(f, &host, t->sport);
	if (p)
		t->src = p->seen;
	else if (f->r->cfg.endpoint_independent && !ipaddr_is_loopback(&host))
		t->src = host;
	else
		return false;
	return true;
}

/**
 * deliver() - Give the guest the next message of the batch
 *
 * Return: false if it must wait for room in the link
 */
static bool deliver(struct uflow *f, struct down_batch *b)
{
	struct udp_relay *r = f->r;
	struct mmsghdr *m = &b->m[b->next];
	struct udp_train t = { .dst = f->key.guest, .dport = f->key.port,
			       .data = b->iov[b->next].iov_base,
			       .len = m->msg_len, .off = b->off };
	size_t n;
	int rc;

	take_ctl(f, &m->msg_hdr, &t);
	if (t.gso_size >= t.len)
		t.gso_size = 0;
	n = t.gso_size ? (t.len + t.gso_size - 1) / t.gso_size : 1;
	if (!sender(f, &b->from[b->next], &t)) {
		count_add(drop_udp_filtered, n);
		return true;
	}
	udp_flow_answered(f);
	udp_flow_used(f);
	rc = udp_send_train(r->udp, &t);
	if (rc == -EAGAIN && !(b->tried && t.off == b->off)) {
		b->tried = true;
		b->off = t.off;
		return false;
	}
	if (rc < 0) {
		size_t got = t.gso_size ? t.off / t.gso_size : 0;

		count_add(drop_udp_link, n - got);
		n = got;
	}
	r->st.down_dgrams += n;
	r->st.down_bytes += rc < 0 ? t.off : t.len;
	return true;
}

/* The rest of the batch; false if some of it must wait */
static bool deliver_all(struct udp_relay *r)
{
	struct down_batch *b = &r->down;
	struct uflow *f = slab_get(&r->flows.slab, b->flow);

	while (b->next < b->n) {
		if (f && !f->flow.dead && !deliver(f, b))
			return false;
		b->next++;
		b->off = 0;
		b->tried = false;
	}
	return true;
}

static void stall(struct uflow *f)
{
	struct udp_relay *r = f->r;

	if (f->stalled_at)
		return;
	f->stalled_next = NULL;
	f->stalled_at = r->stalled_end;
	*r->stalled_end = f;
	r->stalled_end = &f->stalled_next;
	ev_mod(r->ev, &f->src, 0);
}

void udp_down_forget(struct uflow *f)
{
	if (!f->stalled_at)
		return;
	*f->stalled_at = f->stalled_next;
	if (f->stalled_next)
		f->stalled_next->stalled_at = f->stalled_at;
	else
		f->r->stalled_end = f->stalled_at;
	f->stalled_at = NULL;
}

/* The others next time, unless the link is full again by then */
void udp_down_unstall(struct ev_task *t)
{
	struct udp_relay *r = container_of(t, struct udp_relay, unstall);

	if (r->down.next < r->down.n || netif_is_full(r->udp->netif))
		return;
	for (int i = 0; i < UNSTALL_BATCH && r->stalled; i++) {
		struct uflow *f = r->stalled;

		udp_down_forget(f);
		ev_mod(r->ev, &f->src, EPOLLIN);
	}
	if (r->stalled)
		ev_defer(r->ev, t);
}

void udp_relay_room(struct udp_relay *r)
{
	if (deliver_all(r))
		udp_down_unstall(&r->unstall);
}

static void take_datagrams(struct uflow *f)
{
	struct udp_relay *r = f->r;
	struct down_batch *b = &r->down;
	int n;

	if (b->next < b->n || netif_is_full(r->udp->netif)) {
		stall(f);
		return;
	}
	for (size_t i = 0; i < UDP_DOWN_BATCH; i++) {
		b->m[i].msg_hdr.msg_namelen = sizeof(b->from[i]);
		b->m[i].msg_hdr.msg_controllen = sizeof(b->ctl[i]);
	}
	n = recvmmsg(f->src.fd, b->m, UDP_DOWN_BATCH, MSG_DONTWAIT, NULL);
	b->n = n < 0 ? 0 : (unsigned int)n;
	b->next = 0;
	b->flow = slab_id(&r->flows.slab, f);
	if (!deliver_all(r))
		stall(f);
}

/* ---- errors --------------------------------------------------------------- */

void udp_error(struct uflow *f, enum icmp_err what, const struct ipaddr *from,
	       const struct ipaddr *seen, uint16_t port, const void *data,
	       size_t len, uint32_t mtu)
{
	uint8_t buf[UDP_HDR_LEN + QUOTE_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	struct udp_hdr h = { .sport = f->key.port, .dport = port };

	len = MIN(len, (size_t)QUOTE_MAX);
	h.len = (uint16_t)(UDP_HDR_LEN + len);
	udp_emit(&h, &w);
	wr_bytes(&w, data, len);
	icmp_error_l4(f->r->icmp, what, from, &f->key.guest, seen, IPPROTO_UDP,
		      buf, wr_len(&w), mtu);
}

/* Who says so: a router on the way, the gateway, in doubt the destination */
static struct ipaddr teller(const struct udp_relay *r,
			    const struct path_error *e,
			    const struct ipaddr *seen)
{
	const bool v4 = ipaddr_is4(seen);

	if (e->told && ipaddr_is4(&e->from) == v4)
		return e->from;
	if (e->local && e->what == ICMP_ERR_TOO_BIG)
		return v4 ? r->dial->gw4 : r->dial->gw6;
	return *seen;
}

/*
 * The queue of errors shares the socket's buffer.  What finds no room there leaves
 * only its number, and that wakes us until somebody asks for it: whoever reads
 * does, but while the link is full nobody reads.
 */
static void take_lost_error(struct uflow *f)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(f->src.fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err)
		count_inc(drop_udp_errors);
}

static void take_errors(struct uflow *f)
{
	uint8_t buf[QUOTE_MAX];
	struct path_error e;
	struct ipaddr host, from;
	struct upeer *p;
	uint16_t port;

	for (int i = 0; i < ERRORS_MAX; i++) {
		int rc = path_error(f->src.fd, buf, sizeof(buf), &e);

		if (rc < 0 && !i)
			take_lost_error(f);
		if (rc < 0)
			return;
		if (!rc || ipaddr_from_sa(&e.to, &host, &port) < 0)
			continue;
		p = udp_peer_find(f, &host, port);
		if (!p)
			continue;
		from = teller(f->r, &e, &p->seen);
		udp_error(f, e.what, &from, &p->seen, port, buf, e.len, e.mtu);
	}
}

void udp_down_ready(struct ev_src *src, uint32_t events)
{
	struct uflow *f = container_of(src, struct uflow, src);

	if (events & EPOLLERR)
		take_errors(f);
	if (events & EPOLLIN && !f->flow.dead)
		take_datagrams(f);
}
