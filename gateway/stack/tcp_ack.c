/* What an ACK of the guest tells: progress, window, round trip, loss */
#include "gateway/stack/tcp_priv.h"

#include "base/count.h"
#include "base/util.h"
#include "gateway/stack/nud.h"

COUNT(tcp_dup_acks, "duplicate ACKs from the guest");
COUNT(tcp_reneged, "guests that dropped what they had reported by SACK");
COUNT(drop_tcp_ack_unsent, "ACKs of data that was never sent");
COUNT(drop_tcp_ack_old, "ACKs older than any window");

/* --- round trip (RFC 6298) ------------------------------------------------ */

void tcp_rtt_sample(struct tcp *c, uint64_t rtt_us)
{
	uint32_t rtt = (uint32_t)MIN(rtt_us, 60 * 1000000ULL), diff;
	uint64_t rto_ms;

	rtt = MAX(rtt, 1);		/* 0 means that there was none yet */
	if (!c->srtt_us) {
		c->srtt_us = rtt;
		c->rttvar_us = rtt / 2;
	} else {
		diff = rtt > c->srtt_us ? rtt - c->srtt_us : c->srtt_us - rtt;
		c->rttvar_us -= c->rttvar_us / 4;
		c->rttvar_us += diff / 4;
		c->srtt_us = (uint32_t)((7ULL * c->srtt_us + rtt) / 8);
		c->srtt_us = MAX(c->srtt_us, 1);
	}
	/* The clock's granularity is a turn of the loop: call it 1 ms */
	rto_ms = (c->srtt_us + MAX(1000ULL, 4ULL * c->rttvar_us) + 999) / 1000;
	rto_ms = MIN(rto_ms, TCP_RTO_MAX_MS);
	c->rto_ms = (uint32_t)MAX(rto_ms, TCP_RTO_MIN_MS);
	c->backoff = 0;		/* it stays until there is a sample: Karn */
}

void tcp_rtt_of(struct tcp *c, const struct tcp_seg *s)
{
	uint64_t now = tcp_now(c->ts);
	uint32_t echo = s->h.opt.tsecr - c->ts_off;

	if (c->timing && seq_le(c->rtt_seq, s->h.ack)) {
		c->timing = false;
		tcp_rtt_sample(c, (now - c->rtt_ns) / NS_PER_US);
		return;
	}
	/* Karn: only the echo tells which transmission this answers */
	if (c->rexmitted && c->ts_ok && s->h.opt.tsecr) {
		uint32_t ms = tcp_now_ms(c->ts) - echo;

		if (ms <= TCP_RTO_MAX_MS)	/* else it echoes nonsense */
			tcp_rtt_sample(c, ms * 1000ULL);
	}
}

/* --- progress ------------------------------------------------------------- */

/* Our FIN and all before it is acknowledged */
static void fin_acked(struct tcp *c)
{
	switch ((enum tcp_state)c->state) {
	case TCP_STATE_FIN_WAIT_1:
		tcp_set_state(c, TCP_STATE_FIN_WAIT_2);
		if (c->no_recv) {
			c->life_due = tcp_now(c->ts) + TCP_FIN_WAIT_NS;
			tcp_timer_arm(c);
		}
		break;
	case TCP_STATE_CLOSING:
		tcp_time_wait(c);
		break;
	case TCP_STATE_LAST_ACK:
		tcp_end(c, 0, false);
		break;
	case TCP_STATE_CLOSED:
	case TCP_STATE_DIALLING:
	case TCP_STATE_SYN_SENT:
	case TCP_STATE_SYN_RECEIVED:
	case TCP_STATE_ESTABLISHED:
	case TCP_STATE_FIN_WAIT_2:
	case TCP_STATE_CLOSE_WAIT:
	case TCP_STATE_TIME_WAIT:
	case TCP_STATE_NUM:
		break;
	}
}

/* @n more bytes are there while a loss is being repaired */
static void recovery_progress(struct tcp *c, uint32_t n)
{
	tcp_cong_acked(c, n);
	if (c->recovery == TCP_RECOVERY_NONE) {
		if (seq_lt(c->recover, c->snd_una))
			c->recover = c->snd_una - 1;
		return;
	}
	if (seq_le(c->recover, c->snd_una)) {
		c->recovery = TCP_RECOVERY_NONE;
		return;
	}
	c->rtx_nxt = seq_max(c->rtx_nxt, c->snd_una);
	c->again_nxt = seq_max(c->again_nxt, c->snd_una);
	/* A partial ACK: the next hole begins here (RFC 6582 3.2).  Without a
	 * congestion window the pace doubles with each round */
	if (c->recovery == TCP_RECOVERY_RTO)
		c->rtx_wnd += MIN(2 * (uint64_t)MAX(n, c->mss),
				  (1u << 30) - c->rtx_wnd);
	else if (!tcp_cong_on(c))
		c->rtx_wnd = MIN(2 * c->rtx_wnd, 1u << 16);
}

