#include "tests/unit/guest.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/ip.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"

int ip_out_test(void);

#define G4	"100.96.0.2"
#define FAR4	"198.51.100.7"
#define G6	"fd42:6d73:62::2"
#define FAR6	"2001:db8::7"
#define TSO	(LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6)

static struct ip_args args(bool v6, uint8_t proto)
{
	return (struct ip_args){ .src = guest_addr(v6 ? FAR6 : FAR4),
				 .dst = guest_addr(v6 ? G6 : G4),
				 .proto = proto };
}

static size_t check(const struct guest_frame *f, bool v6, uint8_t proto,
		    const uint8_t **l4)
{
	return guest_check_ip(f, v6 ? FAR6 : FAR4, v6 ? G6 : G4, proto, l4);
}

static void fill(const struct iovec *iov, int n, size_t len)
{
	size_t k = 0;

	for (int i = 0; i < n; i++)
		for (size_t j = 0; j < iov[i].iov_len && k < len; j++)
			((uint8_t *)iov[i].iov_base)[j] = (uint8_t)(k++ * 13);
}

/* The field of a checksum that the link completes */
static void assert_partial(const struct guest_frame *f, bool v6, size_t off)
{
	size_t at = ETH_HDR_LEN + (v6 ? IP6_HDR_LEN : IP4_HDR_LEN);
	struct ipaddr s = guest_addr(v6 ? FAR6 : FAR4);
	struct ipaddr d = guest_addr(v6 ? G6 : G4);
	uint16_t want = csum_partial(&s, &d, IPPROTO_TCP,
				     (uint32_t)(f->len - at));

	assert_int_equal(f->vh.flags, LINK_VNET_F_NEEDS_CSUM);
	assert_int_equal(f->vh.csum_start, at);
	assert_int_equal(f->vh.csum_offset, off);
	assert_int_equal(f->b[at + off] << 8 | f->b[at + off + 1], want);
}

static void in_place(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bool v6 = i & 1, csum = i & 2;
		struct guest *g = guest_new(csum ? TSO : 0, 1500);
		struct ip_args a = args(v6, IPPROTO_TCP);
		const uint8_t *l4;
		struct ip_room r;

		assert_int_equal(ip_reserve(&g->n, &a, 32, 1001, &r), 0);
		assert_int_equal(r.pay_len, 1001);
		memset(r.l4, 0x77, 32);
		fill(r.pay, r.npay, 901);
		assert_int_equal(ip_commit(&g->n, &r, 901, 16, 0), 0);
		assert_int_equal(g->nout, 1);
		assert_int_equal(check(&g->out[0], v6, IPPROTO_TCP, &l4), 933);
		assert_int_equal(l4[0], 0x77);
		assert_int_equal(l4[32 + 900], (uint8_t)(900 * 13));
		assert_int_equal(g->out[0].vh.gso_type, 0);
		if (csum)
			assert_partial(&g->out[0], v6, 16);
		if (!v6) {	/* DF, ident 0 */
			assert_memory_equal(g->out[0].b + 18, "\0\0\x40\0", 4);
			assert_int_equal(g->out[0].b[22], 64);
		}
		assert_memory_equal(g->out[0].b, guest_mac, 6);
		guest_free(g);
	}
}

