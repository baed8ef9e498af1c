#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"
#include "base/util.h"
#include "gateway/conf.h"
#include "proto/ports.h"

/*
 * The configuration file.  A table of keys for each object: what is not in the
 * table is an error with the path of the key, and keys of features that this
 * release does not have are refused by name.
 */

struct key {
	const char *name;
	int (*set)(struct gw_conf *c, const json_t *v);
	const char *want;
	const struct key *sub;		/* an object, instead of @set */
};

static int get_int(const json_t *v, json_int_t min, json_int_t max,
		   json_int_t *out)
{
	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > max)
		return -EINVAL;
	*out = json_integer_value(v);
	return 0;
}

static struct span get_str(const json_t *v)
{
	if (!json_is_string(v))
		return (struct span){ 0 };
	return (struct span){ .p = (const void *)json_string_value(v),
			      .len = json_string_length(v) };
}

static int set_mac(struct gw_conf *c, const json_t *v)
{
	uint8_t mac[6];
	json_int_t n;

	if (json_is_null(v))
		return 0;
	if (!json_is_array(v) || json_array_size(v) != sizeof(mac))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(mac); i++) {
		if (get_int(json_array_get(v, i), 0, 255, &n) < 0)
			return -EINVAL;
		mac[i] = (uint8_t)n;
	}
	if ((mac[0] & 1) || !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] |
			      mac[5]))
		return -EINVAL;
	memcpy(c->net.guest_mac, mac, sizeof(mac));
	c->mac_set = true;
	return 0;
}

static int set_mtu(struct gw_conf *c, const json_t *v)
{
	json_int_t n;

	if (json_is_null(v))
		return 0;
	if (get_int(v, PROTO_MTU_MIN, 65535, &n) < 0)
		return -EINVAL;
	c->mtu = (uint16_t)n;
	return 0;
}

static int set_addr4(struct gw_conf *c, const json_t *v)
{
	if (json_is_null(v))
		return 0;
	if (ipaddr_parse(get_str(v), &c->addr4) < 0 || !ipaddr_is4(&c->addr4))
		return -EINVAL;
	c->family4 = CONF_FAMILY_ADDR;
	return 0;
}

static int set_addr6(struct gw_conf *c, const json_t *v)
{
	if (json_is_null(v))
		return 0;
	if (ipaddr_parse(get_str(v), &c->addr6) < 0 || ipaddr_is4(&c->addr6))
		return -EINVAL;
	c->family6 = CONF_FAMILY_ADDR;
	return 0;
}

/* A prefix whose host bits are clear */
static int get_pool(const json_t *v, bool v6, unsigned int max,
		    struct ipaddr *net, uint8_t *plen)
{
	struct span rest = get_str(v), addr;
	struct ipaddr a;
	uint64_t n;
	bool more;

	addr = span_cut(&rest, '/', &more);
	if (!more || ipaddr_parse(addr, &a) < 0 || ipaddr_is4(&a) == v6 ||
	    span_uint(rest, max, &n) < 0)
		return -EINVAL;
	for (unsigned int i = (unsigned int)n + (v6 ? 0 : 96); i < 128; i++)
		if (a.b[i / 8] & 0x80 >> i % 8)
			return -EINVAL;
	*net = a;
	*plen = (uint8_t)n;
	return 0;
}

static int set_pool4(struct gw_conf *c, const json_t *v)
{
	return json_is_null(v) ? 0 :
	       get_pool(v, false, 30, &c->pool4, &c->pool4_plen);
}

static int set_pool6(struct gw_conf *c, const json_t *v)
{
	return json_is_null(v) ? 0 :
	       get_pool(v, true, 64, &c->pool6, &c->pool6_plen);
}

static int set_nameservers(struct gw_conf *c, const json_t *v)
{
	if (!json_is_array(v) || json_array_size(v) > DNS_SERVERS_MAX)
		return -EINVAL;
	c->ndns = 0;
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *s = json_string_value(json_array_get(v, i));

		if (!s || conf_nameserver(s, &c->dns[c->ndns]) < 0)
			return -EINVAL;
		c->ndns++;
	}
	return 0;
}

static int set_timeout(struct gw_conf *c, const json_t *v)
{
	json_int_t n;

	if (get_int(v, 100, 60000, &n) < 0)
		return -EINVAL;
	c->dns_timeout_ms = (uint32_t)n;
	return 0;
}

static int set_conns(struct gw_conf *c, const json_t *v)
{
	json_int_t n;

	if (json_is_null(v))
		return 0;
	if (get_int(v, 1, CONF_CONNS_MAX, &n) < 0)
		return -EINVAL;
	c->max_conns = (uint32_t)n;
	return 0;
}

static int set_filtering(struct gw_conf *c, const json_t *v)
{
	struct span s = get_str(v);

	if (span_is(s, "endpoint-independent"))
		c->udp_endpoint_independent = true;
	else if (span_is(s, "address-and-port-dependent"))
		c->udp_endpoint_independent = false;
	else
		return -EINVAL;
	return 0;
}

