/*
 * Frames that a hostile guest may send: near what is valid, or nothing like it
 *
 * They go through a whole netif into the TCP engine, with an owner that does
 * anything.  Every BATCH frames all is over: the owner lets go, time passes, and
 * then no connection, timer or early segment is left.  Choices come from a seed.
 */
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
#include "gateway/stack/tcp_priv.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "link/memlink.h"

int tcp_frames_test(void);

#define FRAMES	100000
#define BATCH	2000
#define CONNS	16
#define PORTS	8
#define SIZE	1700

static struct frames {
	struct timerq tq;
	struct netif netif;
	struct memlink link;
	struct tcp_stack *ts;
	uint64_t rng;
	uint32_t seq[PORTS], ack[PORTS];	/* what fits next */
	unsigned int open;			/* owners that wait for @closed */
} fr;

static uint32_t roll(uint32_t below)
{
	fr.rng = fr.rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((fr.rng >> 33) % below);
}

/* --- owner ---------------------------------------------------------------- */

static void op_open(void *arg, struct tcp *c)
{
	(void)arg;
	fr.open++;
	if (roll(8)) {
		tcp_accept(c);
	} else if (roll(2)) {
		tcp_refuse(c);
		fr.open--;
	}
}

static size_t op_room(void *arg, struct tcp *c)
{
	(void)arg;
	(void)c;
	return roll(100000);
}

static ssize_t op_recv(void *arg, struct tcp *c, const struct iovec *iov, int n,
		       size_t len)
{
	(void)arg;
	(void)c;
	assert_int_equal(iov_len(iov, n), len);
	return roll(200) ? (ssize_t)roll((uint32_t)len + 1) : -1;
}

static void op_recv_fin(void *arg, struct tcp *c)
{
	(void)arg;
	if (!roll(20))
		tcp_abort(c);
}

static ssize_t op_peek(void *arg, struct tcp *c, size_t off,
		       const struct iovec *iov, int n, size_t len)
{
	size_t k = MIN(len, iov[0].iov_len);

	(void)arg;
	(void)n;
	(void)c;
	if (off > 20000 || !roll(5))
		return roll(10) ? 0 : -ENODATA;
	memset(iov[0].iov_base, 'x', k);
	return (ssize_t)k;
}

static void op_acked(void *arg, struct tcp *c, size_t n)
{
	(void)arg;
	(void)c;
	assert_true(n > 0);
}

static void op_connected(void *arg, struct tcp *c)
{
	(void)arg;
	tcp_readable(c);
}

static void op_closed(void *arg, struct tcp *c, int why)
{
	(void)arg;
	(void)c;
	assert_true(why <= 0 && fr.open > 0);
	fr.open--;
}

static const struct tcp_ops ops = {
	.open = op_open, .room = op_room, .recv = op_recv,
	.recv_fin = op_recv_fin, .peek = op_peek, .acked = op_acked,
	.connected = op_connected, .closed = op_closed,
};

/* --- guest ---------------------------------------------------------------- */

static void from_engine(struct memlink *m, const struct link_vnet *vh,
			const uint8_t *f, size_t len)
{
	struct rd r = rd_init(f, len);
	struct tcp_hdr h;
	uint16_t type;
	unsigned int i;

	assert_int_equal(link_vnet_check(vh, len, m->link.can_send), 0);
	rd_take(&r, 12);
	type = rd_u16(&r);
	if (type == ETH_TYPE_IP4)
		rd_take(&r, IP4_HDR_LEN);
	else
		rd_take(&r, IP6_HDR_LEN);
	if (r.bad || tcp_hdr_parse(r, &h))
		return;			/* ARP, ICMP */
	i = h.dport % PORTS;
	fr.ack[i] = h.seq + (uint32_t)(rd_left(&r) - h.hlen) +
		    !!(h.flags & (TCP_FLAG_SYN | TCP_FLAG_FIN));
	if (h.flags & TCP_FLAG_ACK)
		fr.seq[i] = h.ack;
}

static struct tcp_hdr header(void)
{
	static const uint8_t flags[] = {
		TCP_FLAG_SYN, TCP_FLAG_ACK, TCP_FLAG_ACK, TCP_FLAG_ACK,
		TCP_FLAG_ACK | TCP_FLAG_FIN, TCP_FLAG_RST,
		TCP_FLAG_SYN | TCP_FLAG_ACK, 0,
	};
	unsigned int i = roll(PORTS);
	struct tcp_hdr h = {
		.sport = (uint16_t)(8 + i), .dport = (uint16_t)(80 + roll(2)),
		.seq = fr.seq[i], .ack = fr.ack[i],
		.flags = roll(20) ? flags[roll(ARRAY_SIZE(flags))] :
			 (uint8_t)roll(256),
		.wnd = (uint16_t)(roll(4) ? 60000 : roll(3000)),
	};
	uint32_t more = roll(8);

