/* Everything that goes to the guest */
#include "gateway/stack/tcp_priv.h"

#include <errno.h>

#include "base/count.h"
#include "base/util.h"

COUNT(tcp_segs_out, "TCP frames to the guest");
COUNT(tcp_rexmits, "TCP frames sent again");
COUNT(tcp_challenge_acks, "challenge ACKs sent");
COUNT(tcp_challenge_limited, "challenge ACKs left out by the rate limit");
COUNT(tcp_link_full, "times that TCP found the link full");
COUNT(tcp_owner_lost_data, "connections reset since their data was gone");
COUNT(drop_tcp_rst_out, "RSTs to the guest lost because the link was full");
COUNT(drop_tcp_out, "TCP frames that the link refused");

#define NOT_SHORT	(-EMSGSIZE)	/* send_payload(): see @only_short */

/* --- one frame ------------------------------------------------------------ */

static int room_get(struct tcp_stack *ts, const struct ip_args *a, size_t hlen,
		    size_t len, struct ip_room *r)
{
	int rc;

	if (ts->blocked || ts->room_out)
		return -EAGAIN;
	rc = ip_reserve(ts->netif, a, hlen, len, r);
	if (rc == -EAGAIN)
		count_inc(tcp_link_full);
	else if (rc && rc != -ENOTCONN)
		count_inc(drop_tcp_out);
	ts->blocked = rc == -EAGAIN || rc == -ENOTCONN;
	ts->down |= rc == -ENOTCONN;
	ts->room_out = !rc;
	return rc;
}

static void room_cancel(struct tcp_stack *ts, struct ip_room *r)
{
	ts->room_out = false;
	ip_cancel(ts->netif, r);
}

/* A frame that fails now is a frame lost, and the timers see to it */
static void room_send(struct tcp_stack *ts, struct ip_room *r,
		      const struct tcp_hdr *h, size_t len, uint16_t gso_size)
{
	struct wr w = wr_init(r->l4, r->l4_hlen);
	int rc;

	tcp_hdr_emit(&w, h);
	ASSERT(!w.bad && wr_left(&w) == 0);
	ts->room_out = false;
	rc = ip_commit(ts->netif, r, len, TCP_HDR_CSUM, gso_size);
	if (rc) {
		count_inc(drop_tcp_out);
		ts->down |= rc == -ENOTCONN;
		ts->blocked |= rc == -ENOTCONN;
		return;
	}
	count_inc(tcp_segs_out);
}

static struct ip_args args_of(const struct tcp *c)
{
	return (struct ip_args){
		.src = c->tuple.peer, .dst = c->tuple.guest,
		.proto = IPPROTO_TCP, .df = true,
	};
}

static uint16_t window_field(const struct tcp *c, uint8_t flags)
{
	uint32_t wnd = c->rcv_adv - c->rcv_nxt;

	if (flags & TCP_FLAG_RST)
		return 0;
	if (!(flags & TCP_FLAG_SYN))
		wnd >>= c->rcv_shift;
	return (uint16_t)MIN(wnd, UINT16_MAX);
}

/* SACK blocks only in bare ACKs, so that full segments keep their size */
static void fill(const struct tcp *c, struct tcp_hdr *h, uint8_t flags,
		 uint32_t seq, bool bare)
{
	struct tcp_opts *o = &h->opt;

	*h = (struct tcp_hdr){
		.sport = c->tuple.peer_port, .dport = c->tuple.guest_port,
		.seq = seq, .flags = flags,
		.wnd = window_field(c, flags),
	};
	if (flags & TCP_FLAG_ACK)
		h->ack = c->rcv_nxt;
	if (c->ts_ok && c->accepted) {
		o->has_ts = true;
		o->tsval = tcp_now_ms(c->ts) + c->ts_off;
		o->tsecr = c->ts_recent;
	}
	if (flags & TCP_FLAG_SYN) {
		o->mss = c->mss_own;
		o->sack_ok = c->sack_ok;
		o->has_wscale = c->scale_ok;
		o->wscale = c->rcv_shift;
	} else if (bare && c->sack_ok) {
		o->nsack = (uint8_t)tcp_ooo_blocks(c, o->sack, TCP_SACK_MAX -
						   (c->ts_ok ? 1u : 0u));
	}
}

