/*
 * The engine against a small client of its own kind, over a bad link
 *
 * The client is written for this test and shares nothing with the engine but
 * the header parser: go-back-N with three duplicate ACKs, a receive buffer with
 * a mark for each byte, SACK from those marks.  Every choice comes from a seed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/util.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "link/fault.h"
#include "tests/unit/tcp_rig.h"

int tcp_random_test(void);

#define SEEDS		500	/* and more in check-net and soak */
#define CLIENTS		4
#define LIMIT_NS	(2 * 3600 * NS_PER_S)

/**
 * struct client - The guest's end of one connection; numbers are relative to 0
 * @isn, @pisn:	Of ours and of the engine's
 * @una, @nxt, @max: Sender: acknowledged, next, highest
 * @rcv, @edge:	Receiver: next expected, right edge ever offered
 * @have:	For each byte of the engine's stream: here
 * @app:	Bytes that the program has read
 */
struct client {
	uint16_t port;
	uint32_t isn, pisn, una, nxt, max, rcv, edge, app, wnd;
	size_t tx_len, rx_len, seg;
	uint8_t *have;
	uint64_t due_ns, rto_ns;
	uint32_t tsval, ts_recent, buffer;
	unsigned int dups, shift, pshift;
	bool use_ts, use_sack, use_scale, slow;
	bool up, fin_in, fin_acked, ack_now, rexmit, given_up;
	uint32_t sack_from, sack_to;
};

static struct sim {
	struct rig rig;
	struct fault *fault;
	struct client cl[CLIENTS];
	unsigned int n;
	uint64_t rng, seed;
	unsigned long given_up, late;
	bool running;
} *sim;

static uint64_t roll(uint64_t below)
{
	sim->rng ^= sim->rng << 13;
	sim->rng ^= sim->rng >> 7;
	sim->rng ^= sim->rng << 17;
	return below ? (sim->rng >> 11) % below : 0;
}

static uint64_t now_ns(void)
{
	return timerq_now(&sim->rig.tq);
}

/* --- client: sending ------------------------------------------------------ */

static uint32_t room_of(const struct client *c)
{
	uint32_t kept = c->rcv - 1 - c->app;

	return kept < c->buffer ? c->buffer - kept : 0;
}

static void put(struct client *c, uint8_t flags, uint32_t seq, size_t len)
{
	static uint8_t buf[LINK_FRAME_MAX];
	struct rig_seg s = { .flags = flags, .seq = seq, .ack = c->rcv,
			     .len = len, .gport = c->port };
	struct link_vnet vh;
	uint32_t room = room_of(c);

	sim->rig.gisn = c->isn;
	sim->rig.pisn = c->pisn;
	if (c->rcv + room > c->edge && !(flags & S))
		c->edge = c->rcv + room;
	room = c->edge > c->rcv ? c->edge - c->rcv : 0;
	if (flags & S) {
		room = 65535;
		s.opt.mss = 1000;
		s.opt.sack_ok = c->use_sack;
		s.opt.has_wscale = c->use_scale;
		s.opt.wscale = (uint8_t)c->shift;
	} else if (c->use_sack && c->sack_to > c->sack_from &&
		   c->sack_from > c->rcv) {
		s.opt.nsack = 1;
		s.opt.sack[0].start = c->sack_from;
		s.opt.sack[0].end = c->sack_to;
	}
	s.opt.has_ts = c->use_ts;
	s.opt.tsval = (uint32_t)(now_ns() / NS_PER_MS) + 5;
	s.opt.tsecr = c->ts_recent;
	room >>= flags & S ? 0 : c->shift;
	s.wnd = (uint16_t)MIN(room, 65535);
	len = rig_frame(&sim->rig, &s, buf, sizeof(buf), &vh);
	memlink_deliver(&sim->rig.link, &vh, buf, len);
	c->ack_now = false;
}

static void start_timer(struct client *c)
{
	if (!c->due_ns)
		c->due_ns = now_ns() + c->rto_ns;
}

static uint32_t fin_at(const struct client *c)
{
	return 1 + (uint32_t)c->tx_len;
}

