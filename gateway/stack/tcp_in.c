/* Segment arrival (RFC 9293 3.10.7) */
#include "gateway/stack/tcp_priv.h"

#include <errno.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"

COUNT(tcp_segs_in, "TCP segments from the guest");
COUNT(tcp_opens, "SYNs that began a connection");
COUNT(tcp_syn_again, "SYNs that came again while the owner dials");
COUNT(tcp_tw_reused, "TIME-WAIT entries that a new SYN replaced");
COUNT(tcp_recv_short, "segments that the owner took only a part of");
COUNT(tcp_bad_options, "TCP headers with an option of impossible length");
COUNT(drop_tcp_header, "TCP segments whose header is torn");
COUNT(drop_tcp_csum, "TCP segments with a wrong checksum");
COUNT(drop_tcp_dst, "TCP segments to an address that is not unicast");
COUNT(drop_tcp_port0, "TCP segments from or to port 0");
COUNT(drop_tcp_syn_flags, "SYN segments with RST or FIN");
COUNT(drop_tcp_full, "SYNs refused because the table is full");
COUNT(drop_tcp_unknown, "TCP segments of no connection");
COUNT(drop_tcp_unknown_rst, "RSTs of no connection");
COUNT(drop_tcp_dialling, "TCP segments before the SYN was answered");
COUNT(drop_tcp_rst_seq, "RSTs outside the window");
COUNT(drop_tcp_rst_inexact, "RSTs in the window, but not its next byte");
COUNT(drop_tcp_seq, "TCP segments outside the window");
COUNT(drop_tcp_paws, "TCP segments with an old timestamp");
COUNT(drop_tcp_no_ts, "TCP segments without the timestamp agreed on");
COUNT(drop_tcp_syn, "SYNs inside a connection");
COUNT(drop_tcp_no_syn, "TCP segments before the guest's SYN");
COUNT(drop_tcp_no_ack, "TCP segments without ACK inside a connection");
COUNT(drop_tcp_handshake_ack, "ACKs of another SYN-ACK than ours");
COUNT(drop_tcp_after_fin, "TCP payload behind the guest's FIN");
COUNT(drop_tcp_time_wait, "TCP segments during TIME-WAIT");

#define CTL_FLAGS	(TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST)

/* One past the last sequence number of a segment without SYN */
static uint32_t seg_end(const struct tcp_seg *s)
{
	return s->h.seq + (uint32_t)s->len + !!(s->h.flags & TCP_FLAG_FIN);
}

/* --- no connection -------------------------------------------------------- */

uint16_t tcp_own_mss(const struct tcp *c)
{
	unsigned int head = tcp_is4(c) ? 20 + TCP_HDR_MIN : 40 + TCP_HDR_MIN;
	unsigned int mtu = c->ts->netif->conf.mtu;

	return (uint16_t)MAX(mtu > head ? mtu - head : 0, TCP_MSS_MIN);
}

/* What the SYN offers: of a connection that the guest begins, what our SYN-ACK
 * will too; of ours, what is agreed on, since we offered everything */
static void take_syn(struct tcp *c, const struct tcp_hdr *h)
{
	const struct tcp_opts *o = &h->opt;
	uint16_t mss = o->mss;

	c->rcv_nxt = h->seq + 1;
	c->rcv_adv = c->rcv_acked = c->rcv_nxt;
	c->snd_wl1 = h->seq;
	c->snd_wnd = c->snd_wnd_max = h->wnd;
	c->scale_ok = o->has_wscale;
	c->snd_shift = o->has_wscale ? o->wscale : 0;
	c->rcv_shift = o->has_wscale ? c->ts->rcv_shift : 0;
	c->ts_ok = o->has_ts;
	c->sack_ok = o->sack_ok;
	c->ts_recent = o->tsval;
	c->ts_recent_s = (uint32_t)(tcp_now(c->ts) / NS_PER_S);
	if (!mss)
		mss = tcp_is4(c) ? TCP_MSS_V4 : TCP_MSS_V6;
	c->mss_own = tcp_own_mss(c);
	mss = MIN(mss, c->mss_own);
	mss = MAX(mss, TCP_MSS_MIN);
	c->mss = (uint16_t)(mss - (c->ts_ok ? TCP_TS_LEN : 0));
}

