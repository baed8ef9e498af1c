#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/env.h"
#include "proto/ports.h"

#define NET	"MSB_NET"
#define IP4	"MSB_NET_IPV4"
#define IP6	"MSB_NET_IPV6"
#define ALIAS	"MSB_HOST_ALIAS"
#define HOST	"MSB_HOSTNAME"
#define LINK	"MSB_LINK"

#define MAC	"mac=02:6d:73:00:01:02"
#define L16	"0123456789abcdef"
#define L64	L16 L16 L16 L16
#define L63	L16 L16 L16 "0123456789abcde"

/* The value comes in a copy of exactly its length */
static int set(struct env *e, const char *var, const char *value,
	       struct env_err *err)
{
	char *copy = strdup(value);
	int rc;

	assert_non_null(copy);
	rc = env_set(e, var, copy, err);
	free(copy);
	return rc;
}

/*
 * What is accepted, and how env_emit() writes it: NULL when it is the same as
 * the value, "" when the variable counts as absent.
 */
static const struct {
	const char *name, *var, *value, *emit;
} good[] = {
	{ "as the host sends it", NET,
	  "iface=eth0," MAC ",mtu=1500", NULL },
	{ "order free, short octets, upper case", NET,
	  "mac=02:6D:73:0:1:2,iface=eth0",
	  "iface=eth0,mac=02:6d:73:00:01:02,mtu=1500" },
	{ "outer blanks", NET, " \tiface=eth0," MAC " \n",
	  "iface=eth0," MAC ",mtu=1500" },
	{ "outer Unicode blanks", NET,
	  "\xe3\x80\x80iface=eth0," MAC "\xc2\xa0",
	  "iface=eth0," MAC ",mtu=1500" },
	{ "last repeat wins", NET, "iface=a,iface=b," MAC,
	  "iface=b," MAC ",mtu=1500" },
	{ "shorter repeat wins", NET, "iface=abcdef,iface=b," MAC,
	  "iface=b," MAC ",mtu=1500" },
	{ "mtu with plus", NET, "iface=eth0," MAC ",mtu=+1500",
	  "iface=eth0," MAC ",mtu=1500" },
	{ "mtu with zeros", NET, "iface=eth0," MAC ",mtu=01500",
	  "iface=eth0," MAC ",mtu=1500" },
	{ "least mtu", NET, "iface=eth0," MAC ",mtu=68", NULL },
	{ "most mtu", NET, "iface=eth0," MAC ",mtu=65535", NULL },
	{ "longest name", NET, "iface=123456789012345," MAC ",mtu=1500",
	  NULL },
	{ "empty", NET, "", "" },
	{ "blank", NET, " \t\n", "" },
	{ "Unicode blank", NET, "\xe2\x80\x83\xc2\x85", "" },
	{ "not UTF-8", NET, "iface=eth0\xff," MAC, "" },
	{ "as the host sends it", IP4,
	  "addr=172.16.1.2/30,gw=172.16.1.1,dns=172.16.1.1", NULL },
	{ "other order, no dns", IP4, "gw=172.16.1.1,addr=172.16.1.2/30",
	  "addr=172.16.1.2/30,gw=172.16.1.1" },
	{ "prefix with plus", IP4, "addr=172.16.1.2/+24,gw=172.16.1.1",
	  "addr=172.16.1.2/24,gw=172.16.1.1" },
	{ "prefix with zero", IP4, "addr=172.16.1.2/024,gw=172.16.1.1",
	  "addr=172.16.1.2/24,gw=172.16.1.1" },
	{ "last dns wins", IP4,
	  "dns=1.1.1.1,addr=172.16.1.2/30,gw=172.16.1.1,dns=8.8.8.8",
	  "addr=172.16.1.2/30,gw=172.16.1.1,dns=8.8.8.8" },
	{ "gateway outside", IP4, "addr=10.0.0.2/32,gw=169.254.1.1", NULL },
	{ "point to point", IP4, "addr=10.0.0.0/31,gw=10.0.0.1", NULL },
	{ "whole Internet", IP4, "addr=10.0.0.2/0,gw=10.0.0.1", NULL },
	{ "resolver in the guest", IP4,
	  "addr=10.0.0.2/24,gw=10.0.0.1,dns=127.0.0.53", NULL },
	{ "absent", IP4, " ", "" },
	{ "as the host sends it", IP6,
	  "addr=fd42:6d73:62:2a::2/64,gw=fd42:6d73:62:2a::1,"
	  "dns=fd42:6d73:62:2a::1", NULL },
	{ "upper case", IP6, "addr=FD42::2/64,gw=FD42:0::1",
	  "addr=fd42::2/64,gw=fd42::1" },
	{ "link-local gateway", IP6, "addr=fd42::2/64,gw=fe80::1", NULL },
	{ "single address", IP6, "addr=fd42::2/128,gw=fd43::1", NULL },
	{ "embedded IPv4", IP6, "addr=64:ff9b::1.2.3.4/96,gw=fd42::1",
	  "addr=64:ff9b::102:304/96,gw=fd42::1" },
	{ "host alias", ALIAS, "host.microsandbox.internal", NULL },
	{ "one label", ALIAS, "Host_1-a", NULL },
	{ "longest label", ALIAS, L63 ".x", NULL },
	{ "longest alias", ALIAS, L63 "." L63 "." L63 "." L16 L16 L16
	  "0123456789abc", NULL },
	{ "blank alias", ALIAS, "  ", "" },
	{ "host name", HOST, "w1", NULL },
	{ "longest host name", HOST, L64, NULL },
	{ "trimmed host name", HOST, " w1\n", "w1" },
	{ "nic", LINK, "nic", NULL },
	{ "vsock port", LINK, "vsock:1024", "vsock:2:1024" },
	{ "vsock CID", LINK, "vsock:3:2048", NULL },
	{ "vsock limits", LINK, "vsock:4294967294:4294967293", NULL },
	{ "unix", LINK, "unix:/run/a,b=c:d.sock", NULL },
	{ "auto", LINK, "", "" },
};

