#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/ifup.h"
#include "agent/ioc.h"
#include "agent/plan.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"

#define IFUP_SETTLE_MS	100
#define PROC_IPV6	"/proc/sys/net/ipv6"
#define VIRTIO_DEVICES	"/sys/bus/virtio/devices"
#define VIRTIO_ID_NET	"0x0001"

/* The errors of a kernel that has no IPv6, or was told to leave it alone */
static bool ifup_no_ip6(int rc)
{
	return rc == -EACCES || rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP;
}

/* " (words of the kernel)" or nothing */
static const char *ifup_words(const struct nl *nl, char *buf, size_t size)
{
	snprintf(buf, size, nl->why[0] ? " (%s)" : "%s", nl->why);
	return buf;
}

/* disable_ipv6 shows only when an address is refused */
static bool ifup_has_ip6(void)
{
	return !access(PROC_IPV6, F_OK);
}

void ifup_lo(struct nl *nl, struct report *r)
{
	static const uint8_t v4[] = { 127, 0, 0, 1 };
	uint8_t v6[16] = { [15] = 1 };
	struct nl_addr a[] = {
		{ .addr = ipaddr_v4(v4), .plen = 8 },
		{ .addr = ipaddr_v6(v6), .plen = 128 },
	};
	char text[IPADDR_STRLEN], words[160];
	struct nl_link lo;
	int rc;

	rc = ifup_by_name(nl, "lo", &lo);
	if (!rc)
		rc = ioc_up("lo", true);
	if (rc) {
		report_warn(r, "lo: cannot bring it up: %s", strerror(-rc));
		return;
	}
	/* The kernel adds both when it comes up, which it has not in a plan */
	if (plan_dry() && !(lo.flags & IFF_UP))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		a[i].ifindex = lo.index;
		if (nl_addr_has(nl, &a[i]) == 1)
			continue;
		rc = nl_addr_add(nl, &a[i], NLM_F_EXCL);
		if (!rc || rc == -EEXIST || (i && ifup_no_ip6(rc)))
			continue;
		report_warn(r, "lo: cannot add %s: %s%s",
			    ipaddr_fmt(&a[i].addr, text), strerror(-rc),
			    ifup_words(nl, words, sizeof(words)));
	}
}

struct ifup_match {
	const struct env *e;
	bool by_name, nic;	/* nic: there is one, ours or not */
	struct nl_link *out;
};

static bool ifup_is_nic(const struct nl_link *l)
{
	return l->type == ARPHRD_ETHER && strcmp(l->kind, "tun");
}

static bool ifup_match(const struct nl_link *l, void *arg)
{
	struct ifup_match *m = arg;

	if (!ifup_is_nic(l))
		return false;
	m->nic = true;
	if (m->by_name ? strcmp(l->name, m->e->iface) :
	    !l->has_mac || memcmp(l->mac, m->e->mac, sizeof(l->mac)))
		return false;
	*m->out = *l;
	return true;
}

/* Whether the virtio bus has a network device, with or without a driver */
static bool ifup_virtio_net(void)
{
	DIR *d = opendir(VIRTIO_DEVICES);
	char path[PATH_MAX], id[16];
	struct dirent *de;
	bool found = false;

	if (!d)
		return false;
	while (!found && (de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), VIRTIO_DEVICES "/%s/device",
			 de->d_name);
		found = fd_read_file(path, id, sizeof(id)) > 0 &&
			span_is(span_trim(span_str(id)), VIRTIO_ID_NET);
	}
	closedir(d);
	return found;
}

int ifup_look_nic(struct nl *nl, const struct env *e, struct nl_link *out)
{
	struct ifup_match m = { .e = e, .out = out };
	int rc = nl_wait_link(nl, ifup_match, &m, 0);

	if (rc != -ENODEV || e->link.kind != ENV_LINK_NIC)
		return rc;
	m.by_name = true;	/* a NIC that kept its template's MAC */
	return nl_wait_link(nl, ifup_match, &m, 0);
}

