#include <errno.h>

#include "gateway/wire/udp.h"

int udp_parse(struct rd *r, struct udp_hdr *out)
{
	struct udp_hdr h;

	h.sport = rd_u16(r);
	h.dport = rd_u16(r);
	h.len = rd_u16(r);
	h.csum = rd_u16(r);
	if (r->bad || h.len < UDP_HDR_LEN)
		return -EBADMSG;
	*out = h;
	return 0;
}

void udp_emit(const struct udp_hdr *h, struct wr *w)
{
	wr_u16(w, h->sport);
	wr_u16(w, h->dport);
	wr_u16(w, h->len);
	wr_u16(w, h->csum);
}
