/*
 * A guest and an owner that do anything, in any order
 *
 * The first byte chooses the set-up.  Then each step is one byte that says what
 * happens, and the bytes that it takes: segments with numbers relative to what
 * is expected next, so that a short input gets far; the owner's calls; time; a
 * link that fills, goes and comes.  After each step the engine's invariants
 * hold.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "gateway/stack/tcp_priv.h"
#include "link/memlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PORTS	4
#define CONNS	6

/* @used ends with @closed; a slot is used again by a later @open */
struct owner {
	struct slab_id id;
	struct tcp *c;
	size_t room;
	uint64_t offered, acked;
	bool used, eof;
	uint8_t mood;
};

static struct fuzz {
	struct timerq tq;
	struct netif netif;
	struct memlink link;
	struct tcp_stack *ts;
	struct owner owner[CONNS * 2];
	uint32_t guest_next[PORTS], guest_ack[PORTS];
	uint8_t set_up;
} fz;

/* --- owner ---------------------------------------------------------------- */

static void op_open(void *arg, struct tcp *c)
{
	struct owner *o = NULL;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(fz.owner) && !o; i++) {
		if (!fz.owner[i].used)
			o = &fz.owner[i];
	}
	ASSERT(o);
	*o = (struct owner){ .id = tcp_id(c), .c = c, .room = 9000,
			     .used = true };
	tcp_set_user(c, o);
	if (fz.set_up & 1)
		tcp_accept(c);
}

static size_t op_room(void *arg, struct tcp *c)
{
	const struct owner *o = tcp_user(c);

	(void)arg;
	ASSERT(o->used);
	return o->room;
}

static ssize_t op_recv(void *arg, struct tcp *c, const struct iovec *iov, int n,
		       size_t len)
{
	struct owner *o = tcp_user(c);
	size_t take = MIN(len, o->room);

	(void)arg;
	ASSERT(o->used && len && iov_len(iov, n) == len);
	if (o->mood == 1)
		return -EPIPE;
	if (o->mood == 2)
		take /= 2;
	o->room -= take;
	if (o->mood == 3)
		tcp_abort(c);
	return (ssize_t)take;
}

static void op_recv_fin(void *arg, struct tcp *c)
{
	struct owner *o = tcp_user(c);

	(void)arg;
	ASSERT(o->used);
	if (o->mood == 3)
		tcp_abort(c);
}

static ssize_t op_peek(void *arg, struct tcp *c, size_t off,
		       const struct iovec *iov, int n, size_t len)
{
	const struct owner *o = tcp_user(c);
	uint64_t left = o->offered - o->acked;

	(void)arg;
	ASSERT(o->used && len && iov_len(iov, n) == len);
	ASSERT(off <= left);
	if (o->mood == 3)
		tcp_abort(c);
	if (o->mood == 4)
		return -EIO;
	if (off == left)
		return o->eof ? -ENODATA : 0;
	len = MIN(len, left - off);
	memset(iov[0].iov_base, 'x', MIN(len, iov[0].iov_len));
	return (ssize_t)len;
}

static void op_acked(void *arg, struct tcp *c, size_t n)
{
	struct owner *o = tcp_user(c);

	(void)arg;
	ASSERT(o->used && n && n <= o->offered - o->acked);
	o->acked += n;
}

static void op_closed(void *arg, struct tcp *c, int why)
{
	struct owner *o = tcp_user(c);

	(void)arg;
	ASSERT(o->used && why <= 0);
	o->used = false;
}

static const struct tcp_ops ops = {
	.open = op_open, .room = op_room, .recv = op_recv,
	.recv_fin = op_recv_fin, .peek = op_peek, .acked = op_acked,
	.closed = op_closed,
};

/* --- guest ---------------------------------------------------------------- */

