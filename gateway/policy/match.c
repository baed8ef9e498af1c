#include "base/util.h"
#include "gateway/policy/match.h"

#define PORT_DNS	53

/* RFC 1918, RFC 6598 (shared address space), RFC 4193 */
static bool is_private(const struct ipaddr *a)
{
	uint32_t v;

	if (!ipaddr_is4(a))
		return (a->b[0] & 0xfe) == 0xfc;
	v = ipaddr_to_host4(a);
	return v >> 24 == 10 || v >> 20 == 0xac1 || v >> 16 == 0xc0a8 ||
	       v >> 22 == 0x191;
}

static bool is_metadata(const struct ipaddr *a)
{
	return ipaddr_is4(a) && ipaddr_to_host4(a) == 0xa9fea9fe;
}

enum policy_group policy_group_of(const struct policy *p,
				  const struct ipaddr *a)
{
	if (ipaddr_is_any(a))
		return POLICY_GROUP_NONE;
	for (unsigned int i = 0; i < p->ngw; i++)
		if (ipaddr_eq(a, &p->gw[i]))
			return POLICY_GROUP_HOST;
	if (is_metadata(a))
		return POLICY_GROUP_METADATA;
	if (ipaddr_is_loopback(a))
		return POLICY_GROUP_LOOPBACK;
	if (is_private(a))
		return POLICY_GROUP_PRIVATE;
	if (ipaddr_is_linklocal(a))
		return POLICY_GROUP_LINK_LOCAL;
	if (ipaddr_is_multicast(a))
		return POLICY_GROUP_MULTICAST;
	return POLICY_GROUP_PUBLIC;
}

static bool dest_matches(const struct policy_rule *r,
			 const struct policy_query *q, enum policy_group g)
{
	switch (r->dest) {
	case POLICY_DEST_ANY:
		return true;
	case POLICY_DEST_GROUP:
		return r->group == g;
	case POLICY_DEST_CIDR:
		return ipaddr_is4(&q->dst) == ipaddr_is4(&r->net) &&
		       ipaddr_in(&q->dst, &r->net, r->plen);
	}
	return false;
}

static bool ports_match(const struct policy_rule *r, int32_t port)
{
	if (r->port_lo == 0 && r->port_hi == 65535)
		return true;
	return port >= r->port_lo && port <= r->port_hi;	/* -1: never */
}

struct verdict policy_egress(const struct policy *p,
			     const struct policy_query *q)
{
	enum policy_group g = policy_group_of(p, &q->dst);

	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rule[i];

		if (r->protos && !(r->protos & 1u << q->proto))
			continue;
		if (!ports_match(r, q->port) || !dest_matches(r, q, g))
			continue;
		return (struct verdict){ .allow = r->allow, .rule = (int)i,
					 .group = g };
	}
	return (struct verdict){ .allow = p->egress_default, .rule = -1,
				 .group = g };
}

struct verdict policy_dns(const struct policy *p, enum policy_proto proto)
{
	struct verdict v = { .allow = p->egress_default, .rule = -1,
			     .group = POLICY_GROUP_HOST };

	/* The name is asked of the gateway's resolver, whatever address the
	 * guest sent the query to: only rules for it, or for any, count */
	for (unsigned int i = 0; i < p->nrules; i++) {
		const struct policy_rule *r = &p->rule[i];

		if ((r->protos && !(r->protos & 1u << proto)) ||
		    !ports_match(r, PORT_DNS))
			continue;
		if (r->dest == POLICY_DEST_ANY ||
		    (r->dest == POLICY_DEST_GROUP &&
		     r->group == POLICY_GROUP_HOST)) {
			v.allow = r->allow;
			v.rule = (int)i;
			return v;
		}
	}
	return v;
}