static void segmentation(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = guest_new(TSO, 1500);
		struct ip_args a = args(v6, IPPROTO_TCP);
		size_t max = ip_gso_max(&g->n, v6);
		const struct link_vnet *vh = &g->out[0].vh;
		struct ip_room r;

		assert_true(max > 65000 && max <= 65535 - 60);
		assert_int_equal(ip_reserve(&g->n, &a, 60, max, &r), 0);
		memset(r.l4, 0, 60);
		fill(r.pay, r.npay, max);
		assert_int_equal(ip_commit(&g->n, &r, max, 16, 1448), 0);
		assert_int_equal(vh->gso_type, v6 ? LINK_VNET_GSO_TCPV6 :
				 LINK_VNET_GSO_TCPV4);
		assert_int_equal(vh->gso_size, 1448);
		assert_int_equal(vh->hdr_len, v6 ? 114 : 94);
		assert_partial(&g->out[0], v6, 16);
		assert_int_equal(link_vnet_check(vh, g->out[0].len, TSO), 0);

		/* what fits into one segment is not to be cut */
		assert_int_equal(ip_reserve(&g->n, &a, 20, 1448, &r), 0);
		memset(r.l4, 0, 20);
		fill(r.pay, r.npay, 1448);
		assert_int_equal(ip_commit(&g->n, &r, 1448, 16, 1448), 0);
		assert_int_equal(g->out[1].vh.gso_type, 0);

		assert_int_equal(ip_reserve(&g->n, &a, 60, 65536, &r),
				 -EMSGSIZE);
		guest_free(g);
		g = guest_new(LINK_F_CSUM, 1500);
		assert_int_equal(ip_gso_max(&g->n, v6), 0);
		guest_free(g);
	}
}

static void reserve_fails(void **state)
{
	struct guest *g = guest_new(0, 1500);
	struct ip_args a = args(false, IPPROTO_TCP);
	struct ip_room r;

	(void)state;
	g->mem.refuse = true;
	assert_int_equal(ip_reserve(&g->n, &a, 20, 100, &r), -EAGAIN);
	g->mem.refuse = false;
	assert_int_equal(ip_reserve(&g->n, &a, 20, 100, &r), 0);
	ip_cancel(&g->n, &r);
	assert_int_equal(g->nout, 0);
	netif_detach(&g->n);
	assert_int_equal(ip_reserve(&g->n, &a, 20, 100, &r), -ENOTCONN);
	assert_int_equal(ip_gso_max(&g->n, false), 0);
	guest_free(g);
}

/* Fragments put together again are what was sent, with a good checksum */
static size_t reassemble(const struct guest *g, bool v6, uint8_t *out)
{
	size_t at = 0;

	for (int i = 0; i < g->nout; i++) {
		const struct guest_frame *f = &g->out[i];
		bool last = i == g->nout - 1, mf;
		const uint8_t *l4;
		size_t n = check(f, v6, v6 ? IPPROTO_FRAGMENT : IPPROTO_UDP,
				 &l4), off;

		assert_true(f->len - ETH_HDR_LEN <= g->n.conf.mtu);
		assert_int_equal(f->vh.flags, 0);
		if (v6) {
			struct rd r = rd_init(l4, n);
			struct ip6_ext x;

			assert_int_equal(ip6_ext_parse(&r, 44, &x), 0);
			assert_int_equal(x.proto, IPPROTO_UDP);
			assert_int_equal(x.id, 1);
			off = x.off;
			mf = x.mf;
			l4 += 8;
			n -= 8;
		} else {
			struct rd r = rd_init(f->b + 14, 20);
			struct ip4 h;

			assert_int_equal(ip4_parse(&r, &h), 0);
			assert_int_equal(h.id, 1);
			assert_false(h.df);
			off = h.off;
			mf = h.mf;
		}
		assert_int_equal(mf, !last);
		assert_int_equal(off, at);
		memcpy(out + at, l4, n);
		at += n;
	}
	return at;
}

