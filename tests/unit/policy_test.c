#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"
#include "gateway/policy/match.h"
#include "gateway/relay/dial.h"

int policy_test(void);

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(span_str(s), &a), 0);
	return a;
}

static struct policy preset(const char *list)
{
	struct policy p;

	assert_int_equal(policy_preset(span_str(list), &p), 0);
	p.gw[0] = ip("100.96.0.1");
	p.gw[1] = ip("fd42:6d73:62::1");
	p.ngw = 2;
	return p;
}

/* Every edge of every range: what is inside and what is one beside it */
static const struct {
	const char *addr;
	enum policy_group group;
} groups[] = {
	{ "0.0.0.0", POLICY_GROUP_NONE },
	{ "::", POLICY_GROUP_NONE },
	{ "0.0.0.1", POLICY_GROUP_PUBLIC },
	{ "100.96.0.1", POLICY_GROUP_HOST },
	{ "fd42:6d73:62::1", POLICY_GROUP_HOST },
	{ "100.96.0.2", POLICY_GROUP_PRIVATE },
	{ "fd42:6d73:62::2", POLICY_GROUP_PRIVATE },
	{ "169.254.169.254", POLICY_GROUP_METADATA },
	{ "169.254.169.253", POLICY_GROUP_LINK_LOCAL },
	{ "169.253.255.255", POLICY_GROUP_PUBLIC },
	{ "169.255.0.0", POLICY_GROUP_PUBLIC },
	{ "127.0.0.0", POLICY_GROUP_LOOPBACK },
	{ "127.255.255.255", POLICY_GROUP_LOOPBACK },
	{ "128.0.0.0", POLICY_GROUP_PUBLIC },
	{ "::1", POLICY_GROUP_LOOPBACK },
	{ "::2", POLICY_GROUP_PUBLIC },
	{ "9.255.255.255", POLICY_GROUP_PUBLIC },
	{ "10.0.0.0", POLICY_GROUP_PRIVATE },
	{ "10.255.255.255", POLICY_GROUP_PRIVATE },
	{ "11.0.0.0", POLICY_GROUP_PUBLIC },
	{ "172.15.255.255", POLICY_GROUP_PUBLIC },
	{ "172.16.0.0", POLICY_GROUP_PRIVATE },
	{ "172.31.255.255", POLICY_GROUP_PRIVATE },
	{ "172.32.0.0", POLICY_GROUP_PUBLIC },
	{ "192.167.255.255", POLICY_GROUP_PUBLIC },
	{ "192.168.0.0", POLICY_GROUP_PRIVATE },
	{ "192.168.255.255", POLICY_GROUP_PRIVATE },
	{ "192.169.0.0", POLICY_GROUP_PUBLIC },
	{ "100.63.255.255", POLICY_GROUP_PUBLIC },
	{ "100.64.0.0", POLICY_GROUP_PRIVATE },
	{ "100.127.255.255", POLICY_GROUP_PRIVATE },
	{ "100.128.0.0", POLICY_GROUP_PUBLIC },
	{ "fbff:ffff::1", POLICY_GROUP_PUBLIC },
	{ "fc00::1", POLICY_GROUP_PRIVATE },
	{ "fdff:ffff::1", POLICY_GROUP_PRIVATE },
	{ "fe00::1", POLICY_GROUP_PUBLIC },
	{ "fe80::1", POLICY_GROUP_LINK_LOCAL },
	{ "febf::1", POLICY_GROUP_LINK_LOCAL },
	{ "fec0::1", POLICY_GROUP_PUBLIC },
	{ "223.255.255.255", POLICY_GROUP_PUBLIC },
	{ "224.0.0.0", POLICY_GROUP_MULTICAST },
	{ "239.255.255.255", POLICY_GROUP_MULTICAST },
	{ "240.0.0.0", POLICY_GROUP_PUBLIC },
	{ "ff02::1", POLICY_GROUP_MULTICAST },
	{ "2001:db8::1", POLICY_GROUP_PUBLIC },
	{ "192.0.2.1", POLICY_GROUP_PUBLIC },
	{ "::ffff:10.1.2.3", POLICY_GROUP_PRIVATE },
	{ "::ffff:169.254.169.254", POLICY_GROUP_METADATA },
	{ "::ffff:127.0.0.1", POLICY_GROUP_LOOPBACK },
};