/**
 * open_conn() - A SYN for a tuple that is free
 * @above:	Last sequence number of a predecessor in TIME-WAIT, or 0
 */
static void open_conn(struct tcp_stack *ts, const struct tcp_seg *s,
		      const struct tcp_tuple *tuple, uint32_t above)
{
	enum tcp_admit admit = TCP_ADMIT_OPEN;
	struct tcp *c = NULL;

	if (s->h.flags & (TCP_FLAG_RST | TCP_FLAG_FIN)) {
		count_inc(drop_tcp_syn_flags);
		return;
	}
	if (ts->ops->admit)
		admit = ts->ops->admit(ts->arg, tuple);
	if (admit == TCP_ADMIT_OPEN) {
		c = tcp_new(ts, tuple, TCP_STATE_DIALLING);
		if (!c)
			count_inc(drop_tcp_full);
	}
	if (!c) {
		if (admit != TCP_ADMIT_DROP)
			tcp_reply_rst(ts, s);
		return;
	}
	count_inc(tcp_opens);
	take_syn(c, &s->h);
	c->snd_max = above;
	ts->ops->open(ts->arg, c);
}

static void in_none(struct tcp_stack *ts, const struct tcp_seg *s,
		    const struct tcp_tuple *tuple)
{
	uint8_t flags = s->h.flags;

	if ((flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN) {
		open_conn(ts, s, tuple, 0);
	} else if (flags & TCP_FLAG_RST) {
		count_inc(drop_tcp_unknown_rst);
	} else {
		count_inc(drop_tcp_unknown);
		tcp_reply_rst(ts, s);
	}
}

/* We have sent nothing yet, so no ACK can be right */
static void in_dialling(struct tcp *c, const struct tcp_seg *s)
{
	uint8_t flags = s->h.flags;

	if (flags & TCP_FLAG_RST) {
		if (s->h.seq == c->rcv_nxt)
			tcp_end(c, -ECONNRESET, false);
		else
			count_inc(drop_tcp_rst_seq);
	} else if (flags & TCP_FLAG_ACK) {
		count_inc(drop_tcp_dialling);
		tcp_reply_rst(c->ts, s);
	} else if ((flags & CTL_FLAGS) == TCP_FLAG_SYN) {
		/* The same, or that of a program which took the port over */
		count_inc(tcp_syn_again);
		take_syn(c, &s->h);
	} else {
		count_inc(drop_tcp_dialling);
	}
}

/* Whether a SYN cannot be an old duplicate (RFC 6191; RFC 1122 4.2.2.13) */
static bool may_reuse(const struct tcp *c, const struct tcp_hdr *h)
{
	if (!c->ts_ok && h->opt.has_ts)
		return true;
	if (c->ts_ok && h->opt.has_ts && h->opt.tsval != c->ts_recent)
		return seq_lt(c->ts_recent, h->opt.tsval);
	return seq_lt(c->rcv_nxt, h->seq);
}

/* --- checks, in the order of RFC 9293 3.10.7.4 ---------------------------- */

/* Dropped, and so answered. If it was empty it may be such an answer itself, of
 * a guest that disagrees about the numbers: no faster than challenges then */
static void answer(struct tcp *c, const struct tcp_seg *s)
{
	if (seg_end(s) == s->h.seq) {
		tcp_challenge(c);
		return;
	}
	tcp_ooo_twice(c, s->h.seq,
		      seq_min(s->h.seq + (uint32_t)s->len, c->rcv_nxt));
	c->do_ack = true;
	tcp_dirty(c);
}

/* RFC 7323 5.3 */
static bool paws_ok(struct tcp *c, const struct tcp_seg *s)
{
	const struct tcp_opts *o = &s->h.opt;
	uint32_t now_s = (uint32_t)(tcp_now(c->ts) / NS_PER_S);

	if (!c->ts_ok || s->h.flags & TCP_FLAG_RST)
		return true;
	if (!o->has_ts) {
		count_inc(drop_tcp_no_ts);
		return false;
	}
	if (!seq_lt(o->tsval, c->ts_recent) ||
	    now_s - c->ts_recent_s > TCP_PAWS_IDLE_S)
		return true;
	count_inc(drop_tcp_paws);
	answer(c, s);
	return false;
}

/*
 * Two liberties: a segment at the very next byte passes a closed window, for
 * its ACK and its FIN (payload is trimmed away); and an empty one at the right
 * edge passes, which is where a guest stands that has filled the window.
 */
static bool seq_ok(const struct tcp *c, const struct tcp_seg *s)
{
	uint32_t seq = s->h.seq, end = seg_end(s);

	if (seq == c->rcv_nxt)
		return true;
	if (end == seq)
		return seq_le(c->rcv_nxt, seq) && seq_le(seq, c->rcv_adv);
	return seq_lt(c->rcv_nxt, end) && seq_lt(seq, c->rcv_adv);
}

/* RFC 5961 3.2 */
static void in_rst(struct tcp *c, const struct tcp_seg *s)
{
	bool refused = c->active && c->state == TCP_STATE_SYN_RECEIVED;

	if (s->h.seq == c->rcv_nxt && c->state == TCP_STATE_TIME_WAIT) {
		tcp_tw_drop(c);
	} else if (s->h.seq == c->rcv_nxt) {
		tcp_end(c, refused ? -ECONNREFUSED : -ECONNRESET, false);
	} else if (seq_lt(c->rcv_nxt, s->h.seq) &&
		   seq_le(s->h.seq, c->rcv_adv)) {
		count_inc(drop_tcp_rst_inexact);
		tcp_challenge(c);
	} else {
		count_inc(drop_tcp_rst_seq);
	}
}

static void in_time_wait(struct tcp *c, const struct tcp_seg *s)
{
	uint8_t flags = s->h.flags;

	if (flags & TCP_FLAG_RST) {
		in_rst(c, s);
		return;
	}
	if ((flags & (CTL_FLAGS | TCP_FLAG_ACK)) == TCP_FLAG_SYN &&
	    may_reuse(c, &s->h)) {
		struct tcp_tuple tuple = c->tuple;
		uint32_t above = c->snd_max;

		count_inc(tcp_tw_reused);
		tcp_tw_drop(c);
		open_conn(c->ts, s, &tuple, above);
		return;
	}
	count_inc(drop_tcp_time_wait);
	if (flags & TCP_FLAG_FIN && seg_end(s) == c->rcv_nxt)
		tcp_tw_restart(c);
	if (flags & CTL_FLAGS || s->len)
		tcp_send_ack(c);
	else if (!seq_ok(c, s))
		tcp_challenge(c);
}

static void in_syn(struct tcp *c, const struct tcp_seg *s)
{
	count_inc(drop_tcp_syn);
	if (c->state == TCP_STATE_SYN_RECEIVED &&
	    s->h.seq + 1 == c->rcv_nxt && !(s->h.flags & TCP_FLAG_ACK)) {
		c->do_syn = true;	/* ours was lost */
		tcp_dirty(c);
		return;
	}
	tcp_challenge(c);		/* RFC 5961 4.2 */
}

/* RFC 7323 4.3, with what was really sent as Last.ACK.sent */
static void take_ts(struct tcp *c, const struct tcp_seg *s)
{
	if (!c->ts_ok || !seq_le(s->h.seq, c->rcv_acked))
		return;
	c->ts_recent = s->h.opt.tsval;
	c->ts_recent_s = (uint32_t)(tcp_now(c->ts) / NS_PER_S);
}

static bool establish(struct tcp *c, const struct tcp_seg *s)
{
	const struct tcp_ops *ops = c->ts->ops;

	if (s->h.ack != c->snd_max) {
		count_inc(drop_tcp_handshake_ack);
		tcp_reply_rst(c->ts, s);
		return false;
	}
	tcp_rtt_of(c, s);
	c->snd_una = c->snd_max;
	c->snd_wl1 = s->h.seq;
	c->snd_wl2 = s->h.ack;
	c->snd_wnd = tcp_seg_wnd(c, s);
	c->snd_wnd_max = c->snd_wnd;
	if (c->rexmitted && !c->srtt_us) {
		c->rto_ms = TCP_RTO_SYN_LOST_MS;
		c->backoff = 0;
	}
	tcp_cong_init(c);
	tcp_delay_open(c);
	c->retries = 0;
	c->rexmitted = c->do_syn = false;
	c->readable = c->synced = true;
	c->recover = c->snd_una - 1;
	tcp_rto_restart(c);
	tcp_alive(c);
	tcp_set_state(c, TCP_STATE_ESTABLISHED);
	tcp_dirty(c);
	if (c->active)
		ops->connected(c->ts->arg, c);
	else if (ops->established)
		ops->established(c->ts->arg, c);
	return !tcp_closed(c);
}

/* --- payload -------------------------------------------------------------- */

ssize_t tcp_deliver(struct tcp *c, const struct iovec *iov, int n, size_t len)
{
	const struct tcp_ops *ops = c->ts->ops;
	ssize_t took = ops->recv(c->ts->arg, c, iov, n, len);

	if (tcp_closed(c))
		return -ECONNABORTED;
	if (took < 0) {
		tcp_end(c, -ECONNABORTED, true);
		return -ECONNABORTED;
	}
	ASSERT((size_t)took <= len);
	if ((size_t)took < len)
		count_inc(tcp_recv_short);
	c->rcv_nxt += (uint32_t)took;
	c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt);
	c->do_window = true;
	tcp_delay_asked(c, (size_t)took == len);
	tcp_dirty(c);
	return took;
}

