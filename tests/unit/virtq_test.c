#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "gateway/transport/virtq.h"
#include "tests/unit/fake_guest.h"

int virtq_test(void);

#define MAX_IOV	16

struct rig {
	struct fake_guest g;
	struct virtq_mem mem;
	struct virtq vq;
};

static void rig_open(struct rig *r)
{
	struct vhost_mem t;
	int fds[2];

	*r = (struct rig){ .vq = { .num = FG_NUM, .indirect = true } };
	fg_open(&r->g);
	fg_table(&t);
	fds[0] = fds[1] = r->g.memfd;
	assert_int_equal(virtq_mem_set(&r->mem, &t, fds), 0);
	r->vq.mem = &r->mem;
	r->vq.addr = fg_addr(0);
	r->vq.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(virtq_map(&r->vq, true), 0);
}

static void rig_close(struct rig *r)
{
	fd_close(&r->vq.call_fd);
	virtq_mem_clear(&r->mem);
	fg_close(&r->g);
}

static bool called(struct rig *r)
{
	uint64_t n;

	return read(r->vq.call_fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

static void mem_bounds(void **state)
{
	static const struct {
		const char *name;
		struct vhost_region r;
		int rc;
	} cases[] = {
		{ "whole", { 0, FG_SIZE, 0, 0 }, 0 },
		{ "odd offset", { 4096, 4096, 0, 100 }, 0 },
		{ "last byte", { 0, 1, 0, FG_SIZE - 1 }, 0 },
		{ "top", { UINT64_MAX - 4096, 4096, 0, 0 }, 0 },
		{ "empty", { 0, 0, 0, 0 }, -EINVAL },
		{ "longer than file", { 0, FG_SIZE + 1, 0, 0 }, -EINVAL },
		{ "beyond file", { 0, 2, 0, FG_SIZE - 1 }, -EINVAL },
		{ "gpa wraps", { UINT64_MAX - 4095, 4097, 0, 0 }, -EINVAL },
		{ "uaddr wraps", { 0, 2, UINT64_MAX, 0 }, -EINVAL },
		{ "offset wraps", { 0, 4096, 0, UINT64_MAX - 100 }, -EINVAL },
		{ "huge", { 0, UINT64_MAX, 0, 0 }, -EINVAL },
	};
	struct virtq_mem m = { 0 };
	struct fake_guest g;

	(void)state;
	fg_open(&g);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vhost_mem t = { .n = 2, .region = {
			{ 0x40000000, 4096, 0x40000000, 0 }, cases[i].r } };
		int fds[2] = { g.memfd, g.memfd };
		int rc = virtq_mem_set(&m, &t, fds);

		if (rc != cases[i].rc)
			fail_msg("%s: got %d", cases[i].name, rc);
		assert_int_equal(m.n, rc ? 0 : 2);
	}
	virtq_mem_clear(&m);
	fg_close(&g);
}

static void translate(void **state)
{
	struct iovec iov[4];
	struct rig r;

	(void)state;
	rig_open(&r);
	memset(r.g.mem + FG_SPLIT - 2, 0xaa, 4);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA + FG_SPLIT - 2, 4, iov,
				       4), 2);
	assert_int_equal(iov[0].iov_len, 2);
	assert_int_equal(iov[1].iov_len, 2);
	assert_int_equal(*(uint8_t *)iov[1].iov_base, 0xaa);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA, 0, iov, 4), 0);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA, FG_SIZE, iov, 4), 2);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA, FG_SIZE, iov, 1),
			 -E2BIG);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA, FG_SIZE + 1, iov, 4),
			 -EFAULT);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA - 1, 1, iov, 4), -EFAULT);
	assert_int_equal(virtq_mem_iov(&r.mem, UINT64_MAX, 2, iov, 4), -EFAULT);
	assert_int_equal(virtq_mem_iov(&r.mem, FG_GPA, UINT64_MAX, iov, 4),
			 -EFAULT);
	rig_close(&r);
}

