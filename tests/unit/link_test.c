#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "link/memlink.h"

int link_test(void);

#define ALL	(LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6 | LINK_F_USO4 | \
		 LINK_F_USO6)
#define NEEDS	LINK_VNET_F_NEEDS_CSUM
#define VALID	LINK_VNET_F_DATA_VALID
#define TCP4	LINK_VNET_GSO_TCPV4
#define TCP6	LINK_VNET_GSO_TCPV6
#define UDP	LINK_VNET_GSO_UDP_L4

static const struct {
	const char *name;
	struct link_vnet vh;	/* flags type hdr_len size start offset */
	size_t len;
	uint32_t can;
	int rc;
} checks[] = {
	{ "plain", { 0, 0, 0, 0, 0, 0 }, 60, 0, 0 },
	{ "plain, type's size ignored", { 0, 0, 0, 9, 0, 0 }, 60, 0, 0 },
	{ "valid", { VALID, 0, 0, 0, 0, 0 }, 60, ALL, 0 },
	{ "valid, not offered", { VALID, 0, 0, 0, 0, 0 }, 60, 0, -EBADMSG },
	{ "unknown flag", { 4, 0, 0, 0, 0, 0 }, 60, ALL, -EBADMSG },
	{ "all flags", { 0xff, 0, 0, 0, 34, 16 }, 60, ALL, -EBADMSG },
	{ "csum", { NEEDS, 0, 0, 0, 34, 16 }, 60, LINK_F_CSUM, 0 },
	{ "csum, not offered", { NEEDS, 0, 0, 0, 34, 16 }, 60, 0, -EBADMSG },
	{ "csum at the end", { NEEDS, 0, 0, 0, 42, 16 }, 60, ALL, 0 },
	{ "csum past it", { NEEDS, 0, 0, 0, 43, 16 }, 60, ALL, -EBADMSG },
	{ "csum far", { NEEDS, 0, 0, 0, 0xffff, 0xffff }, 60, ALL, -EBADMSG },
	{ "csum wraps", { NEEDS, 0, 0, 0, 34, 0xffff }, 60, ALL, -EBADMSG },
	{ "csum in Ethernet", { NEEDS, 0, 0, 0, 13, 1 }, 60, ALL, -EBADMSG },
	{ "header too long", { 0, 0, 61, 0, 0, 0 }, 60, ALL, -EBADMSG },
	{ "header is all", { 0, 0, 60, 0, 0, 0 }, 60, ALL, 0 },
	{ "tso4", { NEEDS, TCP4, 54, 1460, 34, 16 }, 9000, ALL, 0 },
	{ "tso4 alone", { NEEDS, TCP4, 54, 1460, 34, 16 }, 9000,
	  LINK_F_CSUM | LINK_F_TSO4, 0 },
	{ "tso4, not offered", { NEEDS, TCP4, 54, 1460, 34, 16 }, 9000,
	  ALL & ~LINK_F_TSO4, -EBADMSG },
	{ "tso4 without size", { NEEDS, TCP4, 54, 0, 34, 16 }, 9000, ALL,
	  -EBADMSG },
	{ "tso4 without csum", { 0, TCP4, 54, 1460, 34, 16 }, 9000, ALL,
	  -EBADMSG },
	{ "tso4, ECN", { NEEDS, TCP4 | 0x80, 54, 1460, 34, 16 }, 9000, ALL,
	  -EBADMSG },
	{ "tso6", { NEEDS, TCP6, 74, 1440, 54, 16 }, 9000, ALL, 0 },
	{ "tso6, not offered", { NEEDS, TCP6, 74, 1440, 54, 16 }, 9000,
	  ALL & ~LINK_F_TSO6, -EBADMSG },
	{ "uso", { NEEDS, UDP, 42, 1400, 34, 6 }, 9000, ALL, 0 },
	{ "uso, not offered", { NEEDS, UDP, 42, 1400, 34, 6 }, 9000,
	  LINK_F_CSUM | LINK_F_TSO4 | LINK_F_TSO6, -EBADMSG },
	{ "ufo", { NEEDS, 3, 42, 1400, 34, 6 }, 9000, ALL, -EBADMSG },
	{ "unknown type", { NEEDS, 2, 42, 1400, 34, 6 }, 9000, ALL, -EBADMSG },
};

static void test_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int rc = link_vnet_check(&checks[i].vh, checks[i].len,
					 checks[i].can);

		if (rc != checks[i].rc)
			fail_msg("%s: got %d", checks[i].name, rc);
	}
}

static void test_vnet_bytes(void **state)
{
	const uint8_t bytes[LINK_VNET_LEN] = {
		1, 4, 0x34, 0x12, 0x78, 0x56, 0x22, 0x11, 0x44, 0x33, 0, 0,
	};
	uint8_t out[LINK_VNET_LEN];
	struct link_vnet vh;

	(void)state;
	link_vnet_get(bytes, &vh);
	assert_int_equal(vh.flags, 1);
	assert_int_equal(vh.gso_type, 4);
	assert_int_equal(vh.hdr_len, 0x1234);
	assert_int_equal(vh.gso_size, 0x5678);
	assert_int_equal(vh.csum_start, 0x1122);
	assert_int_equal(vh.csum_offset, 0x3344);
	memset(out, 0xff, sizeof(out));
	link_vnet_put(&vh, out);
	assert_memory_equal(out, bytes, sizeof(bytes));
}

