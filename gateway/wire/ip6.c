#include <errno.h>
#include <netinet/in.h>

#include "base/util.h"
#include "gateway/wire/ip6.h"

#define OPT_PAD1	0
#define OPT_PADN	1
#define OPT_ROUTER_ALERT 5
#define OPT_ACTION(t)	((t) >> 6)	/* 0: skip it; others: discard */

#define ROUTING_TYPE_0	0

int ip6_parse(struct rd *r, struct ip6 *out)
{
	uint32_t first = rd_u32(r);
	uint8_t src[16], dst[16];
	struct ip6 h;

	h.plen = rd_u16(r);
	h.next = rd_u8(r);
	h.hop = rd_u8(r);
	rd_copy(r, src, sizeof(src));
	rd_copy(r, dst, sizeof(dst));
	if (r->bad || first >> 28 != 6)
		return -EBADMSG;
	h.tos = (uint8_t)(first >> 20);
	h.flow = first & 0xfffff;
	h.src = ipaddr_v6(src);
	h.dst = ipaddr_v6(dst);
	if (ipaddr_is4(&h.src) || ipaddr_is4(&h.dst))
		return -EBADMSG;
	*out = h;
	return 0;
}

void ip6_emit(const struct ip6 *h, struct wr *w)
{
	ASSERT(!ipaddr_is4(&h->src) && !ipaddr_is4(&h->dst));
	wr_u32(w, 6u << 28 | (uint32_t)h->tos << 20 | (h->flow & 0xfffff));
	wr_u16(w, h->plen);
	wr_u8(w, h->next);
	wr_u8(w, h->hop);
	wr_bytes(w, ipaddr_bytes(&h->src), 16);
	wr_bytes(w, ipaddr_bytes(&h->dst), 16);
}

static int parse_options(struct rd opts)
{
	while (rd_left(&opts)) {
		uint8_t type = rd_u8(&opts);

		if (type == OPT_PAD1)
			continue;
		rd_take(&opts, rd_u8(&opts));
		if (!opts.bad && type != OPT_PADN && type != OPT_ROUTER_ALERT &&
		    OPT_ACTION(type))
			return -EOPNOTSUPP;
	}
	return opts.bad ? -EBADMSG : 0;
}

static int parse_routing(struct rd body)
{
	uint8_t type = rd_u8(&body), left = rd_u8(&body);

	return type == ROUTING_TYPE_0 || left ? -EPERM : 0;
}

/* Options and routing headers: next, length in units of 8 less 1, body */
static int parse_sized(struct rd *r, struct ip6_ext *x)
{
	uint8_t type = x->proto, next = rd_u8(r);
	size_t len = (rd_u8(r) + 1u) * 8;
	struct rd body = rd_sub(r, len - 2);
	int rc;

	if (r->bad)
		return -EBADMSG;
	rc = type == IPPROTO_ROUTING ? parse_routing(body)
				     : parse_options(body);
	if (rc)
		return rc;
	x->proto = next;
	x->proto_at = IP6_HDR_LEN + x->len;
	x->len += len;
	return 0;
}

static int parse_frag(struct rd *r, struct ip6_ext *x)
{
	uint8_t next = rd_u8(r);
	uint16_t off;
	uint32_t id;

	rd_u8(r);
	off = rd_u16(r);
	id = rd_u32(r);
	if (r->bad)
		return -EBADMSG;
	x->proto = next;
	x->proto_at = IP6_HDR_LEN + x->len;
	x->len += IP6_FRAG_LEN;
	x->off = off & 0xfff8;
	x->mf = off & 1;
	x->id = id;
	x->frag = x->off || x->mf;
	x->atomic = !x->frag;
	return 0;
}

int ip6_ext_parse(struct rd *r, uint8_t next, struct ip6_ext *out)
{
	struct ip6_ext x = { .proto = next, .proto_at = 6 };

	for (int i = 0; i <= IP6_EXT_MAX; i++) {
		int rc;

		switch (x.proto) {
		case IPPROTO_HOPOPTS:
			if (i)
				return -EBADMSG;
			rc = parse_sized(r, &x);
			break;
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			rc = parse_sized(r, &x);
			break;
		case IPPROTO_FRAGMENT:
			rc = parse_frag(r, &x);
			break;
		default:
			*out = x;
			return 0;
		}
		if (rc)
			return rc;
		if (x.frag) {
			*out = x;
			return 0;
		}
	}
	return -EBADMSG;
}

void ip6_frag_emit(uint8_t next, uint16_t off, bool mf, uint32_t id,
		   struct wr *w)
{
	ASSERT(off % 8 == 0);
	wr_u8(w, next);
	wr_u8(w, 0);
	wr_u16(w, (uint16_t)(off | (mf ? 1 : 0)));
	wr_u32(w, id);
}
