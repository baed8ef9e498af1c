#ifndef INIT_MODULES_H
#define INIT_MODULES_H

#include "base/span.h"

#define MODULES_LIST	"/etc/msb/modules"

/**
 * modules_next() - Cut the next module off a list
 * @list:	Text, shortened: one path a line; blanks around it, empty lines
 *		and lines that begin with '#' are skipped
 * @path:	Set to the path, borrowed from @list
 *
 * Return: 1; 0 at the end
 */
int modules_next(struct span *list, struct span *path);

/**
 * modules_flags() - Flags for finit_module() that suit a file's name
 *
 * Return: MODULE_INIT_COMPRESSED_FILE for .xz, .zst and .gz, else 0
 */
int modules_flags(const char *path);

/**
 * modules_load() - Load the modules of a list, in its order
 *
 * One that is loaded already is fine; one that fails costs a line on the
 * console that names it, and the next is tried.
 *
 * Return: how many failed; 0 too if there is no list
 */
int modules_load(const char *list);

#endif /* INIT_MODULES_H */
