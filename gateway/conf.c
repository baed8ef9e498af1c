#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/span.h"
#include "base/util.h"
#include "gateway/conf.h"
#include "proto/ports.h"

#define CONF_MAGIC	0x4d534243u
#define CONF_FILE_MAX	(1u << 20)

static int fail(char *err, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void conf_init(struct gw_conf *c)
{
	static const uint8_t pool6[16] = { 0xfd, 0x42, 0x6d, 0x73, 0, 0x62 };

	*c = (struct gw_conf){
		.magic = CONF_MAGIC,
		.size = sizeof(*c),
		.guest_cid = CONF_GUEST_CID,
		.pool4_plen = 11,
		.pool6_plen = 48,
		.net = { .nud = true },
		.mtu = PROTO_MTU,
		.dns_timeout_ms = 2000,
		.max_conns = CONF_CONNS_DEFAULT,
		.log_level = LOG_LEVEL_INFO,
		.net_list = "public",
		.tap_fd = -1,
		.fd = { .link = -1, .pcap = -1 },
	};
	c->pool4 = ipaddr_host4(100u << 24 | 96u << 16);
	c->pool6 = ipaddr_v6(pool6);
}

int conf_nameserver(const char *text, struct dns_server *out)
{
	struct span s = span_trim(span_str(text)), host = s, port = { 0 };
	struct dns_server d = { .port = 53 };
	uint64_t n = 53;
	size_t i;

	if (ipaddr_parse(s, &d.addr) == 0) {
		*out = d;
		return 0;
	}
	for (i = s.len; i && s.p[i - 1] != ':'; i--)
		;
	if (!i)
		return -EINVAL;
	host.len = i - 1;
	port = (struct span){ .p = s.p + i, .len = s.len - i };
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']') {
		host.p++;
		host.len -= 2;
	}
	if (ipaddr_parse(host, &d.addr) < 0 ||
	    span_uint(port, 65535, &n) < 0 || !n)
		return -EINVAL;
	d.port = (uint16_t)n;
	*out = d;
	return 0;
}

/* ---- flags ---------------------------------------------------------------- */

static int set_family(enum conf_family *f, struct ipaddr *a, bool v6,
		      const char *v)
{
	struct ipaddr addr;

	ASSERT(v);	/* the table says that this flag takes a value */
	if (!strcmp(v, "auto"))
		*f = CONF_FAMILY_AUTO;
	else if (!strcmp(v, "on"))
		*f = CONF_FAMILY_ON;
	else if (!strcmp(v, "off"))
		*f = CONF_FAMILY_OFF;
	else if (ipaddr_parse(span_str(v), &addr) == 0 &&
		 ipaddr_is4(&addr) == !v6) {
		*f = CONF_FAMILY_ADDR;
		*a = addr;
	} else {
		return -EINVAL;
	}
	return 0;
}

static int set_num(const char *v, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n;

	if (span_uint(span_str(v), max, &n) < 0 || n < min)
		return -EINVAL;
	*out = n;
	return 0;
}

static int set_way(struct gw_conf *c, enum conf_way way, const char *path)
{
	if (c->way != CONF_WAY_NONE && c->way != way)
		return -EEXIST;
	c->way = way;
	return path ? span_copy(span_str(path), c->path, sizeof(c->path)) : 0;
}

enum flag {
	FLAG_SLOT, FLAG_IPV4, FLAG_IPV6, FLAG_NET, FLAG_DNS, FLAG_CONNS,
	FLAG_MTU, FLAG_CONFIG, FLAG_VHOST_USER, FLAG_GUEST_CID, FLAG_UDS,
	FLAG_UDS_GROUP, FLAG_UNIX, FLAG_VSOCK, FLAG_CID, FLAG_TAP_FD,
	FLAG_PCAP, FLAG_TOKEN_FILE, FLAG_FAULT, FLAG_LOG_LEVEL,
	FLAG_LOG_FORMAT, FLAG_NO_ISOLATION, FLAG_NO_PEEK_OFF,
	FLAG_NO_OFFLOAD, FLAG_RA, FLAG_NUM,
};

