#include "base/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#endif

/* Under the address sanitizer a free object may not be touched */
#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>
#define poison(p, n)	__asan_poison_memory_region(p, n)
#define unpoison(p, n)	__asan_unpoison_memory_region(p, n)
#else
#define poison(p, n)	((void)(p), (void)(n))
#define unpoison(p, n)	((void)(p), (void)(n))
#endif

/* Untouched pages of it cost nothing */
static void *reserve(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t n)
{
	if (p)
		munmap(p, n);
}

int slab_init(struct slab *s, size_t size, uint32_t cap)
{
	const size_t align = _Alignof(max_align_t);

	ASSERT(size && cap && cap != SLAB_NONE);
	*s = (struct slab){ .free = SLAB_NONE, .cap = cap };
	if (size > (SIZE_MAX / 2) / cap - align)
		return -ENOMEM;
	s->size = (size + align - 1) / align * align;
	s->mem = reserve(s->size * cap);
	s->gen = reserve(sizeof(*s->gen) * cap);
	s->next = reserve(sizeof(*s->next) * cap);
	if (!s->mem || !s->gen || !s->next) {
		slab_done(s);
		return -ENOMEM;
	}
	return 0;
}

void slab_done(struct slab *s)
{
	if (s->mem)
		unpoison(s->mem, s->size * s->fresh);
	release(s->mem, s->size * s->cap);
	release(s->gen, sizeof(*s->gen) * s->cap);
	release(s->next, sizeof(*s->next) * s->cap);
	*s = (struct slab){ .free = SLAB_NONE };
}

void *slab_new(struct slab *s)
{
	uint32_t slot = s->free;
	uint8_t *obj;

	if (slot != SLAB_NONE) {
		s->free = s->next[slot];
		obj = s->mem + s->size * slot;
		unpoison(obj, s->size);
		memset(obj, 0, s->size);
	} else if (s->fresh < s->cap) {
		slot = s->fresh++;
		obj = s->mem + s->size * slot;
	} else {
		return NULL;
	}
	s->gen[slot]++;
	s->used++;
	return obj;
}

void slab_del(struct slab *s, void *obj)
{
	uint32_t slot = slab_slot(s, obj);

	s->gen[slot]++;
	s->next[slot] = s->free;
	s->free = slot;
	s->used--;
	poison(obj, s->size);
}

uint32_t slab_slot(const struct slab *s, const void *obj)
{
	size_t off = (size_t)((const uint8_t *)obj - s->mem);
	uint32_t slot = (uint32_t)(off / s->size);

	ASSERT(off % s->size == 0 && off / s->size < s->fresh);
	ASSERT(s->gen[slot] & 1);
	return slot;
}

void *slab_at(const struct slab *s, uint32_t slot)
{
	if (slot >= s->fresh || !(s->gen[slot] & 1))
		return NULL;
	return s->mem + s->size * slot;
}

struct slab_id slab_id(const struct slab *s, const void *obj)
{
	uint32_t slot = slab_slot(s, obj);

	return (struct slab_id){ .slot = slot, .gen = s->gen[slot] };
}

void *slab_get(const struct slab *s, struct slab_id id)
{
	void *obj = slab_at(s, id.slot);

	return obj && s->gen[id.slot] == id.gen ? obj : NULL;
}
