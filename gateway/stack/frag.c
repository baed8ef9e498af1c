#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "base/wr.h"
#include "gateway/stack/frag.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/ip.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/tcp.h"
#include "gateway/wire/udp.h"

#define HEADROOM	(IP6_HDR_LEN + IP6_FRAG_LEN)	/* for rebuilt headers */
#define PLEN_AT		4	/* where an IPv6 header has its payload length */

/* Bit by bit, the values of ECN (RFC 3168 5) that pieces came with */
#define ECN_MASK	3
#define ECN_NOT		(1 << 0)
#define ECN_CE		(1 << 3)

COUNT(drop_frag_empty, "Fragments without payload");
COUNT(drop_frag_size, "Fragments whose length is no multiple of 8");
COUNT(drop_frag_long, "Fragments that end beyond the longest packet");
COUNT(drop_frag_overlap, "Fragments that overlap others: the set is refused");
COUNT(drop_frag_end, "Fragments that contradict the end of their set");
COUNT(drop_frag_duplicate, "Fragments that came twice");
COUNT(drop_frag_pieces, "Fragments in too many stretches: the set is refused");
COUNT(drop_frag_refused, "Fragments of a set that was refused before");
COUNT(drop_frag_header, "First fragments without all headers (RFC 7112)");
COUNT(drop_frag_ecn, "Packets with CE in some fragments, no ECN in others");
COUNT(drop_frag_memory, "Fragments for which memory was short");
COUNT(drop_frag_evicted, "Sets of fragments that made room for newer ones");
COUNT(drop_frag_expired, "Sets of fragments that were not whole in time");
COUNT(frag_reassembled, "Packets put together from fragments");

/* A stretch of payload that has come: [from, to) */
struct stretch {
	uint32_t from, to;
};

/**
 * struct set - Pieces of one packet
 * @buf:	HEADROOM and payload; NULL when DEAD
 * @used:	Slot is taken
 * @head:	The first piece: its ttl, tos and, for IPv6, proto count
 * @first:	Length of that piece
 * @ecn:	ECN_* of all pieces
 * @end:	Length of the payload; 0 until the last piece has come
 * @seq:	Of the latest piece: tells which set is least recently active
 */
struct set {
	uint8_t *buf;
	bool used, has_first;
	uint8_t ecn;
	struct frag_piece head;
	uint32_t first, end, n;
	uint64_t seq, due_ns;
	struct stretch at[FRAG_PIECES];
};

/**
 * struct frag - All sets
 * @tag:	Of each set: what tells most of them apart; a free one's is 0
 * @timer:	Due at the deadline of the oldest set, or of one that is gone
 */
struct frag {
	struct netif *netif;
	struct timer timer;
	uint64_t seq;
	unsigned int nused;
	uint32_t tag[FRAG_SETS];
	struct set set[FRAG_SETS];
};

static uint32_t tag_of(const struct frag_piece *f)
{
	return (f->id ^ (uint32_t)f->dst.b[15] << 24 ^
		(uint32_t)f->dst.b[14] << 16) | 1;
}

static void set_free(struct frag *fr, struct set *s)
{
	free(s->buf);
	s->buf = NULL;
	s->used = false;
	fr->tag[s - fr->set] = 0;
	fr->nused--;
	if (!fr->nused)
		timer_del(fr->netif->tq, &fr->timer);
}

static size_t put_header(const struct frag_piece *f, uint32_t len, bool first,
			 uint8_t *payload);

/* RFC 792, RFC 8200 4.5: if the first piece is there, in its sender's words */
static void tell_expired(struct frag *fr, struct set *s)
{
	uint8_t *payload = s->buf + HEADROOM;
	struct netif *n = fr->netif;
	size_t hlen;

	count_inc(drop_frag_expired);
	if (!s->has_first || !n->icmp)
		return;
	hlen = put_header(&s->head, s->first, true, payload);
	icmp_error(n->icmp, ICMP_ERR_REASSEMBLY, &s->head.dst, payload - hlen,
		   hlen + s->first, 0);
}

