#include <errno.h>

#include "gateway/wire/icmp6.h"

int icmp6_parse(struct rd *r, struct icmp6 *out)
{
	struct icmp6 m;

	m.type = rd_u8(r);
	m.code = rd_u8(r);
	m.csum = rd_u16(r);
	m.rest = rd_u32(r);
	if (r->bad)
		return -EBADMSG;
	*out = m;
	return 0;
}

void icmp6_emit(const struct icmp6 *m, struct wr *w)
{
	wr_u8(w, m->type);
	wr_u8(w, m->code);
	wr_u16(w, m->csum);
	wr_u32(w, m->rest);
}