	if (!roll(4))
		h.seq += roll(5000) - 2000;
	if (!roll(4))
		h.ack -= roll(3000);
	if (!roll(50))
		h.seq = h.ack = roll(UINT32_MAX);
	h.opt.mss = more == 1 ? (uint16_t)roll(3000) : 0;
	h.opt.has_ts = more == 2;
	h.opt.tsval = (uint32_t)(timerq_now(&fr.tq) / NS_PER_MS) - roll(3);
	h.opt.sack_ok = more == 3;
	h.opt.has_wscale = more == 4;
	h.opt.wscale = (uint8_t)roll(20);
	h.opt.nsack = more == 5 ? (uint8_t)(1 + roll(3)) : 0;
	for (unsigned int b = 0; b < h.opt.nsack; b++) {
		h.opt.sack[b].start = fr.ack[i] - roll(30000);
		h.opt.sack[b].end = h.opt.sack[b].start + roll(5000);
	}
	return h;
}

static void ip_header(struct wr *w, size_t len)
{
	const struct netif_conf *c = &fr.netif.conf;
	uint8_t proto = roll(30) ? IPPROTO_TCP : (uint8_t)roll(256);
	struct ip4 ip4 = { .ttl = 64, .proto = proto, .src = c->guest4,
			   .dst = ipaddr_host4(0xc0000201),
			   .len = (uint16_t)(IP4_HDR_LEN + len) };
	struct ip6 ip6 = { .hop = 64, .next = proto, .src = c->guest6,
			   .dst = c->gw6, .plen = (uint16_t)len };

	ip6.dst.b[0] = 0x20;
	if (!roll(50)) {
		ip4.mf = roll(2);
		ip4.off = (uint16_t)(8 * roll(200));
		ip4.id = (uint16_t)roll(4);
	}
	if (roll(2)) {
		eth_emit(&(struct eth){ .type = ETH_TYPE_IP4 }, w);
		ip4_emit(&ip4, w);
	} else {
		eth_emit(&(struct eth){ .type = ETH_TYPE_IP6 }, w);
		ip6_emit(&ip6, w);
	}
}

static size_t near_valid(uint8_t *buf)
{
	struct wr w = wr_init(buf, SIZE);
	struct tcp_hdr h = header();
	size_t len = roll(3) ? 0 : roll(1400);

	ip_header(&w, tcp_hdr_len(&h) + len);
	tcp_hdr_emit(&w, &h);
	wr_zero(&w, len);
	assert_false(w.bad);
	memcpy(buf, fr.netif.conf.mac, 6);
	memcpy(buf + 6, fr.netif.conf.guest_mac, 6);
	return wr_len(&w);
}

static void frame(void)
{
	struct link_vnet vh = { .flags = roll(30) ? LINK_VNET_F_DATA_VALID : 0 };
	uint8_t buf[SIZE], *exact;
	size_t len;

	if (roll(20)) {
		len = near_valid(buf);
	} else {
		len = roll(SIZE);
		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)roll(256);
	}
	for (uint32_t n = roll(3) ? 0 : roll(4); n && len; n--)
		buf[roll((uint32_t)len)] ^= (uint8_t)(1u << roll(8));
	if (!roll(20))
		len = roll((uint32_t)len + 1);
	exact = malloc(len ? len : 1);
	assert_non_null(exact);
	memcpy(exact, buf, len);
	memlink_deliver(&fr.link, &vh, exact, len);
	free(exact);
}

/* --- a run ---------------------------------------------------------------- */

