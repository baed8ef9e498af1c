#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/span.h"

/*
 * rule - what a policy is made of: address groups, rules, presets
 *
 * Rules are tried in order, separately for each direction; the first that
 * matches decides, else the direction's default does.
 */

/**
 * enum policy_group - Disjoint classes of addresses
 *
 * Tested in this order: the gateway's own addresses are HOST although they lie
 * in a private range.  IPv4-mapped IPv6 addresses count as IPv4.
 */
enum policy_group {
	POLICY_GROUP_NONE,		/* 0.0.0.0 and :: */
	POLICY_GROUP_HOST,		/* an active address of the gateway */
	POLICY_GROUP_METADATA,		/* 169.254.169.254 */
	POLICY_GROUP_LOOPBACK,		/* 127/8, ::1 */
	POLICY_GROUP_PRIVATE,		/* RFC 1918, RFC 6598, fc00::/7 */
	POLICY_GROUP_LINK_LOCAL,	/* 169.254/16, fe80::/10 */
	POLICY_GROUP_MULTICAST,		/* 224/4, ff00::/8 */
	POLICY_GROUP_PUBLIC,		/* everything else */
	POLICY_GROUP_NUM,
};

enum policy_proto {
	POLICY_PROTO_TCP,
	POLICY_PROTO_UDP,
	POLICY_PROTO_ICMP4,
	POLICY_PROTO_ICMP6,
	POLICY_PROTO_NUM,
};

enum policy_dest {
	POLICY_DEST_ANY,
	POLICY_DEST_GROUP,
	POLICY_DEST_CIDR,
};

/**
 * struct policy_rule - One rule for egress
 * @protos:	Bit per enum policy_proto; 0 matches each
 * @port_lo:	Inclusive range, host order; 0 to 65535 matches every port and
 *		traffic without ports; any other range never matches that
 */
struct policy_rule {
	bool allow;
	enum policy_dest dest;
	enum policy_group group;	/* POLICY_DEST_GROUP */
	struct ipaddr net;		/* POLICY_DEST_CIDR */
	uint8_t plen;
	uint8_t protos;
	uint16_t port_lo, port_hi;
};

#define POLICY_RULES_MAX	16

/**
 * struct policy - Rules and defaults, and what HOST means
 * @gw:		Active addresses of the gateway, @ngw of them
 */
struct policy {
	struct policy_rule rule[POLICY_RULES_MAX];
	unsigned int nrules;
	bool egress_default;
	struct ipaddr gw[2];
	unsigned int ngw;
};

/**
 * policy_preset() - Make the policy that a --net list asks for
 * @list:	Comma list of "public", "private", "host"; or alone "none", "all"
 * @p:		Set on success, without @gw
 *
 * A set allows DNS to the gateway (udp and tcp port 53), then public, private,
 * host as far as they are named, in this order; the default is to deny.
 *
 * Return: 0; -EINVAL if the list is not one of these
 */
int policy_preset(struct span list, struct policy *p);

/** policy_group_name() - "public", "link_local", ... as in the configuration */
const char *policy_group_name(enum policy_group g);

/** policy_rule_text() - "allow egress group host udp,tcp 53" into @buf */
const char *policy_rule_text(const struct policy_rule *r, char *buf,
			     size_t size);

#endif /* POLICY_RULE_H */
