#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "tests/unit/tcp_rig.h"

static const uint8_t gw_mac[6] = { 0x02, 0x6d, 0x73, 0, 0, 1 };
static const uint8_t guest_mac[6] = { 0x02, 0x6d, 0x73, 0, 0, 2 };

/* --- owner ---------------------------------------------------------------- */

static void op_open(void *arg, struct tcp *c)
{
	struct rig *r = arg;
	struct rig_conn *k = &r->conn[r->nconn++ % RIG_CONNS];

	free(k->rx);
	*k = (struct rig_conn){
		.c = c, .id = tcp_id(c), .room = 1 << 20, .opened = true,
		.gport = tcp_tuple(c)->guest_port,
	};
	tcp_set_user(c, k);
	if (!r->conf.manual)
		tcp_accept(c);
}

static enum tcp_admit op_admit(void *arg, const struct tcp_tuple *tuple)
{
	const struct rig *r = arg;

	assert_int_equal(tuple->peer_port, RIG_PEER_PORT);
	return r->admit;
}

static size_t op_room(void *arg, struct tcp *c)
{
	const struct rig_conn *k = tcp_user(c);

	(void)arg;
	assert_false(k->closed);
	return k->room;
}

static ssize_t op_recv(void *arg, struct tcp *c, const struct iovec *iov, int n,
		       size_t len)
{
	struct rig_conn *k = tcp_user(c);
	size_t take = MIN(len, k->room);
	uint8_t *more;

	(void)arg;
	assert_int_equal(iov_len(iov, n), len);
	assert_true(len > 0);
	assert_false(k->got_fin || k->closed);
	k->recvs++;
	if (k->abort_in_recv)
		tcp_abort(c);
	if (k->fail_recv)
		return k->fail_recv;
	if (k->recv_max)
		take = MIN(take, k->recv_max);
	if (k->rx_len + take > k->rx_cap) {
		k->rx_cap = 2 * (k->rx_len + take);
		more = realloc(k->rx, k->rx_cap);
		assert_non_null(more);
		k->rx = more;
	}
	iov_copy_out(iov, n, 0, k->rx + k->rx_len, take);
	k->rx_len += take;
	if (!k->room_fixed)
		k->room -= take;
	return (ssize_t)take;
}

static void op_recv_fin(void *arg, struct tcp *c)
{
	struct rig_conn *k = tcp_user(c);

	(void)arg;
	assert_false(k->got_fin || k->closed);
	k->got_fin = true;
}

static ssize_t op_peek(void *arg, struct tcp *c, size_t off,
		       const struct iovec *iov, int n, size_t len)
{
	struct rig_conn *k = tcp_user(c);
	uint64_t at = k->tx_off + off, left;

	(void)arg;
	k->peeks++;
	assert_int_equal(iov_len(iov, n), len);
	assert_false(k->closed);
	assert_true(at <= k->tx_len);
	if (k->abort_in_peek)
		tcp_abort(c);
	if (k->fail_peek)
		return k->fail_peek;
	left = k->tx_len - at;
	if (!left)
		return k->tx_eof ? -ENODATA : 0;
	len = MIN(len, left);
	/* One piece is the common case; be quick there */
	for (size_t done = 0; done < MIN(len, iov[0].iov_len); done++)
		((uint8_t *)iov[0].iov_base)[done] = rig_byte(at + done);
	for (size_t done = iov[0].iov_len; done < len; done++) {
		uint8_t b = rig_byte(at + done);

		iov_copy_in(iov, n, done, &b, 1);
	}
	return (ssize_t)len;
}

static void op_acked(void *arg, struct tcp *c, size_t n)
{
	struct rig_conn *k = tcp_user(c);

	(void)arg;
	assert_true(n > 0);
	assert_false(k->closed);
	k->tx_off += n;
	assert_true(k->tx_off <= k->tx_len);
}

static void op_closed(void *arg, struct tcp *c, int why)
{
	struct rig_conn *k = tcp_user(c);

	(void)arg;
	assert_int_equal(k->closes++, 0);
	k->closed = true;
	k->why = why;
}

static void op_connected(void *arg, struct tcp *c)
{
	struct rig_conn *k = tcp_user(c);

	(void)arg;
	assert_string_equal(tcp_state_name(c), "ESTABLISHED");
	assert_false(k->connected || k->closed);
	k->connected = true;
	if (k->abort_in_connected)
		tcp_abort(c);
}

