#include "base/wr.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void wr_fmt(struct wr *w, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	if (w->bad)
		return;
	va_start(ap, fmt);
	n = vsnprintf((char *)w->p, wr_left(w), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n > wr_left(w)) {
		w->bad = true;
		return;
	}
	if ((size_t)n < wr_left(w)) {
		w->p += n;
		return;
	}
	if (!n)
		return;

	/* It fits but for the NUL, which vsnprintf() insists on */
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		w->bad = true;
		return;
	}
	wr_bytes(w, text, (size_t)n);
	free(text);
}
