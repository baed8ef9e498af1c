#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "base/util.h"

/**
 * struct hash_ent - Entry
 * @tag:	Low half of the hash of its key
 * @ref:	Slot plus 1; 0 means empty, so that fresh memory stays untouched
 */
struct hash_ent {
	uint32_t tag, ref;
};

int hash_init(struct hash *h, uint32_t cap,
	      bool (*eq)(const void *key, uint32_t slot, void *arg), void *arg)
{
	size_t size = 2;

	ASSERT(cap <= 1u << 30);
	while (size < 2 * (size_t)cap)
		size *= 2;
	*h = (struct hash){ .mask = (uint32_t)(size - 1), .cap = cap,
			    .eq = eq, .arg = arg };
	h->ent = calloc(size, sizeof(*h->ent));
	if (!h->ent)
		return -ENOMEM;
	siphash_key(h->key);
	return 0;
}

void hash_done(struct hash *h)
{
	free(h->ent);
	*h = (struct hash){ 0 };
}

static uint32_t tag_of(const struct hash *h, const void *key, size_t len)
{
	return (uint32_t)siphash(h->key, key, len);
}

/* Index of the key's entry, or of the empty one where the search ended */
static uint32_t find(const struct hash *h, const void *key, uint32_t tag)
{
	uint32_t i = tag & h->mask;

	for (; h->ent[i].ref; i = (i + 1) & h->mask) {
		if (h->ent[i].tag == tag &&
		    h->eq(key, h->ent[i].ref - 1, h->arg))
			break;
	}
	return i;
}

uint32_t hash_find(const struct hash *h, const void *key, size_t len)
{
	uint32_t ref = h->ent[find(h, key, tag_of(h, key, len))].ref;

	return ref ? ref - 1 : HASH_NONE;
}

int hash_add(struct hash *h, const void *key, size_t len, uint32_t slot)
{
	uint32_t tag = tag_of(h, key, len), i = tag & h->mask;

	ASSERT(slot != HASH_NONE);
	if (h->n >= h->cap)
		return -ENOSPC;
	while (h->ent[i].ref)
		i = (i + 1) & h->mask;
	h->ent[i] = (struct hash_ent){ .tag = tag, .ref = slot + 1 };
	h->n++;
	return 0;
}

void hash_del(struct hash *h, const void *key, size_t len)
{
	uint32_t hole = find(h, key, tag_of(h, key, len)), i = hole;

	if (!h->ent[hole].ref)
		return;
	/* Whoever was pushed past the hole from its home moves back into it */
	for (;;) {
		uint32_t home;

		i = (i + 1) & h->mask;
		if (!h->ent[i].ref)
			break;
		home = h->ent[i].tag & h->mask;
		if (((i - home) & h->mask) >= ((i - hole) & h->mask)) {
			h->ent[hole] = h->ent[i];
			hole = i;
		}
	}
	h->ent[hole] = (struct hash_ent){ 0 };
	h->n--;
}