static void gathered(void **state)
{
	static uint8_t b[65535], back[65535];
	static const size_t lens[] = { 8, 9, 60, 61, 1480, 1460, 1461, 1481,
				       2960, 2961, 9001, 65515, 65535 };

	(void)state;
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 7 + i / 253);
	for (int k = 0; k < 4; k++) {
		bool v6 = k & 1;

		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			struct guest *g = guest_new(k & 2 ? TSO : 0, 1500);
			struct ip_args a = args(v6, IPPROTO_UDP);
			size_t len = lens[i], cut = len / 3 + 1;
			bool one = len <= (v6 ? 1460 : 1480);
			struct iovec iov[2] = { { b, cut },
						{ b + cut, len - cut } };
			struct ipaddr s = a.src, d = a.dst;
			struct csum c = { 0 };

			if (!v6 && len > 65515) {
				assert_int_equal(ip_send(&g->n, &a, iov, 2, 6),
						 -EMSGSIZE);
				guest_free(g);
				continue;
			}
			assert_int_equal(ip_send(&g->n, &a, iov, 2, 6), 0);
			if (one) {
				assert_int_equal(g->nout, 1);
				assert_int_equal(check(&g->out[0], v6,
						       IPPROTO_UDP, NULL),
						 len);
				assert_int_equal(g->out[0].vh.flags,
						 k & 2 ? 1 : 0);
			} else {
				assert_int_equal(reassemble(g, v6, back), len);
				csum_pseudo(&c, &s, &d, IPPROTO_UDP,
					    (uint32_t)len);
				csum_add(&c, back, len);
				assert_true(csum_ok(&c));
				back[6] = b[6];
				back[7] = b[7];
				assert_memory_equal(back, b, len);
			}
			guest_free(g);
		}
	}
}

static void send_errors(void **state)
{
	static uint8_t b[4000];
	struct iovec iov = { b, sizeof(b) };
	struct ip_args a = args(false, IPPROTO_UDP);
	struct guest *g = guest_new(0, 1500);

	(void)state;
	a.df = true;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, 6), -EMSGSIZE);
	iov.iov_len = 100;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, 59), -EINVAL);
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, 58), 0);
	iov.iov_len = 7;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, 6), -EINVAL);
	guest_clear(g);
	count_reset();
	g->mem.refuse = true;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, -1), -EAGAIN);
	assert_int_equal(count_get("drop_tx_full"), 1);
	netif_detach(&g->n);
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, -1), -ENOTCONN);
	guest_free(g);
}

static void fields(void **state)
{
	static uint8_t b[16];
	struct iovec iov = { b, sizeof(b) };
	struct guest *g = guest_new(0, 1500);
	struct ip_args a = args(false, 89);

	(void)state;
	a.ttl = 3;
	a.tos = 0xb8;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, -1), 0);
	assert_int_equal(g->out[0].b[15], 0xb8);
	assert_int_equal(g->out[0].b[22], 3);
	assert_memory_equal(g->out[0].b + 34, b, 16);
	a.dst = guest_addr("255.255.255.255");
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, -1), 0);
	assert_memory_equal(g->out[1].b, "\xff\xff\xff\xff\xff\xff", 6);
	a = args(true, 89);
	a.tos = 0xb8;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, -1), 0);
	assert_memory_equal(g->out[2].b + 14, "\x6b\x80\0\0\0\x10\x59\x40", 8);
	guest_free(g);
}

/* A UDP checksum that comes to 0 is sent as 0xffff */
static void udp_zero(void **state)
{
	uint8_t b[10] = { 0, 1, 0, 2, 0, 10, 0, 0, 0, 0 };
	struct iovec iov = { b, sizeof(b) };
	struct ip_args a = args(false, IPPROTO_UDP);
	struct guest *g = guest_new(0, 1500);
	struct csum c = { 0 };
	uint16_t v;

	(void)state;
	csum_pseudo(&c, &a.src, &a.dst, IPPROTO_UDP, sizeof(b));
	csum_add(&c, b, sizeof(b));
	v = csum_final(&c);
	b[8] = (uint8_t)(v >> 8);
	b[9] = (uint8_t)v;
	assert_int_equal(ip_send(&g->n, &a, &iov, 1, 6), 0);
	assert_memory_equal(g->out[0].b + 34 + 6, "\xff\xff", 2);
	guest_free(g);
}

int ip_out_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_place),
		cmocka_unit_test(segmentation),
		cmocka_unit_test(reserve_fails),
		cmocka_unit_test(gathered),
		cmocka_unit_test(send_errors),
		cmocka_unit_test(fields),
		cmocka_unit_test(udp_zero),
	};

	return cmocka_run_group_tests_name("ip_out", tests, NULL, NULL);
}
