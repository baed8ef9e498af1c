#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void assert_fail(const char *file, int line, const char *expr)
{
	dprintf(STDERR_FILENO, "%s:%d: broken invariant: %s\n", file, line,
		expr);
	abort();
}

void secure_zero(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}
