#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * hash - from a key to the slot of a slab, keyed by SipHash
 *
 * Open addressing with linear probing and backward-shift deletion; at most half
 * full, sized once.  The table stores 32 bits of the hash and the slot; keys
 * stay in the objects, and @eq compares.  The SipHash key is random, so a guest
 * cannot choose flows that collide.
 */
struct hash {
	struct hash_ent *ent;
	uint32_t mask, n, cap;
	uint8_t key[16];
	bool (*eq)(const void *key, uint32_t slot, void *arg);
	void *arg;
};

#define HASH_NONE	UINT32_MAX

/**
 * hash_init() - Make a table
 * @cap:	Most entries; memory is taken here and never again
 * @eq:		Whether the object at @slot has this key
 * @arg:	Passed to @eq
 *
 * Return: 0; -ENOMEM
 */
int hash_init(struct hash *h, uint32_t cap,
	      bool (*eq)(const void *key, uint32_t slot, void *arg), void *arg);

/** hash_done() - Release the memory */
void hash_done(struct hash *h);

/** hash_find() - Slot of the object with this key; HASH_NONE if none */
uint32_t hash_find(const struct hash *h, const void *key, size_t len);

/** hash_add() - Add a key that is not in the table; -ENOSPC when full */
int hash_add(struct hash *h, const void *key, size_t len, uint32_t slot);

/** hash_del() - Remove a key; no effect if it is not there */
void hash_del(struct hash *h, const void *key, size_t len);

#endif /* BASE_HASH_H */