static void op_established(void *arg, struct tcp *c)
{
	struct rig_conn *k = tcp_user(c);

	(void)arg;
	assert_false(k->established || k->closed);
	k->established = true;
}

static const struct tcp_ops ops = {
	.admit = op_admit, .established = op_established,
	.open = op_open, .room = op_room, .recv = op_recv,
	.recv_fin = op_recv_fin, .peek = op_peek, .acked = op_acked,
	.connected = op_connected, .closed = op_closed,
};

/* --- guest ---------------------------------------------------------------- */

static struct ipaddr guest_addr(const struct rig *r)
{
	return r->conf.v6 ? r->netif.conf.guest6 : r->netif.conf.guest4;
}

static struct ipaddr peer_addr(const struct rig *r)
{
	struct ipaddr a;
	struct span t = span_str(r->conf.v6 ? "2001:db8::9" : "192.0.2.9");

	assert_int_equal(ipaddr_parse(t, &a), 0);
	return a;
}

/* Checksums and metadata of every frame are checked here, once for all */
static void check_frame(const struct rig *r, const struct link_vnet *vh,
			const uint8_t *l4, size_t len, size_t hlen)
{
	struct csum c = { 0 };
	struct ipaddr src = peer_addr(r), dst = guest_addr(r);

	if (vh->flags & LINK_VNET_F_NEEDS_CSUM) {
		assert_true(r->conf.features & LINK_F_CSUM);
		assert_int_equal(l4[16] << 8 | l4[17],
				 csum_partial(&src, &dst, IPPROTO_TCP,
					      (uint32_t)len));
	} else {
		csum_pseudo(&c, &src, &dst, IPPROTO_TCP, (uint32_t)len);
		csum_add(&c, l4, len);
		assert_true(csum_ok(&c));
	}
	if (vh->gso_type)
		assert_true(len - hlen > vh->gso_size && vh->gso_size);
	else
		assert_true(len + (r->conf.v6 ? 40 : 20) <= r->conf.mtu);
}

static void from_engine(struct memlink *m, const struct link_vnet *vh,
			const uint8_t *frame, size_t len)
{
	struct rig *r = m->arg;
	size_t ip = r->conf.v6 ? IP6_HDR_LEN : IP4_HDR_LEN;
	struct rig_seg *s = &r->out[r->tail % RIG_QUEUE];
	const uint8_t *l4 = frame + ETH_HDR_LEN + ip;
	struct tcp_hdr h;

	assert_true(len >= ETH_HDR_LEN + ip + TCP_HDR_MIN);
	len -= ETH_HDR_LEN + ip;
	assert_int_equal(tcp_hdr_parse(rd_init(l4, len), &h), 0);
	assert_false(h.opt.bad);
	if (!r->conf.v6)		/* the path MTU is the link's: DF */
		assert_true(frame[ETH_HDR_LEN + 6] & 0x40);
	check_frame(r, vh, l4, len, h.hlen);
	if (r->mute)
		return;
	assert_true(r->tail - r->head < RIG_QUEUE);
	if (h.flags & S && !r->pisn_known) {
		r->pisn = h.seq;
		r->pisn_known = true;
	}
	free(s->data);
	*s = (struct rig_seg){
		.flags = h.flags, .wnd = h.wnd, .opt = h.opt,
		.seq = h.seq - (r->pisn_known ? r->pisn : 0),
		.ack = h.flags & A ? h.ack - r->gisn : 0,
		.len = len - h.hlen, .gso_size = vh->gso_size,
		.gport = h.dport, .pport = h.sport,
	};
	for (unsigned int i = 0; i < s->opt.nsack; i++) {
		s->opt.sack[i].start -= r->gisn;
		s->opt.sack[i].end -= r->gisn;
	}
	s->data = malloc(s->len + 1);
	assert_non_null(s->data);
	memcpy(s->data, l4 + h.hlen, s->len);
	r->tail++;
}

