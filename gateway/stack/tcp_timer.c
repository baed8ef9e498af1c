/*
 * Deadlines of a connection: one timer, which is moved forward only when it has
 * fired.  Bulk transfer changes deadlines all the time and the heap never.
 */
#include "gateway/stack/tcp_priv.h"

#include <errno.h>

#include "base/count.h"
#include "base/util.h"

COUNT(tcp_rtos, "TCP retransmission timeouts");
COUNT(tcp_fast_retransmits, "TCP losses found by duplicate ACKs or SACK");
COUNT(tcp_window_probes, "probes of a closed TCP window");
COUNT(tcp_keepalives, "TCP keepalive probes");

/* 0 is never */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && b ? MIN(a, b) : a | b;
}

static uint64_t earliest(const struct tcp *c)
{
	return sooner(sooner(c->rtx_due, c->life_due), c->ack_due);
}

void tcp_timer_arm(struct tcp *c)
{
	uint64_t due = earliest(c);

	if (due && (!timer_armed(&c->timer) || due < c->timer.due_ns))
		timer_set(c->ts->netif->tq, &c->timer, due);
}

void tcp_timer_relax(struct tcp *c)
{
	uint64_t due = earliest(c);

	if (due)
		timer_set(c->ts->netif->tq, &c->timer, due);
	else
		timer_del(c->ts->netif->tq, &c->timer);
}

static uint64_t rto_ns(const struct tcp *c)
{
	uint64_t ms = (uint64_t)c->rto_ms << MIN(c->backoff, 16);
	uint64_t early_ns = tcp_again_ns(c);

	if (early_ns)
		return MIN(early_ns, ms * NS_PER_MS);
	return MIN(ms, TCP_RTO_MAX_MS) * NS_PER_MS;
}

void tcp_rto_start(struct tcp *c)
{
	if (c->rtx_due && !c->probing)
		return;
	c->probing = false;
	c->rtx_due = tcp_now(c->ts) + rto_ns(c);
	tcp_timer_arm(c);
}

void tcp_rto_restart(struct tcp *c)
{
	c->rtx_due = 0;
	c->do_rtx = false;
	if (c->snd_una != c->snd_max)
		tcp_rto_start(c);
}

void tcp_persist_start(struct tcp *c)
{
	if (c->rtx_due)
		return;
	c->probing = true;
	c->rtx_due = tcp_now(c->ts) + rto_ns(c);
	tcp_timer_arm(c);
}

void tcp_recover(struct tcp *c, enum tcp_recovery how)
{
	if (how == TCP_RECOVERY_RTO)
		tcp_sack_clear(c);	/* it may have dropped it, RFC 2018 8 */
	else
		count_inc(tcp_fast_retransmits);
	tcp_cong_loss(c, how);
	c->recovery = (uint8_t)how;
	c->recover = c->snd_max;
	c->rtx_nxt = c->snd_una;
	c->rtx_wnd = c->mss;
	tcp_again_start(c);
	c->dupacks = 0;
	c->timing = false;
	c->rexmitted = true;
	if (tcp_again_ns(c))
		tcp_rto_restart(c);
	tcp_dirty(c);
}

/* Whether there is still hope after one more period of silence */
static bool try_again(struct tcp *c, unsigned int max)
{
	uint64_t now = tcp_now(c->ts);

	if (!c->retries)
		c->rtx_ns = now;
	if (c->retries >= max ||
	    (c->state >= TCP_STATE_ESTABLISHED && c->retries >= TCP_R1 &&
	     now - c->rtx_ns >= TCP_GIVE_UP_NS)) {
		tcp_end(c, -ETIMEDOUT, true);
		return false;
	}
	c->retries++;
	return true;
}

static unsigned int max_retries(const struct tcp *c)
{
	if (c->state >= TCP_STATE_ESTABLISHED)
		return TCP_RETRIES;
	return c->active ? TCP_SYN_RETRIES : TCP_SYNACK_RETRIES;
}

