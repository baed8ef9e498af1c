#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "init/vlist.h"

bool vlist_init(struct vlist *l, const char *var, const char *value)
{
	l->var = var;
	l->start = (const uint8_t *)value;
	l->rest = env_trim(span_str(value));
	return l->rest.len > 0;
}

bool vlist_next(struct vlist *l, char sep, struct span *entry)
{
	while (l->rest.len) {
		*entry = span_cut(&l->rest, (uint8_t)sep, NULL);
		if (entry->len)
			return true;
	}
	return false;
}

int vlist_refuse(const struct vlist *l, const uint8_t *at, struct env_err *err,
		 const char *fmt, ...)
{
	va_list ap;

	err->var = l->var;
	err->offset = (size_t)(at - l->start);
	va_start(ap, fmt);
	vsnprintf(err->reason, sizeof(err->reason), fmt, ap);
	va_end(ap);
	return -EINVAL;
}