static void send_one(struct client *c)
{
	size_t left = fin_at(c) - c->nxt, len = MIN(left, c->seg);
	uint32_t used = c->nxt - c->una;

	len = MIN(len, c->wnd > used ? c->wnd - used : 0);
	if (left && !len)
		return;
	put(c, len == left ? A | F : A, c->nxt, len);
	c->nxt += (uint32_t)len + (len == left);
	c->max = MAX(c->max, c->nxt);
	start_timer(c);
}

static void client_timeout(struct client *c)
{
	c->due_ns = 0;
	c->rto_ns = MIN(2 * c->rto_ns, 4 * NS_PER_S);
	if (!c->up) {
		put(c, S, 0, 0);
	} else {
		c->nxt = c->una;
		if (c->nxt > fin_at(c))
			return;
		if (c->wnd == 0)
			put(c, A, c->una - 1, 0);	/* probe */
		else
			send_one(c);
	}
	start_timer(c);
}

static void client_turn(struct client *c)
{
	if (c->due_ns && c->due_ns <= now_ns())
		client_timeout(c);
	if (!c->up || c->given_up)
		return;
	if (c->rexmit && c->una <= fin_at(c)) {
		uint32_t nxt = c->nxt;

		c->rexmit = false;
		c->nxt = c->una;
		send_one(c);
		c->nxt = MAX(nxt, c->nxt);
	}
	for (int i = 0; i < 8 && c->nxt <= fin_at(c); i++) {
		uint32_t before = c->nxt;

		send_one(c);
		if (c->nxt == before) {
			start_timer(c);		/* closed window */
			break;
		}
	}
	if (roll(c->slow ? 200 : 4) == 0 && c->app < c->rcv - 1) {
		uint32_t n = c->rcv - 1 - c->app;

		c->app += (uint32_t)(1 + roll(n));
		c->app = MIN(c->app, c->rcv - 1);
		if (c->rcv + room_of(c) > c->edge + 2000)
			c->ack_now = true;
	}
	if (c->ack_now)
		put(c, A, c->nxt, 0);
}

/* --- client: receiving ---------------------------------------------------- */

static void client_ack(struct client *c, const struct tcp_hdr *h, uint32_t ack,
		       size_t len)
{
	assert_true(ack <= c->max);	/* never of what was never sent */
	c->wnd = (uint32_t)h->wnd << (h->flags & S ? 0 : c->pshift);
	if (ack > c->una) {
		c->una = ack;
		c->nxt = MAX(c->nxt, ack);
		c->dups = 0;
		c->rto_ns = 300 * NS_PER_MS;
		c->due_ns = c->una < c->max ? now_ns() + c->rto_ns : 0;
		c->fin_acked = ack > fin_at(c);
	} else if (ack == c->una && !len && c->una < c->max &&
		   ++c->dups == 3) {
		c->rexmit = true;
	}
}

static void client_data(struct client *c, uint32_t seq, const uint8_t *p,
			size_t len, bool fin)
{
	/* an answer is due even if nothing is new */
	c->ack_now = true;
	if (len) {
		uint32_t edge = MAX(c->edge, 65536u);
		uint8_t diff = 0;

		assert_true(seq >= 1 && seq - 1 + len <= c->rx_len);
		for (size_t i = 0; i < len; i++)
			diff |= p[i] ^ rig_byte(seq - 1 + i);
		assert_int_equal(diff, 0);
		if (seq < edge)
			memset(&c->have[seq - 1], 1, MIN(len, edge - seq));
	}
	if (seq > c->rcv && len) {
		c->sack_from = seq;
		c->sack_to = seq + (uint32_t)len;
		while (c->sack_from > 1 && c->have[c->sack_from - 2])
			c->sack_from--;
		while (c->sack_to - 1 < c->rx_len && c->have[c->sack_to - 1])
			c->sack_to++;
	}
	while (c->rcv - 1 < c->rx_len && c->have[c->rcv - 1])
		c->rcv++;
	if (fin) {
		assert_int_equal(seq + len - 1, c->rx_len);
		if (c->rcv - 1 == c->rx_len && !c->fin_in) {
			c->fin_in = true;
			c->rcv++;
		}
	}
}

/* A SYN that comes late, after all is over, opens another one: legal too */
static bool is_echo(unsigned int i)
{
	for (unsigned int j = 0; j < i; j++) {
		if (sim->rig.conn[j].gport == sim->rig.conn[i].gport)
			return true;
	}
	return false;
}