/* It is time to send something again */
static void send_again(struct tcp *c)
{
	c->rtx_due = tcp_now(c->ts) + rto_ns(c);
	if (c->probing) {
		count_inc(tcp_window_probes);
		if (c->snd_wnd)
			c->do_force = true;
		else
			c->do_probe = true;
	} else if (c->state < TCP_STATE_ESTABLISHED) {
		c->do_syn = c->rexmitted = true;
		c->timing = false;
	} else {
		count_inc(tcp_rtos);
		tcp_recover(c, TCP_RECOVERY_RTO);
	}
	tcp_dirty(c);
}

/*
 * What cannot be sent is nobody's silence, and does not count.  Nor does the
 * timer go on: with a full link and 10 000 flows it would wake us 50 000 times a
 * second for nothing.
 */
static void on_rtx(struct tcp *c)
{
	bool early = !c->probing && tcp_again_ns(c);


	if (c->ts->blocked) {
		c->rtx_due = 0;
		c->do_rtx = true;
		tcp_dirty(c);
		return;
	}
	if (!try_again(c, max_retries(c)))
		return;
	c->backoff += c->backoff < UINT8_MAX;
	if (early) {
		c->rtx_due = tcp_now(c->ts) + rto_ns(c);
		tcp_again_all(c);
		return;
	}
	send_again(c);
}

void tcp_rtx_late(struct tcp *c)
{
	c->do_rtx = false;
	if (c->rtx_due || (!c->probing && c->snd_una == c->snd_max))
		return;
	send_again(c);
	tcp_timer_arm(c);
}

void tcp_alive(struct tcp *c)
{
	uint64_t idle_ns = c->ts->conf.keepalive_s * NS_PER_S;

	if (!idle_ns)
		return;
	c->rx_ms = tcp_now_ms(c->ts);
	if (!c->rtx_due && !c->do_rtx)
		c->retries = 0;
	if (!c->life_due && c->accepted) {
		c->life_due = tcp_now(c->ts) + idle_ns;
		tcp_timer_arm(c);
	}
}

/* Nothing is outstanding: is the guest still there? (RFC 9293 3.8.4) */
static void on_keepalive(struct tcp *c)
{
	uint32_t idle_ms = tcp_now_ms(c->ts) - c->rx_ms;
	uint64_t due_ms = c->ts->conf.keepalive_s * 1000ULL;

	if (idle_ms < due_ms) {
		c->life_due = tcp_now(c->ts) + (due_ms - idle_ms) * NS_PER_MS;
		return;
	}
	c->life_due = tcp_now(c->ts) + TCP_KEEPALIVE_STEP_NS;
	if (c->rtx_due || c->do_rtx)
		return;		/* that one will notice */
	if (c->retries >= TCP_KEEPALIVE_PROBES) {
		tcp_end(c, -ETIMEDOUT, true);
		return;
	}
	c->retries++;
	count_inc(tcp_keepalives);
	c->do_probe = true;
	tcp_dirty(c);
}

static void on_life(struct tcp *c)
{
	if (c->state == TCP_STATE_FIN_WAIT_2 && c->no_recv)
		tcp_end(c, -ETIMEDOUT, true);
	else if (c->ts->conf.keepalive_s)
		on_keepalive(c);
	else
		c->life_due = 0;
}

void tcp_timer_fire(struct timer *t)
{
	struct tcp *c = container_of(t, struct tcp, timer);
	uint64_t now = tcp_now(c->ts);

	if (c->rtx_due && c->rtx_due <= now)
		on_rtx(c);
	if (!tcp_closed(c) && c->ack_due && c->ack_due <= now)
		tcp_delay_over(c);
	if (!tcp_closed(c) && c->life_due && c->life_due <= now)
		on_life(c);
	if (!tcp_closed(c))
		tcp_timer_arm(c);
}
