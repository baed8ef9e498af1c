#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "gateway/policy/rule.h"

#define PORT_DNS	53
#define BIT(x)		((uint8_t)(1u << (x)))

static const char *const group_names[] = {
	[POLICY_GROUP_NONE] = "none",
	[POLICY_GROUP_HOST] = "host",
	[POLICY_GROUP_METADATA] = "metadata",
	[POLICY_GROUP_LOOPBACK] = "loopback",
	[POLICY_GROUP_PRIVATE] = "private",
	[POLICY_GROUP_LINK_LOCAL] = "link_local",
	[POLICY_GROUP_MULTICAST] = "multicast",
	[POLICY_GROUP_PUBLIC] = "public",
};

_Static_assert(ARRAY_SIZE(group_names) == POLICY_GROUP_NUM,
	       "a group without a name");

static const char *const proto_names[] = {
	[POLICY_PROTO_TCP] = "tcp",
	[POLICY_PROTO_UDP] = "udp",
	[POLICY_PROTO_ICMP4] = "icmpv4",
	[POLICY_PROTO_ICMP6] = "icmpv6",
};

_Static_assert(ARRAY_SIZE(proto_names) == POLICY_PROTO_NUM,
	       "a protocol without a name");

const char *policy_group_name(enum policy_group g)
{
	return g < POLICY_GROUP_NUM ? group_names[g] : "?";
}

static void allow_group(struct policy *p, enum policy_group g)
{
	ASSERT(p->nrules < POLICY_RULES_MAX);
	p->rule[p->nrules++] = (struct policy_rule){
		.allow = true,
		.dest = POLICY_DEST_GROUP,
		.group = g,
		.port_hi = 65535,
	};
}

static void allow_dns(struct policy *p)
{
	allow_group(p, POLICY_GROUP_HOST);
	p->rule[0].protos = BIT(POLICY_PROTO_TCP) | BIT(POLICY_PROTO_UDP);
	p->rule[0].port_lo = p->rule[0].port_hi = PORT_DNS;
}

int policy_preset(struct span list, struct policy *p)
{
	/* in the order of the rules that they become */
	static const enum policy_group set[] = {
		POLICY_GROUP_PUBLIC, POLICY_GROUP_PRIVATE, POLICY_GROUP_HOST,
	};
	struct policy new = { .nrules = 0 };
	bool want[ARRAY_SIZE(set)] = { false }, more = true;

	if (span_is(list, "none") || span_is(list, "all")) {
		new.egress_default = span_is(list, "all");
		*p = new;
		return 0;
	}
	while (more) {
		struct span word = span_cut(&list, ',', &more);
		size_t i = 0;

		while (i < ARRAY_SIZE(set) &&
		       !span_is(word, group_names[set[i]]))
			i++;
		if (i == ARRAY_SIZE(set))
			return -EINVAL;
		want[i] = true;
	}
	allow_dns(&new);
	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		if (want[i])
			allow_group(&new, set[i]);
	*p = new;
	return 0;
}

const char *policy_rule_text(const struct policy_rule *r, char *buf,
			     size_t size)
{
	char dest[IPADDR_STRLEN + 8], protos[40] = "", ports[24] = "";
	char addr[IPADDR_STRLEN];

	switch (r->dest) {
	case POLICY_DEST_ANY:
		snprintf(dest, sizeof(dest), "any");
		break;
	case POLICY_DEST_GROUP:
		snprintf(dest, sizeof(dest), "group %s",
			 policy_group_name(r->group));
		break;
	case POLICY_DEST_CIDR:
		snprintf(dest, sizeof(dest), "%s/%u",
			 ipaddr_fmt(&r->net, addr), r->plen);
		break;
	}
	for (size_t i = 0; i < POLICY_PROTO_NUM; i++) {
		size_t n = strlen(protos);

		if (r->protos & BIT(i))
			snprintf(protos + n, sizeof(protos) - n, "%s%s",
				 n ? "," : " ", proto_names[i]);
	}
	if (r->port_lo || r->port_hi != 65535) {
		if (r->port_lo == r->port_hi)
			snprintf(ports, sizeof(ports), " %u", r->port_lo);
		else
			snprintf(ports, sizeof(ports), " %u-%u", r->port_lo,
				 r->port_hi);
	}
	snprintf(buf, size, "%s egress %s%s%s", r->allow ? "allow" : "deny",
		 dest, protos, ports);
	return buf;
}