static void set_up(uint64_t seed)
{
	static const struct ipaddr gw6 = { { 0xfd, 0x42, [15] = 1 } };
	static const struct ipaddr guest6 = { { 0xfd, 0x42, [15] = 2 } };
	static const uint32_t features[] = { LINK_F_CSUM, LINK_F_CSUM |
					     LINK_F_TSO4 | LINK_F_TSO6 };
	struct netif_conf nc = { .mtu = 1500, .v4 = true, .v6 = true,
				 .plen4 = 30, .plen6 = 64, .gw6 = gw6,
				 .guest6 = guest6,
				 .mac = { 2, 0, 0, 0, 0, 1 },
				 .guest_mac = { 2, 0, 0, 0, 0, 2 } };
	struct tcp_conf tc = { .max_conns = CONNS, .max_window = 100000 };

	memset(&fr, 0, sizeof(fr));
	fr.rng = seed;
	nc.gw4 = ipaddr_host4(0x64600001);
	nc.guest4 = ipaddr_host4(0x64600002);
	tc.keepalive_s = roll(2) ? 30 : 0;
	tc.congestion = roll(2) ? TCP_CONG_RENO : TCP_CONG_NONE;
	assert_int_equal(timerq_init(&fr.tq, CONNS + 8), 0);
	timerq_set_now(&fr.tq, 1000 * NS_PER_S);
	assert_int_equal(netif_init(&fr.netif, &nc, &fr.tq), 0);
	memlink_init(&fr.link, features[roll(2)], from_engine, NULL);
	netif_attach(&fr.netif, &fr.link.link);
	fr.ts = tcp_stack_new(&fr.netif, &tc, &ops, NULL);
	assert_non_null(fr.ts);
}

static void whim(void *arg, struct tcp *c)
{
	(void)arg;
	if (roll(4) || c->state == TCP_STATE_TIME_WAIT)
		return;
	if (c->state == TCP_STATE_DIALLING)
		tcp_accept(c);
	else if (!roll(60))
		tcp_abort(c);
	else if (roll(2))
		tcp_readable(c);
	else
		tcp_room_changed(c);
}

static void maybe_connect(void)
{
	struct tcp_tuple t = {
		.guest = fr.netif.conf.guest4,
		.peer = ipaddr_host4(0xc0000201),
		.guest_port = (uint16_t)(8 + roll(PORTS)), .peer_port = 80,
	};
	int err;

	fr.open += tcp_connect(fr.ts, &t, NULL, &err) != NULL;
}

static void flush(void)
{
	unsigned int turns = 0;

	while (tcp_flush(fr.ts))
		assert_true(turns++ < 10000);
}

static void abort_all(void *arg, struct tcp *c)
{
	(void)arg;
	tcp_abort(c);
}

static void batch(uint64_t seed, unsigned long n)
{
	set_up(seed);
	while (n--) {
		uint32_t what = roll(64);

		frame();
		if (what < 4)
			tcp_each(fr.ts, whim, NULL);
		else if (what == 4)
			maybe_connect();
		else if (what == 5)
			fr.link.refuse = !fr.link.refuse;
		if (what == 6 || (what == 5 && !fr.link.refuse))
			tcp_link_up(fr.ts);
		if (what == 7)
			timerq_run(&fr.tq, timerq_now(&fr.tq) +
				   roll(2000) * NS_PER_MS);
		if (what & 1)
			flush();
	}
	fr.link.refuse = false;
	tcp_link_up(fr.ts);
	flush();
	tcp_each(fr.ts, abort_all, NULL);
	flush();
	timerq_run(&fr.tq, timerq_now(&fr.tq) + 300 * NS_PER_S);
	flush();
	assert_int_equal(fr.open, 0);
	assert_int_equal(tcp_count(fr.ts), 0);
	assert_int_equal(fr.ts->dirty.n + fr.ts->dead.n + fr.ts->time_wait.n,
			 0);
	assert_int_equal(tcp_ooo_used(fr.ts->ooo), 0);
	tcp_stack_free(fr.ts);
	netif_detach(&fr.netif);
	netif_done(&fr.netif);
	assert_int_equal(fr.tq.n, 0);
	timerq_free(&fr.tq);
}

static void random_frames(void **state)
{
	const char *one = getenv("TCP_SEED"), *many = getenv("TCP_FRAMES");
	unsigned long n = many ? strtoul(many, NULL, 10) : FRAMES;

	(void)state;
	if (one) {
		batch(strtoull(one, NULL, 10), BATCH);
		return;
	}
	count_reset();
	for (unsigned long i = 0; i < n; i += BATCH) {
		if (i % 1000000 == 0)
			print_message("  seed %lu\n", i / BATCH);
		batch(i / BATCH, MIN(n - i, BATCH));
	}
	print_message("  %lu frames, %llu to TCP, %llu connections\n", n,
		      (unsigned long long)count_get("tcp_segs_in"),
		      (unsigned long long)count_get("tcp_opens"));
	/* It would prove nothing if all were dropped at the door */
	assert_true(count_get("tcp_segs_in") > n / 2);
	assert_true(count_get("tcp_opens") > n / 100);
}

int tcp_frames_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_frames),
	};

	return cmocka_run_group_tests_name("tcp_frames", tests, NULL, NULL);
}