/**
 * in_order() - Payload whose first @skip bytes we have
 * @len:	Payload, @skip included, as far as the window goes
 */
static void in_order(struct tcp *c, const struct tcp_seg *s, size_t skip,
		     size_t len)
{
	struct iovec iov[LINK_IOV_MAX + 1];	/* netif copies a head */
	int n = iov_slice(s->p->iov, s->p->n, s->h.hlen + skip, len - skip,
			  iov, (int)ARRAY_SIZE(iov));
	ssize_t took;

	ASSERT(n >= 0);
	took = tcp_deliver(c, iov, n, len - skip);
	if (took < 0)
		return;
	if ((size_t)took == len - skip && c->nooo)
		tcp_ooo_deliver(c);
}

static void in_early(struct tcp *c, const struct tcp_seg *s, size_t len)
{
	struct iovec iov[LINK_IOV_MAX + 1];	/* netif copies a head */
	int n = iov_slice(s->p->iov, s->p->n, s->h.hlen, len, iov,
			  (int)ARRAY_SIZE(iov));

	ASSERT(n >= 0);
	tcp_ooo_put(c, s->h.seq, iov, n, len);
	tcp_send_ack(c);	/* each one counts for fast retransmit */
}

static bool may_recv(const struct tcp *c)
{
	return !c->fin_taken;
}