/* What is refused, why, and where: at the first @part, or at the end */
static const struct {
	const char *name, *var, *value, *reason, *part;
} bad[] = {
#define BAD_NET(name, v, why, part)	{ name, NET, v, why, part }
	BAD_NET("blank after comma", "iface=eth0, " MAC,
		"unknown MSB_NET option:  " MAC, " mac"),
	BAD_NET("trailing comma", "iface=eth0," MAC ",",
		"unknown MSB_NET option: ", NULL),
	BAD_NET("leading comma", ",iface=eth0," MAC,
		"unknown MSB_NET option: ", ","),
	BAD_NET("double comma", "iface=eth0,," MAC,
		"unknown MSB_NET option: ", ",m"),
	BAD_NET("no mac", "iface=eth0", "MSB_NET missing mac=", NULL),
	BAD_NET("no iface", MAC, "MSB_NET missing iface=", NULL),
	BAD_NET("key in capitals", "IFACE=eth0," MAC,
		"unknown MSB_NET option: IFACE=eth0", "IFACE"),
	BAD_NET("unknown key", "iface=eth0," MAC ",x=1",
		"unknown MSB_NET option: x=1", "x=1"),
	BAD_NET("mtu too large", "iface=eth0,mtu=65536," MAC,
		"invalid MTU: 65536", "65536"),
	BAD_NET("mtu negative", "iface=eth0,mtu=-1," MAC,
		"invalid MTU: -1", "-1"),
	BAD_NET("mtu empty", "iface=eth0,mtu=," MAC, "invalid MTU: ", ",mac"),
	BAD_NET("mtu with blank", "iface=eth0,mtu=1500 ," MAC,
		"invalid MTU: 1500 ", "1500 "),
	BAD_NET("mtu in hex", "iface=eth0,mtu=0x5dc," MAC,
		"invalid MTU: 0x5dc", "0x5dc"),
	BAD_NET("mtu 0", "iface=eth0,mtu=0," MAC, "MTU below 68: 0", "0,mac"),
	BAD_NET("mtu 67", "iface=eth0,mtu=67," MAC, "MTU below 68: 67", "67"),
	BAD_NET("bad repeat", "iface=eth0,mtu=1,mtu=1500," MAC,
		"MTU below 68: 1", "1,"),
	BAD_NET("five octets", "iface=eth0,mac=02:6d:73:00:01",
		"invalid MAC address: 02:6d:73:00:01", "02:"),
	BAD_NET("seven octets", "iface=eth0,mac=02:6d:73:00:01:02:03",
		"invalid MAC address: 02:6d:73:00:01:02:03", "02:"),
	BAD_NET("octet +2", "iface=eth0,mac=+2:6d:73:00:01:02",
		"invalid MAC octet: +2", "+2"),
	BAD_NET("octet 002", "iface=eth0,mac=002:6d:73:00:01:02",
		"invalid MAC octet: 002", "002"),
	BAD_NET("octet empty", "iface=eth0,mac=02::73:00:01:02",
		"invalid MAC octet: ", ":73"),
	BAD_NET("octet empty at the end", "iface=eth0,mac=02:6d:73:00:01:",
		"invalid MAC octet: ", NULL),
	BAD_NET("octet 100", "iface=eth0,mac=100:6d:73:00:01:02",
		"invalid MAC octet: 100", "100"),
	BAD_NET("octet 0x1", "iface=eth0,mac=0x1:6d:73:00:01:02",
		"invalid MAC octet: 0x1", "0x1"),
	BAD_NET("octet g", "iface=eth0,mac=g:6d:73:00:01:02",
		"invalid MAC octet: g", "g:"),
	BAD_NET("octet -1", "iface=eth0,mac=-1:6d:73:00:01:02",
		"invalid MAC octet: -1", "-1"),
	BAD_NET("octet before count", "iface=eth0,mac=02:xx",
		"invalid MAC octet: xx", "xx"),
	BAD_NET("dashes", "iface=eth0,mac=02-6d-73-00-01-02",
		"invalid MAC octet: 02-6d-73-00-01-02", "02-"),
	BAD_NET("group", "iface=eth0,mac=03:6d:73:00:01:02",
		"MAC address is a group address: 03:6d:73:00:01:02", "03"),
	BAD_NET("all zero", "iface=eth0,mac=0:0:0:0:0:0",
		"MAC address is all zero: 0:0:0:0:0:0", "0:"),
	BAD_NET("empty name", "iface=," MAC, "empty interface name", ","),
	BAD_NET("long name", "iface=" L16 "," MAC,
		"interface name too long: " L16, L16),
	BAD_NET("name with slash", "iface=a/b," MAC,
		"invalid interface name: a/b", "a/b"),
	BAD_NET("name with colon", "iface=a:b," MAC,
		"invalid interface name: a:b", "a:b"),
	BAD_NET("name with blank", "iface=a b," MAC,
		"invalid interface name: a b", "a b"),
	BAD_NET("name with percent", "iface=eth%d," MAC,
		"invalid interface name: eth%d", "eth%d"),
	BAD_NET("name with control", "iface=a\1," MAC,
		"invalid interface name: a\1", "a\1"),
	BAD_NET("name with quote", "iface=a\"b," MAC,
		"invalid interface name: a\"b", "a\"b"),
	BAD_NET("name dot", "iface=.," MAC, "invalid interface name: .", "."),
	BAD_NET("name dots", "iface=..," MAC, "invalid interface name: ..",
		".."),
	BAD_NET("offset counts blanks", "  iface=eth0,mtu=x," MAC,
		"invalid MTU: x", "x,"),
#define BAD4(name, v, why, part)	{ name, IP4, v, why, part }
	BAD4("no slash", "addr=172.16.1.2,gw=172.16.1.1",
	     "invalid IPv4 CIDR (missing /): 172.16.1.2", "172"),
	BAD4("empty addr", "addr=,gw=172.16.1.1",
	     "invalid IPv4 CIDR (missing /): ", ",gw"),
	BAD4("prefix 33", "addr=172.16.1.2/33,gw=172.16.1.1",
	     "IPv4 prefix length out of range (0-32): 33", "33"),
	BAD4("prefix 256", "addr=172.16.1.2/256,gw=172.16.1.1",
	     "invalid IPv4 prefix length: 256", "256"),
	BAD4("prefix empty", "addr=172.16.1.2/,gw=172.16.1.1",
	     "invalid IPv4 prefix length: ", ",gw"),
	BAD4("prefix x", "addr=172.16.1.2/x,gw=172.16.1.1",
	     "invalid IPv4 prefix length: x", "x"),
	BAD4("leading zero", "addr=172.16.01.2/30,gw=172.16.1.1",
	     "invalid IPv4 address: 172.16.01.2", "172"),
	BAD4("three octets", "addr=172.16.1/30,gw=172.16.1.1",
	     "invalid IPv4 address: 172.16.1", "172"),
	BAD4("hex", "addr=0x7f.0.0.1/8,gw=172.16.1.1",
	     "invalid IPv4 address: 0x7f.0.0.1", "0x7f"),
	BAD4("two slashes", "addr=1.2.3.4/30/1,gw=1.2.3.5",
	     "invalid IPv4 prefix length: 30/1", "30/1"),
	BAD4("IPv6 address", "addr=::1/30,gw=1.2.3.5",
	     "invalid IPv4 address: ::1", "::1"),
	BAD4("mapped address", "addr=::ffff:1.2.3.4/30,gw=1.2.3.5",
	     "invalid IPv4 address: ::ffff:1.2.3.4", "::"),
	BAD4("any", "addr=0.0.0.0/0,gw=1.2.3.5",
	     "IPv4 address is not unicast: 0.0.0.0", "0.0.0.0"),
	BAD4("this network", "addr=0.1.2.3/24,gw=1.2.3.5",
	     "IPv4 address is not unicast: 0.1.2.3", "0.1"),
	BAD4("multicast", "addr=224.0.0.1/4,gw=1.2.3.5",
	     "IPv4 address is not unicast: 224.0.0.1", "224"),
	BAD4("loopback", "addr=127.0.0.1/8,gw=1.2.3.5",
	     "IPv4 address is not unicast: 127.0.0.1", "127"),
	BAD4("broadcast", "addr=255.255.255.255/32,gw=1.2.3.5",
	     "IPv4 address is not unicast: 255.255.255.255", "255"),
	BAD4("network", "addr=172.16.1.0/30,gw=172.16.1.1",
	     "IPv4 address is that of the network or broadcast: "
	     "172.16.1.0/30", "172"),
	BAD4("directed broadcast", "addr=172.16.1.3/30,gw=172.16.1.1",
	     "IPv4 address is that of the network or broadcast: "
	     "172.16.1.3/30", "172"),
	BAD4("gateway is network", "addr=172.16.1.2/30,gw=172.16.1.0",
	     "IPv4 gateway is the network or broadcast address: 172.16.1.0",
	     "172.16.1.0"),
	BAD4("gateway multicast", "addr=172.16.1.2/30,gw=224.0.0.1",
	     "IPv4 gateway is not unicast: 224.0.0.1", "224"),
	BAD4("gateway empty", "addr=172.16.1.2/30,gw=",
	     "invalid IPv4 gateway: ", NULL),
	BAD4("gateway name", "addr=172.16.1.2/30,gw=host",
	     "invalid IPv4 gateway: host", "host"),
	BAD4("no gateway", "addr=172.16.1.2/30", "MSB_NET_IPV4 missing gw=",
	     NULL),
	BAD4("no address", "gw=172.16.1.1", "MSB_NET_IPV4 missing addr=",
	     NULL),
	BAD4("dns empty", "addr=172.16.1.2/30,dns=,gw=172.16.1.1",
	     "invalid IPv4 DNS: ", ",gw"),
	BAD4("dns any", "addr=172.16.1.2/30,dns=0.0.0.0,gw=172.16.1.1",
	     "IPv4 DNS is not unicast: 0.0.0.0", "0.0.0.0"),
	BAD4("dns list", "addr=172.16.1.2/30,gw=172.16.1.1,dns=8.8.8.8;1.1.1.1",
	     "invalid IPv4 DNS: 8.8.8.8;1.1.1.1", "8.8"),
	BAD4("unknown key", "addr=172.16.1.2/30,gw=172.16.1.1,mtu=1",
	     "unknown MSB_NET_IPV4 option: mtu=1", "mtu"),
	BAD4("trailing comma", "addr=172.16.1.2/30,gw=172.16.1.1,",
	     "unknown MSB_NET_IPV4 option: ", NULL),
	BAD4("inner blank", "addr=172.16.1.2/30, gw=172.16.1.1",
	     "unknown MSB_NET_IPV4 option:  gw=172.16.1.1", " gw"),
#define BAD6(name, v, why, part)	{ name, IP6, v, why, part }
	BAD6("zone", "addr=fd42::2/64,gw=fe80::1%eth0",
	     "invalid IPv6 gateway: fe80::1%eth0", "fe80"),
	BAD6("brackets", "addr=fd42::2/64,gw=[fe80::1]",
	     "invalid IPv6 gateway: [fe80::1]", "[fe80"),
	BAD6("five digits", "addr=fd42::2/64,gw=0001::00002",
	     "invalid IPv6 gateway: 0001::00002", "0001"),
	BAD6("prefix 129", "addr=fd42::2/129,gw=fd42::1",
	     "IPv6 prefix length out of range (0-128): 129", "129"),
	BAD6("prefix 256", "addr=fd42::2/256,gw=fd42::1",
	     "invalid IPv6 prefix length: 256", "256"),
	BAD6("last slash counts", "addr=fd42::2/64/1,gw=fd42::1",
	     "invalid IPv6 address: fd42::2/64", "fd42"),
	BAD6("no slash", "addr=fd42::2,gw=fd42::1",
	     "invalid IPv6 CIDR (missing /): fd42::2", "fd42"),
	BAD6("IPv4 address", "addr=1.2.3.4/24,gw=fd42::1",
	     "invalid IPv6 address: 1.2.3.4", "1.2"),
	BAD6("mapped address", "addr=::ffff:1.2.3.4/96,gw=fd42::1",
	     "IPv6 form of an IPv4 address: ::ffff:1.2.3.4", "::ffff"),
	BAD6("mapped gateway", "addr=fd42::2/64,gw=::ffff:102:304",
	     "IPv6 form of an IPv4 address: ::ffff:102:304", "::ffff"),
	BAD6("any", "addr=::/64,gw=fd42::1",
	     "IPv6 address is not unicast: ::", "::"),
	BAD6("loopback", "addr=::1/64,gw=fd42::1",
	     "IPv6 address is not unicast: ::1", "::1"),
	BAD6("multicast", "addr=ff02::1/64,gw=fd42::1",
	     "IPv6 address is not unicast: ff02::1", "ff02"),
	BAD6("gateway is itself", "addr=fd42::2/64,gw=FD42::2",
	     "IPv6 gateway is the address itself: FD42::2", "FD42"),
	BAD6("no gateway", "addr=fd42::2/64", "MSB_NET_IPV6 missing gw=",
	     NULL),
	BAD6("unknown key", "addr=fd42::2/64,gw=fd42::1,GW=x",
	     "unknown MSB_NET_IPV6 option: GW=x", "GW"),
	{ "empty label", ALIAS, "a..b", "invalid host alias: a..b", ".b" },
	{ "final dot", ALIAS, "a.b.", "invalid host alias: a.b.", NULL },
	{ "dash first", ALIAS, "a.-b", "invalid host alias: a.-b", "-b" },
	{ "dash last", ALIAS, "a.b-", "invalid host alias: a.b-", "b-" },
	{ "blank", ALIAS, "a b", "invalid host alias: a b", "a" },
	{ "line break", ALIAS, "a\n1.2.3.4 x",
	  "invalid host alias: a\n1.2.3.4 x", "a" },
	{ "long label", ALIAS, "x." L64, "invalid host alias: x." L64, "0" },
	{ "65 bytes", HOST, L64 "x",
	  "host name longer than 64 bytes: " L64 "x", "0" },
	{ "blank", HOST, "a b", "invalid host name: a b", " b" },
	{ "slash", HOST, "a/b", "invalid host name: a/b", "/b" },
	{ "comment", HOST, "a#b", "invalid host name: a#b", "#b" },
	{ "control", HOST, "a\1", "invalid host name: a\1", "\1" },
	{ "not ASCII", HOST, "\xc3\xa0", "invalid host name: \xc3\xa0",
	  "\xc3" },
	{ "unknown link", LINK, "tap", "unknown link: tap", "tap" },
	{ "capitals", LINK, "NIC", "unknown link: NIC", "NIC" },
	{ "longer word", LINK, "nic0", "unknown link: nic0", "nic0" },
	{ "vsock alone", LINK, "vsock", "unknown link: vsock", "vsock" },
	{ "no port", LINK, "vsock:", "invalid vsock port: ", NULL },
	{ "no port after CID", LINK, "vsock:3:", "invalid vsock port: ",
	  NULL },
	{ "no CID", LINK, "vsock::1", "invalid vsock CID: ", ":1" },
	{ "port 0", LINK, "vsock:0", "invalid vsock port: 0", "0" },
	{ "any port", LINK, "vsock:4294967295",
	  "invalid vsock port: 4294967295", "4" },
	{ "no room for the API", LINK, "vsock:4294967294",
	  "invalid vsock port: 4294967294", "4" },
	{ "any CID", LINK, "vsock:4294967295:1",
	  "invalid vsock CID: 4294967295", "4" },
	{ "three numbers", LINK, "vsock:1:2:3", "invalid vsock port: 2:3",
	  "2:3" },
	{ "no path", LINK, "unix:", "invalid socket path: ", NULL },
	{ "path with blank", LINK, "unix:/a b", "invalid socket path: /a b",
	  " b" },
	{ "long path", LINK, "unix:" L64 L16 L16 "0123456789ab",
	  "socket path too long: " L64 L16 L16 "0123456789ab", "0" },
};