static void groups_of_addresses(void **state)
{
	struct policy p = preset("public");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		struct ipaddr a = ip(groups[i].addr);
		enum policy_group g = policy_group_of(&p, &a);

		if (g != groups[i].group)
			fail_msg("%s is %s", groups[i].addr,
				 policy_group_name(g));
	}
}

static const struct {
	const char *net, *dst;
	int32_t port;
	enum policy_proto proto;
	bool allow;
	int rule;
} verdicts[] = {
#define T POLICY_PROTO_TCP
#define U POLICY_PROTO_UDP
#define I POLICY_PROTO_ICMP4
	{ "public", "1.1.1.1", 443, T, true, 1 },
	{ "public", "1.1.1.1", -1, I, true, 1 },
	{ "public", "10.0.0.1", 443, T, false, -1 },
	{ "public", "127.0.0.1", 443, T, false, -1 },
	{ "public", "169.254.169.254", 80, T, false, -1 },
	{ "public", "100.96.0.1", 80, T, false, -1 },
	{ "public", "100.96.0.1", -1, I, false, -1 },
	{ "public", "100.96.0.1", 53, U, true, 0 },
	{ "public", "100.96.0.1", 53, T, true, 0 },
	{ "public", "100.96.0.1", 53, I, false, -1 },
	{ "public,host", "100.96.0.1", 80, T, true, 2 },
	{ "host,public", "100.96.0.1", 80, T, true, 2 },
	{ "public,host", "100.96.0.1", -1, I, true, 2 },
	{ "host", "1.1.1.1", 80, T, false, -1 },
	{ "private", "192.168.1.1", 80, T, true, 1 },
	{ "private", "100.96.0.1", 80, T, false, -1 },
	{ "private", "1.1.1.1", 80, T, false, -1 },
	{ "public,private,host", "169.254.169.254", 80, T, false, -1 },
	{ "none", "1.1.1.1", 80, T, false, -1 },
	{ "none", "100.96.0.1", 53, U, false, -1 },
	{ "all", "169.254.169.254", 80, T, true, -1 },
	{ "all", "10.0.0.1", -1, I, true, -1 },
#undef T
#undef U
#undef I
};

static void presets_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		struct policy p = preset(verdicts[i].net);
		struct policy_query q = { .dst = ip(verdicts[i].dst),
					  .port = verdicts[i].port,
					  .proto = verdicts[i].proto };
		struct verdict v = policy_egress(&p, &q);

		if (v.allow != verdicts[i].allow || v.rule != verdicts[i].rule)
			fail_msg("%s to %s port %d: %d by rule %d",
				 verdicts[i].net, verdicts[i].dst,
				 (int)q.port, v.allow, v.rule);
	}
}