static int set_udp_flows(struct gw_conf *c, const json_t *v)
{
	json_int_t n;

	if (get_int(v, CONF_UDP_FLOWS_MIN, CONF_CONNS_MAX, &n) < 0)
		return -EINVAL;
	c->udp_flows = (uint32_t)n;
	return 0;
}

static int set_congestion(struct gw_conf *c, const json_t *v)
{
	struct span s = get_str(v);

	if (!span_is(s, "none") && !span_is(s, "reno"))
		return -EINVAL;
	c->tcp_reno = span_is(s, "reno");
	return 0;
}

static int set_ra(struct gw_conf *c, const json_t *v)
{
	if (!json_is_boolean(v))
		return -EINVAL;
	c->ra = json_is_true(v);
	return 0;
}

static const struct key interface_keys[] = {
	{ "mac", set_mac, "null or six numbers of a unicast MAC", NULL },
	{ "mtu", set_mtu, "null or a number from 68 to 65535", NULL },
	{ "ipv4_address", set_addr4, "null or an IPv4 address", NULL },
	{ "ipv6_address", set_addr6, "null or an IPv6 address", NULL },
	{ "ipv4_pool", set_pool4, "null or a prefix of at most /30", NULL },
	{ "ipv6_pool", set_pool6, "null or a prefix of at most /64", NULL },
	{ "router_advertisements", set_ra, "true or false", NULL },
	{ NULL, NULL, NULL, NULL },
};

static const struct key dns_keys[] = {
	{ "nameservers", set_nameservers, "at most 4 of \"IP\", \"IP:PORT\", "
	  "\"[IPv6]:PORT\"", NULL },
	{ "query_timeout_ms", set_timeout, "a number from 100 to 60000", NULL },
	{ NULL, NULL, NULL, NULL },
};

static const struct key udp_keys[] = {
	{ "filtering", set_filtering, "\"address-and-port-dependent\" or "
	  "\"endpoint-independent\"", NULL },
	{ "max_flows", set_udp_flows, "a number from 64 to 65536", NULL },
	{ NULL, NULL, NULL, NULL },
};

static const struct key tcp_keys[] = {
	{ "congestion", set_congestion, "\"none\" or \"reno\"", NULL },
	{ NULL, NULL, NULL, NULL },
};

static const struct key top_keys[] = {
	{ "interface", NULL, NULL, interface_keys },
	{ "dns", NULL, NULL, dns_keys },
	{ "tcp", NULL, NULL, tcp_keys },
	{ "udp", NULL, NULL, udp_keys },
	{ "max_connections", set_conns, "null or a number from 1 to 65536",
	  NULL },
	{ NULL, NULL, NULL, NULL },
};

/* Keys of the schema that belong to features of later releases */
static const char *const later[] = {
	"enabled", "ports", "policy", "tls", "secrets", "rate_limiter",
	"trust_host_cas",
};

static int refuse(const char *path, const char *name, char *err, size_t size)
{
	for (size_t i = 0; !path[0] && i < ARRAY_SIZE(later); i++)
		if (!strcmp(name, later[i])) {
			snprintf(err, size, "%s: this release does not have "
				 "it; remove the key", name);
			return -EINVAL;
		}
	snprintf(err, size, "%s%s%s: unknown key", path, path[0] ? "." : "",
		 name);
	return -EINVAL;
}

static int load_object(struct gw_conf *c, const json_t *o,
		       const struct key *keys, const char *path, char *err,
		       size_t size)
{
	void *it;

	if (!json_is_object(o)) {
		snprintf(err, size, "%s: want an object",
			 path[0] ? path : "the document");
		return -EINVAL;
	}
	/* jansson's iterator wants a mutable object, and does not change it */
	for (it = json_object_iter((json_t *)(uintptr_t)o); it;
	     it = json_object_iter_next((json_t *)(uintptr_t)o, it)) {
		const char *name = json_object_iter_key(it);
		const json_t *v = json_object_iter_value(it);
		const struct key *k = keys;
		int rc;

		while (k->name && strcmp(k->name, name))
			k++;
		if (!k->name)
			return refuse(path, name, err, size);
		if (k->sub) {	/* no deeper than one level in this schema */
			rc = load_object(c, v, k->sub, k->name, err, size);
			if (rc < 0)
				return rc;
			continue;
		}
		if (k->set(c, v) < 0) {
			snprintf(err, size, "%s%s%s: want %s", path,
				 path[0] ? "." : "", name, k->want);
			return -EINVAL;
		}
	}
	return 0;
}

int conf_load(struct gw_conf *c, const char *text, size_t len, char *err,
	      size_t size)
{
	json_error_t je;
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	struct gw_conf next = *c;
	int rc;

	if (!doc) {
		snprintf(err, size, "not JSON: %s (line %d, column %d)",
			 je.text, je.line, je.column);
		return -EINVAL;
	}
	rc = load_object(&next, doc, top_keys, "", err, size);
	json_decref(doc);
	if (rc == 0)
		*c = next;
	return rc;
}
