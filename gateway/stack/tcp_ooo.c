/*
 * Segments of the guest that came before their turn
 *
 * Theory of operation
 * -------------------
 * One store for each stack: TCP_OOO_SEGS pieces of TCP_OOO_BYTES, reserved at
 * the start, touched on use, given back to the system when the last one is
 * empty. A connection holds at most TCP_OOO_CONN of them, in a list by sequence
 * number, disjoint.  A segment that continues a piece is appended to it, so
 * small segments fill pieces up.  What does not fit is dropped: the guest sends
 * it again.  Payload here is copied: nobody can change it between check and
 * use.
 */
#include "gateway/stack/tcp_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"

COUNT(tcp_ooo_kept, "early TCP segments kept");
COUNT(drop_tcp_ooo_full, "early TCP segments for which there was no room");
COUNT(drop_tcp_ooo_dup, "early TCP segments that were there already");

struct piece {
	uint32_t seq, len;
	uint8_t next;
};

struct tcp_ooo {
	struct piece piece[TCP_OOO_SEGS];
	uint8_t *mem;
	unsigned int used;
	uint8_t free;
};

_Static_assert(TCP_OOO_SEGS < TCP_OOO_NONE, "pieces are named by a byte");

struct tcp_ooo *tcp_ooo_new(void)
{
	struct tcp_ooo *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->mem = mmap(NULL, (size_t)TCP_OOO_SEGS * TCP_OOO_BYTES,
		      PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (o->mem == MAP_FAILED) {
		free(o);
		return NULL;
	}
	for (unsigned int i = 0; i < TCP_OOO_SEGS; i++)
		o->piece[i].next = (uint8_t)(i + 1);
	o->piece[TCP_OOO_SEGS - 1].next = TCP_OOO_NONE;
	return o;
}

void tcp_ooo_free(struct tcp_ooo *o)
{
	munmap(o->mem, (size_t)TCP_OOO_SEGS * TCP_OOO_BYTES);
	free(o);
}

unsigned int tcp_ooo_used(const struct tcp_ooo *o)
{
	return o->used;
}

static uint8_t *bytes_of(struct tcp_ooo *o, uint8_t i)
{
	return o->mem + (size_t)i * TCP_OOO_BYTES;
}

static uint8_t take_piece(struct tcp *c)
{
	struct tcp_ooo *o = c->ts->ooo;
	uint8_t i;

	ASSERT(o);		/* tcp_stack_new() made it */
	i = o->free;
	if (i == TCP_OOO_NONE || c->nooo >= TCP_OOO_CONN)
		return TCP_OOO_NONE;
	o->free = o->piece[i].next;
	o->used++;
	c->nooo++;
	return i;
}

/*
 * #syscalls madvise
 */
static void give_head(struct tcp *c)
{
	struct tcp_ooo *o = c->ts->ooo;
	uint8_t i = c->ooo;

	c->ooo = o->piece[i].next;
	c->nooo--;
	o->piece[i].next = o->free;
	o->free = i;
	if (!--o->used)
		madvise(o->mem, (size_t)TCP_OOO_SEGS * TCP_OOO_BYTES,
			MADV_DONTNEED);
}

void tcp_ooo_drop(struct tcp *c)
{
	while (c->nooo)
		give_head(c);
}

/* --- what is reported ----------------------------------------------------- */

void tcp_ooo_twice(struct tcp *c, uint32_t start, uint32_t end)
{
	struct tcp_range *t = &c->twice;

	if (!c->sack_ok || !seq_lt(start, end))
		return;
	if (t->end != start) {
		if (t->start != t->end)
			tcp_send_ack(c);
		t->start = start;
	}
	t->end = end;
}

/* Runs of bytes in order, pieces that touch joined; returns how many */
static unsigned int runs(const struct tcp *c,
			 struct tcp_range run[static TCP_OOO_CONN])
{
	const struct tcp_ooo *o = c->ts->ooo;
	unsigned int n = 0;