static void map_bounds(void **state)
{
	static const struct {
		const char *name;
		uint16_t num;
		int64_t desc, avail, used;	/* moved by so much */
		int rc;
	} cases[] = {
		{ "good", FG_NUM, 0, 0, 0, 0 },
		{ "one", 1, 0, 0, 0, 0 },
		{ "zero", 0, 0, 0, 0, -EINVAL },
		{ "no power of two", 48, 0, 0, 0, -EINVAL },
		{ "too many", 2048, 0, 0, 0, -EINVAL },
		{ "desc unaligned", FG_NUM, 8, 0, 0, -EFAULT },
		{ "avail unaligned", FG_NUM, 0, 1, 0, -EFAULT },
		{ "used unaligned", FG_NUM, 0, 0, 2, -EFAULT },
		{ "desc nowhere", FG_NUM, -0x100000, 0, 0, -EFAULT },
		{ "avail nowhere", FG_NUM, 0, 0x100000000, 0, -EFAULT },
		{ "used across", FG_NUM, 0, 0, FG_SPLIT - 0x2000 - 16,
		  -EFAULT },
	};
	struct rig r;

	(void)state;
	rig_open(&r);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc;

		r.vq.num = cases[i].num;
		r.vq.addr = fg_addr(0);
		r.vq.addr.desc += (uint64_t)cases[i].desc;
		r.vq.addr.avail += (uint64_t)cases[i].avail;
		r.vq.addr.used += (uint64_t)cases[i].used;
		rc = virtq_map(&r.vq, true);
		if (rc != cases[i].rc)
			fail_msg("%s: got %d", cases[i].name, rc);
		assert_int_equal(r.vq.mapped, !rc);
		assert_int_equal(virtq_waiting(&r.vq), 0);
	}
	rig_close(&r);
}

static void pop_and_put(void **state)
{
	struct iovec iov[MAX_IOV];
	struct virtq_chain c;
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), 0);
	fg_desc(&r.g, 0, 7, (struct fg_desc){ FG_GPA + 0x10000, 10, FG_NEXT,
					      3 });
	fg_desc(&r.g, 0, 3, (struct fg_desc){ FG_GPA + FG_SPLIT - 4, 8,
					      FG_NEXT, 9 });
	fg_desc(&r.g, 0, 9, (struct fg_desc){ FG_GPA + 0x20000, 20, FG_WRITE,
					      0 });
	fg_avail(&r.g, 0, 7);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), 1);
	assert_int_equal(c.head, 7);
	assert_int_equal(c.n_out, 3);
	assert_int_equal(c.n_in, 1);
	assert_int_equal(c.out_len, 18);
	assert_int_equal(c.in_len, 20);
	assert_int_equal(iov[3].iov_len, 20);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), 0);
	virtq_unpop(&r.vq, 1);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, 3), -E2BIG);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, 4), 1);
	assert_false(fg_used(&r.g, 0, &id, &len));
	virtq_put(&r.vq, c.head, 0x12345);
	assert_true(fg_used(&r.g, 0, &id, &len));
	assert_int_equal(id, 7);
	assert_int_equal(len, 0x12345);
	rig_close(&r);
}

/* Both indices pass 65535 many times round the ring */
static void wrap(void **state)
{
	struct iovec iov[MAX_IOV];
	struct virtq_chain c;
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r);
	for (unsigned int i = 0; i < 70000; i++) {
		uint16_t at = (uint16_t)(i % FG_NUM);

		fg_desc(&r.g, 0, at, (struct fg_desc){ FG_GPA + i, 1, 0, 0 });
		fg_avail(&r.g, 0, at);
		assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), 1);
		assert_ptr_equal((uint8_t *)iov[0].iov_base - r.mem.region[0].p,
				 (void *)(uintptr_t)i);
		virtq_put(&r.vq, c.head, i);
		assert_true(fg_used(&r.g, 0, &id, &len));
		assert_int_equal(id, at);
		assert_int_equal(len, i);
	}
	rig_close(&r);
}