static void presets_that_are_none(void **state)
{
	static const char *const bad[] = {
		"", ",", "public,", ",public", "Public", "public,none",
		"all,host", "loopback", "public host", "none,", "publi",
	};
	struct policy p, before;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		p = before;
		if (policy_preset(span_str(bad[i]), &p) != -EINVAL)
			fail_msg("accepted \"%s\"", bad[i]);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

static void names_may_be_asked(void **state)
{
	static const struct {
		const char *net;
		bool allow;
	} cases[] = {
		{ "public", true }, { "host", true }, { "private", true },
		{ "all", true }, { "none", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy p = preset(cases[i].net);

		assert_int_equal(policy_dns(&p, POLICY_PROTO_UDP).allow,
				 cases[i].allow);
		assert_int_equal(policy_dns(&p, POLICY_PROTO_TCP).allow,
				 cases[i].allow);
	}
}

static void prefixes_and_ports(void **state)
{
	struct policy p = preset("none");
	struct policy_query q = { .dst = ip("10.1.2.3"), .port = 80,
				  .proto = POLICY_PROTO_TCP };
	char text[96];

	(void)state;
	p.rule[0] = (struct policy_rule){
		.allow = true, .dest = POLICY_DEST_CIDR, .net = ip("10.1.0.0"),
		.plen = 16, .protos = 1u << POLICY_PROTO_TCP,
		.port_lo = 80, .port_hi = 90,
	};
	p.nrules = 1;
	assert_true(policy_egress(&p, &q).allow);
	assert_string_equal(policy_rule_text(&p.rule[0], text, sizeof(text)),
			    "allow egress 10.1.0.0/16 tcp 80-90");
	q.port = 91;
	assert_false(policy_egress(&p, &q).allow);
	q.port = -1;
	assert_false(policy_egress(&p, &q).allow);
	q.port = 80;
	q.proto = POLICY_PROTO_UDP;
	assert_false(policy_egress(&p, &q).allow);
	q.proto = POLICY_PROTO_TCP;
	q.dst = ip("10.2.0.0");
	assert_false(policy_egress(&p, &q).allow);
	/* a prefix of one family never matches an address of the other */
	p.rule[0].net = ip("::");
	p.rule[0].plen = 0;
	assert_false(policy_egress(&p, &q).allow);
}

static void dial_maps_the_gateway_to_loopback(void **state)
{
	struct policy p = preset("public,host");
	struct dial d = { .policy = &p, .v4 = true, .v6 = true };
	struct ipaddr a = ip("100.96.0.1"), lo4 = ip("127.0.0.1");
	struct ipaddr lo6 = ip("::1"), b = ip("fd42:6d73:62::1");
	struct ipaddr pub = ip("1.1.1.1"), priv = ip("10.0.0.1");
	struct dial_target t;

	(void)state;
	d.gw4 = a;
	d.gw6 = b;
	assert_int_equal(dial_resolve(&d, &a, 80, POLICY_PROTO_TCP, true, &t),
			 0);
	assert_int_equal(t.n, 2);
	assert_true(ipaddr_eq(&t.addr[0], &lo4) && ipaddr_eq(&t.addr[1], &lo6));
	assert_int_equal(dial_resolve(&d, &b, 80, POLICY_PROTO_UDP, false, &t),
			 0);
	assert_int_equal(t.n, 1);
	assert_true(ipaddr_eq(&t.addr[0], &lo6));
	assert_int_equal(dial_resolve(&d, &pub, 80, POLICY_PROTO_TCP, true,
				      &t), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(dial_resolve(&d, &priv, 80, POLICY_PROTO_TCP, true,
				      &t), -EACCES);
	/* the loopback address itself is no way to the host */
	assert_int_equal(dial_resolve(&d, &lo4, 80, POLICY_PROTO_TCP, true,
				      &t), -EACCES);
	d.own[0].addr = lo6;
	d.own[0].port = 80;
	d.nown = 1;
	assert_int_equal(dial_resolve(&d, &a, 80, POLICY_PROTO_TCP, true, &t),
			 -EHOSTUNREACH);
	d.v4 = false;
	assert_int_equal(dial_resolve(&d, &pub, 80, POLICY_PROTO_TCP, true,
				      &t), -EHOSTUNREACH);
}

int policy_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_of_addresses),
		cmocka_unit_test(presets_decide),
		cmocka_unit_test(presets_that_are_none),
		cmocka_unit_test(names_may_be_asked),
		cmocka_unit_test(prefixes_and_ports),
		cmocka_unit_test(dial_maps_the_gateway_to_loopback),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
