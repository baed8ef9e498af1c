#include "tests/unit/fake_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rd.h"
#include "base/util.h"
#include "base/wr.h"

/* Offsets in memory, for each queue */
#define DESC(q)		(0x0000u + 0x4000u * (q))
#define AVAIL(q)	(0x1000u + 0x4000u * (q))
#define USED(q)		(0x2000u + 0x4000u * (q))
#define TX_DATA		0xc0000u	/* 4 KiB for each slot */

void fg_open(struct fake_guest *g)
{
	*g = (struct fake_guest){ .memfd = memfd_create("guest", MFD_CLOEXEC) };
	if (g->memfd < 0 || ftruncate(g->memfd, FG_SIZE)) {
		perror("memfd");
		exit(1);
	}
	g->mem = mmap(NULL, FG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      g->memfd, 0);
	if (g->mem == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
}

void fg_close(struct fake_guest *g)
{
	munmap(g->mem, FG_SIZE);
	close(g->memfd);
}

void fg_table(struct vhost_mem *t)
{
	*t = (struct vhost_mem){ .n = 2, .region = {
		{ FG_GPA, FG_SPLIT, FG_UADDR, 0 },
		{ FG_GPA + FG_SPLIT, FG_SIZE - FG_SPLIT,
		  FG_UADDR + 0x10000000, FG_SPLIT },
	} };
}

struct vhost_addr fg_addr(unsigned int q)
{
	return (struct vhost_addr){
		.index = q,
		.desc = FG_UADDR + DESC(q),
		.avail = FG_UADDR + AVAIL(q),
		.used = FG_UADDR + USED(q),
	};
}

static void put16(struct fake_guest *g, uint32_t off, uint16_t v)
{
	struct wr w = wr_init(g->mem + off, 2);

	wr_le16(&w, v);
}

static uint16_t get16(struct fake_guest *g, uint32_t off)
{
	struct rd r = rd_init(g->mem + off, 2);

	return rd_le16(&r);
}

void fg_desc_at(struct fake_guest *g, uint32_t off, struct fg_desc d)
{
	struct wr w = wr_init(g->mem + off, 16);

	wr_le64(&w, d.addr);
	wr_le32(&w, d.len);
	wr_le16(&w, d.flags);
	wr_le16(&w, d.next);
}

void fg_desc(struct fake_guest *g, unsigned int q, unsigned int i,
	     struct fg_desc d)
{
	fg_desc_at(g, DESC(q) + 16 * i, d);
}

void fg_set_avail(struct fake_guest *g, unsigned int q, uint16_t idx)
{
	g->avail[q] = idx;
	put16(g, AVAIL(q) + 2, idx);
}

void fg_avail(struct fake_guest *g, unsigned int q, uint16_t head)
{
	put16(g, AVAIL(q) + 4 + 2 * (g->avail[q] % FG_NUM), head);
	fg_set_avail(g, q, (uint16_t)(g->avail[q] + 1));
}

bool fg_used(struct fake_guest *g, unsigned int q, uint32_t *id, uint32_t *len)
{
	struct rd r;

	if (get16(g, USED(q) + 2) == g->used[q])
		return false;
	r = rd_init(g->mem + USED(q) + 4 + 8 * (g->used[q] % FG_NUM), 8);
	*id = rd_le32(&r);
	*len = rd_le32(&r);
	g->used[q]++;
	return true;
}

uint16_t fg_avail_word(struct fake_guest *g, unsigned int q, unsigned int at)
{
	return get16(g, AVAIL(q) + 2 * at);
}

uint16_t fg_used_word(struct fake_guest *g, unsigned int q, unsigned int at)
{
	return get16(g, USED(q) + 2 * at);
}

void fg_set_avail_word(struct fake_guest *g, unsigned int q, unsigned int at,
		       uint16_t v)
{
	put16(g, AVAIL(q) + 2 * at, v);
}

/* Where descriptor @i of queue 0 points: 8 KiB apart */
static uint32_t buf_at(unsigned int i)
{
	return FG_BUFS + 0x2000 * i;
}

void fg_post(struct fake_guest *g, unsigned int n, uint32_t size)
{
	for (unsigned int k = 0; k < n; k++) {
		uint16_t i = g->avail[0] % FG_NUM;

		fg_desc(g, 0, i, (struct fg_desc){ FG_GPA + buf_at(i), size,
						   FG_WRITE, 0 });
		fg_avail(g, 0, i);
	}
}

void fg_send(struct fake_guest *g, unsigned int slot,
	     const struct vsock_hdr *h, const void *data, size_t len)
{
	uint32_t off = TX_DATA + 0x1000 * slot;
	struct wr w = wr_init(g->mem + off, 0x1000);
	uint16_t head = (uint16_t)(2 * slot);

	vsock_hdr_emit(&w, h);
	if (len)
		wr_bytes(&w, data, len);
	ASSERT(!w.bad);
	fg_desc(g, 1, head, (struct fg_desc){ FG_GPA + off, VSOCK_HDR_LEN,
					      len ? FG_NEXT : 0,
					      (uint16_t)(head + 1) });
	fg_desc(g, 1, head + 1u, (struct fg_desc){ FG_GPA + off + VSOCK_HDR_LEN,
						   (uint32_t)len, 0, 0 });
	fg_avail(g, 1, head);
}

bool fg_recv(struct fake_guest *g, struct vsock_hdr *h, const uint8_t **data)
{
	uint32_t id, len, off;

	if (!fg_used(g, 0, &id, &len))
		return false;
	ASSERT(id < FG_NUM && len >= VSOCK_HDR_LEN);
	off = buf_at(id);
	if (vsock_hdr_parse(rd_init(g->mem + off, len), h))
		return false;
	ASSERT(h->len == len - VSOCK_HDR_LEN);
	*data = g->mem + off + VSOCK_HDR_LEN;
	return true;
}