static void emit(const struct env *e, char *buf, size_t size)
{
	struct wr w = wr_init(buf, size - 1);

	env_emit(e, '\n', &w);
	assert_false(w.bad);
	buf[wr_len(&w)] = '\0';
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const char *want = good[i].emit ? good[i].emit : good[i].value;
		struct env_err err = { 0 };
		char buf[600], line[600] = "";
		struct env e, again;

		env_init(&e);
		if (set(&e, good[i].var, good[i].value, &err))
			fail_msg("%s: %s", good[i].name, err.reason);
		emit(&e, buf, sizeof(buf));
		if (want[0])
			snprintf(line, sizeof(line), "%s=%s", good[i].var,
				 want);
		if (strcmp(buf, line))
			fail_msg("%s: %s", good[i].name, buf);
		env_init(&again);
		if (want[0])
			assert_int_equal(set(&again, good[i].var, want, NULL),
					 0);
		assert_memory_equal(&again, &e, sizeof(e));
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *v = bad[i].value, *at;
		struct env_err err = { 0 };
		struct env e, keep;

		env_init(&e);
		keep = e;
		if (set(&e, bad[i].var, v, &err) != -EINVAL)
			fail_msg("%s: accepted", bad[i].name);
		assert_memory_equal(&e, &keep, sizeof(e));
		assert_string_equal(err.var, bad[i].var);
		if (strcmp(err.reason, bad[i].reason))
			fail_msg("%s: %s", bad[i].name, err.reason);
		at = bad[i].part ? strstr(v, bad[i].part) : v + strlen(v);
		assert_non_null(at);
		if (err.offset != (size_t)(at - v))
			fail_msg("%s: offset %zu", bad[i].name, err.offset);
		assert_int_equal(set(&e, bad[i].var, v, NULL), -EINVAL);
	}
}