static const struct {
	const char *name, *want;	/* no @want: a switch */
} flags[] = {
	[FLAG_SLOT] = { "--slot", "a number from 0 to 65535" },
	[FLAG_IPV4] = { "--ipv4", "auto, on, off or the guest's IPv4 address" },
	[FLAG_IPV6] = { "--ipv6", "auto, on, off or the guest's IPv6 address" },
	[FLAG_NET] = { "--net", "a list of public, private and host, or none, "
				"or all" },
	[FLAG_DNS] = { "--dns-nameserver", "IP, IP:PORT or [IPv6]:PORT, at "
					   "most 4 times" },
	[FLAG_CONNS] = { "--max-connections", "a number from 1 to 65536" },
	[FLAG_MTU] = { "--mtu", "a number from 68 to 65535" },
	[FLAG_CONFIG] = { "--config", "a JSON file" },
	[FLAG_VHOST_USER] = { "--vhost-user", "a socket path of at most 107 "
					      "bytes, and no other way in" },
	[FLAG_GUEST_CID] = { "--guest-cid", "a number from 3 to 4294967294" },
	[FLAG_UDS] = { "--uds", "a socket path of at most 102 bytes, and no "
				"other way in" },
	[FLAG_UDS_GROUP] = { "--uds-group", "a group name" },
	[FLAG_UNIX] = { "--unix", "a socket path of at most 107 bytes, and no "
				  "other way in" },
	[FLAG_VSOCK] = { "--vsock", "a port from 1 to 4294967293, and no other "
				    "way in" },
	[FLAG_CID] = { "--cid", "the guest's CID, 1 to 4294967294" },
	[FLAG_TAP_FD] = { "--tap-fd", "an open TAP descriptor, and no other "
				      "way in" },
	[FLAG_PCAP] = { "--pcap", "a file" },
	[FLAG_TOKEN_FILE] = { "--token-file", "a file" },
	[FLAG_FAULT] = { "--fault", "a list such as seed=1,loss=2%,reorder=5%,"
				    "dup=1%" },
	[FLAG_LOG_LEVEL] = { "--log-level", "error, warn, info or debug" },
	[FLAG_LOG_FORMAT] = { "--log-format", "text or json" },
	[FLAG_NO_ISOLATION] = { "--no-isolation", NULL },
	[FLAG_NO_PEEK_OFF] = { "--no-peek-off", NULL },
	[FLAG_NO_OFFLOAD] = { "--no-offload", NULL },
	[FLAG_RA] = { "--ra", NULL },
};

_Static_assert(ARRAY_SIZE(flags) == FLAG_NUM, "a flag without a name");

static int flag_text(struct gw_conf *c, enum flag f, const char *v)
{
	struct span s = span_str(v);
	struct policy p;

	switch ((int)f) {
	case FLAG_NET:
		if (policy_preset(s, &p) < 0)
			return -EINVAL;
		return span_copy(s, c->net_list, sizeof(c->net_list));
	case FLAG_DNS:
		if (c->ndns == DNS_SERVERS_MAX ||
		    conf_nameserver(v, &c->dns[c->ndns]) < 0)
			return -EINVAL;
		c->ndns++;
		return 0;
	case FLAG_CONFIG:
		return 0;	/* read before the flags */
	case FLAG_VHOST_USER:
		return set_way(c, CONF_WAY_VHOST_USER, v);
	case FLAG_UDS:
		return s.len > CONF_PATH_MAX - 6 ? -ENAMETOOLONG :
		       set_way(c, CONF_WAY_UDS, v);
	case FLAG_UDS_GROUP:
		return span_copy(s, c->group, sizeof(c->group));
	case FLAG_UNIX:
		return set_way(c, CONF_WAY_UNIX, v);
	case FLAG_PCAP:
		return span_copy(s, c->pcap, sizeof(c->pcap));
	case FLAG_TOKEN_FILE:
		return span_copy(s, c->token_file, sizeof(c->token_file));
	case FLAG_FAULT:
		c->fault_on = true;
		return fault_parse(v, &c->fault);
	case FLAG_LOG_LEVEL:
		return log_parse_level(v, &c->log_level);
	case FLAG_LOG_FORMAT:
		if (strcmp(v, "text") && strcmp(v, "json"))
			return -EINVAL;
		c->log_sink = v[0] == 'j' ? LOG_SINK_JSON : LOG_SINK_TEXT;
		return 0;
	default:
		return -ENOENT;
	}
}

