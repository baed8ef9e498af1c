#include "gateway/relay/ahead.h"

void ahead_put(struct ahead *a, const void *who, uint32_t at, size_t len)
{
	a->who = who;
	a->at = at;
	a->len = len;
}

size_t ahead_get(const struct ahead *a, const void *who, uint32_t at,
		 const uint8_t **p)
{
	uint32_t skip = at - a->at;

	if (a->who != who || skip >= a->len)
		return 0;
	*p = a->buf + skip;
	return a->len - skip;
}

void ahead_passed(struct ahead *a, const void *who, uint32_t at)
{
	uint32_t end = a->at + (uint32_t)a->len;

	if (a->who == who && (int32_t)(at - end) >= 0)
		a->who = NULL;
}

void ahead_forget(struct ahead *a, const void *who)
{
	if (a->who == who)
		a->who = NULL;
}