/*
 * A value that was cut somewhere is refused, except within its last number,
 * which may be one without its last digits too: this is why a command line
 * ends with a word of its own.
 */
static void test_prefixes(void **state)
{
	static const struct {
		const char *var, *value;
		size_t last;	/* digits of the last number */
	} cases[] = {
		{ NET, "mtu=1500,iface=eth0,mac=02:6d:73:00:01:02", 2 },
		{ IP4, "dns=1.1.1.1,gw=172.16.1.1,addr=172.16.1.2/30", 2 },
		{ IP6, "dns=fd42::1,gw=fd42::1,addr=fd42::2/64", 2 },
	};
	char buf[128];
	struct env e;

	(void)state;
	env_init(&e);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].value);

		assert_int_equal(set(&e, cases[i].var, cases[i].value, NULL),
				 0);
		for (size_t n = 1; n <= len - cases[i].last; n++) {
			memcpy(buf, cases[i].value, n);
			buf[n] = '\0';
			assert_int_equal(set(&e, cases[i].var, buf, NULL),
					 -EINVAL);
		}
	}
}

static void test_too_long(void **state)
{
	char v[ENV_VALUE_MAX + 2];
	struct env_err err;
	struct env e;

	(void)state;
	memset(v, 'a', sizeof(v) - 1);
	v[sizeof(v) - 1] = '\0';
	env_init(&e);
	for (unsigned int i = 0; env_name(i); i++) {
		assert_int_equal(set(&e, env_name(i), v, &err), -EINVAL);
		assert_string_equal(err.reason, "longer than 512 bytes");
	}
	for (size_t n = ENV_VALUE_MAX; n; n--) { /* no overflow */
		v[n] = '\0';
		set(&e, ALIAS, v, &err);
		set(&e, NET, v, &err);
		set(&e, LINK, v, &err);
		assert_true(strlen(err.reason) < sizeof(err.reason));
	}
}