static int flag_num(struct gw_conf *c, enum flag f, const char *v)
{
	uint64_t n = 0;
	int rc;

	switch ((int)f) {
	case FLAG_SLOT:
		rc = set_num(v, 0, CONF_SLOT_MAX, &n);
		c->slot = (uint16_t)n;
		return rc;
	case FLAG_CONNS:
		rc = set_num(v, 1, CONF_CONNS_MAX, &n);
		c->max_conns = (uint32_t)n;
		return rc;
	case FLAG_MTU:
		rc = set_num(v, PROTO_MTU_MIN, 65535, &n);
		c->mtu = (uint16_t)n;
		return rc;
	case FLAG_GUEST_CID:
		rc = set_num(v, 3, UINT32_MAX - 1, &n);
		c->guest_cid = n;
		return rc;
	case FLAG_VSOCK:
		rc = set_num(v, 1, UINT32_MAX - 2, &n);
		c->vsock_port = (uint32_t)n;
		return rc < 0 ? rc : set_way(c, CONF_WAY_VSOCK, NULL);
	case FLAG_CID:
		rc = set_num(v, 1, UINT32_MAX - 1, &n);
		c->cid = (uint32_t)n;
		return rc;
	case FLAG_TAP_FD:
		rc = set_num(v, 0, 1023, &n);
		c->tap_fd = (int)n;
		return rc < 0 ? rc : set_way(c, CONF_WAY_TAP, NULL);
	default:
		return -ENOENT;
	}
}

static int flag_set(struct gw_conf *c, enum flag f, const char *v)
{
	int rc;

	switch ((int)f) {
	case FLAG_IPV4:
		return set_family(&c->family4, &c->addr4, false, v);
	case FLAG_IPV6:
		return set_family(&c->family6, &c->addr6, true, v);
	case FLAG_NO_ISOLATION:
		c->no_isolation = true;
		return 0;
	case FLAG_NO_PEEK_OFF:
		c->no_peek_off = true;
		return 0;
	case FLAG_RA:
		c->ra = true;
		return 0;
	case FLAG_NO_OFFLOAD:
		c->no_offload = true;
		return 0;
	default:
		rc = flag_text(c, f, v);
		return rc == -ENOENT ? flag_num(c, f, v) : rc;
	}
}

static int load_file(struct gw_conf *c, char *err, size_t size)
{
	char *text = malloc(CONF_FILE_MAX);
	ssize_t n;
	int rc;

	if (!text)
		return fail(err, size, "out of memory");
	n = fd_read_file(c->config, text, CONF_FILE_MAX);
	if (n < 0)
		rc = fail(err, size, "--config %s: %s", c->config,
			  strerror((int)-n));
	else
		rc = conf_load(c, text, (size_t)n, err, size);
	free(text);
	return rc;
}

/* The file first, wherever the flag stands, so that flags override it */
static int find_file(struct gw_conf *c, int argc, char **argv, char *err,
		     size_t size)
{
	for (int i = 1; i < argc && argv[i]; i++) {
		const char *v = NULL;

		if (!strcmp(argv[i], "--config") && i + 1 < argc)
			v = argv[i + 1];
		else if (!strncmp(argv[i], "--config=", 9))
			v = argv[i] + 9;
		if (!v)
			continue;
		if (span_copy(span_str(v), c->config, sizeof(c->config)) < 0)
			return fail(err, size, "--config: the path is too long");
		return load_file(c, err, size);
	}
	return 0;
}

/**
 * one_flag() - Handle argv[0], and its value if it takes one
 *
 * Return: words used, 1 or 2; -EINVAL with @err set
 */
