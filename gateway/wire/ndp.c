#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ndp.h"

#define OPT_SRC_LLA	1
#define OPT_TGT_LLA	2
#define OPT_PREFIX	3
#define OPT_MTU		5
#define OPT_RDNSS	25	/* RFC 8106 */

#define PREFIX_ON_LINK	0x80
#define PREFIX_VALID_S	2592000	/* 30 and 7 days: RFC 4861 6.2.1 */
#define PREFIX_PREF_S	604800

#define NA_ROUTER	(1u << 31)
#define NA_SOLICITED	(1u << 30)
#define NA_OVERRIDE	(1u << 29)

/* The first option @want says the MAC; others are skipped */
static int parse_options(struct rd *r, uint8_t want, bool *has_mac,
			 uint8_t mac[static 6])
{
	while (rd_left(r)) {
		uint8_t type = rd_u8(r);
		size_t len = rd_u8(r) * 8u;
		struct rd body;

		if (!len)
			return -EBADMSG;
		body = rd_sub(r, len - 2);
		if (body.bad)
			return -EBADMSG;
		if (type != want || *has_mac)
			continue;
		if (len != 8)	/* of another kind of link */
			return -EBADMSG;
		*has_mac = rd_copy(&body, mac, 6);
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
	rc = parse_options(&r, h.type == ICMP6_NS ? OPT_SRC_LLA : OPT_TGT_LLA,
			   &m.has_mac, m.mac);
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

int ndp_rs_parse(struct rd r, struct ndp_rs *out)
{
	struct ndp_rs m = { 0 };
	struct icmp6 h;
	int rc = icmp6_parse(&r, &h);

	if (rc)
		return rc;
	if (h.type != ICMP6_RS)
		return -ENOTSUP;
	if (h.code)
		return -EBADMSG;
	rc = parse_options(&r, OPT_SRC_LLA, &m.has_mac, m.mac);
	if (rc)
		return rc;
	*out = m;
	return 0;
}

static void put_prefix(const struct ndp_ra *m, struct wr *w)
{
	uint8_t net[16];

	memcpy(net, ipaddr_bytes(&m->prefix), sizeof(net));
	for (unsigned int i = m->plen; i < 128; i++)
		net[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	wr_u8(w, OPT_PREFIX);
	wr_u8(w, 4);
	wr_u8(w, m->plen);
	wr_u8(w, PREFIX_ON_LINK);
	wr_u32(w, PREFIX_VALID_S);
	wr_u32(w, PREFIX_PREF_S);
	wr_u32(w, 0);
	wr_bytes(w, net, sizeof(net));
}

void ndp_ra_emit(const struct ndp_ra *m, struct wr *w)
{
	const struct icmp6 h = { .type = ICMP6_RA,
				 .rest = (uint32_t)m->hop << 24 |
					 m->lifetime_s };

	ASSERT(!ipaddr_is4(&m->prefix) && !ipaddr_is4(&m->dns));
	icmp6_emit(&h, w);
	wr_u32(w, 0);			/* reachable time, retransmission: */
	wr_u32(w, 0);			/* as the host likes */
	wr_u8(w, OPT_SRC_LLA);
	wr_u8(w, 1);
	wr_bytes(w, m->mac, sizeof(m->mac));
	wr_u8(w, OPT_MTU);
	wr_u8(w, 1);
	wr_u16(w, 0);
	wr_u32(w, m->mtu);
	put_prefix(m, w);
	wr_u8(w, OPT_RDNSS);
	wr_u8(w, 3);
	wr_u16(w, 0);
	wr_u32(w, m->lifetime_s);
	wr_bytes(w, ipaddr_bytes(&m->dns), 16);
}
