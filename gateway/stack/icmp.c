#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "base/wr.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/ip.h"
#include "gateway/wire/icmp4.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/udp.h"

#define HDR_LEN		8	/* of both families */
#define CSUM_OFF	2
#define QUOTE4_MAX	(576 - IP4_HDR_LEN - HDR_LEN)	/* RFC 1812 4.3.2.3 */
#define QUOTE6_MAX	(IP6_MTU_MIN - IP6_HDR_LEN - HDR_LEN)

/* A thousand errors a second, a hundred of them at once (RFC 4443 2.4 f) */
#define ERR_COST_NS	NS_PER_MS
#define ERR_BURST	100

COUNT(drop_icmp_short, "ICMP messages shorter than their header");
COUNT(drop_icmp_csum, "ICMP messages with a wrong checksum");
COUNT(drop_icmp_type, "ICMP messages that nobody here answers");
COUNT(drop_icmp_err_form, "Errors of the guest that quote nothing of ours");
COUNT(drop_icmp_ping_denied, "Echo requests to the gateway, not allowed");
COUNT(drop_icmp_no_echo, "Echo requests to others that nobody relays");
COUNT(drop_icmp_reply, "Echo replies lost because the link was full");
COUNT(drop_icmp_err_quote, "Errors not sent: the packet may not cause one");
COUNT(drop_icmp_err_rate, "Errors not sent: too many");
COUNT(drop_ttl, "Packets whose time to live ended at the gateway");
COUNT(icmp_errors, "Errors sent to the guest");

static void ping_gateway(struct icmp *ic, const struct pkt *p, uint16_t id,
			 uint16_t seq, const struct iovec *data, int n)
{
	if (!ic->ops || !ic->ops->ping || !ic->ops->ping(ic->arg, p))
		count_inc(drop_icmp_ping_denied);
	else if (icmp_echo_reply(ic, &p->dst, &p->src, 0, id, seq, data, n))
		count_inc(drop_icmp_reply);
}

/* RFC 5927 4.1: what it quotes must be a datagram from us to the guest */
static bool quotes_ours(const struct pkt *p, struct rd r,
			struct icmp_unreach *u)
{
	const bool v4 = ipaddr_is4(&p->dst);
	struct udp_hdr h;
	struct ip4 h4;
	struct ip6 h6;

	if (v4) {
		if (ip4_parse(&r, &h4) || h4.proto != IPPROTO_UDP || h4.off)
			return false;
		u->peer = h4.src;
		u->guest = h4.dst;
	} else {
		if (ip6_parse(&r, &h6) || h6.next != IPPROTO_UDP)
			return false;
		u->peer = h6.src;
		u->guest = h6.dst;
	}
	if (udp_parse(&r, &h) || !ipaddr_eq(&u->guest, &p->src) ||
	    !ipaddr_eq(&u->peer, &p->dst))
		return false;
	u->pport = h.sport;
	u->gport = h.dport;
	return true;
}

/* The rest of the message is in @r */
static void port_unreachable(struct icmp *ic, const struct pkt *p, struct rd r)
{
	struct icmp_unreach u;

	if (!quotes_ours(p, r, &u))
		count_inc(drop_icmp_err_form);
	else if (ic->unreach)
		ic->unreach(ic->unreach_arg, &u);
	else
		count_inc(drop_icmp_type);
}

static bool is_port_unreachable(bool v4, const struct icmp4 *m)
{
	return v4 ? m->type == ICMP4_UNREACH &&
		    m->code == ICMP4_UNREACH_PORT :
		    m->type == ICMP6_UNREACH && m->code == ICMP6_UNREACH_PORT;
}

