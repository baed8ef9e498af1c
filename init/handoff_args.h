#ifndef INIT_HANDOFF_ARGS_H
#define INIT_HANDOFF_ARGS_H

#include <stddef.h>

#include "base/span.h"

/*
 * handoff_args - MSB_HANDOFF_INIT_ARGS and MSB_HANDOFF_INIT_ENV
 *
 * base64url without padding (RFC 4648, 5) of JSON (RFC 8259): an array of
 * strings, or of arrays of two strings.  That is all of JSON that is read here.
 */
#define HANDOFF_ARGS_MAX	128
#define HANDOFF_ARGS_TEXT	8192

/**
 * struct handoff_args - What was read
 * @v:		NULL-terminated; @n strings of @text
 * @json:	Scratch
 */
struct handoff_args {
	char *v[HANDOFF_ARGS_MAX + 1];
	size_t n;
	char text[HANDOFF_ARGS_TEXT];
	unsigned char json[HANDOFF_ARGS_TEXT];
};

/**
 * handoff_args_words() - Read an array of strings
 * @value:	As it is, nothing is cut off
 * @a:		Filled in; empty unless 0 is returned
 * @why:	Set to the reason, static, unless 0 is returned
 *
 * Return: 0; -EINVAL if it is not that; -E2BIG if there is no room
 */
int handoff_args_words(struct span value, struct handoff_args *a,
		       const char **why);

/**
 * handoff_args_env() - Read an array of pairs, as words KEY=VALUE
 *
 * A key is not empty and without "=".  Otherwise like handoff_args_words().
 */
int handoff_args_env(struct span value, struct handoff_args *a,
		     const char **why);

/**
 * handoff_args_base64() - Decode base64url without padding
 *
 * Bits that are left over must be zero.
 *
 * Return: number of bytes; -EINVAL; -E2BIG if they do not fit
 */
long handoff_args_base64(struct span in, unsigned char *out, size_t size);

#endif /* INIT_HANDOFF_ARGS_H */