static void indirect(void **state)
{
	struct iovec iov[MAX_IOV];
	struct virtq_chain c;
	struct rig r;

	(void)state;
	rig_open(&r);
	/* The table itself lies across two regions */
	fg_desc(&r.g, 0, 0, (struct fg_desc){ FG_GPA + FG_SPLIT - 8, 48,
					      FG_INDIRECT, 0 });
	fg_desc_at(&r.g, FG_SPLIT - 8, (struct fg_desc){ FG_GPA, 5, FG_NEXT,
							 2 });
	fg_desc_at(&r.g, FG_SPLIT + 24, (struct fg_desc){ FG_GPA, 6, FG_WRITE,
							  0 });
	fg_avail(&r.g, 0, 0);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), 1);
	assert_int_equal(c.out_len, 5);
	assert_int_equal(c.in_len, 6);
	virtq_unpop(&r.vq, 1);
	r.vq.indirect = false;			/* was not negotiated */
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), -EPROTO);
	rig_close(&r);
}

#define AT(off)	(FG_GPA + (off))
#define TABLE	0x30000u

/* A hostile guest: one head, some descriptors, and what comes of it */
static void hostile(void **state)
{
	static const struct {
		const char *name;
		uint16_t head;
		struct fg_desc ring[3], table[3];
		int rc;
	} cases[] = {
		{ "head out of range", FG_NUM, { { 0 } }, { { 0 } }, -EPROTO },
		{ "head far out", 0xffff, { { 0 } }, { { 0 } }, -EPROTO },
		{ "points to itself", 0, { { AT(0), 0, FG_NEXT, 0 } },
		  { { 0 } }, -EPROTO },
		{ "loop of two", 0, { { AT(0), 0, FG_NEXT, 1 },
				      { AT(0), 0, FG_NEXT, 0 } },
		  { { 0 } }, -EPROTO },
		{ "next out of range", 0, { { AT(0), 1, FG_NEXT, FG_NUM } },
		  { { 0 } }, -EPROTO },
		{ "address nowhere", 0, { { 0x10, 1, 0, 0 } }, { { 0 } },
		  -EFAULT },
		{ "runs out of memory", 0, { { AT(FG_SIZE - 1), 2, 0, 0 } },
		  { { 0 } }, -EFAULT },
		{ "length overflows", 0, { { UINT64_MAX - 1, 0xffffffff, 0,
					     0 } }, { { 0 } }, -EFAULT },
		{ "read after write", 0, { { AT(0), 1, FG_WRITE | FG_NEXT, 1 },
					   { AT(0), 1, 0, 0 } },
		  { { 0 } }, -EPROTO },
		{ "indirect and next", 0,
		  { { AT(TABLE), 16, FG_INDIRECT | FG_NEXT, 1 } },
		  { { AT(0), 1, 0, 0 } }, -EPROTO },
		{ "indirect, empty", 0, { { AT(TABLE), 0, FG_INDIRECT, 0 } },
		  { { AT(0), 1, 0, 0 } }, -EPROTO },
		{ "indirect, torn", 0, { { AT(TABLE), 24, FG_INDIRECT, 0 } },
		  { { AT(0), 1, 0, 0 } }, -EPROTO },
		{ "indirect, huge", 0,
		  { { AT(TABLE), 0xfffffff0, FG_INDIRECT, 0 } },
		  { { AT(0), 1, 0, 0 } }, -EPROTO },
		{ "indirect, nowhere", 0, { { 0x10, 16, FG_INDIRECT, 0 } },
		  { { 0 } }, -EFAULT },
		{ "indirect, nested", 0, { { AT(TABLE), 32, FG_INDIRECT, 0 } },
		  { { AT(TABLE), 16, FG_INDIRECT, 0 } }, -EPROTO },
		{ "indirect, nested later", 0,
		  { { AT(TABLE), 32, FG_INDIRECT, 0 } },
		  { { AT(0), 1, FG_NEXT, 1 },
		    { AT(TABLE), 16, FG_INDIRECT, 0 } }, -EPROTO },
		{ "indirect, loop", 0, { { AT(TABLE), 32, FG_INDIRECT, 0 } },
		  { { AT(0), 0, FG_NEXT, 1 }, { AT(0), 0, FG_NEXT, 0 } },
		  -EPROTO },
		{ "indirect, next out", 0,
		  { { AT(TABLE), 32, FG_INDIRECT, 0 } },
		  { { AT(0), 1, FG_NEXT, 2 }, { AT(0), 1, 0, 0 } }, -EPROTO },
		{ "indirect in the middle", 0,
		  { { AT(0), 1, FG_NEXT, 1 }, { AT(TABLE), 16, FG_INDIRECT,
						0 } },
		  { { AT(0), 1, 0, 0 } }, -EPROTO },
		{ "harmless", 0, { { AT(0), 1, FG_NEXT, 1 },
				   { AT(0), 0, 0, 0 } }, { { 0 } }, 1 },
	};
	struct iovec iov[MAX_IOV];
	struct virtq_chain c;
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc;

		rig_open(&r);
		for (unsigned int k = 0; k < 3; k++) {
			fg_desc(&r.g, 0, k, cases[i].ring[k]);
			fg_desc_at(&r.g, TABLE + 16 * k, cases[i].table[k]);
		}
		fg_avail(&r.g, 0, cases[i].head);
		rc = virtq_pop(&r.vq, &c, iov, MAX_IOV);
		if (rc != cases[i].rc)
			fail_msg("%s: got %d", cases[i].name, rc);
		rig_close(&r);
	}
}

