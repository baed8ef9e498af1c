#include "base/count.h"

#include <string.h>

/*
 * The linker makes these for a section whose name is a C identifier, and a
 * reference to them keeps the section through --gc-sections.  Weak: a program
 * without a single counter has neither.
 */
extern struct count __start_msb_count[] __attribute__((weak));
extern struct count __stop_msb_count[] __attribute__((weak));

void count_each(void (*fn)(const struct count *c, void *arg), void *arg)
{
	for (struct count *c = __start_msb_count; c < __stop_msb_count; c++)
		fn(c, arg);
}

uint64_t count_get(const char *name)
{
	for (struct count *c = __start_msb_count; c < __stop_msb_count; c++) {
		if (!strcmp(c->name, name))
			return c->n;
	}
	return 0;
}

void count_reset(void)
{
	for (struct count *c = __start_msb_count; c < __stop_msb_count; c++)
		c->n = 0;
}