static void icmp_input(void *arg, const struct pkt *p)
{
	uint8_t echo = ipaddr_is4(&p->dst) ? ICMP4_ECHO : ICMP6_ECHO;
	struct rd r = rd_init(p->l4, p->l4_head);
	struct iovec data[LINK_IOV_MAX + 1];
	struct icmp *ic = arg;
	struct icmp4 m;		/* the same 8 bytes in ICMPv6 */
	uint16_t id, seq;
	int n;

	if (icmp4_parse(&r, &m)) {
		count_inc(drop_icmp_short);
		return;
	}
	if (!pkt_csum_ok(p)) {
		count_inc(drop_icmp_csum);
		return;
	}
	if (is_port_unreachable(ipaddr_is4(&p->dst), &m)) {
		port_unreachable(ic, p, r);
		return;
	}
	if (m.type != echo || m.code) {
		count_inc(drop_icmp_type);
		return;
	}
	id = (uint16_t)(m.rest >> 16);
	seq = (uint16_t)m.rest;
	n = iov_slice(p->iov, p->n, HDR_LEN, p->len - HDR_LEN, data,
		      (int)ARRAY_SIZE(data));
	ASSERT(n >= 0);
	if (netif_is_gw(ic->netif, &p->dst))
		ping_gateway(ic, p, id, seq, data, n);
	else if (!icmp_hop(ic, p))
		return;
	else if (ic->ops && ic->ops->echo)
		ic->ops->echo(ic->arg, p, id, seq, data, n);
	else
		count_inc(drop_icmp_no_echo);
}

void icmp_init(struct icmp *ic, struct netif *n, const struct icmp_ops *ops,
	       void *arg)
{
	*ic = (struct icmp){ .netif = n, .ops = ops, .arg = arg,
			     .err_tokens = ERR_BURST * ERR_COST_NS,
			     .err_ns = timerq_now(n->tq) };
	n->icmp = ic;
	netif_set_l4(n, NETIF_L4_ICMP, icmp_input, ic);
}

enum icmp_err icmp_err_of(int err)
{
	switch (err) {
	case ENETUNREACH:
		return ICMP_ERR_NET_UNREACH;
	case ECONNREFUSED:
		return ICMP_ERR_PORT_UNREACH;
	case EACCES:
	case EPERM:
		return ICMP_ERR_ADMIN;
	case EMSGSIZE:
		return ICMP_ERR_TOO_BIG;
	default:
		return ICMP_ERR_HOST_UNREACH;
	}
}

/* Token bucket, counted in ns of credit */
static bool may_send(struct icmp *ic)
{
	uint64_t now = timerq_now(ic->netif->tq);

	ic->err_tokens += now - ic->err_ns;
	ic->err_tokens = MIN(ic->err_tokens, ERR_BURST * ERR_COST_NS);
	ic->err_ns = now;
	if (ic->err_tokens < ERR_COST_NS)
		return false;
	ic->err_tokens -= ERR_COST_NS;
	return true;
}

static void what4(enum icmp_err what, uint32_t mtu, struct icmp4 *m)
{
	static const struct {
		uint8_t type, code;
	} map[] = {
		[ICMP_ERR_NET_UNREACH] = { ICMP4_UNREACH, ICMP4_UNREACH_NET },
		[ICMP_ERR_HOST_UNREACH] = { ICMP4_UNREACH, ICMP4_UNREACH_HOST },
		[ICMP_ERR_PORT_UNREACH] = { ICMP4_UNREACH, ICMP4_UNREACH_PORT },
		[ICMP_ERR_PROTO_UNREACH] = { ICMP4_UNREACH,
					     ICMP4_UNREACH_PROTO },
		[ICMP_ERR_ADMIN] = { ICMP4_UNREACH, ICMP4_UNREACH_ADMIN },
		[ICMP_ERR_TOO_BIG] = { ICMP4_UNREACH, ICMP4_UNREACH_TOO_BIG },
		[ICMP_ERR_TTL] = { ICMP4_TIME_EXCEEDED, 0 },
		[ICMP_ERR_REASSEMBLY] = { ICMP4_TIME_EXCEEDED, 1 },
		[ICMP_ERR_PARAM] = { ICMP4_PARAM_PROB, 0 },
		[ICMP_ERR_FIRST_FRAG] = { ICMP4_PARAM_PROB, 0 },
	};

	_Static_assert(ARRAY_SIZE(map) == ICMP_ERR_NUM, "one for each");
	m->type = map[what].type;
	m->code = map[what].code;
	m->rest = what == ICMP_ERR_TOO_BIG ? MIN(mtu, UINT16_MAX) : 0;
}