static void ack_went(struct tcp *c)
{
	c->do_ack = c->fin_waits = false;
	if (c->ack_due) {
		c->ack_due = 0;
		tcp_timer_relax(c);
	}
	c->rcv_acked = c->rcv_nxt;
}

/*
 * Number of a segment that takes none: the next. Beyond the edge of a window
 * that the guest has shrunk it would be dropped with its ACK, so the edge then;
 * a FIN may pass it, and what rounding hides (RFC 7323 2.4) does not count.
 */
static uint32_t bare_seq(const struct tcp *c)
{
	uint32_t edge = c->snd_una + c->snd_wnd, end = c->snd_max - c->fin_sent;

	if (!c->synced || seq_le(end, edge) ||
	    end - edge < 1u << c->snd_shift)
		return c->snd_max;
	return edge;
}

/* A segment without payload; 0 or negative */
static int send_ctl(struct tcp *c, uint8_t flags, uint32_t seq)
{
	struct ip_args a = args_of(c);
	struct tcp_hdr h;
	struct ip_room r;
	int rc;

	fill(c, &h, flags, seq, true);
	rc = room_get(c->ts, &a, tcp_hdr_len(&h), 0, &r);
	if (rc)
		return rc == -EMSGSIZE ? 0 : rc;
	room_send(c->ts, &r, &h, 0, 0);
	c->twice.start = c->twice.end;
	if (flags & TCP_FLAG_ACK)
		ack_went(c);
	return 0;
}

/**
 * send_payload() - Fetch payload from the owner straight into a frame
 * @only_short:	Send nothing if there is @len or more
 *
 * Return: bytes sent; what @peek said if that is no payload; NOT_SHORT;
 *	   -ECONNABORTED if the connection has ended; negative of the link
 */
static ssize_t send_payload(struct tcp *c, uint32_t seq, size_t len,
			    bool only_short)
{
	const struct tcp_ops *ops = c->ts->ops;
	struct ip_args a = args_of(c);
	struct tcp_hdr h;
	struct ip_room r;
	ssize_t n;

	fill(c, &h, TCP_FLAG_ACK | TCP_FLAG_PSH, seq, false);
	n = room_get(c->ts, &a, tcp_hdr_len(&h), len, &r);
	if (n == -EMSGSIZE) {		/* the MTU is a lie */
		tcp_end(c, -ECONNABORTED, true);
		return -ECONNABORTED;
	}
	if (n)
		return n;
	n = ops->peek(c->ts->arg, c, seq - c->snd_una, r.pay, r.npay, len);
	if (n <= 0 || (only_short && (size_t)n >= len) || tcp_closed(c)) {
		room_cancel(c->ts, &r);
		if (tcp_closed(c))
			return -ECONNABORTED;
		return n > 0 ? NOT_SHORT : n;
	}
	ASSERT((size_t)n <= len);
	room_send(c->ts, &r, &h, (size_t)n, n > c->mss ? c->mss : 0);
	ack_went(c);
	return n;
}

/* --- control segments ----------------------------------------------------- */

void tcp_send_ack(struct tcp *c)
{
	if (!send_ctl(c, TCP_FLAG_ACK, bare_seq(c)))
		return;
	c->do_ack = true;
	tcp_dirty(c);
}

void tcp_challenge(struct tcp *c)
{
	uint32_t now = tcp_now_ms(c->ts);

	if (c->challenged && now - c->challenge_ms < TCP_CHALLENGE_MS) {
		count_inc(tcp_challenge_limited);
		return;
	}
	c->challenged = true;
	c->challenge_ms = now;
	count_inc(tcp_challenge_acks);
	tcp_send_ack(c);
}

int tcp_send_rst(struct tcp *c)
{
	return send_ctl(c, TCP_FLAG_RST | TCP_FLAG_ACK,
			c->accepted ? bare_seq(c) : 0);
}

