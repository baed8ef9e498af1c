#include <errno.h>

#include "base/util.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ndp.h"

#define OPT_SRC_LLA	1
#define OPT_TGT_LLA	2

#define NA_ROUTER	(1u << 31)
#define NA_SOLICITED	(1u << 30)
#define NA_OVERRIDE	(1u << 29)

static int parse_options(struct rd *r, struct ndp *m)
{
	uint8_t want = m->type == ICMP6_NS ? OPT_SRC_LLA : OPT_TGT_LLA;

	while (rd_left(r)) {
		uint8_t type = rd_u8(r);
		size_t len = rd_u8(r) * 8u;
		struct rd body;

		if (!len)
			return -EBADMSG;
		body = rd_sub(r, len - 2);
		if (body.bad)
			return -EBADMSG;
		if (type != want || m->has_mac)
			continue;
		if (len != 8)	/* of another kind of link */
			return -EBADMSG;
		m->has_mac = rd_copy(&body, m->mac, sizeof(m->mac));
	}
	return r->bad ? -EBADMSG : 0;
}

int ndp_parse(struct rd r, struct ndp *out)
{
	struct ndp m = { 0 };
	struct icmp6 h;
	uint8_t target[16];
	int rc;

	rc = icmp6_parse(&r, &h);
	if (rc)
		return rc;
	if (h.type != ICMP6_NS && h.type != ICMP6_NA)
		return -ENOTSUP;
	if (h.code || !rd_copy(&r, target, sizeof(target)))
		return -EBADMSG;
	m.type = h.type;
	if (h.type == ICMP6_NA) {
		m.router = h.rest & NA_ROUTER;
		m.solicited = h.rest & NA_SOLICITED;
		m.override = h.rest & NA_OVERRIDE;
	}
	m.target = ipaddr_v6(target);
	if (ipaddr_is4(&m.target) || ipaddr_is_multicast(&m.target))
		return -EBADMSG;
	rc = parse_options(&r, &m);
	if (rc)
		return rc;
	*out = m;
	return 0;
}

void ndp_emit(const struct ndp *m, struct wr *w)
{
	bool na = m->type == ICMP6_NA;
	struct icmp6 h = { .type = m->type };

	ASSERT(na || m->type == ICMP6_NS);
	ASSERT(!ipaddr_is4(&m->target));
	if (na)
		h.rest = (m->router ? NA_ROUTER : 0) |
			 (m->solicited ? NA_SOLICITED : 0) |
			 (m->override ? NA_OVERRIDE : 0);
	icmp6_emit(&h, w);
	wr_bytes(w, ipaddr_bytes(&m->target), 16);
	if (!m->has_mac)
		return;
	wr_u8(w, na ? OPT_TGT_LLA : OPT_SRC_LLA);
	wr_u8(w, 1);
	wr_bytes(w, m->mac, sizeof(m->mac));
}