static int one_flag(struct gw_conf *c, int argc, char **argv,
		    int (*extra)(const char *flag, const char *value,
				 void *arg),
		    void *arg, char *err, size_t size)
{
	const char *eq = strchr(argv[0], '='), *v = NULL;
	struct span name = span_str(argv[0]);
	unsigned int f;
	int rc;

	if (extra && (rc = extra(argv[0], argc > 1 ? argv[1] : NULL, arg)) > 0)
		return rc;
	if (eq)
		name.len = (size_t)(eq - argv[0]);
	for (f = 0; f < FLAG_NUM; f++)
		if (span_is(name, flags[f].name))
			break;
	if (f == FLAG_NUM)
		return fail(err, size, "unknown option %s; see --help", argv[0]);
	if (!flags[f].want && eq)
		return fail(err, size, "%s takes no value", flags[f].name);
	if (flags[f].want) {
		v = eq ? eq + 1 : argc > 1 ? argv[1] : NULL;
		if (!v || !v[0])	/* --unix "$UNSET" */
			return fail(err, size, "%s wants %s", flags[f].name,
				    flags[f].want);
	}
	if (flag_set(c, (enum flag)f, v) < 0)
		return fail(err, size, "%s %s: want %s", flags[f].name, v,
			    flags[f].want);
	return v && !eq ? 2 : 1;
}

int conf_flags(struct gw_conf *c, int argc, char **argv,
	      int (*extra)(const char *flag, const char *value, void *arg),
	      void *arg, char *err, size_t size)
{
	bool dns_given = false;
	int rc = find_file(c, argc, argv, err, size);

	for (int i = 1; rc >= 0 && i < argc; i += rc) {
		if (!dns_given && !strncmp(argv[i], "--dns-nameserver", 16)) {
			dns_given = true;
			c->ndns = 0;	/* replaces the file's list */
		}
		rc = one_flag(c, argc - i, argv + i, extra, arg, err, size);
	}
	if (rc < 0)
		return rc;
	if (c->way == CONF_WAY_VSOCK && !c->cid)
		return fail(err, size, "--vsock needs --cid: without it any "
			    "guest of this host could connect");
	if (c->group[0] && c->way != CONF_WAY_UDS && c->way != CONF_WAY_UNIX)
		return fail(err, size, "--uds-group goes with --uds or --unix");
	return 0;
}

/* ---- what follows from it ------------------------------------------------- */

/* Whether a guest can have this address, and its gateway the one beside it */
static bool usable(const struct ipaddr *a)
{
	static const uint8_t zero[14];

	if (ipaddr_is_loopback(a) || ipaddr_is_multicast(a))
		return false;
	if (ipaddr_is4(a))	/* 0/8, and 224/4 with all behind it */
		return ipaddr_to_host4(a) >> 24 && ipaddr_to_host4(a) >> 28 < 14;
	return !ipaddr_is_linklocal(a) && memcmp(a->b, zero, sizeof(zero));
}

static int derive4(struct gw_conf *c, char *err, size_t size)
{
	struct netif_conf *n = &c->net;
	uint32_t base, guest;

	if (c->family4 == CONF_FAMILY_ADDR) {
		guest = ipaddr_to_host4(&c->addr4);
		if (!usable(&c->addr4) || (guest & 3) != 2)
			return fail(err, size, "--ipv4: the guest's address is "
				    "the third of a /30, its gateway the one "
				    "before: 10.0.0.2, not 10.0.0.1 or .3");
	} else {
		if (c->slot >= 1ull << (30 - c->pool4_plen))
			return fail(err, size, "slot %u lies beyond "
				    "interface.ipv4_pool, which has %llu "
				    "blocks", c->slot,
				    1ull << (30 - c->pool4_plen));
		base = ipaddr_to_host4(&c->pool4);
		guest = base + 4u * c->slot + 2;
	}
	n->v4 = true;
	n->plen4 = 30;
	n->guest4 = ipaddr_host4(guest);
	if (!usable(&n->guest4))
		return fail(err, size, "interface.ipv4_pool: not of unicast "
			    "addresses that a guest can have");
	n->gw4 = ipaddr_host4(guest - 1);
	return 0;
}