/* So many losses in a row that R2 has passed: legal, if rare */
static bool timed_out(struct client *c)
{
	for (unsigned int i = 0; i < sim->rig.nconn; i++) {
		const struct rig_conn *k = &sim->rig.conn[i];

		if (k->gport == c->port && k->closed && !is_echo(i) &&
		    k->why == -ETIMEDOUT)
			c->given_up = true;
	}
	if (c->given_up)
		c->fin_in = c->fin_acked = true;
	return c->given_up;
}

/* TIME-WAIT has gone by, and none of our FINs was answered: what the engine took
 * is complete all the same */
static bool late(struct client *c)
{
	const struct rig *r = &sim->rig;

	for (unsigned int i = 0; c->fin_in && i < r->nconn; i++) {
		const struct rig_conn *k = &r->conn[i];

		if (k->gport != c->port || !k->closed || k->why || is_echo(i))
			continue;
		sim->late++;
		c->fin_acked = true;
		return true;
	}
	return false;
}

static void client_segment(struct client *c, const struct tcp_hdr *h,
			   const uint8_t *p, size_t len)
{
	uint32_t ack = h->ack - c->isn, seq;

	if (c->fin_in && c->fin_acked && h->flags & R)
		return;		/* something late met a free entry */
	if (c->given_up || (h->flags & R && (timed_out(c) || late(c))))
		return;
	assert_false(h->flags & R);
	assert_true(h->flags & A);
	assert_false(h->opt.bad);
	assert_int_equal(h->opt.has_ts, c->use_ts);
	if (h->flags & S) {
		assert_int_equal(ack, 1);
		assert_int_equal(h->opt.has_wscale, c->use_scale);
		assert_int_equal(h->opt.sack_ok, c->use_sack);
		c->ts_recent = h->opt.tsval;
		if (!c->up) {
			c->up = true;
			c->pisn = h->seq;
			c->rcv = 1;
			c->pshift = h->opt.wscale;
			c->edge = 1 + 65535;
			c->nxt = c->max = 1;
			client_ack(c, h, ack, 0);
		}
		c->ack_now = true;
		return;
	}
	if (!c->up)
		return;		/* overtook the SYN-ACK */
	seq = h->seq - c->pisn;
	if (c->use_ts && (int32_t)(h->opt.tsval - c->ts_recent) >= 0 &&
	    seq <= c->rcv)
		c->ts_recent = h->opt.tsval;
	client_ack(c, h, ack, len);
	if (len || h->flags & F)
		client_data(c, seq, p, len, h->flags & F);
	else if (seq < c->rcv)
		c->ack_now = true;	/* a probe */
}

/* What the link has corrupted is dropped here as a kernel would */
static void from_link(struct memlink *m, const struct link_vnet *vh,
		      const uint8_t *f, size_t len)
{
	bool v6 = sim->rig.conf.v6;
	struct rd r = rd_init(f, len);
	struct csum sum = { 0 };
	struct ipaddr src, dst;
	struct tcp_hdr h;
	uint8_t proto;
	size_t l4;

	(void)m;
	rd_take(&r, ETH_HDR_LEN);
	if (v6) {
		struct ip6 ip;

		if (ip6_parse(&r, &ip) || ip.plen > rd_left(&r))
			return;
		l4 = ip.plen;
		src = ip.src, dst = ip.dst, proto = ip.next;
	} else {
		struct ip4 ip;

		if (csum_block(f + ETH_HDR_LEN, IP4_HDR_LEN) ||
		    ip4_parse(&r, &ip))
			return;
		l4 = ip.len - (size_t)IP4_HDR_LEN;
		src = ip.src, dst = ip.dst, proto = ip.proto;
	}
	if (proto != IPPROTO_TCP || l4 > rd_left(&r))
		return;
	if (!(vh->flags & LINK_VNET_F_NEEDS_CSUM)) {
		csum_pseudo(&sum, &src, &dst, proto, (uint32_t)l4);
		csum_add(&sum, r.p, l4);
		if (!csum_ok(&sum))
			return;
	}
	assert_int_equal(tcp_hdr_parse(rd_init(r.p, l4), &h), 0);
	for (unsigned int i = 0; i < sim->n; i++) {
		if (sim->cl[i].port == h.dport)
			client_segment(&sim->cl[i], &h, r.p + h.hlen,
				       l4 - h.hlen);
	}
}

