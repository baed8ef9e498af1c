#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <string.h>

#include "base/util.h"
#include "gateway/relay/path.h"

/* #syscalls setsockopt recvmsg */

static void set_int(int fd, int level, int opt, int v)
{
	setsockopt(fd, level, opt, &v, sizeof(v));
}

void path_open(int fd, bool v4)
{
	if (v4)
		set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	else
		set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

struct path path_of(const struct pkt *p)
{
	return (struct path){ .ttl = (uint8_t)MAX(p->ttl - 1, 1),
			      .tos = p->tos, .df = p->df, .set = true };
}

bool path_is(const struct path *now, const struct path *want)
{
	return now->ttl == want->ttl && now->tos == want->tos &&
	       now->df == want->df && now->set;
}

void path_set(int fd, bool v4, struct path *now, const struct path *want)
{
	const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;

	if (!now->set || now->ttl != want->ttl)
		set_int(fd, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, want->ttl);
	if (now->tos != want->tos)	/* 0 on a new socket */
		set_int(fd, level, v4 ? IP_TOS : IPV6_TCLASS, want->tos);
	if (!now->set || now->df != want->df)
		set_int(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
			want->df ? (v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO) :
			(v4 ? IP_PMTUDISC_DONT : IPV6_PMTUDISC_DONT));
	*now = *want;
}

static enum icmp_err error_of(const struct sock_extended_err *ee)
{
	if ((ee->ee_origin == SO_EE_ORIGIN_ICMP &&
	     ee->ee_type == ICMP_TIME_EXCEEDED) ||
	    (ee->ee_origin == SO_EE_ORIGIN_ICMP6 &&
	     ee->ee_type == ICMPV6_TIME_EXCEED))
		return ICMP_ERR_TTL;
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP &&
	    ee->ee_type == ICMP_DEST_UNREACH &&
	    ee->ee_code == ICMP_PROT_UNREACH)
		return ICMP_ERR_PROTO_UNREACH;
	return icmp_err_of((int)ee->ee_errno);
}

/* @addr follows the entry in the same buffer, as long as its family needs */
static void fill(struct path_error *e, const struct sock_extended_err *ee,
		 const uint8_t *addr, size_t len)
{
	struct sockaddr_storage ss;

	memset(&ss, 0, sizeof(ss));
	memcpy(&ss, addr, MIN(len, sizeof(ss)));
	e->what = error_of(ee);
	e->local = ee->ee_origin == SO_EE_ORIGIN_LOCAL;
	e->mtu = ee->ee_info;
	e->told = !e->local && ipaddr_from_sa(&ss, &e->from, NULL) == 0 &&
		  !ipaddr_is_any(&e->from) && !ipaddr_is_loopback(&e->from);
}

int path_error(int fd, void *buf, size_t size, struct path_error *e)
{
	const size_t least = CMSG_LEN(sizeof(struct sock_extended_err));
	_Alignas(struct cmsghdr) char ctl[256];
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr m = { .msg_name = &e->to, .msg_namelen = sizeof(e->to),
			    .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	ssize_t n;

	memset(e, 0, sizeof(*e));
	n = recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	e->len = (size_t)n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct sock_extended_err ee;

		if (!((c->cmsg_level == IPPROTO_IP &&
		       c->cmsg_type == IP_RECVERR) ||
		      (c->cmsg_level == IPPROTO_IPV6 &&
		       c->cmsg_type == IPV6_RECVERR)) || c->cmsg_len < least)
			continue;
		memcpy(&ee, CMSG_DATA(c), sizeof(ee));
		fill(e, &ee, CMSG_DATA(c) + sizeof(ee), c->cmsg_len - least);
		return 1;
	}
	return 0;
}