static void in_text(struct tcp *c, const struct tcp_seg *s)
{
	uint32_t edge = c->fin_seen ? seq_min(c->rcv_adv, c->fin_seq) :
			c->rcv_adv;
	uint32_t room = seq_lt(s->h.seq, edge) ? edge - s->h.seq : 0;
	size_t len = MIN(s->len, room);

	if (c->no_recv && seq_lt(c->rcv_nxt, s->h.seq + (uint32_t)s->len)) {
		tcp_end(c, -ECONNABORTED, true);
		return;
	}
	if (s->h.flags & TCP_FLAG_FIN && len == s->len && !c->fin_seen) {
		c->fin_seen = true;
		c->fin_seq = s->h.seq + (uint32_t)len;
	}
	if (len < s->len) {
		c->do_ack = true;	/* a window probe, perhaps */
		tcp_dirty(c);
	}
	if (!len) {
		if (s->h.flags & TCP_FLAG_FIN && s->h.seq != c->rcv_nxt)
			tcp_send_ack(c);	/* early too */
	} else if (seq_lt(c->rcv_nxt, s->h.seq)) {
		in_early(c, s, len);
	} else {
		tcp_ooo_twice(c, s->h.seq, c->rcv_nxt);
		if (s->h.seq + (uint32_t)len != c->rcv_nxt)
			in_order(c, s, c->rcv_nxt - s->h.seq, len);
	}
}