	for (uint8_t i = c->nooo ? c->ooo : TCP_OOO_NONE; i != TCP_OOO_NONE;
	     i = o->piece[i].next) {
		const struct piece *p = &o->piece[i];

		if (!seq_lt(c->rcv_nxt, p->seq))
			continue;
		if (n && run[n - 1].end == p->seq) {
			run[n - 1].end += p->len;
			continue;
		}
		ASSERT(n < TCP_OOO_CONN);
		run[n].start = p->seq;
		run[n++].end = p->seq + p->len;
	}
	return n;
}

/* Which one has @seq; @n if none */
static unsigned int run_of(const struct tcp_range *run, unsigned int n,
			   uint32_t seq)
{
	unsigned int i = 0;

	while (i < n && !(seq_le(run[i].start, seq) && seq_lt(seq, run[i].end)))
		i++;
	return i;
}

/* The run that @seq has made or made longer is the latest now */
static void remember(struct tcp *c, uint32_t seq)
{
	struct tcp_range run[TCP_OOO_CONN];
	uint32_t old[TCP_SACK_MAX];
	unsigned int n = runs(c, run), at = run_of(run, n, seq), kept = 1;

	if (at == n)
		return;
	memcpy(old, c->ooo_seen, sizeof(old));
	c->ooo_seen[0] = seq;
	for (unsigned int i = 0; i < TCP_SACK_MAX && kept < TCP_SACK_MAX; i++) {
		if (run_of(run, n, old[i]) != at)
			c->ooo_seen[kept++] = old[i];
	}
}

/* --- in and out ------------------------------------------------------------ */

/* Append to the piece that ends where this begins, or put one behind it */
static bool keep(struct tcp *c, uint8_t prev, uint32_t seq,
		 const struct iovec *iov, int n, size_t off, uint32_t len)
{
	struct tcp_ooo *o = c->ts->ooo;
	struct piece *before = prev == TCP_OOO_NONE ? NULL : &o->piece[prev];
	uint8_t i;

	if (before && before->seq + before->len == seq &&
	    before->len + len <= TCP_OOO_BYTES) {
		iov_copy_out(iov, n, off, bytes_of(o, prev) + before->len, len);
		before->len += len;
		return true;
	}
	i = take_piece(c);
	if (i == TCP_OOO_NONE)
		return false;
	o->piece[i] = (struct piece){
		.seq = seq, .len = len,
		.next = before ? before->next : c->ooo,
	};
	*(before ? &before->next : &c->ooo) = i;
	iov_copy_out(iov, n, off, bytes_of(o, i), len);
	return true;
}

/* Of a segment that spans what is there already, only its part in front */
void tcp_ooo_put(struct tcp *c, uint32_t seq, const struct iovec *iov, int n,
		 size_t len)
{
	const struct tcp_ooo *o = c->ts->ooo;
	uint32_t start = seq, end = seq + (uint32_t)len;
	uint8_t prev = TCP_OOO_NONE, i = c->ooo;

	for (; i != TCP_OOO_NONE && seq_le(o->piece[i].seq, start);
	     prev = i, i = o->piece[i].next)
		start = seq_max(start, o->piece[i].seq + o->piece[i].len);
	tcp_ooo_twice(c, seq, seq_min(start, end));
	if (i != TCP_OOO_NONE)
		end = seq_min(end, o->piece[i].seq);
	if (!seq_lt(start, end)) {
		count_inc(drop_tcp_ooo_dup);
	} else if (end - start > TCP_OOO_BYTES ||
		   !keep(c, prev, start, iov, n, start - seq, end - start)) {
		count_inc(drop_tcp_ooo_full);
	} else {
		count_inc(tcp_ooo_kept);
	}
	remember(c, seq);
}

void tcp_ooo_deliver(struct tcp *c)
{
	struct tcp_ooo *o = c->ts->ooo;

	c->do_ooo = false;
	while (c->nooo && !tcp_closed(c)) {
		const struct piece *p = &o->piece[c->ooo];
		uint32_t skip = c->rcv_nxt - p->seq, len;
		struct iovec iov;

		if (seq_lt(c->rcv_nxt, p->seq))
			return;
		if (skip >= p->len) {
			give_head(c);
			continue;
		}
		len = p->len - skip;
		if (c->fin_seen)
			len = MIN(len, c->fin_seq - c->rcv_nxt);
		iov.iov_base = bytes_of(o, c->ooo) + skip;
		iov.iov_len = len;
		if (!len || tcp_deliver(c, &iov, 1, len) < (ssize_t)len)
			return;
	}
}

unsigned int tcp_ooo_blocks(const struct tcp *c, struct tcp_range *out,
			    unsigned int max)
{
	struct tcp_range run[TCP_OOO_CONN];
	unsigned int n = runs(c, run), nout = 0, at;
	uint32_t done = 0;

	if (c->twice.start != c->twice.end)
		out[nout++] = c->twice;
	for (unsigned int i = 0; i < TCP_SACK_MAX && nout < max; i++) {
		at = run_of(run, n, c->ooo_seen[i]);
		if (at < n && !(done & 1u << at)) {
			done |= 1u << at;
			out[nout++] = run[at];
		}
	}
	for (at = 0; at < n && nout < max; at++) {
		if (!(done & 1u << at))
			out[nout++] = run[at];
	}
	return nout;
}
