#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "agent/nl.h"
#include "agent/nl_text.h"
#include "agent/plan.h"
#include "base/util.h"

#define NL_REQ		256	/* longest request we build */
#define NL_WORDS	256	/* the same in words */
#define NL_TIMEOUT_S	2
#define NL_DUMP_TRIES	4	/* a dump that is disturbed starts anew */

int nl_open(struct nl *nl)
{
	struct timeval tv = { .tv_sec = NL_TIMEOUT_S };
	int on = 1, fd, rc;

	nl->why[0] = '\0';
	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock)
		return -errno;
	fd = mnl_socket_get_fd(nl->sock);
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv))) {
		rc = -errno;
		nl_close(nl);
		return rc;
	}
	/* From Linux 4.12: words with an error, and no echo of the request */
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

/* Keep the kernel's words from an extended acknowledgement */
static void nl_words(struct nl *nl, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	size_t off = sizeof(*err);
	struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		off += mnl_nlmsg_get_payload_len(nlh) < off ? 0 :
		       MNL_ALIGN(err->msg.nlmsg_len - MNL_NLMSG_HDRLEN);
	if (off >= mnl_nlmsg_get_payload_len(nlh))
		return;
	mnl_attr_for_each(attr, nlh, off) {
		struct span text = { mnl_attr_get_payload(attr),
				     mnl_attr_get_payload_len(attr) };

		if (mnl_attr_get_type(attr) != NLMSGERR_ATTR_MSG)
			continue;
		while (text.len && !text.p[text.len - 1])
			text.len--;
		if (text.len >= sizeof(nl->why))
			text.len = sizeof(nl->why) - 1;
		(void)span_copy(text, nl->why, sizeof(nl->why));
	}
}

static int nl_on_error(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	struct nl *nl = arg;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(err->error)) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	if (!err->error)
		return MNL_CB_STOP;
	nl_words(nl, nlh);
	errno = err->error < 0 ? -err->error : err->error;
	return MNL_CB_ERROR;
}

struct nl_dump {
	struct nl *nl;
	int (*fn)(const struct nlmsghdr *nlh, void *arg);
	void *arg;
	bool done;	/* fn has what it wants; the rest is drained */
};

static int nl_on_data(const struct nlmsghdr *nlh, void *arg)
{
	struct nl_dump *d = arg;

	if (d->fn && !d->done && d->fn(nlh, d->arg) == MNL_CB_STOP)
		d->done = true;
	return MNL_CB_OK;
}

static int nl_on_ctl(const struct nlmsghdr *nlh, void *arg)
{
	struct nl_dump *d = arg;

	return nl_on_error(nlh, d->nl);
}

/** nl_planned() - Put a request into words; whether to send it */
static bool nl_planned(const struct nlmsghdr *nlh)
{
	char text[NL_WORDS];
	struct wr w = wr_init(text, sizeof(text));

	if (!nl_text_changes(nlh))
		return true;
	nl_text(nlh, &w);
	return plan_do("netlink %.*s", (int)wr_len(&w), text);
}

/**
 * nl_talk() - Send one request and take its answers up to the last one
 * @nlh:	Complete request
 * @fn:		Called for each message of data; NULL for none
 *
 * Answers to an earlier request, whose time was up, are skipped.
 *
 * Return: 0; -ETIMEDOUT; -EINTR if a dump was disturbed; the kernel's errno
 */
static int nl_talk(struct nl *nl, struct nlmsghdr *nlh,
		   int (*fn)(const struct nlmsghdr *nlh, void *arg), void *arg)
{
	mnl_cb_t ctl[] = { [NLMSG_ERROR] = nl_on_ctl };
	struct nl_dump d = { .nl = nl, .fn = fn, .arg = arg };
	unsigned int portid = mnl_socket_get_portid(nl->sock);
	ssize_t n;
	int rc;

	nl->why[0] = '\0';
	if (!nl_planned(nlh))
		return 0;
	nlh->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if ((size_t)n < sizeof(struct nlmsghdr))
			continue;
		if (((struct nlmsghdr *)(void *)nl->buf)->nlmsg_seq != nl->seq)
			continue;
		rc = mnl_cb_run2(nl->buf, (size_t)n, nl->seq, portid,
				 nl_on_data, &d, ctl, ARRAY_SIZE(ctl));
		if (rc == MNL_CB_STOP)
			return 0;
		if (rc < 0)
			return -errno;
	}
}