/* Deadlines come in the order in which sets were made */
static void rearm(struct frag *fr)
{
	uint64_t due = TIMERQ_NEVER;

	for (size_t i = 0; i < FRAG_SETS; i++)
		if (fr->set[i].used)
			due = MIN(due, fr->set[i].due_ns);
	if (due != TIMERQ_NEVER)
		timer_set(fr->netif->tq, &fr->timer, due);
}

static void expire(struct timer *t)
{
	struct frag *fr = container_of(t, struct frag, timer);
	uint64_t now = timerq_now(fr->netif->tq);

	for (size_t i = 0; i < FRAG_SETS; i++) {
		struct set *s = &fr->set[i];

		if (!s->used || s->due_ns > now)
			continue;
		if (s->buf)
			tell_expired(fr, s);
		set_free(fr, s);
	}
	netif_flush(fr->netif);
	rearm(fr);
}

static bool same_packet(const struct frag_piece *a, const struct frag_piece *b)
{
	/* RFC 791 has the protocol in the key, RFC 8200 has not */
	return a->id == b->id && ipaddr_eq(&a->dst, &b->dst) &&
	       ipaddr_eq(&a->src, &b->src) &&
	       (!ipaddr_is4(&a->dst) || a->proto == b->proto);
}

static struct set *set_find(struct frag *fr, const struct frag_piece *f)
{
	const uint32_t tag = tag_of(f);

	for (size_t i = 0; i < FRAG_SETS; i++)
		if (fr->tag[i] == tag && same_packet(&fr->set[i].head, f))
			return &fr->set[i];
	return NULL;
}

/* A free slot, or that of the least recently active set */
static struct set *set_slot(struct frag *fr)
{
	struct set *old = &fr->set[0];

	for (size_t i = 0; i < FRAG_SETS; i++) {
		if (!fr->tag[i])
			return &fr->set[i];
		if (fr->set[i].seq < old->seq)
			old = &fr->set[i];
	}
	count_inc(drop_frag_evicted);
	set_free(fr, old);
	return old;
}

static struct set *set_new(struct frag *fr, const struct frag_piece *f)
{
	uint8_t *buf = malloc(HEADROOM + FRAG_BUF);
	struct set *s;

	if (!buf)
		return NULL;
	s = set_slot(fr);
	s->buf = buf;
	s->used = true;
	s->has_first = false;
	s->head = *f;
	s->ecn = 0;
	s->end = s->n = 0;
	s->due_ns = timerq_now(fr->netif->tq) + FRAG_LIFE_S * NS_PER_S;
	fr->tag[s - fr->set] = tag_of(f);
	fr->nused++;
	if (!timer_armed(&fr->timer))
		timer_set(fr->netif->tq, &fr->timer, s->due_ns);
	return s;
}

static void set_refuse(struct set *s)
{
	free(s->buf);
	s->buf = NULL;
}

/* Whether the piece says again what is here already, byte for byte */
static bool is_repeat(const struct set *s, uint32_t from, uint32_t to,
		      const struct iovec *iov, int cnt)
{
	const uint8_t *have = s->buf + HEADROOM + from;
	uint32_t i;

	for (i = 0; i < s->n; i++)
		if (s->at[i].from <= from && to <= s->at[i].to)
			break;
	if (i == s->n)
		return false;
	for (int k = 0; k < cnt; k++) {
		if (memcmp(have, iov[k].iov_base, iov[k].iov_len))
			return false;
		have += iov[k].iov_len;
	}
	return true;
}

/**
 * add_stretch() - Note that [@from, @to) has come
 *
 * Stretches are in order and do not touch: a neighbour is made longer.
 *
 * Return: 0; -EEXIST if something of it is here already; -ENOSPC
 */
