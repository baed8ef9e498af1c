#include "tests/unit/guest.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/udp.h"

const uint8_t guest_mac[6] = { 2, 0x6d, 0x73, 0, 0, 2 };
const uint8_t guest_gw_mac[6] = { 2, 0x6d, 0x73, 0, 0, 1 };

static void came_back(struct memlink *m, const struct link_vnet *vh,
		      const uint8_t *frame, size_t len)
{
	struct guest *g = m->arg;
	struct guest_frame *f = &g->out[g->nout];

	assert_true(g->nout < GUEST_FRAMES);
	f->vh = *vh;
	f->len = len;
	f->b = malloc(len);
	assert_non_null(f->b);
	memcpy(f->b, frame, len);
	g->nout++;
}

struct guest *guest_new(uint32_t features, uint16_t mtu)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct netif_conf c = {
		.mtu = mtu, .v4 = true, .v6 = true, .plen4 = 30, .plen6 = 64,
		.gw4 = guest_addr("100.96.0.1"),
		.guest4 = guest_addr("100.96.0.2"),
		.gw6 = guest_addr("fd42:6d73:62::1"),
		.guest6 = guest_addr("fd42:6d73:62::2"),
	};

	assert_non_null(g);
	memcpy(c.mac, guest_gw_mac, 6);
	memcpy(c.guest_mac, guest_mac, 6);
	assert_int_equal(timerq_init(&g->tq, 8), 0);
	timerq_set_now(&g->tq, NS_PER_S);
	assert_int_equal(netif_init(&g->n, &c, &g->tq), 0);
	memlink_init(&g->mem, features, came_back, g);
	netif_attach(&g->n, &g->mem.link);
	return g;
}

void guest_clear(struct guest *g)
{
	while (g->nout > 0)
		free(g->out[--g->nout].b);
}

void guest_free(struct guest *g)
{
	guest_clear(g);
	netif_detach(&g->n);
	netif_done(&g->n);
	assert_int_equal(g->tq.n, 0);	/* no timer is left behind */
	timerq_free(&g->tq);
	free(g);
}

struct ipaddr guest_addr(const char *text)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(span_str(text), &a), 0);
	return a;
}

size_t guest_eth(uint8_t *b, uint16_t type)
{
	struct wr w = wr_init(b, ETH_HDR_LEN);
	struct eth e = { .type = type };

	memcpy(e.dst, guest_gw_mac, 6);
	memcpy(e.src, guest_mac, 6);
	eth_emit(&e, &w);
	return ETH_HDR_LEN;
}

size_t guest_ip(uint8_t *b, const char *src, const char *dst, uint8_t proto,
		const void *l4, size_t len)
{
	struct ipaddr s = guest_addr(src), d = guest_addr(dst);
	bool v4 = ipaddr_is4(&s);
	size_t at = guest_eth(b, v4 ? ETH_TYPE_IP4 : ETH_TYPE_IP6);
	struct wr w = wr_init(b + at, IP6_HDR_LEN);
	struct ip4 h4 = { .ttl = 64, .proto = proto, .src = s, .dst = d,
			  .len = (uint16_t)(IP4_HDR_LEN + len) };
	struct ip6 h6 = { .hop = 64, .next = proto, .src = s, .dst = d,
			  .plen = (uint16_t)len };

	if (v4)
		ip4_emit(&h4, &w);
	else
		ip6_emit(&h6, &w);
	at += wr_len(&w);
	if (len)
		memcpy(b + at, l4, len);
	return at + len;
}

void guest_l4_csum(const char *src, const char *dst, uint8_t proto,
		   uint8_t *l4, size_t len, size_t off)
{
	struct ipaddr s = guest_addr(src), d = guest_addr(dst);
	struct csum c = { 0 };
	uint16_t v;

	l4[off] = l4[off + 1] = 0;
	if (proto != IPPROTO_ICMP)
		csum_pseudo(&c, &s, &d, proto, (uint32_t)len);
	csum_add(&c, l4, len);
	v = csum_final(&c);
	l4[off] = (uint8_t)(v >> 8);
	l4[off + 1] = (uint8_t)v;
}

size_t guest_udp(uint8_t *l4, const char *src, const char *dst, uint16_t sport,
		 uint16_t dport, const void *data, size_t len)
{
	struct udp_hdr h = { .sport = sport, .dport = dport,
			     .len = (uint16_t)(UDP_HDR_LEN + len) };
	struct wr w = wr_init(l4, UDP_HDR_LEN);

	udp_emit(&h, &w);
	memcpy(l4 + UDP_HDR_LEN, data, len);
	guest_l4_csum(src, dst, IPPROTO_UDP, l4, h.len, UDP_CSUM_OFF);
	return h.len;
}

void guest_ip4_fix(uint8_t *frame)
{
	uint8_t *h = frame + ETH_HDR_LEN;
	uint16_t v;

	h[10] = h[11] = 0;
	v = csum_block(h, (size_t)(h[0] & 15) * 4);
	h[10] = (uint8_t)(v >> 8);
	h[11] = (uint8_t)v;
}

void guest_rx(struct guest *g, const struct link_vnet *vh, const uint8_t *b,
	      size_t len, size_t step)
{
	static const struct link_vnet plain;
	uint8_t *copy = malloc(len ? len : 1);
	struct iovec iov[LINK_IOV_MAX];
	int n = 0;

	assert_non_null(copy);
	if (len)
		memcpy(copy, b, len);
	if (!step)
		step = len ? len : 1;
	for (size_t off = 0; off < len; off += step) {
		assert_true(n < LINK_IOV_MAX);
		iov[n].iov_base = copy + off;
		iov[n++].iov_len = len - off < step ? len - off : step;
	}
	link_input(&g->mem.link, vh ? vh : &plain, iov, n);
	link_input_done(&g->mem.link);
	free(copy);
}

size_t guest_check_ip(const struct guest_frame *f, const char *src,
		      const char *dst, uint8_t proto, const uint8_t **l4)
{
	struct rd r = rd_init(f->b, f->len);
	struct ipaddr s = guest_addr(src), d = guest_addr(dst);
	struct csum c = { 0 };
	struct eth e;
	struct ip4 h4;
	struct ip6 h6;
	bool whole = proto != IPPROTO_FRAGMENT;

	assert_int_equal(eth_parse(&r, &e), 0);
	assert_memory_equal(e.src, guest_gw_mac, 6);
	if (ipaddr_is4(&s)) {
		assert_int_equal(e.type, ETH_TYPE_IP4);
		assert_int_equal(ip4_parse(&r, &h4), 0);
		assert_true(ipaddr_eq(&h4.src, &s) && ipaddr_eq(&h4.dst, &d));
		assert_int_equal(h4.len, f->len - ETH_HDR_LEN);
		assert_int_equal(h4.proto, proto);
		whole = !h4.mf && !h4.off;
	} else {
		assert_int_equal(e.type, ETH_TYPE_IP6);
		assert_int_equal(ip6_parse(&r, &h6), 0);
		assert_true(ipaddr_eq(&h6.src, &s) && ipaddr_eq(&h6.dst, &d));
		assert_int_equal(h6.plen, rd_left(&r));
		assert_int_equal(h6.next, proto);
	}
	if (proto != IPPROTO_ICMP)
		csum_pseudo(&c, &s, &d, proto, (uint32_t)rd_left(&r));
	csum_add(&c, r.p, rd_left(&r));
	if (whole && !(f->vh.flags & LINK_VNET_F_NEEDS_CSUM))
		assert_true(csum_ok(&c));
	if (l4)
		*l4 = r.p;
	return rd_left(&r);
}