static struct nlmsghdr *nl_start(void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	return nlh;
}

static bool nl_put_addr(struct nlmsghdr *nlh, size_t size, uint16_t type,
			const struct ipaddr *a)
{
	return mnl_attr_put_check(nlh, size, type, ipaddr_is4(a) ? 4 : 16,
				  ipaddr_bytes(a));
}

int nl_addr_msg(void *buf, size_t size, const struct nl_addr *a, uint16_t flags)
{
	struct nlmsghdr *nlh;
	struct ifaddrmsg *ifa;
	struct ipaddr brd;
	bool is4 = ipaddr_is4(&a->addr), ok;

	if (!a->ifindex)
		return -ENODEV;	/* the kernel would take 0 as "any" */
	if (size < MNL_NLMSG_HDRLEN + sizeof(*ifa))
		return -ENOBUFS;
	nlh = nl_start(buf, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | flags);
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = is4 ? AF_INET : AF_INET6;
	ifa->ifa_prefixlen = a->plen;
	ifa->ifa_flags = is4 ? 0 : IFA_F_NODAD;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	ifa->ifa_index = a->ifindex;

	ok = nl_put_addr(nlh, size, IFA_ADDRESS, &a->addr);
	if (is4) {
		ok = ok && nl_put_addr(nlh, size, IFA_LOCAL, &a->addr);
		/* lo's own has none, and /31 and /32 have no room for it */
		if (a->plen <= 30 && !ipaddr_is_loopback(&a->addr)) {
			brd = ipaddr_host4(ipaddr_to_host4(&a->addr) |
					   UINT32_MAX >> a->plen);
			ok = ok && nl_put_addr(nlh, size, IFA_BROADCAST, &brd);
		}
	} else {
		ok = ok && mnl_attr_put_u32_check(nlh, size, IFA_FLAGS,
						  IFA_F_NODAD);
	}
	return ok ? 0 : -ENOBUFS;
}

int nl_route_msg(void *buf, size_t size, const struct nl_route *r)
{
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;

	if (!r->ifindex)
		return -ENODEV;
	if (size < MNL_NLMSG_HDRLEN + sizeof(*rtm))
		return -ENOBUFS;
	/* Never without REPLACE: IPv6 would add it as a sibling */
	nlh = nl_start(buf, RTM_NEWROUTE,
		       NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = ipaddr_is4(&r->gw) ? AF_INET : AF_INET6;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	rtm->rtm_flags = r->onlink ? RTNH_F_ONLINK : 0;

	if (!nl_put_addr(nlh, size, RTA_GATEWAY, &r->gw) ||
	    !mnl_attr_put_u32_check(nlh, size, RTA_OIF, r->ifindex))
		return -ENOBUFS;
	return 0;
}

int nl_addr_add(struct nl *nl, const struct nl_addr *a, uint16_t flags)
{
	_Alignas(struct nlmsghdr) uint8_t req[NL_REQ];
	int rc = nl_addr_msg(req, sizeof(req), a, flags);

	return rc ? rc : nl_talk(nl, (void *)req, NULL, NULL);
}

int nl_route_set(struct nl *nl, const struct nl_route *r)
{
	_Alignas(struct nlmsghdr) uint8_t req[NL_REQ];
	int rc = nl_route_msg(req, sizeof(req), r);

	return rc ? rc : nl_talk(nl, (void *)req, NULL, NULL);
}

/* A dump of @type for @family, from the start whenever a change disturbs it */
static int nl_dump(struct nl *nl, uint16_t type, uint8_t family,
		   int (*fn)(const struct nlmsghdr *nlh, void *arg), void *arg)
{
	_Alignas(struct nlmsghdr) uint8_t req[NL_REQ];
	int rc = -EINTR;

	for (int i = 0; rc == -EINTR && i < NL_DUMP_TRIES; i++) {
		struct nlmsghdr *nlh = nl_start(req, type, NLM_F_DUMP);
		struct ifinfomsg *ifi;

		/* The longest of the headers: kernels take any for a dump */
		ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
		ifi->ifi_family = family;
		if (type == RTM_GETLINK)
			mnl_attr_put_u32(nlh, IFLA_EXT_MASK,
					 RTEXT_FILTER_SKIP_STATS);
		rc = nl_talk(nl, nlh, fn, arg);
	}
	return rc;
}

/* An address attribute of the right length, or false */
static bool nl_get_addr(const struct nlattr *attr, struct ipaddr *out)
{
	size_t len = mnl_attr_get_payload_len(attr);
	const uint8_t *p = mnl_attr_get_payload(attr);

	if (len == 4)
		*out = ipaddr_v4(p);
	else if (len == 16)
		*out = ipaddr_v6(p);
	return len == 4 || len == 16;
}

struct nl_find_addr {
	const struct nl_addr *want;
	bool found;
};

static int nl_on_addr(const struct nlmsghdr *nlh, void *arg)
{
	struct nl_find_addr *f = arg;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	bool local = false, has = false;
	struct ipaddr a = { 0 };
	struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWADDR ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa) ||
	    ifa->ifa_index != f->want->ifindex ||
	    ifa->ifa_prefixlen != f->want->plen)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa)) {
		unsigned int type = mnl_attr_get_type(attr);

		/* IFA_ADDRESS is the peer's where IFA_LOCAL is given too */
		if (type == IFA_LOCAL)
			local = has = nl_get_addr(attr, &a);
		else if (type == IFA_ADDRESS && !local)
			has = nl_get_addr(attr, &a);
	}
	f->found = has && ipaddr_eq(&a, &f->want->addr);
	return f->found ? MNL_CB_STOP : MNL_CB_OK;
}