/* What a memlink's callbacks saw */
static struct {
	int sent, came, done, drained, down;
	size_t len;
	struct link_vnet vh;
} seen;

static void on_peer(struct memlink *m, const struct link_vnet *vh,
		    const uint8_t *frame, size_t len)
{
	(void)m;
	(void)frame;
	seen.sent++;
	seen.len = len;
	seen.vh = *vh;
}

static void on_input(struct link *l, const struct link_vnet *vh,
		     const struct iovec *iov, int n)
{
	(void)l;
	(void)vh;
	(void)iov;
	seen.came += n;
}

static void on_done(struct link *l)
{
	(void)l;
	seen.done++;
}

static void on_drained(struct link *l)
{
	(void)l;
	seen.drained++;
}

static void on_down(struct link *l, int why)
{
	(void)l;
	seen.down = why;
}

static void setup(struct memlink *m, uint32_t features)
{
	memset(&seen, 0, sizeof(seen));
	memset(&m->link, 0, sizeof(m->link));
	memlink_init(m, features, on_peer, NULL);
	m->link.input = on_input;
	m->link.input_done = on_done;
	m->link.drained = on_drained;
	m->link.down = on_down;
}

static const struct {
	const char *name;
	struct link_vnet vh;
	size_t len;
	uint32_t can;
	int rc;
} sends[] = {
	{ "shortest", { 0, 0, 0, 0, 0, 0 }, LINK_FRAME_MIN, 0, 0 },
	{ "too short", { 0, 0, 0, 0, 0, 0 }, LINK_FRAME_MIN - 1, 0,
	  -EMSGSIZE },
	{ "longest", { 0, 0, 0, 0, 0, 0 }, LINK_FRAME_MAX, 0, 0 },
	{ "too long", { 0, 0, 0, 0, 0, 0 }, LINK_FRAME_MAX + 1, 0,
	  -EMSGSIZE },
	{ "csum", { NEEDS, 0, 0, 0, 34, 16 }, 60, LINK_F_CSUM, 0 },
	{ "no csum", { NEEDS, 0, 0, 0, 34, 16 }, 60, 0, -EOPNOTSUPP },
	{ "valid is no demand", { VALID, 0, 0, 0, 0, 0 }, 60, 0, 0 },
	{ "tso6", { NEEDS, TCP6, 74, 1440, 54, 16 }, 9000, ALL, 0 },
	{ "no tso6", { NEEDS, TCP6, 74, 1440, 54, 16 }, 9000,
	  ALL & ~LINK_F_TSO6, -EOPNOTSUPP },
	{ "no such type", { NEEDS, 9, 74, 1440, 54, 16 }, 9000, ALL,
	  -EOPNOTSUPP },
};

static void test_send(void **state)
{
	static struct memlink m;
	static uint8_t frame[LINK_FRAME_MAX + 1];
	struct link_room room;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sends); i++) {
		struct iovec iov = { frame, sends[i].len };
		int rc;

		setup(&m, sends[i].can);
		rc = link_send(&m.link, &sends[i].vh, &iov, 1);
		if (rc != sends[i].rc || seen.sent != (rc == 0))
			fail_msg("send, %s: got %d", sends[i].name, rc);
		if (sends[i].rc == -EMSGSIZE) {
			assert_int_equal(link_reserve(&m.link, sends[i].len,
						      &room), -EMSGSIZE);
			continue;
		}
		seen.sent = 0;
		assert_int_equal(link_reserve(&m.link, sends[i].len, &room), 0);
		rc = link_commit(&m.link, &room, &sends[i].vh, sends[i].len);
		if (rc != sends[i].rc || seen.sent != (rc == 0))
			fail_msg("commit, %s: got %d", sends[i].name, rc);
	}
}

static void test_callbacks(void **state)
{
	static struct memlink m;
	uint8_t frame[60] = { 0 };
	struct iovec iov = { frame, sizeof(frame) };
	struct link_room room;

	(void)state;
	setup(&m, 0);
	link_drained(&m.link);
	assert_int_equal(seen.drained, 0);	/* nobody waits */
	m.refuse = true;
	assert_int_equal(link_send(&m.link, NULL, &iov, 1), -EAGAIN);
	assert_int_equal(link_reserve(&m.link, 60, &room), -EAGAIN);
	assert_true(m.link.full);
	m.refuse = false;
	link_drained(&m.link);
	link_drained(&m.link);
	assert_int_equal(seen.drained, 1);

	memlink_deliver(&m, NULL, frame, sizeof(frame));
	assert_int_equal(seen.came, 1);
	assert_int_equal(seen.done, 1);

	assert_int_equal(link_reserve(&m.link, 60, &room), 0);
	assert_int_equal(link_commit(&m.link, &room, NULL, 0), 0);
	assert_int_equal(seen.sent, 0);

	link_down(&m.link, -EIO);
	link_down(&m.link, -EPIPE);
	assert_int_equal(seen.down, -EIO);
	memlink_deliver(&m, NULL, frame, sizeof(frame));
	assert_int_equal(seen.came, 1);
	assert_int_equal(link_send(&m.link, NULL, &iov, 1), -ENOTCONN);
	assert_int_equal(link_reserve(&m.link, 60, &room), -ENOTCONN);
	link_close(&m.link);
}

int link_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_vnet_bytes),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_callbacks),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