static void test_names(void **state)
{
	static const char *const names[] = { NET, IP4, IP6, ALIAS, HOST, LINK };
	struct env e, keep;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(env_name(i), names[i]);
	assert_null(env_name(ARRAY_SIZE(names)));
	env_init(&e);
	keep = e;
	assert_int_equal(set(&e, "MSB_NET_IPV5", "x", NULL), -ENOENT);
	assert_int_equal(set(&e, "", "x", NULL), -ENOENT);
	assert_int_equal(set(&e, "HOME", "", NULL), -ENOENT);
	assert_int_equal(env_set(&e, NET, NULL, NULL), 0);
	assert_memory_equal(&e, &keep, sizeof(e));
}

/* On a command line a later variable replaces an earlier one */
static void test_replace(void **state)
{
	char buf[600];
	struct env e, none;

	(void)state;
	env_init(&none);
	env_init(&e);
	assert_int_equal(set(&e, NET, "iface=eth7," MAC ",mtu=9000", NULL), 0);
	assert_int_equal(set(&e, NET, "iface=e," MAC, NULL), 0);
	assert_int_equal(set(&e, HOST, "longer-name", NULL), 0);
	assert_int_equal(set(&e, HOST, "w1", NULL), 0);
	assert_int_equal(set(&e, LINK, "unix:/x", NULL), 0);
	assert_int_equal(set(&e, LINK, "vsock:1024", NULL), 0);
	assert_int_equal(set(&e, IP4, "addr=1.2.3.4/24,gw=1.2.3.5,dns=8.8.8.8",
			     NULL), 0);
	assert_int_equal(set(&e, IP4, "addr=1.2.3.4/24,gw=1.2.3.5", NULL), 0);
	emit(&e, buf, sizeof(buf));
	assert_string_equal(buf, NET "=iface=e," MAC ",mtu=1500\n"
			    IP4 "=addr=1.2.3.4/24,gw=1.2.3.5\n"
			    HOST "=w1\n" LINK "=vsock:2:1024");
	for (unsigned int i = 0; env_name(i); i++)
		assert_int_equal(set(&e, env_name(i), "", NULL), 0);
	assert_memory_equal(&e, &none, sizeof(e));
}

