#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct slab_id - Name of an object that may outlive it
 *
 * Generation 0 never exists, so a zeroed id resolves to NULL.
 */
struct slab_id {
	uint32_t slot, gen;
};

/*
 * slab - fixed number of equal objects, allocated once
 *
 * Memory is reserved at slab_init() by mmap() and touched on first use, so a
 * large limit costs only what is used.  Freed slots are used again last in,
 * first out, which keeps the touched part small.
 */
struct slab {
	uint8_t *mem;		/* objects */
	uint32_t *gen;		/* odd: in use; even: free */
	uint32_t *next;		/* free list */
	uint32_t free, fresh, cap, used;
	size_t size;
};

#define SLAB_NONE	UINT32_MAX

/**
 * slab_init() - Make a slab of @cap objects of @size bytes
 *
 * Return: 0; -ENOMEM
 */
int slab_init(struct slab *s, size_t size, uint32_t cap);

/** slab_done() - Release all memory */
void slab_done(struct slab *s);

/** slab_new() - Claim a zeroed object; NULL when full */
void *slab_new(struct slab *s);

/** slab_del() - Give an object back; every id of it goes stale */
void slab_del(struct slab *s, void *obj);

/** slab_slot() - Index of an object, 0 to cap-1, stable while it lives */
uint32_t slab_slot(const struct slab *s, const void *obj);

/** slab_at() - Object at an index; NULL if that slot is free or out of range */
void *slab_at(const struct slab *s, uint32_t slot);

/** slab_id() - Id of a live object */
struct slab_id slab_id(const struct slab *s, const void *obj);

/** slab_get() - Resolve an id; NULL if the object is gone */
void *slab_get(const struct slab *s, struct slab_id id);

#endif /* BASE_SLAB_H */
