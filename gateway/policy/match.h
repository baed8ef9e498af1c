#ifndef POLICY_MATCH_H
#define POLICY_MATCH_H

#include "gateway/policy/rule.h"

/* match - pure decisions: query in, verdict and rule out; asks nobody */

/**
 * struct policy_query - Where the guest wants to go, as the guest sees it
 * @port:	Host order; -1 for traffic without ports
 */
struct policy_query {
	struct ipaddr dst;
	int32_t port;
	enum policy_proto proto;
};

/**
 * struct verdict - What was decided, and by what
 * @rule:	Index of the rule; -1 for the direction's default
 * @group:	Of the destination
 */
struct verdict {
	bool allow;
	int rule;
	enum policy_group group;
};

/** policy_group_of() - The group of an address under this policy */
enum policy_group policy_group_of(const struct policy *p,
				  const struct ipaddr *a);

/** policy_egress() - May the guest send there? */
struct verdict policy_egress(const struct policy *p,
			     const struct policy_query *q);

/** policy_dns() - May the guest look up names over UDP (or TCP) port 53? */
struct verdict policy_dns(const struct policy *p, enum policy_proto proto);

#endif /* POLICY_MATCH_H */
