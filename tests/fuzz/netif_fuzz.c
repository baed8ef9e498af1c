#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/netif.h"
#include "gateway/stack/udp.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "link/memlink.h"

/*
 * Whole frames with their virtio-net header, through a netif.
 *
 * Input: one byte of settings, then records of u16 length and that many bytes:
 * 12 of header, then a frame.  Bit 0 of the settings repairs IPv4 header
 * checksums and vouches for those of upper layers, so that the fuzzer gets past
 * them; bits 1 to 3 say in what pieces a frame comes; bit 4 lets no offload pass;
 * bit 5 lets the gateway ask whether the guest is there; after each record the
 * clock moves on.
 */

#define FIX	1
#define PIECES(s)	((s) >> 1 & 7)
#define PLAIN	16
#define NUD	32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile uint8_t sink;

/* A read past the end of any piece is found by the sanitizer */
static void touch(const struct iovec *iov, int n, size_t want)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;

		for (size_t k = 0; k < iov[i].iov_len; k++)
			sink = (uint8_t)(sink ^ p[k]);
		sum += iov[i].iov_len;
	}
	ASSERT(sum == want);
}

static void tcp_input(void *arg, const struct pkt *p)
{
	const struct netif *n = arg;

	ASSERT(netif_is_guest(n, &p->src) && !netif_is_guest(n, &p->dst));
	ASSERT(p->l4_head >= MIN(p->len, (size_t)60));
	ASSERT(p->l4_head <= p->len && p->l4 >= p->ip);
	ASSERT(p->l4 + p->l4_head <= p->ip + p->ip_head);
	touch(p->iov, p->n, p->len);
	for (size_t i = 0; i < p->ip_head; i++)
		sink = (uint8_t)(sink ^ p->ip[i]);
	pkt_csum_ok(p);
}

static void dhcp_input(void *arg, const struct pkt *p)
{
	(void)arg;
	ASSERT(ipaddr_is_broadcast4(&p->dst) && p->len >= 8);
	touch(p->iov, p->n, p->len);
}

static void udp_recv(void *arg, const struct udp_dgram *d)
{
	struct udp *u = arg;

	touch(d->iov, d->n, d->len);
	udp_send(u, &d->dst, d->dport, &d->src, d->sport, d->iov, d->n);
}

static bool ping(void *arg, const struct pkt *p)
{
	(void)arg;
	(void)p;
	return true;
}

static void echo(void *arg, const struct pkt *p, uint16_t id, uint16_t seq,
		 const struct iovec *data, int n)
{
	struct icmp *ic = arg;

	touch(data, n, p->len - 8);
	icmp_echo_reply(ic, &p->dst, &p->src, p->ttl, id, seq, data, n);
	icmp_error(ic, ICMP_ERR_TTL, &p->dst, p->ip, p->ip_head, 0);
}

static const struct icmp_ops icmp_ops = { .ping = ping, .echo = echo };

static void came_back(struct memlink *m, const struct link_vnet *vh,
		      const uint8_t *frame, size_t len)
{
	ASSERT(link_vnet_check(vh, len, m->link.can_send) == 0);
	for (size_t i = 0; i < len; i++)
		sink = (uint8_t)(sink ^ frame[i]);
}

static void repair(uint8_t *frame, size_t len)
{
	size_t hlen = len > ETH_HDR_LEN ? (frame[ETH_HDR_LEN] & 15) * 4u : 0;
	uint8_t *h = frame + ETH_HDR_LEN;
	uint16_t v;

	if (hlen < 20 || h[0] >> 4 != 4 || hlen > len - ETH_HDR_LEN)
		return;
	h[10] = h[11] = 0;
	v = csum_block(h, hlen);
	h[10] = (uint8_t)(v >> 8);
	h[11] = (uint8_t)v;
}

static void deliver(struct link *l, uint8_t set, const uint8_t *b, size_t len)
{
	static const size_t steps[8] = { 1 << 20, 1, 13, 34, 60, 100, 255, 256 };
	struct iovec iov[LINK_IOV_MAX];
	size_t step = MAX(steps[PIECES(set)], len / LINK_IOV_MAX + 1);
	uint8_t *frame = malloc(len ? len : 1);
	struct link_vnet vh;
	int n = 0;

	if (!frame)
		return;
	link_vnet_get(b, &vh);
	if (len)
		memcpy(frame, b + LINK_VNET_LEN, len);
	if (set & FIX)
		repair(frame, len);
	if ((set & FIX) && !(set & PLAIN))
		vh.flags |= LINK_VNET_F_DATA_VALID;
	for (size_t off = 0; off < len; off += step) {
		iov[n].iov_base = frame + off;
		iov[n++].iov_len = MIN(step, len - off);
	}
	link_input(l, &vh, iov, n);
	link_input_done(l);
	free(frame);
}

static void conf_init(struct netif_conf *c)
{
	static const uint8_t mac[6] = { 2, 0x6d, 0x73, 0, 0, 1 };
	static const uint8_t guest[6] = { 2, 0x6d, 0x73, 0, 0, 2 };
	static const uint8_t gw6[16] = { 0xfd, 0x42, 0x6d, 0x73, 0, 0x62,
					 [15] = 1 };
	static const uint8_t guest6[16] = { 0xfd, 0x42, 0x6d, 0x73, 0, 0x62,
					    [15] = 2 };

	*c = (struct netif_conf){ .mtu = 1500, .v4 = true, .v6 = true,
				  .plen4 = 30, .plen6 = 64 };
	memcpy(c->mac, mac, 6);
	memcpy(c->guest_mac, guest, 6);
	c->gw4 = ipaddr_host4(0x64600001);
	c->guest4 = ipaddr_host4(0x64600002);
	c->gw6 = ipaddr_v6(gw6);
	c->guest6 = ipaddr_v6(guest6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct memlink mem;
	struct rd r = rd_init(data, len);
	struct netif_conf conf;
	uint8_t set = rd_u8(&r);
	struct timerq tq;
	struct netif n;
	struct icmp ic;
	struct udp u;

	conf_init(&conf);
	conf.nud = set & NUD;
	if (timerq_init(&tq, 4))
		return 0;
	memset(&mem, 0, sizeof(mem));
	memlink_init(&mem, set & PLAIN ? 0 : LINK_F_CSUM | LINK_F_TSO4 |
		     LINK_F_TSO6 | LINK_F_USO4 | LINK_F_USO6, came_back, NULL);
	ASSERT(netif_init(&n, &conf, &tq) == 0);
	netif_set_l4(&n, NETIF_L4_TCP, tcp_input, &n);
	netif_set_l4(&n, NETIF_L4_DHCP, dhcp_input, &n);
	udp_init(&u, &n, udp_recv, &u);
	icmp_init(&ic, &n, &icmp_ops, &ic);
	netif_attach(&n, &mem.link);
	while (rd_left(&r)) {
		size_t k = rd_u16(&r);
		const uint8_t *b = rd_take(&r, k);

		if (b && k >= LINK_VNET_LEN)
			deliver(&mem.link, set, b, k - LINK_VNET_LEN);
		timerq_run(&tq, timerq_now(&tq) + NS_PER_S);
	}
	netif_detach(&n);
	netif_done(&n);
	ASSERT(timerq_next(&tq) == TIMERQ_NEVER);
	timerq_free(&tq);
	return 0;
}