static int add_stretch(struct set *s, uint32_t from, uint32_t to)
{
	struct stretch *at = s->at;
	bool left, right;
	uint32_t i = 0;

	while (i < s->n && at[i].to <= from)
		i++;
	/* now at[i], if any, is the first that ends behind @from */
	if (i < s->n && at[i].from < to)
		return -EEXIST;
	left = i > 0 && at[i - 1].to == from;
	right = i < s->n && at[i].from == to;
	if (left && right) {
		at[i - 1].to = at[i].to;
		memmove(at + i, at + i + 1, (s->n - i - 1) * sizeof(*at));
		s->n--;
	} else if (left) {
		at[i - 1].to = to;
	} else if (right) {
		at[i].from = from;
	} else if (s->n == FRAG_PIECES) {
		return -ENOSPC;
	} else {
		memmove(at + i + 1, at + i, (s->n - i) * sizeof(*at));
		at[i] = (struct stretch){ .from = from, .to = to };
		s->n++;
	}
	return 0;
}

static bool end_contradicts(const struct set *s, uint32_t to, bool mf)
{
	if (s->end)
		return mf ? to >= s->end : to != s->end;
	return !mf && s->n && s->at[s->n - 1].to > to;
}

/* True if taken; else it is counted, and the set refused if need be */
static bool set_add(struct set *s, const struct frag_piece *f,
		    const struct iovec *iov, int cnt, size_t len)
{
	uint32_t to = (uint32_t)(f->off + len);
	int rc;

	if (end_contradicts(s, to, f->mf)) {
		count_inc(drop_frag_end);
		set_refuse(s);
		return false;
	}
	if (is_repeat(s, f->off, to, iov, cnt)) {
		count_inc(drop_frag_duplicate);
		return false;
	}
	rc = add_stretch(s, f->off, to);
	if (rc == -EEXIST)
		count_inc(drop_frag_overlap);
	else if (rc)
		count_inc(drop_frag_pieces);
	if (rc) {
		set_refuse(s);
		return false;
	}
	iov_copy_out(iov, cnt, 0, s->buf + HEADROOM + f->off, len);
	s->ecn |= (uint8_t)(1 << (f->tos & ECN_MASK));
	if (!f->mf)
		s->end = to;
	if (f->off == 0) {
		s->head = *f;
		s->first = to;
		s->has_first = true;
	}
	return true;
}

static bool set_whole(const struct set *s)
{
	return s->end && s->n == 1 && s->has_first && s->at[0].to == s->end;
}

/* Header before @len bytes of payload, that of the @first piece or of all;
 * returns its length
 */
static size_t put_header(const struct frag_piece *f, uint32_t len, bool first,
			 uint8_t *payload)
{
	const bool v4 = ipaddr_is4(&f->dst);
	const size_t ext = first && !v4 ? IP6_FRAG_LEN : 0;
	struct ip4 h4 = { .tos = f->tos, .ttl = f->ttl, .proto = f->proto,
			  .len = (uint16_t)(IP4_HDR_LEN + len),
			  .id = (uint16_t)f->id, .mf = first, .src = f->src,
			  .dst = f->dst };
	struct ip6 h6 = { .tos = f->tos, .hop = f->ttl,
			  .next = ext ? IPPROTO_FRAGMENT : f->proto,
			  .plen = (uint16_t)(ext + len), .src = f->src,
			  .dst = f->dst };
	size_t hlen = v4 ? IP4_HDR_LEN : IP6_HDR_LEN + ext;
	struct wr w = wr_init(payload - hlen, hlen);

	if (v4)
		ip4_emit(&h4, &w);
	else
		ip6_emit(&h6, &w);
	if (ext)
		ip6_frag_emit(f->proto, 0, true, f->id, &w);
	ASSERT(!w.bad);
	return hlen;
}

/* RFC 3168 5.3: congestion that one piece met, the packet met */
static bool combine_ecn(struct set *s)
{
	if (!(s->ecn & ECN_CE))
		return true;
	s->head.tos |= ECN_MASK;
	return !(s->ecn & ECN_NOT);
}

