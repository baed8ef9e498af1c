#ifndef INIT_MTAB_H
#define INIT_MTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * mtab - the lines of /proc/self/mounts
 *
 * In them a blank, tab, newline or backslash of a path is three octal digits
 * after a backslash.
 */

/**
 * struct mtab - One line, as it is: @target is not decoded.  Spans are borrowed
 */
struct mtab {
	struct span source, target, type, options;
};

/** mtab_parse() - Read a line without its newline; false if it is none */
bool mtab_parse(struct span line, struct mtab *m);

/**
 * mtab_last() - Cut the last line off: what was mounted last comes first
 * @text:	Shortened
 * @line:	Set to that line, without its newline
 *
 * Return: whether there was one
 */
bool mtab_last(struct span *text, struct span *line);

/**
 * mtab_path() - A path with its escapes undone
 * @s:		\ooo, three octal digits up to \377, becomes a byte; any other
 *		backslash stays as it is
 *
 * Return: 0; -ENAMETOOLONG, or -EINVAL for an escaped NUL: then @buf is ""
 */
int mtab_path(struct span s, char *buf, size_t size);

/** mtab_has() - Whether a word is among the options, as "ro" is */
bool mtab_has(const struct mtab *m, const char *option);

#endif /* INIT_MTAB_H */
