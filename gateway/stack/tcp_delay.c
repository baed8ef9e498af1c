/*
 * Delayed ACKs (RFC 9293 3.8.6.3): which ACK waits for the answer with which it
 * can go
 *
 * Theory of operation
 * -------------------
 * A frame that carries only an ACK is one of three that a request and its answer
 * cost: without it they take 20.5 us instead of 23.5 through agent and gateway,
 * and a connect-request-close 75.8 instead of 83.8, all on one core.  But a guest
 * that writes in small pieces, with Nagle's algorithm, waits for that ACK before
 * it sends the next one, and must not be made to wait.
 *
 * So an ACK is delayed only where experience says that an answer follows at once:
 * when the last TCP_DELACK_CLEAN exchanges were clean, each one segment of the
 * guest's and our answer to it within TCP_DELACK_MS.  Experience is that of the
 * connection, and a new one begins with that of its destination.  A second
 * segment before the answer, a slow answer and a delay in vain end it.  A
 * handshake like that of TLS, or a program that writes a request in two pieces,
 * is therefore never delayed: no sixteen of them are clean in a row.
 *
 * The guest's FIN is treated alike, by what the FINs before it were answered
 * with.
 *
 * At most one segment of less than full size waits, for at most
 * TCP_DELACK_MS: long beside any answer that is worth waiting for, short beside
 * the 500 ms of the RFC, and a quarter of what other systems wait.
 */
#include "gateway/stack/tcp_priv.h"

#include "base/count.h"
#include "base/util.h"

COUNT(tcp_acks_delayed, "ACKs that waited for an answer to go with");
COUNT(tcp_acks_vain, "ACKs that waited, and no answer came in time");

static struct tcp_dest *dest_of(struct tcp *c)
{
	const uint8_t *b = c->tuple.peer.b;
	unsigned int port, i;

	port = c->active ? c->tuple.guest_port : c->tuple.peer_port;
	/* Those that share an entry share their luck; it harms nobody */
	i = b[13] * 7u + b[14] * 5u + b[15] * 3u + port + (port >> 8);
	return &c->ts->dest[i % TCP_DELACK_DESTS];
}

static void more(uint8_t *n)
{
	*n = (uint8_t)MIN(*n + 1, TCP_DELACK_CLEAN);
}

static void not_clean(struct tcp *c)
{
	c->clean = dest_of(c)->clean = 0;
}

static void ack_now(struct tcp *c)
{
	c->ack_due = 0;
	c->do_ack = true;
}

static void ack_soon(struct tcp *c)
{
	count_inc(tcp_acks_delayed);
	c->ack_due = tcp_now(c->ts) + TCP_DELACK_MS * NS_PER_MS;
	tcp_timer_arm(c);
}

void tcp_delay_open(struct tcp *c)
{
	c->clean = dest_of(c)->clean;
}

void tcp_delay_asked(struct tcp *c, bool all)
{
	if (!c->asked++)
		c->ask_ms = tcp_now_ms(c->ts);
	else
		not_clean(c);
	c->asked = (uint8_t)MIN(c->asked, 2);
	if (c->clean < TCP_DELACK_CLEAN || !all || c->do_ack || c->nooo ||
	    c->rcv_nxt - c->rcv_acked >= c->mss_own)
		ack_now(c);
	else
		ack_soon(c);
}

void tcp_delay_fin(struct tcp *c)
{
	if (c->state != TCP_STATE_CLOSE_WAIT || c->do_ack || c->ack_due ||
	    dest_of(c)->clean_fin < TCP_DELACK_CLEAN) {
		ack_now(c);
	} else {
		ack_soon(c);
		c->fin_waits = true;
	}
	c->ask_ms = tcp_now_ms(c->ts);
}

void tcp_delay_answered(struct tcp *c)
{
	bool quick = tcp_now_ms(c->ts) - c->ask_ms <= TCP_DELACK_MS;
	struct tcp_dest *d = dest_of(c);

	if (c->fin_sent) {
		if (c->state != TCP_STATE_CLOSE_WAIT)
			return;
		if (quick)
			more(&d->clean_fin);
		else
			d->clean_fin = 0;
		return;
	}
	if (c->asked == 1 && quick) {
		more(&c->clean);
		more(&d->clean);
	} else if (c->asked) {
		not_clean(c);
	}
	c->asked = 0;
}

void tcp_delay_over(struct tcp *c)
{
	count_inc(tcp_acks_vain);
	if (c->fin_waits)
		dest_of(c)->clean_fin = 0;
	else
		not_clean(c);
	ack_now(c);
	tcp_dirty(c);
}