static void test_check(void **state)
{
	struct env_err err;
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(env_check(&e, &err), 0);
	assert_int_equal(set(&e, IP4, "addr=1.2.3.4/24,gw=1.2.3.5", NULL), 0);
	assert_int_equal(env_check(&e, &err), -EINVAL);
	assert_string_equal(err.var, IP4);
	assert_int_equal(set(&e, NET, "iface=eth0," MAC ",mtu=1279", NULL), 0);
	assert_int_equal(env_check(&e, &err), 0);
	assert_int_equal(set(&e, IP6, "addr=fd42::2/64,gw=fd42::1", NULL), 0);
	assert_int_equal(env_check(&e, &err), -EINVAL);
	assert_string_equal(err.var, NET);
	assert_int_equal(set(&e, NET, "iface=eth0," MAC ",mtu=1280", NULL), 0);
	assert_int_equal(env_check(&e, NULL), 0);
	assert_int_equal(set(&e, NET, "", NULL), 0);
	assert_int_equal(set(&e, IP4, "", NULL), 0);
	assert_int_equal(env_check(&e, &err), -EINVAL);
	assert_string_equal(err.var, IP6);
	assert_int_equal(env_check(&e, NULL), -EINVAL);
}

static void test_onlink(void **state)
{
	static const struct {
		const char *var, *value;
		bool onlink;
	} cases[] = {
		{ IP4, "addr=10.0.0.2/30,gw=10.0.0.1", false },
		{ IP4, "addr=10.0.0.2/32,gw=10.0.0.1", true },
		{ IP4, "addr=10.0.0.2/30,gw=10.0.0.5", true },
		{ IP4, "addr=10.0.0.2/30,gw=169.254.1.1", true },
		{ IP6, "addr=fd42::2/64,gw=fd42::1", false },
		{ IP6, "addr=fd42::2/128,gw=fd42::1", true },
		{ IP6, "addr=fd42::2/64,gw=fe80::1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct env e;

		env_init(&e);
		assert_int_equal(set(&e, cases[i].var, cases[i].value, NULL),
				 0);
		assert_int_equal(env_onlink(e.ip4.set ? &e.ip4 : &e.ip6),
				 cases[i].onlink);
	}
}

static void random_name(char *buf, size_t len, const char *alphabet)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = alphabet[(size_t)rand() % strlen(alphabet)];
	buf[len] = '\0';
}