/* RFC 9293 3.10.7.1 */
void tcp_reply_rst(struct tcp_stack *ts, const struct tcp_seg *s)
{
	struct ip_args a = {
		.src = s->p->dst, .dst = s->p->src,
		.proto = IPPROTO_TCP, .df = true,
	};
	struct tcp_hdr h = {
		.sport = s->h.dport, .dport = s->h.sport,
		.flags = TCP_FLAG_RST,
	};
	struct ip_room r;

	if (s->h.flags & TCP_FLAG_ACK) {
		h.seq = s->h.ack;
	} else {
		h.flags |= TCP_FLAG_ACK;
		h.ack = s->h.seq + (uint32_t)s->len +
			!!(s->h.flags & TCP_FLAG_SYN) +
			!!(s->h.flags & TCP_FLAG_FIN);
	}
	if (room_get(ts, &a, tcp_hdr_len(&h), 0, &r)) {
		count_inc(drop_tcp_rst_out);
		return;
	}
	room_send(ts, &r, &h, 0, 0);
}

/* Something with a sequence number of its own is on its way up to @end */
static void sent(struct tcp *c, uint32_t end)
{
	if (seq_lt(c->snd_max, end)) {
		c->snd_max = end;
		tcp_delay_answered(c);
		if (!c->timing && c->recovery == TCP_RECOVERY_NONE) {
			c->timing = true;
			c->rtt_seq = end;
			c->rtt_ns = tcp_now(c->ts);
		}
	}
	tcp_rto_start(c);
}

/* The SYN of tcp_connect(), or the SYN-ACK */
static int send_syn(struct tcp *c)
{
	uint8_t ack = c->state == TCP_STATE_SYN_SENT ? 0 : TCP_FLAG_ACK;
	int rc = send_ctl(c, TCP_FLAG_SYN | ack, c->snd_una);

	if (rc)
		return rc;
	c->do_syn = false;
	if (c->timing || c->rexmitted) {
		c->timing = false;
		c->rexmitted = true;
		count_inc(tcp_rexmits);
	} else {
		c->timing = true;
		c->rtt_seq = c->snd_max;
		c->rtt_ns = tcp_now(c->ts);
	}
	tcp_rto_start(c);
	return 0;
}

static int send_fin(struct tcp *c)
{
	int rc = send_ctl(c, TCP_FLAG_FIN | TCP_FLAG_ACK, c->snd_max);

	if (rc)
		return rc;
	c->fin_sent = true;
	c->readable = false;
	sent(c, c->snd_max + 1);
	tcp_set_state(c, c->state == TCP_STATE_ESTABLISHED ?
		      TCP_STATE_FIN_WAIT_1 : TCP_STATE_LAST_ACK);
	return 0;
}

/* --- window --------------------------------------------------------------- */

static uint32_t ask_room(struct tcp *c, uint32_t max)
{
	size_t room = c->ts->ops->room(c->ts->arg, c);

	room = MIN(room, MIN(c->ts->conf.max_window, max));
	c->room_max = MAX(c->room_max, (uint32_t)room);
	return (uint32_t)room;
}

void tcp_window_init(struct tcp *c)
{
	c->rcv_adv = c->rcv_nxt + ask_room(c, UINT16_MAX);
}

/**
 * window_grow() - Open the window as far as the owner has room
 *
 * The silly windows of RFC 9293 3.8.6.2.2: it grows by a segment or half of the
 * buffer.  A scaled window that does not grow is rounded up, so that its right
 * edge does not appear to move back, while there is room for that.
 *
 * Return: whether this is worth an ACK of its own
 */
static bool window_grow(struct tcp *c)
{
	uint32_t unit = 1u << c->rcv_shift;
	uint32_t room = ask_room(c, c->rcv_shift ? UINT32_MAX : UINT16_MAX);
	uint32_t now = c->rcv_adv - c->rcv_nxt, up, step;
	bool tell;

	if (c->fin_taken)
		return false;
	step = MIN(c->mss_own, MAX(c->room_max / 2, 1));
	tell = room >= now + (now < step ? step :
			      MIN(2u * c->mss_own, MAX(c->room_max / 2, 1)));
	if (tell || (c->do_ack && room >= now + step))
		now = room;
	up = (now + unit - 1) & ~(unit - 1);
	c->rcv_adv = c->rcv_nxt + (up <= room ? up : now);
	return tell;
}

/* --- data ----------------------------------------------------------------- */