size_t rig_frame(struct rig *r, const struct rig_seg *s, uint8_t *buf,
		 size_t size, struct link_vnet *vh)
{
	struct wr w = wr_init(buf, size);
	struct eth e = { .type = r->conf.v6 ? ETH_TYPE_IP6 : ETH_TYPE_IP4 };
	struct tcp_hdr h = {
		.sport = s->gport ? s->gport : RIG_GUEST_PORT,
		.dport = s->pport ? s->pport : RIG_PEER_PORT,
		.seq = s->seq + r->gisn, .flags = s->flags, .wnd = s->wnd,
		.urg = s->urg,
		.ack = s->flags & A ? s->ack + r->pisn : 0, .opt = s->opt,
	};
	size_t len = tcp_hdr_len(&h) + s->len, l4;
	struct ipaddr src = guest_addr(r), dst = peer_addr(r);
	struct csum c = { 0 };
	uint8_t *pay;
	uint16_t sum;

	for (unsigned int i = 0; i < h.opt.nsack; i++) {
		h.opt.sack[i].start += r->pisn;
		h.opt.sack[i].end += r->pisn;
	}
	*vh = (struct link_vnet){ 0 };
	memcpy(e.dst, gw_mac, 6);
	memcpy(e.src, guest_mac, 6);
	eth_emit(&e, &w);
	if (r->conf.v6)
		ip6_emit(&(struct ip6){ .next = IPPROTO_TCP, .hop = 64,
			 .plen = (uint16_t)len, .src = src, .dst = dst }, &w);
	else
		ip4_emit(&(struct ip4){ .ttl = 64, .proto = IPPROTO_TCP,
			 .df = true, .len = (uint16_t)(IP4_HDR_LEN + len),
			 .src = src, .dst = dst }, &w);
	l4 = wr_len(&w);
	tcp_hdr_emit(&w, &h);
	pay = buf + wr_len(&w);
	wr_zero(&w, s->len);
	assert_false(w.bad);
	for (size_t i = 0; i < s->len; i++)
		pay[i] = s->data ? s->data[i] : rig_byte(s->seq - 1 + i);
	csum_pseudo(&c, &src, &dst, IPPROTO_TCP, (uint32_t)len);
	csum_add(&c, buf + l4, len);
	sum = csum_final(&c);
	if (r->conf.features & LINK_F_CSUM) {
		sum = csum_partial(&src, &dst, IPPROTO_TCP, (uint32_t)len);
		vh->flags = LINK_VNET_F_NEEDS_CSUM;
		vh->csum_start = (uint16_t)l4;
		vh->csum_offset = TCP_HDR_CSUM;
	}
	buf[l4 + 16] = (uint8_t)(sum >> 8);
	buf[l4 + 17] = (uint8_t)sum;
	if (s->len > (size_t)r->conf.mtu - 60 &&
	    r->conf.features & LINK_F_TSO4) {
		vh->gso_type = r->conf.v6 ? LINK_VNET_GSO_TCPV6 :
			       LINK_VNET_GSO_TCPV4;
		vh->gso_size = (uint16_t)(r->conf.mtu - 80);
		vh->hdr_len = (uint16_t)(l4 + h.hlen);
	}
	return wr_len(&w);
}

/* A first piece with all headers and some payload, and many small ones */
static void in_pieces(struct rig *r, const struct link_vnet *vh, uint8_t *b,
		      size_t len)
{
	const size_t first = NETIF_HEAD + 1, rest = LINK_IOV_MAX - 1;
	struct iovec iov[LINK_IOV_MAX];

	assert_true(len >= first + rest);
	iov[0] = (struct iovec){ .iov_base = b, .iov_len = first };
	for (size_t i = 0; i < rest; i++)
		iov[1 + i] = (struct iovec){ .iov_base = b + first + i,
					     .iov_len = 1 };
	iov[rest].iov_len = len - first - (rest - 1);
	link_input(&r->link.link, vh, iov, LINK_IOV_MAX);
	link_input_done(&r->link.link);
}

void rig_in_only(struct rig *r, const struct rig_seg *s)
{
	static uint8_t buf[LINK_FRAME_MAX];
	struct link_vnet vh;
	size_t len = rig_frame(r, s, buf, sizeof(buf), &vh);
	uint8_t *exact = malloc(len);

	assert_non_null(exact);
	memcpy(exact, buf, len);
	if (r->pieces)
		in_pieces(r, &vh, exact, len);
	else
		memlink_deliver(&r->link, &vh, exact, len);
	free(exact);
}