static void avail_jumps(void **state)
{
	struct iovec iov[MAX_IOV];
	struct virtq_chain c;
	struct rig r;

	(void)state;
	rig_open(&r);
	fg_set_avail(&r.g, 0, FG_NUM);
	assert_int_equal(virtq_waiting(&r.vq), FG_NUM);
	fg_set_avail(&r.g, 0, FG_NUM + 1);
	assert_int_equal(virtq_waiting(&r.vq), -EPROTO);
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), -EPROTO);
	fg_set_avail(&r.g, 0, 0xffff);		/* backwards */
	assert_int_equal(virtq_pop(&r.vq, &c, iov, MAX_IOV), -EPROTO);
	rig_close(&r);
}

static void notify_flags(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	virtq_notify(&r.vq);
	assert_false(called(&r));		/* nothing was put */
	virtq_put(&r.vq, 0, 0);
	virtq_notify(&r.vq);
	assert_true(called(&r));
	fg_set_avail_word(&r.g, 0, 0, 1);	/* NO_INTERRUPT */
	virtq_put(&r.vq, 0, 0);
	virtq_notify(&r.vq);
	assert_false(called(&r));
	virtq_kick_off(&r.vq);
	assert_int_equal(fg_used_word(&r.g, 0, 0), 1);
	assert_false(virtq_kick_on(&r.vq, 0));
	assert_int_equal(fg_used_word(&r.g, 0, 0), 0);
	fg_avail(&r.g, 0, 0);
	assert_true(virtq_kick_on(&r.vq, 0));	/* came meanwhile */
	assert_false(virtq_kick_on(&r.vq, 1));
	rig_close(&r);
}

static void notify_event_idx(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.vq.event_idx = true;
	fg_set_avail_word(&r.g, 0, 2 + FG_NUM, 2);	/* used_event */
	for (unsigned int i = 0; i < 2; i++)
		virtq_put(&r.vq, 0, 0);
	virtq_notify(&r.vq);
	assert_false(called(&r));		/* wants to hear of the third */
	virtq_put(&r.vq, 0, 0);
	virtq_notify(&r.vq);
	assert_true(called(&r));
	virtq_put(&r.vq, 0, 0);
	virtq_notify(&r.vq);
	assert_false(called(&r));
	/* avail_event stands behind the used ring */
	fg_avail(&r.g, 0, 0);
	assert_false(virtq_kick_on(&r.vq, 1));
	assert_int_equal(fg_used_word(&r.g, 0, 2 + 4 * FG_NUM), 1);
	assert_true(virtq_kick_on(&r.vq, 0));
	rig_close(&r);
}

int virtq_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mem_bounds),
		cmocka_unit_test(translate),
		cmocka_unit_test(map_bounds),
		cmocka_unit_test(pop_and_put),
		cmocka_unit_test(wrap),
		cmocka_unit_test(indirect),
		cmocka_unit_test(hostile),
		cmocka_unit_test(avail_jumps),
		cmocka_unit_test(notify_flags),
		cmocka_unit_test(notify_event_idx),
	};

	return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