int ifup_find_nic(struct nl *nl, const struct env *e, struct nl_link *out)
{
	struct ifup_match m = { .e = e, .out = out };
	bool must = e->link.kind == ENV_LINK_NIC;
	int rc = must ? ifup_look_nic(nl, e, out) :
			nl_wait_link(nl, ifup_match, &m, 0);

	if (rc != -ENODEV)
		return rc;
	if (!must && !m.nic && !ifup_virtio_net())
		return -ENODEV;		/* boot time counts */
	rc = nl_wait_link(nl, ifup_match, &m, IFUP_WAIT_MS);
	return rc == -ENODEV ? ifup_look_nic(nl, e, out) : rc;
}

struct ifup_name {
	const char *name;
	struct nl_link *out;
};

static bool ifup_match_name(const struct nl_link *l, void *arg)
{
	struct ifup_name *m = arg;

	if (strcmp(l->name, m->name))
		return false;
	*m->out = *l;
	return true;
}

int ifup_by_name(struct nl *nl, const char *name, struct nl_link *out)
{
	struct ifup_name m = { name, out };

	return nl_wait_link(nl, ifup_match_name, &m, 0);
}

/* Nobody but the host tells this interface what addresses to have */
static void ifup_sysctls(const char *ifname)
{
	static const struct {
		const char *family, *key, *value;
	} all[] = {
		{ "ipv6", "accept_ra", "0" },
		{ "ipv6", "autoconf", "0" },
		{ "ipv6", "accept_dad", "0" },
		{ "ipv6", "router_solicitations", "0" },
		/* answer ARP only for the address of this very interface */
		{ "ipv4", "arp_ignore", "1" },
		{ "ipv4", "arp_announce", "2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int rc = ioc_sysctl(all[i].family, ifname, all[i].key,
				    all[i].value);

		if (rc && rc != -ENOENT)
			log_debug("%s: %s: %s", ifname, all[i].key,
				  strerror(-rc));
	}
}

/**
 * ifup_device() - Name, MAC and MTU
 * @name:	In: as found; out: as it is now, IFNAMSIZ bytes
 */
static int ifup_device(struct report *r, const struct nl_link *l,
		       const struct env *e, char *name)
{
	bool mac = !l->has_mac || memcmp(l->mac, e->mac, sizeof(l->mac));
	bool rename = strcmp(name, e->iface);
	char text[MAC_STRLEN];
	int rc;

	/* Neither changes while it is up; what is lost by that comes back */
	if ((mac || rename) && l->flags & IFF_UP) {
		rc = ioc_up(name, false);
		if (rc) {
			report_fail(r, "%s: cannot take it down: %s", name,
				    strerror(-rc));
			return rc;
		}
	}
	if (rename) {
		rc = ioc_rename(name, e->iface);
		if (rc)
			report_warn(r, "%s: cannot rename it to %s: %s", name,
				    e->iface, strerror(-rc));
		else
			(void)span_copy(span_str(e->iface), name, IFNAMSIZ);
	}
	ifup_sysctls(name);
	rc = mac ? ioc_mac(name, e->mac) : 0;
	if (rc) {
		report_fail(r, "%s: cannot set MAC %s: %s", name,
			    mac_fmt(e->mac, text), strerror(-rc));
		return rc;
	}
	/* Before the addresses: below 1280 the kernel drops IPv6 ones */
	rc = l->mtu != e->mtu ? ioc_mtu(name, e->mtu) : 0;
	if (rc)
		report_fail(r, "%s: cannot set MTU %u: %s", name, e->mtu,
			    strerror(-rc));
	return rc;
}