void rig_in_batch(struct rig *r, const struct rig_seg *s, size_t n, bool done)
{
	static uint8_t buf[LINK_FRAME_MAX];
	uint8_t **frame = calloc(n, sizeof(*frame));
	struct link_vnet vh;
	struct iovec iov;

	assert_non_null(frame);
	for (size_t i = 0; i < n; i++) {
		iov.iov_len = rig_frame(r, &s[i], buf, sizeof(buf), &vh);
		iov.iov_base = frame[i] = malloc(iov.iov_len);
		assert_non_null(frame[i]);
		memcpy(frame[i], buf, iov.iov_len);
		link_input(&r->link.link, &vh, &iov, 1);
	}
	if (done)
		link_input_done(&r->link.link);
	for (size_t i = 0; i < n; i++)
		free(frame[i]);
	free(frame);
}

void rig_in(struct rig *r, const struct rig_seg *s)
{
	rig_in_only(r, s);
	rig_flush(r);
}

void rig_seg(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack,
	     size_t len)
{
	rig_in(r, &(struct rig_seg){ .flags = flags, .seq = seq, .ack = ack,
				     .len = len, .wnd = 65535 });
}

/* --- script --------------------------------------------------------------- */

void rig_flush(struct rig *r)
{
	unsigned int turns = 0;

	while ((r->pending = tcp_flush(r->ts)))
		assert_true(turns++ < 10000);	/* it must come to rest */
}

static void wake(void *arg)
{
	struct rig *r = arg;

	r->wakes++;
}

static void addresses(struct netif_conf *c)
{
	memcpy(c->mac, gw_mac, 6);
	memcpy(c->guest_mac, guest_mac, 6);
	assert_int_equal(ipaddr_parse(span_str("100.96.0.1"), &c->gw4), 0);
	assert_int_equal(ipaddr_parse(span_str("100.96.0.2"), &c->guest4), 0);
	assert_int_equal(ipaddr_parse(span_str("fd42:6d73:62::1"), &c->gw6), 0);
	assert_int_equal(ipaddr_parse(span_str("fd42:6d73:62::2"), &c->guest6),
			 0);
	c->v4 = c->v6 = true;
	c->plen4 = 30;
	c->plen6 = 64;
}

void rig_init(struct rig *r, const struct rig_conf *conf)
{
	struct netif_conf nc = { 0 };
	struct tcp_conf tc;

	memset(r, 0, sizeof(*r));
	if (conf)
		r->conf = *conf;
	if (!r->conf.mtu)
		r->conf.mtu = 1500;
	if (!r->conf.max_conns)
		r->conf.max_conns = 16;
	if (!r->conf.max_window)
		r->conf.max_window = 4 << 20;
	tc = (struct tcp_conf){ .max_conns = r->conf.max_conns,
				.max_window = r->conf.max_window,
				.keepalive_s = r->conf.keepalive_s,
				.congestion = r->conf.congestion };
	r->gisn = 1000;
	nc.mtu = r->conf.mtu;
	addresses(&nc);
	assert_int_equal(timerq_init(&r->tq, r->conf.max_conns + 8), 0);
	timerq_set_now(&r->tq, 1000 * NS_PER_S);
	assert_int_equal(netif_init(&r->netif, &nc, &r->tq), 0);
	memlink_init(&r->link, r->conf.features, from_engine, r);
	netif_attach(&r->netif, &r->link.link);
	r->ts = tcp_stack_new(&r->netif, &tc, &ops, r);
	assert_non_null(r->ts);
	tcp_set_wake(r->ts, wake, r);
	count_reset();
}

void rig_done(struct rig *r)
{
	if (!r->mute)
		rig_quiet(r);
	tcp_stack_free(r->ts);
	assert_int_equal(r->tq.n, 0);
	netif_done(&r->netif);
	timerq_free(&r->tq);
	for (unsigned int i = 0; i < RIG_QUEUE; i++)
		free(r->out[i].data);
	for (unsigned int i = 0; i < RIG_CONNS; i++)
		free(r->conn[i].rx);
}

struct rig_seg *rig_out(struct rig *r)
{
	if (r->head == r->tail)
		fail_msg("the engine has sent nothing");
	return &r->out[r->head++ % RIG_QUEUE];
}

void rig_quiet(struct rig *r)
{
	const struct rig_seg *s = &r->out[r->head % RIG_QUEUE];

	if (r->head != r->tail)
		fail_msg("unexpected segment: flags %#x seq %u ack %u len %zu",
			 s->flags, s->seq, s->ack, s->len);
}

