/*
 * Congestion control: none, or RFC 5681 with 6582 and 6675 for recovery
 *
 * Theory of operation
 * -------------------
 * The rest of the engine asks one thing, how many more bytes may go out now, and
 * tells what happened: new ACK, duplicate, loss.  With SACK what is out is
 * counted by the scoreboard and @cwnd stays at @ssthresh during recovery;
 * without, duplicates inflate @cwnd instead.  What stood before a timeout counts
 * as lost, so a retransmission after it is paced by slow start.
 *
 * With `none` there is no window but the guest's: the link is local.
 */
#include "gateway/stack/tcp_priv.h"

#include "base/util.h"

#define CWND_MAX	(1u << 30)

bool tcp_cong_on(const struct tcp *c)
{
	return c->ts->conf.congestion == TCP_CONG_RENO;
}

/* RFC 6928 2 */
static uint32_t initial(const struct tcp *c)
{
	return MIN(10u * c->mss, MAX(2u * c->mss, 14600u));
}

void tcp_cong_init(struct tcp *c)
{
	/* RFC 5681 3.1: the path has lost a SYN already */
	c->cwnd = c->rexmitted ? c->mss : initial(c);
	c->ssthresh = CWND_MAX;
	c->sent_ms = tcp_now_ms(c->ts);
}

/* Bytes from @a to before @b that the guest has not reported */
static uint32_t unsacked(const struct tcp *c, uint32_t a, uint32_t b)
{
	uint32_t n = 0, end;

	for (;;) {
		a = tcp_sack_hole(c, a, b, &end);
		if (!seq_lt(a, b))
			return n;
		n += end - a;
		a = end;
	}
}

/* What is thought to be on its way: SetPipe() of RFC 6675 4 */
static uint32_t in_pipe(const struct tcp *c)
{
	uint32_t lost = c->snd_una, again = lost;

	if (c->recovery == TCP_RECOVERY_RTO)
		lost = c->recover;
	else if (c->sack_ok)
		lost = tcp_sack_limit(c);
	if (c->recovery == TCP_RECOVERY_RTO ||
	    (c->recovery == TCP_RECOVERY_FAST && c->sack_ok))
		again = c->rtx_nxt;
	return unsacked(c, lost, c->snd_max) + unsacked(c, c->snd_una, again);
}

uint32_t tcp_cong_room(const struct tcp *c)
{
	uint32_t cwnd = c->cwnd, out;

	if (!tcp_cong_on(c))
		return UINT32_MAX;
	/* Limited transmit, RFC 3042; the scoreboard has it in @out */
	if (c->recovery == TCP_RECOVERY_NONE && !c->sack_ok)
		cwnd += MIN(c->dupacks, TCP_DUPTHRESH - 1u) * c->mss;
	out = in_pipe(c);
	return cwnd > out ? cwnd - out : 0;
}

void tcp_cong_send(struct tcp *c)
{
	uint32_t now = tcp_now_ms(c->ts);

	/* RFC 5681 4.1: idle for so long that the window tells nothing */
	if (c->snd_una == c->snd_max && now - c->sent_ms > c->rto_ms)
		c->cwnd = MIN(c->cwnd, initial(c));
	c->sent_ms = now;
}

/* Slow start and congestion avoidance, RFC 5681 3.1 */
static void grow(struct tcp *c, uint32_t n)
{
	if (c->cwnd < c->ssthresh)
		c->cwnd += MIN(n, c->mss);
	else
		c->cwnd += MAX((uint32_t)c->mss * c->mss / c->cwnd, 1);
	c->cwnd = MIN(c->cwnd, CWND_MAX);
}

void tcp_cong_acked(struct tcp *c, uint32_t n)
{
	uint32_t flight = c->snd_max - c->snd_una;
	bool full = seq_le(c->recover, c->snd_una);

	if (c->recovery != TCP_RECOVERY_FAST) {
		grow(c, n);
	} else if (full && c->sack_ok) {
		c->cwnd = c->ssthresh;
	} else if (full) {		/* RFC 6582 3.2, step 3 */
		c->cwnd = MIN(c->ssthresh, MAX(flight, c->mss) + c->mss);
	} else if (!c->sack_ok) {	/* a partial ACK deflates */
		c->cwnd -= MIN(n, c->cwnd - c->mss);
		if (n >= c->mss)
			c->cwnd += c->mss;
	}
}

void tcp_cong_dup(struct tcp *c)
{
	if (!tcp_cong_on(c))
		return;
	if (c->recovery == TCP_RECOVERY_FAST && !c->sack_ok)
		c->cwnd = MIN(c->cwnd + c->mss, CWND_MAX);
	tcp_dirty(c);
}

void tcp_cong_loss(struct tcp *c, enum tcp_recovery how)
{
	/* What limited transmit has sent is above @cwnd and does not count */
	uint32_t flight = MIN(c->snd_max - c->snd_una, c->cwnd);

	/* A second timeout of the same segment says nothing new */
	if (how == TCP_RECOVERY_FAST || c->retries <= 1)
		c->ssthresh = MAX(flight / 2, 2u * c->mss);
	if (how == TCP_RECOVERY_RTO)
		c->cwnd = c->mss;
	else if (c->sack_ok)
		c->cwnd = c->ssthresh;
	else
		c->cwnd = c->ssthresh + TCP_DUPTHRESH * c->mss;
}
