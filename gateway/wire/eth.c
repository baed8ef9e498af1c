#include <errno.h>

#include "gateway/wire/eth.h"

int eth_parse(struct rd *r, struct eth *out)
{
	struct eth e;

	rd_copy(r, e.dst, sizeof(e.dst));
	rd_copy(r, e.src, sizeof(e.src));
	e.type = rd_u16(r);
	if (r->bad)
		return -EBADMSG;
	*out = e;
	return 0;
}

void eth_emit(const struct eth *e, struct wr *w)
{
	wr_bytes(w, e->dst, sizeof(e->dst));
	wr_bytes(w, e->src, sizeof(e->src));
	wr_u16(w, e->type);
}