static struct ipaddr random_ip(bool six)
{
	struct ipaddr a = ipaddr_host4(0x0a000000u |
				       ((uint32_t)rand() & 0xffffffu));

	if (!six)
		return a;
	a.b[0] = 0xfd;
	for (int i = 1; i < 16; i++)	/* many zeros, to be shortened */
		a.b[i] = rand() % 3 ? 0 : (uint8_t)rand();
	return a;
}

static void random_family(struct env_family *f, bool six)
{
	*f = (struct env_family){ .set = true };
	f->addr = random_ip(six);
	f->gw = random_ip(six);
	f->plen = (uint8_t)(six ? rand() % 129 : 31 + rand() % 2);
	f->has_dns = rand() % 2;
	if (f->has_dns)
		f->dns = random_ip(six);
}

static void random_env(struct env *e)
{
	env_init(e);
	if (rand() % 4) {
		e->net = true;
		random_name(e->iface, 1 + (size_t)rand() % 15, "abcz0189-_");
		for (int i = 0; i < 6; i++)
			e->mac[i] = (uint8_t)rand();
		e->mac[0] = (uint8_t)((e->mac[0] & 0xfe) | 2);
		e->mtu = (uint16_t)(68 + rand() % (65536 - 68));
	}
	if (rand() % 2)
		random_family(&e->ip4, false);
	if (rand() % 2)
		random_family(&e->ip6, true);
	if (rand() % 2)
		random_name(e->alias, 1 + (size_t)rand() % 63, "abcZ019_");
	if (rand() % 2)
		random_name(e->hostname, 1 + (size_t)rand() % 64,
			    "abcZ019-.,=:");
	e->link.kind = (enum env_link_kind)(rand() % 4);
	if (e->link.kind == ENV_LINK_VSOCK) {
		e->link.cid = (uint32_t)rand();
		e->link.port = 1 + (uint32_t)rand();
	}
	if (e->link.kind == ENV_LINK_UNIX)
		random_name(e->link.path, 1 + (size_t)rand() % 107,
			    "/abc,:=.'");
}