static void to_guest(struct memlink *m, const struct link_vnet *vh,
		     const uint8_t *frame, size_t len)
{
	struct tcp_hdr h;

	(void)m;
	(void)vh;
	ASSERT(len >= 34 && !tcp_hdr_parse(rd_init(frame + 34, len - 34), &h));
	ASSERT(!h.opt.bad);
	if (h.dport >= PORTS || h.flags & TCP_FLAG_RST)
		return;
	if (h.flags & TCP_FLAG_SYN)
		fz.guest_ack[h.dport] = h.seq + 1;
	else if (h.seq == fz.guest_ack[h.dport])
		fz.guest_ack[h.dport] = h.seq + (uint32_t)(len - 34 - h.hlen) +
					!!(h.flags & TCP_FLAG_FIN);
}

static void options(struct rd *in, struct tcp_opts *o, uint32_t ack)
{
	uint8_t bits = rd_u8(in);

	o->mss = bits & 1 ? rd_u16(in) : 0;
	o->has_ts = bits & 2;
	o->tsval = bits & 2 ? rd_u8(in) : 0;
	o->sack_ok = bits & 4;
	o->has_wscale = bits & 8;
	o->wscale = bits & 8 ? rd_u8(in) : 0;
	o->nsack = bits & 16 && !(bits & 8) ? 1 + (bits >> 7) : 0;
	for (unsigned int i = 0; i < o->nsack; i++) {
		o->sack[i].start = ack + rd_u16(in);
		o->sack[i].end = o->sack[i].start + rd_u16(in);
	}
}

static void segment(struct rd *in)
{
	uint8_t port = rd_u8(in) % PORTS, flags = rd_u8(in), shape = rd_u8(in);
	struct tcp_hdr h = {
		.sport = port, .dport = 80, .flags = flags,
		.seq = fz.guest_next[port], .ack = fz.guest_ack[port],
		.wnd = rd_u16(in),
	};
	size_t len = shape & 4 ? rd_u16(in) % 3000 : 0, total;
	struct pkt p = { .proto = IPPROTO_TCP, .n = 1 };
	struct iovec iov;
	struct wr w;
	uint8_t *buf;

	if (shape & 1)
		h.seq += (uint32_t)(int16_t)rd_u16(in);
	if (shape & 2)
		h.ack += (uint32_t)(int16_t)rd_u16(in);
	if (shape & 8)
		options(in, &h.opt, h.ack);
	if (tcp_hdr_len(&h) > TCP_HDR_MAX)
		return;
	total = tcp_hdr_len(&h) + len;
	buf = malloc(total);
	ASSERT(buf);
	w = wr_init(buf, total);
	tcp_hdr_emit(&w, &h);
	wr_zero(&w, len);
	ASSERT(!w.bad);
	iov = (struct iovec){ buf, total };
	p.src = fz.netif.conf.guest4;
	p.dst = ipaddr_host4(0xc0000201);
	p.vh.flags = LINK_VNET_F_DATA_VALID;
	p.l4 = buf;
	p.l4_head = p.len = total;
	p.iov = &iov;
	fz.netif.l4[NETIF_L4_TCP](fz.netif.l4_arg[NETIF_L4_TCP], &p);
	free(buf);
	if (!(shape & 3) || flags & TCP_FLAG_SYN)
		fz.guest_next[port] = h.seq + (uint32_t)len +
			!!(flags & TCP_FLAG_SYN) + !!(flags & TCP_FLAG_FIN);
}

/* --- steps ---------------------------------------------------------------- */

static void owner_step(struct rd *in)
{
	struct owner *o = &fz.owner[rd_u8(in) % ARRAY_SIZE(fz.owner)];
	uint8_t what = rd_u8(in) % 9;
	struct tcp *c = o->used ? tcp_get(fz.ts, o->id) : NULL;

	if (!c)
		return;
	ASSERT(c == o->c && tcp_user(c) == o);
	if (what <= 2 && c->state != TCP_STATE_DIALLING)
		return;
	if (what == 0) {
		tcp_accept(c);
	} else if (what == 1) {
		tcp_refuse(c);
		o->used = false;
	} else if (what == 2) {
		tcp_drop(c);
		o->used = false;
	} else if (what == 3) {
		o->offered += o->eof ? 0 : rd_u16(in);
		tcp_readable(c);
	} else if (what == 4) {
		o->eof = true;
		tcp_readable(c);
	} else if (what == 5) {
		o->room = rd_u16(in);
		tcp_room_changed(c);
	} else if (what == 6) {
		o->mood = rd_u8(in) % 5;
	} else if (what == 7) {
		tcp_no_recv(c);
	} else {
		tcp_abort(c);
	}
}

