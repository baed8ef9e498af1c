#ifndef INIT_VLIST_H
#define INIT_VLIST_H

#include <stdbool.h>

#include "base/span.h"
#include "proto/env.h"

/*
 * vlist - a variable whose value is a list, read one entry after the other
 *
 * One bad entry is refused and reported, and the next is read: half of what was
 * asked for is more than nothing, and the console says what is missing.
 */

/**
 * struct vlist - Where reading has come to
 * @var:	Name of the variable; static
 * @start:	Of its value as it was given, for offsets
 * @rest:	What has not been read yet; borrowed
 */
struct vlist {
	const char *var;
	const uint8_t *start;
	struct span rest;
};

/**
 * vlist_init() - Begin to read a variable
 * @value:	May be NULL, which is an absent one; borrowed
 *
 * Return: whether it is there: blanks do not count, and neither does what is
 *	   not UTF-8
 */
bool vlist_init(struct vlist *l, const char *var, const char *value);

/**
 * vlist_next() - Cut the next entry off; empty ones are skipped
 * @entry:	Not empty; borrowed
 *
 * Return: whether there is one
 */
bool vlist_next(struct vlist *l, char sep, struct span *entry);

/**
 * vlist_refuse() - Say why an entry is refused
 * @at:		The offending part, within the value
 *
 * Return: -EINVAL
 */
int vlist_refuse(const struct vlist *l, const uint8_t *at, struct env_err *err,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Arguments for "%.*s": as much of a span as a reason has room for */
#define VLIST_TEXT(s)	(int)((s).len < 128 ? (s).len : 128), \
			(s).len ? (const char *)(s).p : ""

#endif /* INIT_VLIST_H */