static int derive6(struct gw_conf *c, char *err, size_t size)
{
	struct netif_conf *n = &c->net;
	uint8_t b[16];

	if (c->mtu < PROTO_MTU_MIN6)
		return fail(err, size, "--mtu %u is too small for IPv6, which "
			    "needs 1280 (RFC 8200 5); or say --ipv6 off",
			    c->mtu);
	if (c->family6 == CONF_FAMILY_ADDR) {
		memcpy(b, c->addr6.b, sizeof(b));
		memset(b + 8, 0, 7);
		b[15] = 1;
		n->guest6 = c->addr6;
		n->gw6 = ipaddr_v6(b);
		if (ipaddr_eq(&n->gw6, &n->guest6) || !usable(&c->addr6))
			return fail(err, size, "--ipv6: ::1 of the /64 is the "
				    "gateway's, and the address must be "
				    "unicast and not link-local");
	} else {
		if (c->pool6_plen > 48 &&
		    c->slot >= 1u << (64 - c->pool6_plen))
			return fail(err, size, "slot %u lies beyond "
				    "interface.ipv6_pool, which has %u "
				    "prefixes", c->slot,
				    1u << (64 - c->pool6_plen));
		memcpy(b, c->pool6.b, sizeof(b));
		b[6] |= (uint8_t)(c->slot >> 8);
		b[7] |= (uint8_t)c->slot;
		b[15] = 1;
		n->gw6 = ipaddr_v6(b);
		b[15] = 2;
		n->guest6 = ipaddr_v6(b);
		if (ipaddr_is4(&n->guest6) || !usable(&n->guest6))
			return fail(err, size, "interface.ipv6_pool: not of "
				    "unicast addresses that a guest can have");
	}
	n->v6 = true;
	n->plen6 = 64;
	return 0;
}

static bool wanted(enum conf_family f, bool have)
{
	return f == CONF_FAMILY_AUTO ? have : f != CONF_FAMILY_OFF;
}

int conf_derive(struct gw_conf *c, bool have4, bool have6, char *err,
		size_t size)
{
	const uint8_t hi = (uint8_t)(c->slot >> 8), lo = (uint8_t)c->slot;
	const uint8_t gw[6] = { 0x02, 0x6d, 0x73, hi, lo, 0x01 };
	struct netif_conf *n = &c->net;
	int rc = 0;

	memcpy(n->mac, gw, sizeof(gw));
	if (!c->mac_set) {
		memcpy(n->guest_mac, gw, sizeof(gw));
		n->guest_mac[5] = 0x02;
	}
	if (!memcmp(n->guest_mac, n->mac, sizeof(n->mac)))
		return fail(err, size, "interface.mac: is the gateway's own");
	n->mtu = c->mtu;
	if (wanted(c->family4, have4))
		rc = derive4(c, err, size);
	if (rc == 0 && wanted(c->family6, have6))
		rc = derive6(c, err, size);
	if (rc < 0)
		return rc;
	if (policy_preset(span_str(c->net_list), &c->policy) < 0)
		return fail(err, size, "--net %s: want a list of public, "
			    "private and host, or none, or all", c->net_list);
	c->policy.ngw = 0;
	if (n->v4)
		c->policy.gw[c->policy.ngw++] = n->gw4;
	if (n->v6)
		c->policy.gw[c->policy.ngw++] = n->gw6;
	return 0;
}

uint32_t conf_udp_flows(const struct gw_conf *c)
{
	if (c->udp_flows)
		return c->udp_flows;
	return MAX(MIN(c->max_conns / 4, CONF_UDP_FLOWS_AUTO),
		   CONF_UDP_FLOWS_MIN);
}

void conf_link_spec(const struct gw_conf *c, char *buf, size_t size)
{
	switch (c->way) {
	case CONF_WAY_VHOST_USER:
	case CONF_WAY_UDS:
		snprintf(buf, size, "vsock:%u", PROTO_PORT_FRAMES);
		break;
	case CONF_WAY_VSOCK:
		snprintf(buf, size, "vsock:%u", c->vsock_port);
		break;
	case CONF_WAY_NONE:
	case CONF_WAY_UNIX:
	case CONF_WAY_TAP:
		buf[0] = '\0';	/* a NIC, or whatever maps to our socket */
		break;
	}
}