/* @proto_at is where the quotation names the protocol that nobody knows */
static void what6(enum icmp_err what, uint32_t info, size_t proto_at,
		  struct icmp6 *m)
{
	static const struct {
		uint8_t type, code;
	} map[] = {
		[ICMP_ERR_NET_UNREACH] = { ICMP6_UNREACH, ICMP6_UNREACH_ROUTE },
		[ICMP_ERR_HOST_UNREACH] = { ICMP6_UNREACH, ICMP6_UNREACH_ADDR },
		[ICMP_ERR_PORT_UNREACH] = { ICMP6_UNREACH, ICMP6_UNREACH_PORT },
		[ICMP_ERR_PROTO_UNREACH] = { ICMP6_PARAM_PROB,
					     ICMP6_PARAM_NEXT },
		[ICMP_ERR_ADMIN] = { ICMP6_UNREACH, ICMP6_UNREACH_ADMIN },
		[ICMP_ERR_TOO_BIG] = { ICMP6_TOO_BIG, 0 },
		[ICMP_ERR_TTL] = { ICMP6_TIME_EXCEEDED, 0 },
		[ICMP_ERR_REASSEMBLY] = { ICMP6_TIME_EXCEEDED, 1 },
		[ICMP_ERR_PARAM] = { ICMP6_PARAM_PROB, 0 },
		[ICMP_ERR_FIRST_FRAG] = { ICMP6_PARAM_PROB,
					  ICMP6_PARAM_FIRST_FRAG },
	};

	_Static_assert(ARRAY_SIZE(map) == ICMP_ERR_NUM, "one for each");
	m->type = map[what].type;
	m->code = map[what].code;
	m->rest = 0;
	if (what == ICMP_ERR_TOO_BIG || what == ICMP_ERR_PARAM)
		m->rest = info;
	else if (what == ICMP_ERR_PROTO_UNREACH)
		m->rest = (uint32_t)proto_at;
}

/**
 * struct quoted - What an error needs to know of the packet it is about
 * @proto_at:	Where it names its protocol
 */
struct quoted {
	struct ipaddr src, dst;
	size_t proto_at;
};

static bool quote4(struct rd r, struct quoted *q)
{
	struct ip4 h;

	if (ip4_parse(&r, &h) || h.off)
		return false;
	q->src = h.src;
	q->dst = h.dst;
	q->proto_at = 9;
	return h.proto != IPPROTO_ICMP ||
	       (rd_left(&r) && !icmp4_is_error(rd_u8(&r)));
}

static bool quote6(struct rd r, struct quoted *q)
{
	struct ip6_ext x;
	struct ip6 h;
	uint8_t type;

	if (ip6_parse(&r, &h) || ip6_ext_parse(&r, h.next, &x) || x.off)
		return false;
	q->src = h.src;
	q->dst = h.dst;
	q->proto_at = x.proto_at;
	if (x.proto != IPPROTO_ICMPV6)
		return true;
	if (!rd_left(&r))
		return false;
	type = rd_u8(&r);
	return !icmp6_is_error(type) && type != ICMP6_REDIRECT;
}

/* Whether RFC 1122 3.2.2 and RFC 4443 2.4 e allow an error about this packet */
static bool quote_ok(const struct netif *n, const uint8_t *quote, size_t len,
		     struct quoted *q)
{
	struct rd r = rd_init(quote, len);

	if (!len || !(quote[0] >> 4 == 4 ? quote4(r, q) : quote6(r, q)))
		return false;
	return netif_is_guest(n, &q->src) && !ipaddr_is_multicast(&q->dst) &&
	       !ipaddr_is_broadcast4(&q->dst) && !ipaddr_is_any(&q->dst);
}

static int send_error(struct icmp *ic, const struct ip_args *a,
		      const struct icmp4 *m, const uint8_t *quote, size_t len)
{
	uint8_t hdr[HDR_LEN];
	struct wr w = wr_init(hdr, sizeof(hdr));
	struct iovec iov[2] = {
		{ .iov_base = hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)(uintptr_t)quote, .iov_len = len },
	};
	int rc;

	icmp4_emit(m, &w);
	rc = ip_send(ic->netif, a, iov, 2, CSUM_OFF);
	if (rc == 0)
		count_inc(icmp_errors);
	return rc;
}

