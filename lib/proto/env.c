#include "proto/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "proto/ports.h"

#define ALIAS_MAX	253	/* RFC 1035 2.3.4, as text */
#define LABEL_MAX	63
#define PORT_MAX	0xfffffffdu	/* PORT+1 is used too; -1 means any */
#define CID_MAX		0xfffffffeu	/* -1 means any */

/**
 * struct ctx - One variable being parsed
 * @var:	Its name
 * @start:	Of its value as it was given
 * @end:	Of its value without trailing blanks: where something is missing
 * @err:	May be NULL
 */
struct ctx {
	const char *var;
	const uint8_t *start, *end;
	struct env_err *err;
};

static int refuse(const struct ctx *c, const uint8_t *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(const struct ctx *c, const uint8_t *at, const char *fmt, ...)
{
	va_list ap;

	if (!c->err)
		return -EINVAL;
	c->err->var = c->var;
	c->err->offset = (size_t)(at - c->start);
	va_start(ap, fmt);
	vsnprintf(c->err->reason, sizeof(c->err->reason), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* "what: part" */
static int invalid(const struct ctx *c, struct span part, const char *what)
{
	return refuse(c, part.p, "%s: %.*s", what, (int)MIN(part.len, 256u),
		      (const char *)part.p);
}

/* "what: part" with the family's name in front */
static int invalid_ip(const struct ctx *c, bool six, struct span part,
		      const char *what)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %s", six ? "IPv6" : "IPv4", what);
	return invalid(c, part, text);
}

/* If @part is KEY=VALUE, the value */
static bool keyed(struct span part, const char *key, struct span *value)
{
	size_t n = strlen(key);

	if (!span_starts(part, key))
		return false;
	*value = (struct span){ .p = part.p + n, .len = part.len - n };
	return true;
}

/* The first byte that is not printable ASCII, a quote, or in @not; or NULL */
static const uint8_t *odd_byte(struct span s, const char *not)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t ch = s.p[i];

		if (ch <= ' ' || ch >= 0x7f || ch == '"' || strchr(not, ch))
			return s.p + i;
	}
	return NULL;
}

/* --- MSB_NET ------------------------------------------------------------- */

