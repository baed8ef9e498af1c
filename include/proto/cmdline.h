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

/**
 * COMMAND_LINE_SIZE of the kernel, which is not in its uapi: what a line that is
 * longer loses is told by nobody, and init sees a value that is cut short
 */
#ifdef __riscv
#define CMDLINE_SIZE	1024
#else
#define CMDLINE_SIZE	2048
#endif

/** Last of the gateway's variables, so that the others are known to be whole */
#define CMDLINE_END	"MSB_END=1"

/**
 * cmdline_cut() - Which word the end of a full line may have cut short
 * @name:	Receives its name, without the value; "--" if it is behind that
 *
 * A line that ends with MSB_END=1 is whole.
 *
 * Return: whether there is one
 */
bool cmdline_cut(struct span line, char *name, size_t size);

#endif /* PROTO_CMDLINE_H */