static int ifup_addr(struct nl *nl, struct report *r, const char *name,
		     unsigned int ifindex, const struct env_family *f)
{
	struct nl_addr a = { ifindex, f->addr, f->plen };
	char text[IPADDR_STRLEN], words[160];
	int rc;

	if (nl_addr_has(nl, &a) == 1)
		return 0;
	rc = nl_addr_add(nl, &a, NLM_F_REPLACE);
	if (!ipaddr_is4(&f->addr) && ifup_no_ip6(rc))
		return rc;
	if (rc)
		report_fail(r, "%s: cannot add %s/%u: %s%s", name,
			    ipaddr_fmt(&f->addr, text), f->plen, strerror(-rc),
			    ifup_words(nl, words, sizeof(words)));
	return rc;
}

static int ifup_route(struct nl *nl, struct report *r, const char *name,
		      unsigned int ifindex, const struct env_family *f)
{
	struct nl_route route = { ifindex, f->gw, env_onlink(f) };
	char text[IPADDR_STRLEN], words[160];
	int rc;

	if (nl_route_has(nl, &route) == 1)
		return 0;
	rc = nl_route_set(nl, &route);
	if (rc)
		report_fail(r, "%s: cannot route by %s: %s%s", name,
			    ipaddr_fmt(&f->gw, text), strerror(-rc),
			    ifup_words(nl, words, sizeof(words)));
	return rc;
}

/*
 * An IPv6 address is there at once, but the kernel takes packets to it only
 * after a work item of its own has run.  Who speaks before loses the gateway's
 * first advertisement, and a second until it is asked for again.
 */
static void ifup_settle(struct nl *nl, const struct ipaddr *a)
{
	const struct timespec ms = { .tv_nsec = NS_PER_MS };

	if (plan_dry())
		return;
	for (int i = 0; i < IFUP_SETTLE_MS && !nl_is_local(nl, a); i++)
		nanosleep(&ms, NULL);
}

static void ifup_report(struct report *r, const char *name,
			const struct env *e, bool ip6)
{
	char text[IPADDR_STRLEN], mac[MAC_STRLEN];

	report_set(r, "IFACE", "%s", name);
	report_set(r, "MAC", "%s", mac_fmt(e->mac, mac));
	report_set(r, "MTU", "%u", e->mtu);
	if (e->ip4.set) {
		report_set(r, "IPV4", "%s/%u", ipaddr_fmt(&e->ip4.addr, text),
			   e->ip4.plen);
		report_set(r, "GW4", "%s", ipaddr_fmt(&e->ip4.gw, text));
	}
	if (ip6) {
		report_set(r, "IPV6", "%s/%u", ipaddr_fmt(&e->ip6.addr, text),
			   e->ip6.plen);
		report_set(r, "GW6", "%s", ipaddr_fmt(&e->ip6.gw, text));
	}
}

int ifup_iface(struct nl *nl, struct report *r, const struct nl_link *l,
	       const struct env *e)
{
	bool ip6 = e->ip6.set && ifup_has_ip6();
	char name[IFNAMSIZ];
	int rc, rc6 = 0;

	(void)span_copy(span_str(l->name), name, sizeof(name));
	rc = ifup_device(r, l, e, name);
	if (rc)
		return rc;
	if (e->ip4.set)
		rc = ifup_addr(nl, r, name, l->index, &e->ip4);
	if (ip6)
		rc6 = ifup_addr(nl, r, name, l->index, &e->ip6);
	if (e->ip6.set && (!ip6 || ifup_no_ip6(rc6))) {
		report_warn(r, "%s: this kernel has no IPv6, or it is switched"
			    " off: MSB_NET_IPV6 is not used", name);
		ip6 = false;
		rc6 = 0;
	}
	if (rc || rc6)
		return rc ? rc : rc6;

	rc = ioc_up(name, true);
	if (rc) {
		report_fail(r, "%s: cannot bring it up: %s", name,
			    strerror(-rc));
		return rc;
	}
	if (e->ip4.set)
		rc = ifup_route(nl, r, name, l->index, &e->ip4);
	if (ip6)
		rc6 = ifup_route(nl, r, name, l->index, &e->ip6);
	if (ip6 && !rc6)
		ifup_settle(nl, &e->ip6.addr);
	ifup_report(r, name, e, ip6);
	return rc ? rc : rc6;
}