void tcp_fin_check(struct tcp *c)
{
	const struct tcp_ops *ops = c->ts->ops;

	if (tcp_closed(c) || !c->fin_seen || c->fin_taken ||
	    c->rcv_nxt != c->fin_seq)
		return;
	c->fin_taken = true;
	tcp_ooo_drop(c);	/* what claims to lie behind it */
	c->rcv_nxt++;
	c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt);
	if (c->state == TCP_STATE_ESTABLISHED)
		tcp_set_state(c, TCP_STATE_CLOSE_WAIT);
	else if (c->state == TCP_STATE_FIN_WAIT_1)
		tcp_set_state(c, TCP_STATE_CLOSING);
	tcp_delay_fin(c);
	tcp_dirty(c);
	if (!c->no_recv)
		ops->recv_fin(c->ts->arg, c);
	if (c->state == TCP_STATE_FIN_WAIT_2)
		tcp_time_wait(c);
}

/* --- entry ---------------------------------------------------------------- */

/* The sixth and later steps */
static void in_rest(struct tcp *c, const struct tcp_seg *s)
{
	if (tcp_gather_put(c, s))
		return;
	if (may_recv(c))
		in_text(c, s);
	else if (s->len)
		count_inc(drop_tcp_after_fin);
	tcp_fin_check(c);
}

/* The SYN is dealt with; what is left begins behind it */
static struct tcp_seg behind_syn(const struct tcp_seg *s)
{
	struct tcp_seg t = *s;

	t.h.flags &= (uint8_t)~TCP_FLAG_SYN;
	t.h.seq++;
	t.syn = true;
	return t;
}

/* RFC 9293 3.10.7.3 */
static void in_syn_sent(struct tcp *c, const struct tcp_seg *s)
{
	uint8_t flags = s->h.flags;
	bool ack = flags & TCP_FLAG_ACK;
	uint32_t window = c->rcv_adv - c->rcv_nxt;
	struct tcp_seg t = behind_syn(s);

	if (ack && s->h.ack != c->snd_max) {
		count_inc(drop_tcp_handshake_ack);
		if (!(flags & TCP_FLAG_RST))
			tcp_reply_rst(c->ts, s);
	} else if (flags & TCP_FLAG_RST) {
		if (ack)
			tcp_end(c, -ECONNREFUSED, false);
		else
			count_inc(drop_tcp_rst_seq);
	} else if (!(flags & TCP_FLAG_SYN)) {
		count_inc(drop_tcp_no_syn);
	} else {
		take_syn(c, &s->h);
		c->rcv_adv += window;
		if (ack && establish(c, &t)) {
			c->do_ack = true;
			in_rest(c, &t);
		} else if (!ack) {	/* it connects to us just now */
			tcp_set_state(c, TCP_STATE_SYN_RECEIVED);
			c->do_syn = true;
			tcp_dirty(c);
		}
	}
}