unsigned int rig_drain(struct rig *r)
{
	unsigned int n = r->tail - r->head;

	r->head = r->tail;
	return n;
}

void rig_expect_at(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack,
		   size_t len, const char *file, int line)
{
	const struct rig_seg *s = rig_out(r);

	if (s->flags != flags || s->seq != seq || s->len != len ||
	    (flags & A && s->ack != ack)) {
		print_error("want flags %#x seq %u ack %u len %zu, have "
			    "flags %#x seq %u ack %u len %zu\n", flags, seq,
			    ack, len, s->flags, s->seq, s->ack, s->len);
		_fail(file, line);
	}
}

void rig_run(struct rig *r, uint64_t ms)
{
	uint64_t end = timerq_now(&r->tq) + ms * NS_PER_MS, next;

	while ((next = timerq_next(&r->tq)) <= end) {
		timerq_run(&r->tq, MAX(next, timerq_now(&r->tq)));
		rig_flush(r);
	}
	timerq_run(&r->tq, end);
	rig_flush(r);
}

struct rig_conn *rig_established(struct rig *r, const struct tcp_opts *syn,
				 uint16_t wnd)
{
	struct rig_seg s = { .flags = S, .wnd = wnd };
	struct rig_seg *sa;
	uint32_t tsval = 0;

	if (syn)
		s.opt = *syn;
	else
		s.opt.mss = 1460;
	r->pisn_known = false;
	rig_in(r, &s);
	sa = rig_out(r);
	assert_int_equal(sa->flags, S | A);
	assert_int_equal(sa->seq, 0);
	assert_int_equal(sa->ack, 1);
	tsval = sa->opt.tsval;
	s = (struct rig_seg){ .flags = A, .seq = 1, .ack = 1, .wnd = wnd };
	if (syn && syn->has_ts) {
		s.opt.has_ts = true;
		s.opt.tsval = syn->tsval;
		s.opt.tsecr = tsval;
	}
	rig_in(r, &s);
	rig_quiet(r);
	return &r->conn[(r->nconn - 1) % RIG_CONNS];
}

struct rig_conn *rig_connect(struct rig *r, int *err)
{
	struct rig_conn *k = &r->conn[r->nconn % RIG_CONNS];
	struct tcp_tuple t = {
		.guest = guest_addr(r), .peer = peer_addr(r),
		.guest_port = RIG_GUEST_PORT, .peer_port = RIG_PEER_PORT,
	};
	struct tcp *c;

	free(k->rx);
	*k = (struct rig_conn){ .room = 1 << 20, .gport = RIG_GUEST_PORT };
	c = tcp_connect(r->ts, &t, k, err);
	if (!c)
		return NULL;
	k->c = c;
	k->id = tcp_id(c);
	r->nconn++;
	r->pisn_known = false;
	rig_flush(r);
	return k;
}

const struct tcp_opts rig_plain = { .mss = MSS };
const struct tcp_opts rig_sacking = { .mss = MSS, .sack_ok = true };

struct rig_conn *rig_in_flight(struct rig *r, const struct tcp_opts *o,
			       unsigned int n)
{
	struct rig_conn *k;

	rig_init(r, NULL);
	k = rig_established(r, o, 65535);
	rig_offer(r, k, (size_t)n * MSS);
	assert_int_equal(rig_drain(r), n);
	return k;
}

void rig_ack(struct rig *r, uint32_t at, uint16_t wnd)
{
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = at,
				     .wnd = wnd });
}

void rig_sack(struct rig *r, uint32_t at, uint32_t from, uint32_t to)
{
	rig_in(r, &(struct rig_seg){ .flags = A, .seq = 1, .ack = at,
		.wnd = 65535, .opt = { .nsack = 1, .sack = { { from, to } } } });
}

bool rig_rx_ok(const struct rig_conn *k)
{
	uint8_t diff = 0;

	for (size_t i = 0; i < k->rx_len; i++)
		diff |= k->rx[i] ^ rig_byte(i);
	return !diff;
}

void rig_offer(struct rig *r, struct rig_conn *k, size_t n)
{
	k->tx_len += n;
	tcp_readable(k->c);
	rig_flush(r);
}

void rig_eof(struct rig *r, struct rig_conn *k)
{
	k->tx_eof = true;
	tcp_readable(k->c);
	rig_flush(r);
}
