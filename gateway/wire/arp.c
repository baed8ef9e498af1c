#include <errno.h>

#include "base/util.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/eth.h"

#define HTYPE_ETHER	1

int arp_parse(struct rd *r, struct arp *out)
{
	uint16_t htype = rd_u16(r), ptype = rd_u16(r);
	uint8_t hlen = rd_u8(r), plen = rd_u8(r);
	uint8_t spa[4], tpa[4];
	struct arp a;

	a.op = rd_u16(r);
	rd_copy(r, a.sha, sizeof(a.sha));
	rd_copy(r, spa, sizeof(spa));
	rd_copy(r, a.tha, sizeof(a.tha));
	rd_copy(r, tpa, sizeof(tpa));
	if (r->bad || htype != HTYPE_ETHER || ptype != ETH_TYPE_IP4 ||
	    hlen != sizeof(a.sha) || plen != sizeof(spa))
		return -EBADMSG;
	a.spa = ipaddr_v4(spa);
	a.tpa = ipaddr_v4(tpa);
	*out = a;
	return 0;
}

void arp_emit(const struct arp *a, struct wr *w)
{
	ASSERT(ipaddr_is4(&a->spa) && ipaddr_is4(&a->tpa));
	wr_u16(w, HTYPE_ETHER);
	wr_u16(w, ETH_TYPE_IP4);
	wr_u8(w, sizeof(a->sha));
	wr_u8(w, 4);
	wr_u16(w, a->op);
	wr_bytes(w, a->sha, sizeof(a->sha));
	wr_bytes(w, ipaddr_bytes(&a->spa), 4);
	wr_bytes(w, a->tha, sizeof(a->tha));
	wr_bytes(w, ipaddr_bytes(&a->tpa), 4);
}