/* Who has what it has reported acknowledges that as well */
static bool reneged(const struct tcp *c)
{
	const struct tcp_range *r = tcp_sacked(c);

	for (unsigned int i = 0; i < c->nsacked; i++) {
		if (!seq_lt(c->snd_una, r[i].end))
			continue;
		if (seq_lt(c->snd_una, r[i].start))
			return false;
		count_inc(tcp_reneged);
		return true;
	}
	return false;
}

static void new_ack(struct tcp *c, const struct tcp_seg *s)
{
	uint32_t n = s->h.ack - c->snd_una;
	bool fin = c->fin_sent && s->h.ack == c->snd_max;

	c->snd_una = s->h.ack;
	c->acked += n - fin;
	nud_confirm(c->ts->netif, ipaddr_is4(&c->tuple.guest));
	tcp_rtt_of(c, s);
	if (reneged(c))
		tcp_sack_clear(c);
	tcp_sack_trim(c);
	recovery_progress(c, n);
	c->dupacks = c->retries = 0;
	if (c->recovery == TCP_RECOVERY_NONE)
		c->rexmitted = false;
	tcp_rto_restart(c);
	tcp_dirty(c);
	if (fin)
		fin_acked(c);
}

/* --- duplicates and loss -------------------------------------------------- */

static bool take_sack(struct tcp *c, const struct tcp_opts *o)
{
	bool news = false;

	for (unsigned int i = 0; c->sack_ok && i < o->nsack; i++)
		news |= tcp_sack_add(c, o->sack[i]);
	return news;
}

static void detect_loss(struct tcp *c)
{
	/* Without SACK, RFC 6582 4.1: those may be echoes of the last repair */
	bool echo = !c->sack_ok && !seq_lt(c->recover, c->snd_una);

	if (c->recovery == TCP_RECOVERY_NONE &&
	    ((c->dupacks >= TCP_DUPTHRESH && !echo) ||
	     tcp_sack_limit(c) != c->snd_una))
		tcp_recover(c, TCP_RECOVERY_FAST);
	tcp_again_look(c);
	if (c->recovery != TCP_RECOVERY_NONE)
		tcp_dirty(c);
}

/* RFC 5681 2, the definition of a duplicate; with SACK it is that of RFC 6675 2,
 * and whatever tells something new is one */
static bool is_dup(const struct tcp *c, const struct tcp_seg *s)
{
	return !s->len && !(s->h.flags & TCP_FLAG_FIN) &&
	       c->snd_una != c->snd_max && s->h.ack == c->snd_una &&
	       tcp_seg_wnd(c, s) == c->snd_wnd;
}

/* A guest that had closed its window over what was in flight has dropped it.
 * It has room again now: not to wait for a timeout that has backed off */
static void reopened(struct tcp *c)
{
	if (c->recovery != TCP_RECOVERY_RTO)
		return;
	c->backoff = 0;
	c->rtx_nxt = c->snd_una;
	c->rtx_wnd = c->mss;
	tcp_rto_restart(c);
}

/* RFC 9293 3.10.7.4, of an ACK that is not old */
static void take_window(struct tcp *c, const struct tcp_seg *s)
{
	uint32_t wnd = tcp_seg_wnd(c, s);

	if (seq_lt(s->h.ack, c->snd_una) ||
	    (!seq_lt(c->snd_wl1, s->h.seq) &&
	     !(c->snd_wl1 == s->h.seq && seq_le(c->snd_wl2, s->h.ack))))
		return;
	c->snd_wl1 = s->h.seq;
	c->snd_wl2 = s->h.ack;
	if (wnd == c->snd_wnd)
		return;
	if (!c->snd_wnd)
		reopened(c);
	c->snd_wnd = wnd;
	c->snd_wnd_max = MAX(c->snd_wnd_max, wnd);
	if (c->probing && wnd) {
		c->probing = false;
		c->backoff = 0;
		tcp_rto_restart(c);
	}
	tcp_dirty(c);
}

bool tcp_ack_in(struct tcp *c, const struct tcp_seg *s)
{
	uint32_t ack = s->h.ack;
	bool dup, news;

	if (seq_lt(c->snd_max, ack)) {
		count_inc(drop_tcp_ack_unsent);
		tcp_challenge(c);
		return false;
	}
	if (seq_lt(ack, c->snd_una - c->snd_wnd_max)) {
		count_inc(drop_tcp_ack_old);
		tcp_challenge(c);	/* RFC 5961 5.2 */
		return false;
	}
	if (c->probing)
		c->retries = 0;		/* it answers: probe for ever */
	dup = is_dup(c, s);
	take_window(c, s);
	if (dup)
		c->retries = 0;
	if (seq_lt(c->snd_una, ack)) {
		new_ack(c, s);
		if (tcp_closed(c) || c->state == TCP_STATE_TIME_WAIT)
			return true;
	}
	news = take_sack(c, &s->h.opt);
	if (c->sack_ok ? news : dup) {
		count_inc(tcp_dup_acks);
		c->dupacks += c->dupacks < UINT8_MAX;
		tcp_cong_dup(c);
		detect_loss(c);
	}
	return true;
}
