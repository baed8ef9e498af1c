#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void assert_fail(const char *file, int line, const char *expr)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s:%d: broken invariant: %s\n",
			 file, line, expr);

	/* dprintf() asks for the file's position, which seccomp does not allow */
	if (write(STDERR_FILENO, text, MIN((size_t)n, sizeof(text) - 1)) < 0)
		abort();	/* and nobody is told */
	abort();
}

void secure_zero(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}