int nl_addr_has(struct nl *nl, const struct nl_addr *a)
{
	struct nl_find_addr f = { .want = a };
	int rc;

	if (!ipaddr_is4(&a->addr) && plan_dropped(a->ifindex))
		return 0;
	rc = nl_dump(nl, RTM_GETADDR,
		     ipaddr_is4(&a->addr) ? AF_INET : AF_INET6, nl_on_addr, &f);
	return rc ? rc : f.found;
}

struct nl_find_route {
	const struct nl_route *want;
	bool found;
};

static int nl_on_route(const struct nlmsghdr *nlh, void *arg)
{
	struct nl_find_route *f = arg;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	bool gw = false, oif = false;
	struct nlattr *attr;
	struct ipaddr a;

	if (nlh->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
	    rtm->rtm_dst_len || rtm->rtm_src_len ||
	    rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_type != RTN_UNICAST ||
	    rtm->rtm_protocol != RTPROT_STATIC ||
	    !(rtm->rtm_flags & RTNH_F_ONLINK) != !f->want->onlink)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm)) {
		if (mnl_attr_get_type(attr) == RTA_GATEWAY)
			gw = nl_get_addr(attr, &a) &&
			     ipaddr_eq(&a, &f->want->gw);
		else if (mnl_attr_get_type(attr) == RTA_OIF)
			oif = !mnl_attr_validate(attr, MNL_TYPE_U32) &&
			      mnl_attr_get_u32(attr) == f->want->ifindex;
	}
	f->found = gw && oif;
	return f->found ? MNL_CB_STOP : MNL_CB_OK;
}

int nl_route_has(struct nl *nl, const struct nl_route *r)
{
	struct nl_find_route f = { .want = r };
	int rc;

	if (plan_dropped(r->ifindex))
		return 0;
	rc = nl_dump(nl, RTM_GETROUTE,
		     ipaddr_is4(&r->gw) ? AF_INET : AF_INET6, nl_on_route, &f);
	return rc ? rc : f.found;
}

static int nl_on_local(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	bool *local = arg;

	if (nlh->nlmsg_type == RTM_NEWROUTE &&
	    mnl_nlmsg_get_payload_len(nlh) >= sizeof(*rtm))
		*local = rtm->rtm_type == RTN_LOCAL;
	return MNL_CB_OK;
}

int nl_is_local(struct nl *nl, const struct ipaddr *a)
{
	_Alignas(struct nlmsghdr) uint8_t req[NL_REQ];
	struct nlmsghdr *nlh = nl_start(req, RTM_GETROUTE, NLM_F_ACK);
	struct rtmsg *rtm;
	bool local = false;
	int rc;

	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = ipaddr_is4(a) ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = ipaddr_is4(a) ? 32 : 128;
	if (!nl_put_addr(nlh, sizeof(req), RTA_DST, a))
		return -ENOBUFS;
	rc = nl_talk(nl, nlh, nl_on_local, &local);
	return rc ? rc : local;
}