/* --- a run ---------------------------------------------------------------- */

static void has_room(void *arg)
{
	(void)arg;
	tcp_link_up(sim->rig.ts);
}

static void set_up(uint64_t seed)
{
	static const uint32_t off[] = { 0, LINK_F_CSUM, LINK_F_CSUM |
					LINK_F_TSO4 | LINK_F_TSO6 };
	struct rig_conf conf = { 0 };
	struct fault_cfg cfg = { .seed = seed };

	sim->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (int i = 0; i < 8; i++)
		roll(1);
	conf.features = off[roll(3)];
	conf.v6 = roll(2);
	conf.max_window = roll(2) ? 4 << 20 : 30000;
	cfg.loss_ppm = (uint32_t)(roll(4) ? roll(100000) : 0);
	cfg.reorder_ppm = (uint32_t)(roll(3) ? roll(200000) : 0);
	cfg.dup_ppm = (uint32_t)(roll(3) ? roll(100000) : 0);
	cfg.corrupt_ppm = (uint32_t)(roll(3) ? roll(30000) : 0);
	cfg.delay_ns = roll(3 * NS_PER_MS);
	cfg.reorder_ns = roll(20 * NS_PER_MS);
	rig_init(&sim->rig, &conf);
	sim->rig.mute = true;
	sim->rig.link.peer = from_link;
	netif_detach(&sim->rig.netif);
	sim->fault = fault_new(&sim->rig.link.link, &sim->rig.tq, &cfg);
	assert_non_null(sim->fault);
	netif_attach(&sim->rig.netif, fault_link(sim->fault));
	sim->rig.netif.room = has_room;
	sim->n = (unsigned int)(1 + roll(CLIENTS));
	for (unsigned int i = 0; i < sim->n; i++) {
		struct client *c = &sim->cl[i];

		*c = (struct client){
			.port = (uint16_t)(50000 + i),
			.isn = roll(2) ? UINT32_MAX - (uint32_t)roll(90000) :
			       (uint32_t)roll(UINT32_MAX),
			.tx_len = roll(5) ? roll(150000) : 0,
			.rx_len = roll(5) ? roll(200000) : 0,
			.seg = roll(2) ? 100 + roll(1300) : 1400,
			.use_ts = roll(2), .use_sack = roll(2),
			.use_scale = roll(2), .slow = roll(3) == 0,
			.rto_ns = NS_PER_S,
			.buffer = (uint32_t)(3000 + roll(120000)),
		};
		c->shift = c->use_scale ? (unsigned int)roll(9) : 0;
		if (conf.features & LINK_F_TSO4 && roll(2))
			c->seg = 2000 + roll(40000);
		c->have = calloc(c->rx_len + 1, 1);
		assert_non_null(c->have);
		put(c, S, 0, 0);
		start_timer(c);
	}
}

static struct client *client_of(const struct rig_conn *k)
{
	return &sim->cl[k->gport - 50000];
}

/* The owner's whims: data comes in portions, room comes and goes */
static void owner_turn(struct rig_conn *k)
{
	struct client *c;

	if (k->closed)
		return;
	c = client_of(k);
	if (k->tx_len < c->rx_len && roll(3) == 0) {
		k->tx_len += 1 + roll(c->rx_len - k->tx_len);
		tcp_readable(k->c);
	}
	if (k->tx_len == c->rx_len && !k->tx_eof && roll(10) == 0) {
		k->tx_eof = true;
		tcp_readable(k->c);
	}
	if (roll(20) == 0) {
		k->room = roll(4) ? roll(200000) : 0;
		tcp_room_changed(k->c);
	}
	k->recv_max = roll(50) ? 0 : 1 + roll(3000);
}

static bool over(void)
{
	for (unsigned int i = 0; i < sim->n; i++) {
		if (timed_out(&sim->cl[i]))
			continue;
		if (!sim->cl[i].fin_in || !sim->cl[i].fin_acked)
			return false;
	}
	return tcp_count(sim->rig.ts) == 0;
}