/* Of a simultaneous open, the guest's SYN with the ACK of ours (RFC 9293 3.5) */
static bool is_crossed(const struct tcp *c, const struct tcp_seg *s)
{
	return c->active && c->state == TCP_STATE_SYN_RECEIVED &&
	       (s->h.flags & (CTL_FLAGS | TCP_FLAG_ACK)) ==
	       (TCP_FLAG_SYN | TCP_FLAG_ACK) &&
	       s->h.seq + 1 == c->rcv_nxt && s->h.ack == c->snd_max;
}

static void in_conn(struct tcp *c, const struct tcp_seg *s)
{
	uint8_t flags = s->h.flags;
	struct tcp_seg t;

	if (c->gather && !tcp_gather_goes_on(c, s) && tcp_gather_end(c))
		return;
	if (is_crossed(c, s)) {
		t = behind_syn(s);
		s = &t;
		flags = t.h.flags;
		c->do_ack = true;
	}
	if ((flags & (TCP_FLAG_SYN | TCP_FLAG_RST)) == TCP_FLAG_SYN) {
		in_syn(c, s);		/* whatever its number, RFC 5961 4.2 */
		return;
	}
	if (!paws_ok(c, s))
		return;
	if (flags & TCP_FLAG_RST) {
		in_rst(c, s);
		return;
	}
	if (!seq_ok(c, s)) {
		count_inc(drop_tcp_seq);
		answer(c, s);
		return;
	}
	if (!(flags & TCP_FLAG_ACK)) {
		count_inc(drop_tcp_no_ack);
		return;
	}
	if (c->state == TCP_STATE_SYN_RECEIVED && !establish(c, s))
		return;
	take_ts(c, s);
	if (!tcp_ack_in(c, s) || tcp_closed(c) ||
	    c->state == TCP_STATE_TIME_WAIT)
		return;
	in_rest(c, s);
}

/* Checked before anything is looked up or allocated */
static int parse(const struct pkt *p, struct tcp_seg *s,
		 struct tcp_tuple *tuple)
{
	if (tcp_hdr_parse(rd_init(p->l4, MIN(p->l4_head, p->len)), &s->h)) {
		count_inc(drop_tcp_header);
		return -EBADMSG;
	}
	if (!pkt_csum_ok(p)) {
		count_inc(drop_tcp_csum);
		return -EBADMSG;
	}
	if (ipaddr_is_multicast(&p->dst) || ipaddr_is_broadcast4(&p->dst)) {
		count_inc(drop_tcp_dst);
		return -EBADMSG;
	}
	if (!s->h.sport || !s->h.dport) {
		count_inc(drop_tcp_port0);
		return -EBADMSG;
	}
	if (s->h.opt.bad)
		count_inc(tcp_bad_options);
	s->syn = false;
	s->p = p;
	s->len = p->len - s->h.hlen;
	*tuple = (struct tcp_tuple){
		.guest = p->src, .peer = p->dst,
		.guest_port = s->h.sport, .peer_port = s->h.dport,
	};
	return 0;
}

void tcp_input(void *arg, const struct pkt *p)
{
	struct tcp_stack *ts = arg;
	struct tcp_tuple tuple;
	struct tcp_seg s;
	struct tcp *c;

	count_inc(tcp_segs_in);
	if (parse(p, &s, &tuple))
		return;
	c = tcp_find(ts, &tuple);
	if (!c) {
		in_none(ts, &s, &tuple);
		return;
	}
	if (ts->conf.keepalive_s)
		tcp_alive(c);
	if (c->state == TCP_STATE_DIALLING)
		in_dialling(c, &s);
	else if (c->state == TCP_STATE_SYN_SENT)
		in_syn_sent(c, &s);
	else if (c->state == TCP_STATE_TIME_WAIT)
		in_time_wait(c, &s);
	else
		in_conn(c, &s);
}
