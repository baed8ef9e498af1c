#include "gateway/wire/tcp.h"

#include <errno.h>

#include "base/util.h"

/* Kinds, https://www.iana.org/assignments/tcp-parameters */
enum {
	OPT_END		= 0,
	OPT_NOP		= 1,
	OPT_MSS		= 2,
	OPT_WSCALE	= 3,
	OPT_SACK_OK	= 4,
	OPT_SACK	= 5,
	OPT_TS		= 8,
};

static void parse_sack(struct rd *r, struct tcp_opts *o)
{
	if (rd_left(r) % 8 || !rd_left(r))
		return;
	o->nsack = 0;
	while (rd_left(r) && o->nsack < TCP_SACK_MAX) {
		o->sack[o->nsack].start = rd_u32(r);
		o->sack[o->nsack].end = rd_u32(r);
		o->nsack++;
	}
}

/* One option whose length is right; a known kind of a wrong size is ignored */
static void parse_opt(uint8_t kind, struct rd r, struct tcp_opts *o)
{
	size_t len = rd_left(&r);

	if (kind == OPT_MSS && len == 2) {
		o->mss = rd_u16(&r);
	} else if (kind == OPT_WSCALE && len == 1) {
		o->has_wscale = true;
		o->wscale = rd_u8(&r);
		o->wscale = MIN(o->wscale, TCP_WSCALE_MAX);
	} else if (kind == OPT_SACK_OK && len == 0) {
		o->sack_ok = true;
	} else if (kind == OPT_SACK) {
		parse_sack(&r, o);
	} else if (kind == OPT_TS && len == 8) {
		o->has_ts = true;
		o->tsval = rd_u32(&r);
		o->tsecr = rd_u32(&r);
	}
}

static void parse_opts(struct rd *r, struct tcp_opts *o)
{
	while (rd_left(r)) {
		uint8_t kind = rd_u8(r), len;
		struct rd body;

		if (kind == OPT_END)
			return;		/* what follows is padding */
		if (kind == OPT_NOP)
			continue;
		len = rd_u8(r);
		body = rd_sub(r, len < 2 ? SIZE_MAX : len - 2u);
		if (r->bad) {
			o->bad = true;
			return;
		}
		parse_opt(kind, body, o);
	}
}

int tcp_hdr_parse(struct rd r, struct tcp_hdr *h)
{
	struct tcp_hdr t = { 0 };
	struct rd opts;

	t.sport = rd_u16(&r);
	t.dport = rd_u16(&r);
	t.seq = rd_u32(&r);
	t.ack = rd_u32(&r);
	t.hlen = (uint8_t)((rd_u8(&r) >> 4) * 4);
	t.flags = rd_u8(&r);
	t.wnd = rd_u16(&r);
	t.csum = rd_u16(&r);
	t.urg = rd_u16(&r);
	if (r.bad || t.hlen < TCP_HDR_MIN)
		return -EBADMSG;
	opts = rd_sub(&r, t.hlen - (size_t)TCP_HDR_MIN);
	if (r.bad)
		return -EBADMSG;
	parse_opts(&opts, &t.opt);
	*h = t;
	return 0;
}

size_t tcp_hdr_len(const struct tcp_hdr *h)
{
	const struct tcp_opts *o = &h->opt;
	size_t n = TCP_HDR_MIN;

	if (o->mss)
		n += 4;
	if (o->has_ts)
		n += TCP_TS_LEN;
	else if (o->sack_ok)
		n += 4;		/* else it takes the place of two NOPs */
	if (o->has_wscale)
		n += 4;
	if (o->nsack)
		n += 4 + 8 * (size_t)o->nsack;
	return n;
}

/* SACK-permitted and timestamps share their padding, as everybody does it */
static void emit_ts(struct wr *w, const struct tcp_opts *o)
{
	if (!o->sack_ok && !o->has_ts)
		return;
	if (o->sack_ok) {
		wr_u8(w, OPT_SACK_OK);
		wr_u8(w, 2);
	}
	if (!o->sack_ok || !o->has_ts) {
		wr_u8(w, OPT_NOP);
		wr_u8(w, OPT_NOP);
	}
	if (!o->has_ts)
		return;
	wr_u8(w, OPT_TS);
	wr_u8(w, 10);
	wr_u32(w, o->tsval);
	wr_u32(w, o->tsecr);
}

static void emit_opts(struct wr *w, const struct tcp_opts *o)
{
	if (o->mss) {
		wr_u8(w, OPT_MSS);
		wr_u8(w, 4);
		wr_u16(w, o->mss);
	}
	emit_ts(w, o);
	if (o->has_wscale) {
		wr_u8(w, OPT_NOP);
		wr_u8(w, OPT_WSCALE);
		wr_u8(w, 3);
		wr_u8(w, o->wscale);
	}
	if (!o->nsack)
		return;
	wr_u8(w, OPT_NOP);
	wr_u8(w, OPT_NOP);
	wr_u8(w, OPT_SACK);
	wr_u8(w, (uint8_t)(2 + 8 * o->nsack));
	for (unsigned int i = 0; i < o->nsack; i++) {
		wr_u32(w, o->sack[i].start);
		wr_u32(w, o->sack[i].end);
	}
}

void tcp_hdr_emit(struct wr *w, const struct tcp_hdr *h)
{
	size_t len = tcp_hdr_len(h);

	ASSERT(len <= TCP_HDR_MAX && h->opt.nsack <= TCP_SACK_MAX);
	wr_u16(w, h->sport);
	wr_u16(w, h->dport);
	wr_u32(w, h->seq);
	wr_u32(w, h->ack);
	wr_u8(w, (uint8_t)(len / 4 << 4));
	wr_u8(w, h->flags);
	wr_u16(w, h->wnd);
	wr_u16(w, 0);
	wr_u16(w, h->urg);
	emit_opts(w, &h->opt);
}
