#include <errno.h>

#include "gateway/wire/icmp4.h"

int icmp4_parse(struct rd *r, struct icmp4 *out)
{
	struct icmp4 m;

	m.type = rd_u8(r);
	m.code = rd_u8(r);
	m.csum = rd_u16(r);
	m.rest = rd_u32(r);
	if (r->bad)
		return -EBADMSG;
	*out = m;
	return 0;
}

void icmp4_emit(const struct icmp4 *m, struct wr *w)
{
	wr_u8(w, m->type);
	wr_u8(w, m->code);
	wr_u16(w, m->csum);
	wr_u32(w, m->rest);
}

bool icmp4_is_error(uint8_t type)
{
	switch (type) {
	case ICMP4_ECHO:
	case ICMP4_ECHO_REPLY:
	case 9:			/* router advertisement, RFC 1256 */
	case 10:		/* router solicitation */
	case 13:		/* timestamp, RFC 792 */
	case 14:
	case 15:		/* information */
	case 16:
	case 17:		/* address mask, RFC 950 */
	case 18:
		return false;
	default:
		return true;
	}
}
