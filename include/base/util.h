#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stddef.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define container_of(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

/* Each argument is evaluated more than once: no side effects in them */
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))

#define NS_PER_US	1000ULL
#define NS_PER_MS	1000000ULL
#define NS_PER_S	1000000000ULL

/**
 * ASSERT() - Our own invariant; never on bytes from guest, peer or VMM
 *
 * Never compiled out.  Aborts with file, line and expression on stderr.
 */
#define ASSERT(cond) \
	((cond) ? (void)0 : assert_fail(__FILE__, __LINE__, #cond))

/** assert_fail() - Report a broken invariant and abort() */
_Noreturn void assert_fail(const char *file, int line, const char *expr);

/** secure_zero() - Wipe memory in a way that the compiler may not drop */
void secure_zero(void *p, size_t n);

#endif /* BASE_UTIL_H */