/* Most payload of a frame, in whole segments */
static size_t frame_max(const struct tcp *c)
{
	size_t gso = ip_gso_max(c->ts->netif, !tcp_is4(c));
	size_t opts = c->ts_ok ? TCP_TS_LEN : 0;

	ASSERT(c->mss);		/* take_syn() sees to it */
	if (gso < (size_t)c->mss + opts)
		return c->mss;
	gso -= opts;
	return gso - gso % c->mss;
}

/* As much of @len as makes whole segments; less than one as it is */
static size_t whole(const struct tcp *c, size_t len)
{
	len = MIN(len, frame_max(c));
	return len > c->mss ? len - len % c->mss : len;
}

/* Act on what @peek or the link said: 0; negative if there is no more to do */
static int no_payload(struct tcp *c, ssize_t rc)
{
	if (rc == 0)
		c->readable = false;
	if (rc == -ENODATA)
		return send_fin(c);
	if (rc < 0 && !c->ts->blocked && !tcp_closed(c))
		tcp_end(c, -ECONNABORTED, true);
	return (int)rc;
}

/* Sequence numbers that were sent again; or negative */
static ssize_t resend(struct tcp *c, uint32_t seq, uint32_t len)
{
	uint32_t fin = c->snd_max - 1;
	ssize_t rc;

	if (c->fin_sent && seq == fin) {
		rc = send_ctl(c, TCP_FLAG_FIN | TCP_FLAG_ACK, seq);
		return rc ? rc : 1;
	}
	if (c->fin_sent)
		len = MIN(len, fin - seq);
	rc = send_payload(c, seq, MIN(len, frame_max(c)), false);
	if (rc == 0 || rc == -ENODATA) {
		count_inc(tcp_owner_lost_data);
		rc = -EPIPE;
	}
	if (rc < 0)
		no_payload(c, rc);
	return rc;
}

/* Holes from @nxt on, in order; 1 if the budget ended it */
static int send_holes(struct tcp *c, uint32_t *nxt, uint32_t limit, int *budget)
{
	uint32_t end, room;
	ssize_t n;

	for (;;) {
		*nxt = tcp_sack_hole(c, *nxt, limit, &end);
		if (!seq_lt(*nxt, limit))
			return 0;
		room = tcp_cong_room(c);
		if (room < c->mss && *nxt != c->snd_una)
			return 0;	/* the first goes out in any case */
		if (!*budget)
			return 1;
		n = resend(c, *nxt, MIN(end - *nxt, MAX(room, c->mss)));
		if (n < 0)
			return (int)n;
		count_inc(tcp_rexmits);
		*nxt += (uint32_t)n;
		tcp_rto_start(c);
		--*budget;
	}
}

/* How far holes may be sent again now */
static uint32_t lost_limit(struct tcp *c)
{
	bool fast = c->recovery == TCP_RECOVERY_FAST;
	uint32_t wnd = fast && c->sack_ok ? c->mss : c->rtx_wnd, limit;

	wnd = MIN(wnd, MAX(c->snd_wnd, c->mss));
	limit = c->snd_una + wnd;
	if (fast)
		limit = seq_max(limit, tcp_sack_limit(c));
	/* One recovery is one answer to congestion.  Without a window for it, it
	 * lasts as long as there are holes, and none is sent for each of them */
	if (fast && c->sack_ok && !tcp_cong_on(c))
		c->recover = seq_max(c->recover, seq_min(limit, c->snd_max));
	return seq_min(limit, c->recover);
}

/* What is lost, each hole once, and those once more that were lost again */
static int send_lost(struct tcp *c, int *budget)
{
	uint32_t limit = lost_limit(c);
	bool again = seq_lt(c->again_nxt, c->again_end);
	int rc = 0;

	if (again)
		rc = send_holes(c, &c->again_nxt, seq_min(limit, c->again_end),
				budget);
	if (!rc)
		rc = send_holes(c, &c->rtx_nxt, limit, budget);
	if (!rc)
		tcp_again_sent(c, again);
	return rc;
}

/*
 * The window is closed or silly.  What is in flight will bring an ACK; without
 * that the owner is asked whether there is anything to send at all, and the
 * persist timer decides (RFC 9293 3.8.6.1, 3.8.6.2.1).
 */
