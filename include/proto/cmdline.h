#ifndef PROTO_CMDLINE_H
#define PROTO_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * cmdline - the kernel's command line, with the kernel's own quoting rules
 *
 * Blanks separate words; double quotes group, around a value or around a whole
 * word, and there is no escape (lib/cmdline.c: next_arg() of Linux).  Words
 * after a lone "--" are init's arguments.
 */

/**
 * cmdline_next() - Cut the next word off
 * @rest:	Shortened
 * @buf:	Receives the word without its quotes, NUL-terminated
 * @size:	Size of @buf; a longer word is cut to fit
 *
 * Return: 1; 0 at the end
 */
int cmdline_next(struct span *rest, char *buf, size_t size);

/**
 * cmdline_get() - Value of the last NAME=VALUE before any "--"
 *
 * Return: 0; -ENOENT if the line has none; -ENAMETOOLONG if it does not fit
 */
int cmdline_get(struct span line, const char *name, char *buf, size_t size);

/**
 * cmdline_args() - Count the words after the first lone "--"
 *
 * Up to a second lone "--", where the kernel stops too: init's argv ends with
 * exactly this many words.
 *
 * Return: their number; -ENOENT if there is no "--"
 */
int cmdline_args(struct span line);

#endif /* PROTO_CMDLINE_H */
