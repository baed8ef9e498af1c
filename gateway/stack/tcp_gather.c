/*
 * Payload of several segments for one @recv
 *
 * A link without TSO brings a segment of 1460 bytes in each frame, and a
 * sendmsg() for each of them is most of what they cost: for a gigabyte over bare
 * frames the gateway took 1.43 s of CPU so, and takes 0.42 with this.  So where
 * the frames of a batch stay valid until its end, payload in order waits for it.
 * Three frames of 64 KiB, what a batch of them is through the agent, gain too:
 * 0.153 -> 0.125 s/GB.
 *
 * Everything but such payload finds the connection as if there were no waiting:
 * whatever does not go on where it ended, or has more to say than an ACK, makes
 * it be offered first.
 */
#include "gateway/stack/tcp_priv.h"

#include <errno.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "gateway/wire/eth.h"

COUNT(tcp_gathered, "TCP segments that were offered together with others");

static struct tcp_gather *of(const struct tcp *c)
{
	return c->gather ? &c->ts->gather[c->gather - 1] : NULL;
}

static void release(struct tcp_gather *g)
{
	g->c = NULL;
	g->n = 0;
	g->len = 0;
}

bool tcp_gather_goes_on(const struct tcp *c, const struct tcp_seg *s)
{
	const uint8_t only = TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST |
			     TCP_FLAG_ACK;
	const struct tcp_gather *g = of(c);
	uint32_t next = c->rcv_nxt + (g ? (uint32_t)g->len : 0);

	return s->p->frame && s->len && (s->h.flags & only) == TCP_FLAG_ACK &&
	       s->h.seq == next && !c->nooo && !c->fin_seen && !c->no_recv &&
	       seq_le(next + (uint32_t)s->len, c->rcv_adv);
}

/* A place for @c: its own, a free one, or that of whoever had one the longest */
static struct tcp_gather *place(struct tcp *c)
{
	struct tcp_stack *ts = c->ts;
	unsigned int i;

	if (c->gather)
		return of(c);
	for (i = 0; i < TCP_GATHER; i++)
		if (!ts->gather[i].c)
			break;
	if (i == TCP_GATHER) {
		i = ts->gather_next++ % TCP_GATHER;
		tcp_gather_end(ts->gather[i].c);
	}
	ts->gather[i].c = c;
	c->gather = (uint8_t)(i + 1);
	return &ts->gather[i];
}

bool tcp_gather_put(struct tcp *c, const struct tcp_seg *s)
{
	const struct pkt *p = s->p;
	size_t at = ETH_HDR_LEN + (size_t)(p->l4 - p->ip) + s->h.hlen;
	struct tcp_gather *g;
	int n;

	if (!tcp_gather_goes_on(c, s))
		return false;
	g = place(c);
	n = iov_slice(p->frame, p->nframe, at, s->len, g->iov + g->n,
		      TCP_GATHER_IOV - g->n);
	if (n < 0) {		/* no room for so many pieces */
		if (g->len)
			return tcp_gather_end(c) != 0;
		tcp_gather_drop(c);
		return false;
	}
	g->n += n;
	g->len += s->len;
	count_inc(tcp_gathered);
	if (g->n == TCP_GATHER_IOV)
		tcp_gather_end(c);
	return true;
}

int tcp_gather_end(struct tcp *c)
{
	struct tcp_gather *g = of(c);
	ssize_t rc;

	if (!g)
		return 0;
	c->gather = 0;		/* the place stays taken while it is used */
	rc = tcp_deliver(c, g->iov, g->n, g->len);
	release(g);
	return rc < 0 ? -ECONNABORTED : 0;
}

void tcp_gather_done(void *arg)
{
	struct tcp_stack *ts = arg;

	for (unsigned int i = 0; i < TCP_GATHER; i++)
		if (ts->gather[i].c)
			tcp_gather_end(ts->gather[i].c);
}

void tcp_gather_drop(struct tcp *c)
{
	struct tcp_gather *g = of(c);

	if (g)
		release(g);
	c->gather = 0;
}

void tcp_gather_clear(struct tcp_stack *ts)
{
	for (unsigned int i = 0; i < TCP_GATHER; i++)
		if (ts->gather[i].c)
			tcp_gather_drop(ts->gather[i].c);
}