int icmp_error(struct icmp *ic, enum icmp_err what, const struct ipaddr *from,
	       const uint8_t *quote, size_t len, uint32_t info)
{
	struct icmp4 m = { 0 };
	struct icmp6 m6 = { 0 };
	struct ip_args a = { .src = *from, .df = true };
	struct quoted q;
	bool v4 = ipaddr_is4(from);

	ASSERT(what < ICMP_ERR_NUM);
	if (!quote_ok(ic->netif, quote, len, &q) ||
	    ipaddr_is4(&q.src) != v4 ||
	    (v4 && (what == ICMP_ERR_PARAM || what == ICMP_ERR_FIRST_FRAG)) ||
	    (what == ICMP_ERR_TOO_BIG &&
	     info < (v4 ? IP4_MTU_MIN : IP6_MTU_MIN))) {
		count_inc(drop_icmp_err_quote);
		return 0;
	}
	if (!may_send(ic)) {
		count_inc(drop_icmp_err_rate);
		return -EBUSY;
	}
	a.dst = q.src;
	a.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	if (v4) {
		what4(what, info, &m);
	} else {
		what6(what, info, q.proto_at, &m6);
		m = (struct icmp4){ .type = m6.type, .code = m6.code,
				    .rest = m6.rest };
	}
	return send_error(ic, &a, &m, quote,
			  MIN(len, (size_t)(v4 ? QUOTE4_MAX : QUOTE6_MAX)));
}

int icmp_error_l4(struct icmp *ic, enum icmp_err what,
		  const struct ipaddr *from, const struct ipaddr *src,
		  const struct ipaddr *dst, uint8_t proto, const uint8_t *l4,
		  size_t len, uint32_t mtu)
{
	const uint8_t ttl = what == ICMP_ERR_TTL ? 1 : 64;
	uint8_t buf[IP6_MTU_MIN];
	struct wr w = wr_init(buf, sizeof(buf));

	len = MIN(len, (size_t)QUOTE4_MAX);
	if (ipaddr_is4(src)) {
		struct ip4 h = { .ttl = ttl, .proto = proto, .df = true,
				 .len = (uint16_t)(IP4_HDR_LEN + len),
				 .src = *src, .dst = *dst };

		ip4_emit(&h, &w);
	} else {
		struct ip6 h = { .hop = ttl, .next = proto,
				 .plen = (uint16_t)len, .src = *src,
				 .dst = *dst };

		ip6_emit(&h, &w);
	}
	wr_bytes(&w, l4, len);
	ASSERT(!w.bad);
	return icmp_error(ic, what, from, buf, wr_len(&w), mtu);
}

bool icmp_hop(struct icmp *ic, const struct pkt *p)
{
	const struct netif_conf *c = &ic->netif->conf;

	if (p->ttl > 1 || netif_is_gw(ic->netif, &p->dst))
		return true;
	count_inc(drop_ttl);
	icmp_error(ic, ICMP_ERR_TTL, ipaddr_is4(&p->dst) ? &c->gw4 : &c->gw6,
		   p->ip, p->ip_head, 0);
	return false;
}

int icmp_echo_reply(struct icmp *ic, const struct ipaddr *from,
		    const struct ipaddr *to, uint8_t ttl, uint16_t id,
		    uint16_t seq, const struct iovec *data, int n)
{
	bool v4 = ipaddr_is4(from);
	struct icmp4 m = { .type = v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY,
			   .rest = (uint32_t)id << 16 | seq };
	struct ip_args a = { .src = *from, .dst = *to, .ttl = ttl,
			     .proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6 };
	struct iovec iov[LINK_IOV_MAX + 2];
	uint8_t hdr[HDR_LEN];
	struct wr w = wr_init(hdr, sizeof(hdr));

	if (n > LINK_IOV_MAX + 1)
		return -EMSGSIZE;
	icmp4_emit(&m, &w);
	iov[0].iov_base = hdr;
	iov[0].iov_len = sizeof(hdr);
	if (n)
		memcpy(iov + 1, data, (size_t)n * sizeof(*data));
	return ip_send(ic->netif, &a, iov, n + 1, CSUM_OFF);
}