static void dump(void)
{
	for (unsigned int i = 0; i < sim->n; i++) {
		const struct client *c = &sim->cl[i];

		print_error("client %u: up %d una %u nxt %u of %zu, rcv %u of "
			    "%zu, app %u edge %u wnd %u fin %d %d\n", c->port,
			    c->up, c->una, c->nxt, c->tx_len, c->rcv,
			    c->rx_len, c->app, c->edge, c->wnd, c->fin_in,
			    c->fin_acked);
	}
	for (unsigned int i = 0; i < sim->rig.nconn; i++) {
		const struct rig_conn *k = &sim->rig.conn[i];

		print_error("owner: got %zu fin %d room %zu, offers %u, acked "
			    "%u, eof %d, closed %d %d\n", k->rx_len, k->got_fin,
			    k->room, (unsigned int)k->tx_len,
			    (unsigned int)k->tx_off, k->tx_eof, k->closed,
			    k->why);
	}
}

static void run(uint64_t seed)
{
	struct rig *r = &sim->rig;
	uint64_t start, turns = 0;

	sim->seed = seed;
	sim->running = true;
	set_up(seed);
	start = now_ns();
	for (; !over(); turns++) {
		uint64_t next;

		if (now_ns() - start > LIMIT_NS) {
			dump();
			fail_msg("it does not come to an end");
		}
		for (unsigned int i = 0; i < sim->n; i++)
			client_turn(&sim->cl[i]);
		for (unsigned int i = 0; i < r->nconn; i++)
			owner_turn(&r->conn[i]);
		/* what is late when the link refuses is lost: a little more */
		if (roll(100) == 0)
			r->link.refuse = true;
		tcp_flush(r->ts);
		if (r->link.refuse && roll(5) == 0) {
			r->link.refuse = false;
			link_drained(&r->link.link);
		}
		next = timerq_next(&r->tq);
		next = MIN(next, now_ns() + 1 + roll(2 * NS_PER_MS));
		timerq_run(&r->tq, MAX(next, now_ns()));
	}
	if (getenv("TCP_SEED"))
		print_message("%llu ms, %llu turns\n", (unsigned long long)
			      ((now_ns() - start) / NS_PER_MS),
			      (unsigned long long)turns);
	assert_in_range(r->nconn, sim->n, RIG_CONNS);
	for (unsigned int i = 0; i < r->nconn; i++) {
		const struct rig_conn *k = &r->conn[i];
		struct client *c = client_of(k);

		if (is_echo(i))
			continue;
		if (c->given_up) {
			sim->given_up++;
			free(c->have);
			continue;
		}
		assert_true(k->closed && !k->why && k->got_fin);
		assert_int_equal(k->rx_len, c->tx_len);
		assert_true(rig_rx_ok(k));
		assert_int_equal(c->rcv, c->rx_len + 2);
		assert_int_equal(k->tx_off, c->rx_len);
		free(c->have);
	}
	netif_detach(&r->netif);
	fault_free(sim->fault);
	rig_done(r);
	sim->running = false;
}

static void seeds(void **state)
{
	const char *one = getenv("TCP_SEED"), *many = getenv("TCP_SEEDS");
	const char *first = getenv("TCP_FIRST");	/* to go on from there */
	unsigned long n = many ? strtoul(many, NULL, 10) : SEEDS;
	unsigned long i = first ? strtoul(first, NULL, 10) : 1;

	(void)state;
	if (one) {
		run(strtoull(one, NULL, 10));
		return;
	}
	for (; i <= n; i++) {
		if (i % 10000 == 0)
			print_message("  seed %lu\n", i);
		run(i);
	}
	print_message("  %lu seeds, %lu connections timed out, %lu were late\n",
		      n, sim->given_up, sim->late);
	assert_true(sim->given_up <= 1 + n / 1000);
	assert_true(sim->late <= 1 + n / 10000);
}

static int before(void **state)
{
	(void)state;
	sim = calloc(1, sizeof(*sim));
	return sim ? 0 : -1;
}

static int after(void **state)
{
	(void)state;
	if (sim->running)
		print_error("replay: TCP_SEED=%llu build/test/unit tcp_random\n",
			    (unsigned long long)sim->seed);
	free(sim);
	return 0;
}

int tcp_random_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(seeds, before, after),
	};

	return cmocka_run_group_tests_name("tcp_random", tests, NULL, NULL);
}
