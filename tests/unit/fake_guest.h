#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/transport/virtq.h"

/*
 * fake_guest - driver side of two virtqueues in a memfd, for tests and fuzzers
 *
 * Guest memory begins at physical address FG_GPA, and is mapped by the "VMM" at
 * FG_UADDR.  It is described as two regions that touch, so that a buffer at
 * FG_SPLIT crosses from one to the other.  Each queue has its rings in the
 * first pages; buffers of queue 0 lie one after another from FG_BUFS on.
 */
#define FG_SIZE		(1u << 20)
#define FG_GPA		0x100000ULL
#define FG_UADDR	0x7f0000000000ULL
#define FG_SPLIT	0x80000u	/* offset in memory */
#define FG_BUFS		0x10000u
#define FG_NUM		64

struct fg_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

#define FG_NEXT		1u
#define FG_WRITE	2u
#define FG_INDIRECT	4u

struct fake_guest {
	int memfd;
	uint8_t *mem;
	uint16_t avail[2], used[2];	/* the driver's own indices */
};

/** fg_open() - Make guest memory; the process ends if it cannot */
void fg_open(struct fake_guest *g);

void fg_close(struct fake_guest *g);

/** fg_table() - Describe the memory as the VMM would */
void fg_table(struct vhost_mem *t);

/** fg_addr() - Where queue @q is, as the VMM would say */
struct vhost_addr fg_addr(unsigned int q);

/** fg_desc() - Write descriptor @i of queue @q */
void fg_desc(struct fake_guest *g, unsigned int q, unsigned int i,
	     struct fg_desc d);

/** fg_desc_at() - Write a descriptor at offset @off of memory */
void fg_desc_at(struct fake_guest *g, uint32_t off, struct fg_desc d);

/** fg_avail() - Make the chain that begins at @head available */
void fg_avail(struct fake_guest *g, unsigned int q, uint16_t head);

/** fg_set_avail() - Claim an index */
void fg_set_avail(struct fake_guest *g, unsigned int q, uint16_t idx);

/** fg_used() - Take an entry of the used ring; false if there is none */
bool fg_used(struct fake_guest *g, unsigned int q, uint32_t *id,
	     uint32_t *len);

/** fg_post() - Provide @n buffers of @size on queue 0, one descriptor each */
void fg_post(struct fake_guest *g, unsigned int n, uint32_t size);

/** fg_send() - Send a packet on queue 1: header and payload in two descriptors
 *
 * Uses descriptors 2 * @slot and the next; the bytes lie at the end of memory.
 */
void fg_send(struct fake_guest *g, unsigned int slot,
	     const struct vsock_hdr *h, const void *data, size_t len);

/**
 * fg_recv() - Take the next packet from queue 0
 * @data:	Points to its payload
 *
 * Return: false if there is none
 */
bool fg_recv(struct fake_guest *g, struct vsock_hdr *h, const uint8_t **data);

/** fg_u16() - Read 16 bits of a ring: queue, offset from its avail or used */
uint16_t fg_avail_word(struct fake_guest *g, unsigned int q, unsigned int at);
uint16_t fg_used_word(struct fake_guest *g, unsigned int q, unsigned int at);
void fg_set_avail_word(struct fake_guest *g, unsigned int q, unsigned int at,
		       uint16_t v);

#endif /* TESTS_FAKE_GUEST_H */