/* The set is gone before anybody upstairs can send us more */
static void set_deliver(struct frag *fr, struct set *s)
{
	uint8_t *buf = s->buf, *payload = buf + HEADROOM;
	const bool ok = combine_ecn(s);
	size_t hlen = put_header(&s->head, s->end, false, payload);
	struct iovec iov = { .iov_base = payload - hlen,
			     .iov_len = hlen + s->end };
	struct pkt p = { .ip = payload - hlen, .ip_head = iov.iov_len,
			 .was_frag = true };

	s->buf = NULL;
	set_free(fr, s);
	if (ok) {
		count_inc(frag_reassembled);
		ip_input(fr->netif, &p, &iov, 1);
	} else {
		count_inc(drop_frag_ecn);
	}
	free(buf);
}

static struct frag *table(struct netif *n)
{
	if (!n->frag) {
		n->frag = calloc(1, sizeof(*n->frag));
		if (n->frag) {
			n->frag->netif = n;
			n->frag->timer.fire = expire;
		}
	}
	return n->frag;
}

static void tell_bad(struct netif *n, enum icmp_err what,
		     const struct frag_piece *f)
{
	if (n->icmp && !ipaddr_is4(&f->dst))
		icmp_error(n->icmp, what, &f->dst, f->quote, f->quote_len,
			   PLEN_AT);
}

/* Whether the upper layer's header ends in these @len bytes */
static bool holds_header(uint8_t proto, size_t len)
{
	switch (proto) {
	case IPPROTO_TCP:
		return len >= TCP_HDR_MIN;
	case IPPROTO_UDP:
		return len >= UDP_HDR_LEN;
	case IPPROTO_ICMPV6:
		return len >= ICMP6_HDR_LEN;
	default:
		return true;
	}
}

/* RFC 7112 5: the first piece of an IPv6 packet holds all headers */
static bool headers_ok(const struct frag_piece *f, const struct iovec *iov,
		       int cnt, size_t len)
{
	uint8_t head[NETIF_HEAD];
	struct ip6_ext x;
	struct rd r;
	size_t n;

	if (ipaddr_is4(&f->dst) || f->off)
		return true;
	n = iov_copy_out(iov, cnt, 0, head, sizeof(head));
	r = rd_init(head, n);
	return ip6_ext_parse(&r, f->proto, &x) == 0 &&
	       holds_header(x.proto, len - x.len);
}

/* What is wrong with a piece taken for itself; true if nothing */
static bool piece_ok(struct netif *n, const struct frag_piece *f,
		     const struct iovec *iov, int cnt, size_t len)
{
	size_t max = IP4_LEN_MAX - (ipaddr_is4(&f->dst) ? IP4_HDR_LEN : 0);

	if (!len) {
		count_inc(drop_frag_empty);
	} else if (f->mf && len % 8) {
		count_inc(drop_frag_size);
		tell_bad(n, ICMP_ERR_PARAM, f);
	} else if (f->off + len > max) {
		count_inc(drop_frag_long);
	} else if (!headers_ok(f, iov, cnt, len)) {
		count_inc(drop_frag_header);
		tell_bad(n, ICMP_ERR_FIRST_FRAG, f);
	} else {
		return true;
	}
	return false;
}

void frag_input(struct netif *n, const struct frag_piece *f,
		const struct iovec *iov, int cnt, size_t len)
{
	struct frag *fr = table(n);
	struct set *s = fr ? set_find(fr, f) : NULL;
	bool ok;

	if (s && !s->buf) {
		count_inc(drop_frag_refused);
		return;
	}
	ok = piece_ok(n, f, iov, cnt, len);
	if (!ok) {
		if (s)
			set_refuse(s);
		return;
	}
	if (fr && !s)
		s = set_new(fr, f);
	if (!s) {
		count_inc(drop_frag_memory);
		return;
	}
	s->seq = ++fr->seq;
	if (set_add(s, f, iov, cnt, len) && set_whole(s))
		set_deliver(fr, s);
}

void frag_done(struct netif *n)
{
	struct frag *fr = n->frag;

	if (!fr)
		return;
	for (size_t i = 0; i < FRAG_SETS; i++)
		if (fr->set[i].used)
			set_free(fr, &fr->set[i]);
	n->frag = NULL;
	free(fr);
}
