#include <errno.h>

#include "base/util.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/ip4.h"

#define FLAG_DF		0x4000
#define FLAG_MF		0x2000
#define OFF_MASK	0x1fff

#define OPT_END		0
#define OPT_NOP		1
#define OPT_LSRR	131
#define OPT_SSRR	137

static int parse_options(struct rd opts, struct ip4 *h)
{
	h->srcroute = false;
	while (rd_left(&opts)) {
		uint8_t type = rd_u8(&opts), len;

		if (type == OPT_END)
			return 0;
		if (type == OPT_NOP)
			continue;
		len = rd_u8(&opts);
		if (len < 2)
			return -EBADMSG;
		rd_take(&opts, len - 2);
		if (type == OPT_LSRR || type == OPT_SSRR)
			h->srcroute = true;
	}
	return opts.bad ? -EBADMSG : 0;
}

int ip4_parse(struct rd *r, struct ip4 *out)
{
	const uint8_t *start = r->p;
	uint8_t vihl = rd_u8(r), src[4], dst[4];
	struct rd opts;
	uint16_t frag;
	struct ip4 h;

	h.hdr_len = (uint8_t)((vihl & 15) * 4);
	h.tos = rd_u8(r);
	h.len = rd_u16(r);
	h.id = rd_u16(r);
	frag = rd_u16(r);
	h.ttl = rd_u8(r);
	h.proto = rd_u8(r);
	rd_u16(r);			/* checksum: all is summed below */
	rd_copy(r, src, sizeof(src));
	rd_copy(r, dst, sizeof(dst));
	if (r->bad || vihl >> 4 != 4 || h.hdr_len < IP4_HDR_LEN ||
	    h.len < h.hdr_len)
		return -EBADMSG;
	opts = rd_sub(r, h.hdr_len - IP4_HDR_LEN);
	if (opts.bad)
		return -EBADMSG;
	if (csum_block(start, h.hdr_len))
		return -EILSEQ;
	if (parse_options(opts, &h))
		return -EBADMSG;
	h.df = frag & FLAG_DF;
	h.mf = frag & FLAG_MF;
	h.off = (uint16_t)((frag & OFF_MASK) * 8);
	h.src = ipaddr_v4(src);
	h.dst = ipaddr_v4(dst);
	*out = h;
	return 0;
}

void ip4_emit(const struct ip4 *h, struct wr *w)
{
	uint8_t *start = wr_room(w, IP4_HDR_LEN);
	struct wr f;

	ASSERT(ipaddr_is4(&h->src) && ipaddr_is4(&h->dst) && h->off % 8 == 0);
	if (!start)
		return;
	f = wr_init(start, IP4_HDR_LEN);
	wr_u8(&f, 4 << 4 | IP4_HDR_LEN / 4);
	wr_u8(&f, h->tos);
	wr_u16(&f, h->len);
	wr_u16(&f, h->id);
	wr_u16(&f, (uint16_t)((h->df ? FLAG_DF : 0) | (h->mf ? FLAG_MF : 0) |
			      h->off / 8));
	wr_u8(&f, h->ttl);
	wr_u8(&f, h->proto);
	wr_u16(&f, 0);
	wr_bytes(&f, ipaddr_bytes(&h->src), 4);
	wr_bytes(&f, ipaddr_bytes(&h->dst), 4);
	f = wr_init(start + 10, 2);
	wr_u16(&f, csum_block(start, IP4_HDR_LEN));
}