static void link_step(uint8_t what)
{
	if (what == 0) {
		fz.link.refuse = true;
	} else if (what == 1) {
		fz.link.refuse = false;
		tcp_link_up(fz.ts);
	} else if (what == 2) {
		netif_detach(&fz.netif);
	} else {
		netif_attach(&fz.netif, &fz.link.link);
		tcp_link_up(fz.ts);
	}
}

static void check_one(void *arg, struct tcp *c)
{
	unsigned int *pieces = arg;
	const struct tcp_range *r = tcp_sacked(c);
	uint32_t at = c->snd_una;

	*pieces += c->nooo;
	if (c->state == TCP_STATE_DIALLING)
		return;
	ASSERT(seq_le(c->snd_una, c->snd_max));
	ASSERT(seq_le(c->rcv_nxt, c->rcv_adv));
	ASSERT(c->nooo <= TCP_OOO_CONN);
	ASSERT(!c->nooo == (c->ooo == TCP_OOO_NONE));
	for (unsigned int i = 0; i < c->nsacked; i++) {
		ASSERT(seq_le(at, r[i].start));
		ASSERT(seq_lt(r[i].start, r[i].end));
		at = r[i].end;
	}
	ASSERT(seq_le(at, c->snd_max));
	ASSERT(!c->rtx_due || timer_armed(&c->timer));
	if (c->state == TCP_STATE_TIME_WAIT)
		return;
	/* what is out has a timer, or waits for the link */
	ASSERT(c->snd_una == c->snd_max || c->rtx_due || fz.ts->blocked ||
	       c->do_syn);
}

static void settle(void)
{
	unsigned int pieces = 0, turns = 0;

	while (tcp_flush(fz.ts))
		ASSERT(turns++ < 100000);
	tcp_each(fz.ts, check_one, &pieces);
	ASSERT(pieces <= TCP_OOO_SEGS);
	ASSERT(tcp_count(fz.ts) <= CONNS);
}

static void start(uint8_t set_up)
{
	struct netif_conf nc = { .mtu = 1500, .v4 = true, .plen4 = 30,
				 .mac = { 2, 0, 0, 0, 0, 1 },
				 .guest_mac = { 2, 0, 0, 0, 0, 2 } };
	struct tcp_conf tc = { .max_conns = CONNS, .max_window = 100000,
			       .keepalive_s = set_up & 4 ? 30 : 0 };

	memset(&fz, 0, sizeof(fz));
	fz.set_up = set_up;
	nc.gw4 = ipaddr_host4(0x64600001);
	nc.guest4 = ipaddr_host4(0x64600002);
	ASSERT(!timerq_init(&fz.tq, CONNS + 8));
	timerq_set_now(&fz.tq, 1000 * NS_PER_S);
	ASSERT(!netif_init(&fz.netif, &nc, &fz.tq));
	memlink_init(&fz.link, set_up & 2 ? LINK_F_CSUM | LINK_F_TSO4 : 0,
		     to_guest, NULL);
	netif_attach(&fz.netif, &fz.link.link);
	fz.ts = tcp_stack_new(&fz.netif, &tc, &ops, NULL);
	ASSERT(fz.ts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd in = rd_init(data, len);

	start(rd_u8(&in));
	while (rd_left(&in)) {
		uint8_t step = rd_u8(&in);

		if (step < 128)
			segment(&in);
		else if (step < 200)
			owner_step(&in);
		else if (step < 208)
			link_step(step % 4);
		else if (step < 216)
			continue;	/* no flush in between */
		else
			timerq_run(&fz.tq, timerq_now(&fz.tq) +
				   (uint64_t)(step - 215) * step *
				   20 * NS_PER_MS);
		if (!(step & 1))
			settle();
	}
	settle();
	tcp_stack_free(fz.ts);
	ASSERT(fz.tq.n == 0 || fz.netif.frag);
	netif_done(&fz.netif);
	timerq_free(&fz.tq);
	return 0;
}