static int send_squeezed(struct tcp *c, uint32_t usable)
{
	const struct tcp_ops *ops = c->ts->ops;
	bool force = c->do_force;
	uint8_t byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	ssize_t n;

	if (c->snd_una != c->snd_max || (c->probing && !force))
		return 0;
	if (usable) {
		n = send_payload(c, c->snd_max, usable, !force);
		if (n > 0)
			sent(c, c->snd_max + (uint32_t)n);
	} else {
		n = ops->peek(c->ts->arg, c, 0, &iov, 1, 1);
		ASSERT(n <= 1);
		if (n > 0)
			n = NOT_SHORT;
	}
	if (tcp_closed(c))
		return -ECONNABORTED;
	if (n == NOT_SHORT) {
		tcp_persist_start(c);
		return 0;
	}
	if (n > 0) {
		c->do_force = false;
		return 0;
	}
	return no_payload(c, n);
}

/* New payload that the guest, and the path, have room for */
static uint32_t usable_of(const struct tcp *c)
{
	uint32_t flight = c->snd_max - c->snd_una;
	uint32_t usable = c->snd_wnd > flight ? c->snd_wnd - flight : 0;

	return MIN(usable, tcp_cong_room(c));
}

/* Frames that a connection may send in a turn: see TCP_BUDGET */
static int budget_of(const struct tcp *c)
{
	size_t bytes = TCP_BUDGET_BYTES / MAX(c->ts->share, 1);

	return (int)MAX(TCP_BUDGET, bytes / frame_max(c));
}

size_t tcp_turn(const struct tcp *c, size_t off)
{
	size_t n = (size_t)budget_of(c) * frame_max(c);

	if (off < c->snd_max - c->snd_una)	/* again: holes are short */
		return (size_t)TCP_BUDGET * c->mss;
	n = MIN(n, usable_of(c));
	return n - n % c->mss;
}

static int send_new(struct tcp *c, int *budget)
{
	while (c->readable) {
		uint32_t usable = usable_of(c);
		ssize_t n;

		if (usable < MIN(c->mss, MAX(c->snd_wnd_max / 2, 1)))
			return send_squeezed(c, usable);
		if (!*budget)
			return 1;
		c->do_force = false;
		tcp_cong_send(c);
		n = send_payload(c, c->snd_max, whole(c, usable), false);
		if (n <= 0)
			return no_payload(c, n);
		sent(c, c->snd_max + (uint32_t)n);
		--*budget;
	}
	return 0;
}

static int send_data(struct tcp *c, int *budget)
{
	int rc;

	if (c->recovery != TCP_RECOVERY_NONE) {
		rc = send_lost(c, budget);
		if (rc || c->recovery == TCP_RECOVERY_RTO)
			return rc;
	}
	if (c->fin_sent || c->state < TCP_STATE_ESTABLISHED)
		return 0;
	return send_new(c, budget);
}

/* --- a turn --------------------------------------------------------------- */

static void tell_acked(struct tcp *c)
{
	uint32_t n = c->acked;

	c->acked = 0;
	if (n)
		c->ts->ops->acked(c->ts->arg, c, n);
}

/* What comes before sending; false if that ended the connection */
static bool prepare(struct tcp *c)
{
	tell_acked(c);
	if (c->do_ooo && !tcp_closed(c)) {
		tcp_ooo_deliver(c);
		tcp_fin_check(c);
	}
	if (tcp_closed(c) || c->state == TCP_STATE_TIME_WAIT)
		return false;
	if (c->do_window) {
		c->do_window = false;
		c->do_ack |= window_grow(c);
	}
	return !tcp_closed(c);
}

int tcp_work(struct tcp *c)
{
	int budget, more, rc = 0;

	if (c->state == TCP_STATE_DIALLING || !prepare(c))
		return 0;
	if (c->do_rtx)
		tcp_rtx_late(c);
	if (c->do_syn && c->state < TCP_STATE_ESTABLISHED)
		rc = send_syn(c);
	if (!rc && c->do_probe) {
		rc = send_ctl(c, TCP_FLAG_ACK, c->snd_una - 1);
		c->do_probe = rc != 0;
	}
	if (rc)
		return rc;
	budget = budget_of(c);
	more = send_data(c, &budget);
	if (more < 0 || tcp_closed(c))
		return more;
	if (c->do_ack)
		rc = send_ctl(c, TCP_FLAG_ACK, bare_seq(c));
	return rc ? rc : more;
}