static int set_iface(const struct ctx *c, struct span s, struct env *e)
{
	if (!s.len)
		return refuse(c, s.p, "empty interface name");
	if (s.len >= IFNAMSIZ)
		return invalid(c, s, "interface name too long");
	/* '%' makes the kernel choose a name of its own */
	if (odd_byte(s, "/:%") || span_is(s, ".") || span_is(s, ".."))
		return invalid(c, s, "invalid interface name");
	return span_copy(s, e->iface, sizeof(e->iface));
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One octet: one or two hexadecimal digits; -1 otherwise */
static int octet(struct span s)
{
	int hi = 0, lo;

	if (s.len != 1 && s.len != 2)
		return -1;
	if (s.len == 2)
		hi = hex(s.p[0]);
	lo = hex(s.p[s.len - 1]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

static int set_mac(const struct ctx *c, struct span s, struct env *e)
{
	static const uint8_t zero[6];
	struct span rest = s;
	uint8_t mac[6];
	bool more = true;
	size_t n;

	for (n = 0; more && n < sizeof(mac); n++) {
		struct span part = span_cut(&rest, ':', &more);
		int v = octet(part);

		if (v < 0)
			return invalid(c, part, "invalid MAC octet");
		mac[n] = (uint8_t)v;
	}
	if (more || n < sizeof(mac))
		return invalid(c, s, "invalid MAC address");
	if (!memcmp(mac, zero, sizeof(mac)))
		return invalid(c, s, "MAC address is all zero");
	if (mac[0] & 1)
		return invalid(c, s, "MAC address is a group address");
	memcpy(e->mac, mac, sizeof(mac));
	return 0;
}

static int set_mtu(const struct ctx *c, struct span s, struct env *e)
{
	uint64_t mtu;

	if (span_uint(s, UINT16_MAX, &mtu))
		return invalid(c, s, "invalid MTU");
	if (mtu < PROTO_MTU_MIN)
		return refuse(c, s.p, "MTU below %d: %u", PROTO_MTU_MIN,
			      (unsigned int)mtu);
	e->mtu = (uint16_t)mtu;
	return 0;
}

static void clear_net(struct env *e)
{
	e->net = false;
	memset(e->iface, 0, sizeof(e->iface));
	memset(e->mac, 0, sizeof(e->mac));
	e->mtu = PROTO_MTU;
}

static int parse_net(const struct ctx *c, struct span s, struct env *e)
{
	bool more = true, mac = false;
	struct span v;
	int rc;

	clear_net(e);
	while (more) {
		struct span part = span_cut(&s, ',', &more);

		if (keyed(part, "iface=", &v)) {
			memset(e->iface, 0, sizeof(e->iface));
			rc = set_iface(c, v, e);
		} else if (keyed(part, "mac=", &v)) {
			mac = true;
			rc = set_mac(c, v, e);
		} else if (keyed(part, "mtu=", &v)) {
			rc = set_mtu(c, v, e);
		} else {
			rc = invalid(c, part, "unknown MSB_NET option");
		}
		if (rc)
			return rc;
	}
	if (!e->iface[0])
		return refuse(c, c->end, "MSB_NET missing iface=");
	if (!mac)
		return refuse(c, c->end, "MSB_NET missing mac=");
	e->net = true;
	return 0;
}

/* --- MSB_NET_IPV4, MSB_NET_IPV6 ------------------------------------------ */

static bool is_unicast(const struct ipaddr *a)
{
	if (ipaddr_is4(a) && ipaddr_to_host4(a) >> 24 == 0)
		return false;		/* 0/8 is "this network" */
	return !ipaddr_is_any(a) && !ipaddr_is_loopback(a) &&
	       !ipaddr_is_multicast(a) && !ipaddr_is_broadcast4(a);
}

/* Whether @a is the first or last address of a prefix that reserves them */
static bool is_reserved(const struct ipaddr *a, unsigned int plen)
{
	uint32_t host;

	if (!ipaddr_is4(a) || plen > 30)
		return false;
	host = ipaddr_to_host4(a) & (UINT32_MAX >> plen);
	return host == 0 || host == UINT32_MAX >> plen;
}

/* An address of the right family; @what as in "invalid IPv4 WHAT: text" */
static int parse_ip(const struct ctx *c, bool six, struct span s,
		    const char *what, struct ipaddr *out)
{
	bool text6 = s.len && memchr(s.p, ':', s.len);
	struct ipaddr a;
	char text[32];

	snprintf(text, sizeof(text), "invalid %s %s", six ? "IPv6" : "IPv4",
		 what);
	if (text6 != six || ipaddr_parse(s, &a))
		return invalid(c, s, text);
	if (six && ipaddr_is4(&a))
		return invalid_ip(c, six, s, "form of an IPv4 address");
	*out = a;
	return 0;
}

/* The original splits IPv4 at the first slash and IPv6 at the last */
static struct span cut_prefix(bool six, struct span s, struct span *plen)
{
	const uint8_t *at = six ? memrchr(s.p, '/', s.len) :
				  memchr(s.p, '/', s.len);

	if (!at)
		return (struct span){ 0 };
	*plen = (struct span){ .p = at + 1,
			       .len = (size_t)(s.p + s.len - (at + 1)) };
	return (struct span){ .p = s.p, .len = (size_t)(at - s.p) };
}

static int set_addr(const struct ctx *c, bool six, struct span s,
		    struct env_family *f)
{
	struct span addr = { 0 }, plen = { 0 };
	uint64_t n;
	int rc;

	if (s.len)
		addr = cut_prefix(six, s, &plen);
	if (!addr.p)
		return invalid(c, s, six ? "invalid IPv6 CIDR (missing /)" :
					   "invalid IPv4 CIDR (missing /)");
	rc = parse_ip(c, six, addr, "address", &f->addr);
	if (rc)
		return rc;
	if (span_uint(plen, UINT8_MAX, &n))
		return invalid(c, plen, six ? "invalid IPv6 prefix length" :
					      "invalid IPv4 prefix length");
	if (n > (six ? 128 : 32))
		return refuse(c, plen.p, "%s prefix length out of range "
			      "(0-%d): %u", six ? "IPv6" : "IPv4",
			      six ? 128 : 32, (unsigned int)n);
	f->plen = (uint8_t)n;
	if (!is_unicast(&f->addr))
		return invalid_ip(c, six, addr, "address is not unicast");
	if (is_reserved(&f->addr, f->plen))
		return invalid_ip(c, six, s, "address is that of the network "
				  "or broadcast");
	return 0;
}

static int set_gw(const struct ctx *c, bool six, struct span s,
		  struct env_family *f)
{
	int rc = parse_ip(c, six, s, "gateway", &f->gw);

	if (!rc && !is_unicast(&f->gw))
		return invalid_ip(c, six, s, "gateway is not unicast");
	return rc;
}

static int set_dns(const struct ctx *c, bool six, struct span s,
		   struct env_family *f)
{
	int rc = parse_ip(c, six, s, "DNS", &f->dns);

	/* Loopback is fine: the guest may run a resolver */
	if (!rc && !is_unicast(&f->dns) && !ipaddr_is_loopback(&f->dns))
		return invalid_ip(c, six, s, "DNS is not unicast");
	f->has_dns = !rc;
	return rc;
}

static int parse_family(const struct ctx *c, bool six, struct span s,
			struct env_family *f)
{
	struct span gw = { 0 }, v;
	bool more = true, addr = false;
	int rc;

	*f = (struct env_family){ 0 };
	while (more) {
		struct span part = span_cut(&s, ',', &more);

		if (keyed(part, "addr=", &v)) {
			addr = true;
			rc = set_addr(c, six, v, f);
		} else if (keyed(part, "gw=", &v)) {
			gw = v;
			rc = set_gw(c, six, v, f);
		} else if (keyed(part, "dns=", &v)) {
			rc = set_dns(c, six, v, f);
		} else {
			rc = refuse(c, part.p, "unknown %s option: %.*s",
				    c->var, (int)MIN(part.len, 256u),
				    (const char *)part.p);
		}
		if (rc)
			return rc;
	}
	if (!addr)
		return refuse(c, c->end, "%s missing addr=", c->var);
	if (!gw.p)
		return refuse(c, c->end, "%s missing gw=", c->var);
	if (ipaddr_eq(&f->addr, &f->gw))
		return invalid_ip(c, six, gw, "gateway is the address itself");
	if (ipaddr_in(&f->gw, &f->addr, f->plen) &&
	    is_reserved(&f->gw, f->plen))
		return invalid_ip(c, six, gw, "gateway is the network or "
				  "broadcast address");
	f->set = true;
	return 0;
}

static int parse_ipv4(const struct ctx *c, struct span s, struct env *e)
{
	return parse_family(c, false, s, &e->ip4);
}

static int parse_ipv6(const struct ctx *c, struct span s, struct env *e)
{
	return parse_family(c, true, s, &e->ip6);
}

static void clear_ipv4(struct env *e)
{
	e->ip4 = (struct env_family){ 0 };
}

static void clear_ipv6(struct env *e)
{
	e->ip6 = (struct env_family){ 0 };
}

/* --- names and the link -------------------------------------------------- */

static bool is_label(struct span s)
{
	if (!s.len || s.len > LABEL_MAX || s.p[0] == '-' ||
	    s.p[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t ch = s.p[i], low = ch | 0x20;

		if (!(low >= 'a' && low <= 'z') &&
		    !(ch >= '0' && ch <= '9') && ch != '-' && ch != '_')
			return false;
	}
	return true;
}

static void clear_alias(struct env *e)
{
	memset(e->alias, 0, sizeof(e->alias));
}

static int parse_alias(const struct ctx *c, struct span s, struct env *e)
{
	struct span rest = s;
	bool more = true;

	if (s.len > ALIAS_MAX)
		return invalid(c, s, "host alias too long");
	while (more) {
		struct span label = span_cut(&rest, '.', &more);

		if (!is_label(label))
			return refuse(c, label.p, "invalid host alias: %.*s",
				      (int)s.len, (const char *)s.p);
	}
	clear_alias(e);
	return span_copy(s, e->alias, sizeof(e->alias));
}

static void clear_hostname(struct env *e)
{
	memset(e->hostname, 0, sizeof(e->hostname));
}

static int parse_hostname(const struct ctx *c, struct span s, struct env *e)
{
	const uint8_t *odd = odd_byte(s, "/#");	/* '#': it goes to /etc/hosts */

	if (s.len > ENV_HOSTNAME_MAX)
		return invalid(c, s, "host name longer than 64 bytes");
	if (odd)
		return refuse(c, odd, "invalid host name: %.*s", (int)s.len,
			      (const char *)s.p);
	clear_hostname(e);
	return span_copy(s, e->hostname, sizeof(e->hostname));
}

static void clear_link(struct env *e)
{
	e->link = (struct env_link){ .kind = ENV_LINK_AUTO };
}

static int parse_vsock(const struct ctx *c, struct span s, struct env_link *l)
{
	struct span port = s, cid = span_cut(&port, ':', NULL);
	uint64_t n;

	l->kind = ENV_LINK_VSOCK;
	l->cid = PROTO_CID_HOST;
	if (cid.len == s.len) {
		port = cid;
	} else {
		if (span_uint(cid, CID_MAX, &n))
			return invalid(c, cid, "invalid vsock CID");
		l->cid = (uint32_t)n;
	}
	if (span_uint(port, PORT_MAX, &n) || !n)
		return invalid(c, port, "invalid vsock port");
	l->port = (uint32_t)n;
	return 0;
}

static int parse_link(const struct ctx *c, struct span s, struct env *e)
{
	const uint8_t *odd;
	struct span v;

	clear_link(e);
	if (span_is(s, "nic")) {
		e->link.kind = ENV_LINK_NIC;
		return 0;
	}
	if (keyed(s, "vsock:", &v))
		return parse_vsock(c, v, &e->link);
	if (!keyed(s, "unix:", &v))
		return invalid(c, s, "unknown link");
	odd = odd_byte(v, "");
	if (!v.len || odd)
		return refuse(c, odd ? odd : v.p, "invalid socket path: %.*s",
			      (int)MIN(v.len, 256u), (const char *)v.p);
	if (v.len >= ENV_PATH_MAX)
		return invalid(c, v, "socket path too long");
	e->link.kind = ENV_LINK_UNIX;
	return span_copy(v, e->link.path, sizeof(e->link.path));
}

/* --- all of it ----------------------------------------------------------- */

static const struct {
	const char *name;
	int (*parse)(const struct ctx *c, struct span s, struct env *e);
	void (*clear)(struct env *e);
} vars[] = {
	{ "MSB_NET", parse_net, clear_net },
	{ "MSB_NET_IPV4", parse_ipv4, clear_ipv4 },
	{ "MSB_NET_IPV6", parse_ipv6, clear_ipv6 },
	{ "MSB_HOST_ALIAS", parse_alias, clear_alias },
	{ "MSB_HOSTNAME", parse_hostname, clear_hostname },
	{ "MSB_LINK", parse_link, clear_link },
};

void env_init(struct env *e)
{
	memset(e, 0, sizeof(*e));
	e->mtu = PROTO_MTU;
}

/* White_Space of Unicode */
static bool is_white(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 ||
	       c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
	       c == 0x3000;
}

struct span env_trim(struct span s)
{
	struct span out = { .p = s.p };
	bool inside = false;

	while (s.len) {
		uint32_t ch;
		size_t n = span_utf8(s, &ch);

		if (!n)
			return (struct span){ .p = out.p };
		if (!is_white(ch)) {
			if (!inside)
				out.p = s.p;
			inside = true;
			out.len = (size_t)(s.p + n - out.p);
		}
		s.p += n;
		s.len -= n;
	}
	return out;
}

int env_set(struct env *e, const char *name, const char *value,
	    struct env_err *err)
{
	struct env t = *e;
	struct span s;
	int rc;

	if (!value)
		value = "";
	s = env_trim(span_str(value));

	for (size_t i = 0; i < ARRAY_SIZE(vars); i++) {
		struct ctx c = { .var = vars[i].name, .err = err,
				 .start = (const uint8_t *)value,
				 .end = s.p + s.len };

		if (strcmp(vars[i].name, name))
			continue;
		if (!s.len) {
			vars[i].clear(e);
			return 0;
		}
		if (s.len > ENV_VALUE_MAX)
			return refuse(&c, s.p, "longer than %d bytes",
				      ENV_VALUE_MAX);
		rc = vars[i].parse(&c, s, &t);
		if (rc)
			return -EINVAL;
		*e = t;
		return 0;
	}
	return -ENOENT;
}

static int unfit(struct env_err *err, const char *var, const char *reason)
{
	if (err) {
		*err = (struct env_err){ .var = var };
		snprintf(err->reason, sizeof(err->reason), "%s", reason);
	}
	return -EINVAL;
}

int env_check(const struct env *e, struct env_err *err)
{
	if (!e->net && e->ip4.set)
		return unfit(err, "MSB_NET_IPV4",
			     "MSB_NET_IPV4 without MSB_NET");
	if (!e->net && e->ip6.set)
		return unfit(err, "MSB_NET_IPV6",
			     "MSB_NET_IPV6 without MSB_NET");
	if (e->ip6.set && e->mtu < PROTO_MTU_MIN6)
		return unfit(err, "MSB_NET",
			     "MTU below 1280, which IPv6 needs");
	return 0;
}

const char *env_name(unsigned int i)
{
	return i < ARRAY_SIZE(vars) ? vars[i].name : NULL;
}

static void emit_name(struct wr *w, bool *first, char sep, const char *name)
{
	if (!*first)
		wr_u8(w, (uint8_t)sep);
	*first = false;
	wr_fmt(w, "%s=", name);
}

static void emit_family(struct wr *w, const struct env_family *f)
{
	char a[IPADDR_STRLEN], g[IPADDR_STRLEN], d[IPADDR_STRLEN];

	wr_fmt(w, "addr=%s/%u,gw=%s", ipaddr_fmt(&f->addr, a), f->plen,
	       ipaddr_fmt(&f->gw, g));
	if (f->has_dns)
		wr_fmt(w, ",dns=%s", ipaddr_fmt(&f->dns, d));
}

static void emit_link(struct wr *w, const struct env_link *l)
{
	switch (l->kind) {
	case ENV_LINK_AUTO:
		break;
	case ENV_LINK_NIC:
		wr_fmt(w, "nic");
		break;
	case ENV_LINK_VSOCK:
		wr_fmt(w, "vsock:%u:%u", l->cid, l->port);
		break;
	case ENV_LINK_UNIX:
		wr_fmt(w, "unix:%s", l->path);
		break;
	}
}

void env_emit(const struct env *e, char sep, struct wr *w)
{
	char mac[MAC_STRLEN];
	bool first = true;

	if (e->net) {
		emit_name(w, &first, sep, "MSB_NET");
		wr_fmt(w, "iface=%s,mac=%s,mtu=%u", e->iface,
		       mac_fmt(e->mac, mac), e->mtu);
	}
	if (e->ip4.set) {
		emit_name(w, &first, sep, "MSB_NET_IPV4");
		emit_family(w, &e->ip4);
	}
	if (e->ip6.set) {
		emit_name(w, &first, sep, "MSB_NET_IPV6");
		emit_family(w, &e->ip6);
	}
	if (e->alias[0]) {
		emit_name(w, &first, sep, "MSB_HOST_ALIAS");
		wr_fmt(w, "%s", e->alias);
	}
	if (e->hostname[0]) {
		emit_name(w, &first, sep, "MSB_HOSTNAME");
		wr_fmt(w, "%s", e->hostname);
	}
	if (e->link.kind != ENV_LINK_AUTO) {
		emit_name(w, &first, sep, "MSB_LINK");
		emit_link(w, &e->link);
	}
}

bool env_onlink(const struct env_family *f)
{
	if (!ipaddr_is4(&f->gw) && ipaddr_is_linklocal(&f->gw))
		return false;
	return !ipaddr_in(&f->gw, &f->addr, f->plen);
}
