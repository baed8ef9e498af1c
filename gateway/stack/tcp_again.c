/*
 * What was sent again, and was lost again
 *
 * Theory of operation
 * -------------------
 * RFC 6675 sends each hole once and leaves what is lost twice to the timeout,
 * after which all of it is in doubt.  At a loss of 5 % and 180 segments in
 * flight that is every other round trip.  So holes get a second look, and as
 * many more as it takes, as with RACK (RFC 8985), but by number and not by time,
 * so that nothing is kept for each segment:
 *
 *	snd_una ... again_nxt ... again_end ... rtx_nxt ... snd_max
 *
 * At some moment the holes up to @rtx_nxt have been sent, and new data up to
 * @snd_max; that is noted in @again_end and @again_mark.  When the guest
 * reports TCP_DUPTHRESH segments beyond @again_mark, all of which left after
 * them, what is still a hole below @again_end was lost once more.  @again_nxt
 * goes over those, and then the next moment is noted.
 *
 * When nothing more can be sent, nothing can be reported either: then the timer
 * looks, after a round trip and its variance, without the floor of the timeout.
 * Only if that was in vain too it is a timeout.
 *
 * This is for SACK, and for the connection that has no congestion window: with
 * one, a retransmission lost is to be taken for congestion again, which is what
 * the timeout does.
 */
#include "gateway/stack/tcp_priv.h"

#include "base/count.h"
#include "base/util.h"

#define AGAIN_MIN_US	10000	/* what a guest that is busy may take */

COUNT(tcp_again, "times that retransmissions were found to be lost too");

static bool may(const struct tcp *c)
{
	return c->recovery == TCP_RECOVERY_FAST && c->sack_ok &&
	       !tcp_cong_on(c);
}

static bool looking(const struct tcp *c)
{
	return seq_lt(c->again_nxt, c->again_end);
}

void tcp_again_start(struct tcp *c)
{
	c->again_nxt = c->again_end = c->again_mark = c->snd_una;
}

void tcp_again_sent(struct tcp *c, bool all)
{
	if (!may(c) || (!all && seq_lt(c->snd_una, c->again_end)))
		return;
	c->again_nxt = c->again_end = c->rtx_nxt;
	c->again_mark = c->snd_max;
}

void tcp_again_look(struct tcp *c)
{
	uint32_t far = c->again_mark + (TCP_DUPTHRESH - 1u) * c->mss;

	if (!may(c) || !c->nsacked || looking(c) ||
	    !seq_lt(c->snd_una, c->again_end) ||
	    !seq_lt(far, tcp_sacked(c)[c->nsacked - 1].end))
		return;
	count_inc(tcp_again);
	c->again_nxt = c->snd_una;
}

uint64_t tcp_again_ns(const struct tcp *c)
{
	uint64_t us = MAX(4ULL * c->rttvar_us, AGAIN_MIN_US) + c->srtt_us;

	if (!may(c) || !c->nsacked || !c->srtt_us || c->backoff)
		return 0;
	return us * NS_PER_US;
}

void tcp_again_all(struct tcp *c)
{
	count_inc(tcp_again);
	c->again_nxt = c->snd_una;
	c->again_end = c->rtx_nxt;
	tcp_dirty(c);
}