static void test_round_trip(void **state)
{
	(void)state;
	srand(4);
	for (int round = 0; round < 3000; round++) {
		char sep = round % 2 ? ' ' : '\n', buf[2048];
		struct env_err err = { 0 };
		struct env e, back;
		struct span rest;
		struct wr w = wr_init(buf, sizeof(buf));
		bool more = true;

		random_env(&e);
		if (ipaddr_eq(&e.ip4.addr, &e.ip4.gw))
			e.ip4 = (struct env_family){ 0 };
		if (ipaddr_eq(&e.ip6.addr, &e.ip6.gw))
			e.ip6 = (struct env_family){ 0 };
		env_emit(&e, sep, &w);
		assert_false(w.bad);
		rest = (struct span){ (uint8_t *)buf, wr_len(&w) };
		env_init(&back);
		while (more && rest.len) {
			struct span value = span_cut(&rest, (uint8_t)sep,
						     &more);
			struct span name = span_cut(&value, '=', NULL);
			char n[32], v[ENV_VALUE_MAX + 1];

			assert_int_equal(span_copy(name, n, sizeof(n)), 0);
			assert_int_equal(span_copy(value, v, sizeof(v)), 0);
			if (set(&back, n, v, &err))
				fail_msg("%s: %s", n, err.reason);
		}
		assert_memory_equal(&back, &e, sizeof(e));
	}
}

int env_test(void);
int env_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_onlink),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests_name("env", tests, NULL, NULL);
}