static void nl_link_kind(const struct nlattr *info, struct nl_link *l)
{
	struct nlattr *attr;

	mnl_attr_for_each_nested(attr, info)
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
		    !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
			(void)span_copy(span_str(mnl_attr_get_str(attr)),
					l->kind, sizeof(l->kind));
}

/* RTM_DELLINK has the same form */
static bool nl_link_parse(const struct nlmsghdr *nlh, struct nl_link *l)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct nlattr *attr;

	if ((nlh->nlmsg_type != RTM_NEWLINK &&
	     nlh->nlmsg_type != RTM_DELLINK) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi))
		return false;
	*l = (struct nl_link){ .index = (unsigned int)ifi->ifi_index,
			       .flags = ifi->ifi_flags,
			       .type = ifi->ifi_type };
	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
				return false;
			(void)span_copy(span_str(mnl_attr_get_str(attr)),
					l->name, sizeof(l->name));
			break;
		case IFLA_MTU:
			if (!mnl_attr_validate(attr, MNL_TYPE_U32))
				l->mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_ADDRESS:
			l->has_mac = mnl_attr_get_payload_len(attr) == 6;
			if (l->has_mac)
				memcpy(l->mac, mnl_attr_get_payload(attr), 6);
			break;
		case IFLA_LINKINFO:
			nl_link_kind(attr, l);
			break;
		default:
			break;
		}
	}
	return l->name[0];
}

struct nl_each_link {
	bool (*fn)(const struct nl_link *l, void *arg);
	void *arg;
	bool found;
};

static int nl_on_link(const struct nlmsghdr *nlh, void *arg)
{
	struct nl_each_link *e = arg;
	struct nl_link l;

	e->found = nl_link_parse(nlh, &l) && e->fn(&l, e->arg);
	return e->found ? MNL_CB_STOP : MNL_CB_OK;
}

int nl_links(struct nl *nl, bool (*fn)(const struct nl_link *l, void *arg),
	     void *arg)
{
	struct nl_each_link e = { .fn = fn, .arg = arg };
	int rc = nl_dump(nl, RTM_GETLINK, AF_UNSPEC, nl_on_link, &e);

	return rc ? rc : e.found;
}

int nl_events_open(void)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);
	int rc;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)(void *)&sa, sizeof(sa)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

int nl_events_read(int fd,
		   void (*fn)(const struct nl_link *l, bool gone, void *arg),
		   void *arg)
{
	_Alignas(struct nlmsghdr) uint8_t buf[8192];
	int rc = 0;

	for (;;) {
		const struct nlmsghdr *nlh = (const void *)buf;
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		int left = (int)n;
		struct nl_link l;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			rc = -ENOBUFS;
			continue;
		}
		if (n <= 0)
			return rc;
		for (; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			if (nl_link_parse(nlh, &l))
				fn(&l, nlh->nlmsg_type == RTM_DELLINK, arg);
	}
}

static uint64_t nl_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void nl_ignore(const struct nl_link *l, bool gone, void *arg)
{
	(void)l;
	(void)gone;
	(void)arg;
}

int nl_wait_link(struct nl *nl,
		 bool (*match)(const struct nl_link *l, void *arg), void *arg,
		 unsigned int max_ms)
{
	uint64_t end = nl_now_ms() + max_ms, now;
	int fd = -1, rc;

	/* Listen first, then look: nothing can slip through between */
	if (max_ms) {
		fd = nl_events_open();
		if (fd < 0)
			return fd;
	}
	for (;;) {
		rc = nl_links(nl, match, arg);
		now = nl_now_ms();
		if (rc || fd < 0 || now >= end)
			break;
		struct pollfd p = { .fd = fd, .events = POLLIN };

		(void)poll(&p, 1, (int)(end - now));
		/* Whatever changed, the dump shows it */
		(void)nl_events_read(fd, nl_ignore, NULL);
	}
	if (fd >= 0)
		close(fd);
	return rc < 0 ? rc : rc ? 0 : -ENODEV;
}
