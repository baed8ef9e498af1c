#ifndef AGENT_FILE_H
#define AGENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/span.h"
#include "base/wr.h"

/*
 * file - write system files so that nobody ever sees half of one
 *
 * A temporary file in the same directory and rename(); where that is impossible
 * because the file is a mount point, in place; where the file system is
 * read-only, a copy in the run directory, bind-mounted over the file.  A file
 * that has the wanted content already is not touched.
 */

#define FILE_MARK_BEGIN	"# BEGIN msb-init"
#define FILE_MARK_END	"# END msb-init"

/** What to do where rename() is impossible */
enum file_how {
	FILE_HOW_ANY,		/* mount point: in place; read-only: cover it */
	FILE_HOW_COVER,		/* cover either with a copy: never half a file */
	FILE_HOW_RENAME,	/* fail */
};

/**
 * struct file_where - Where a file is
 * @root:	Prefix of every path, "" for none
 * @run_dir:	Directory for copies; without @root
 * @path:	The file, absolute, without @root
 */
struct file_where {
	const char *root, *run_dir, *path;
};

enum file_done {
	FILE_DONE_SAME,		/* nothing to do */
	FILE_DONE_RENAMED,
	FILE_DONE_IN_PLACE,
	FILE_DONE_BOUND,
};

/**
 * file_put() - Make a file have this content, mode 0644
 * @data:	Whole content
 * @follow:	A symbolic link stays, and its target is replaced; otherwise the
 *		link itself is replaced by a file
 * @done:	Set on success; may be NULL
 *
 * Directories that are missing above it are made, mode 0755.
 *
 * Return: 0; -EISDIR if a directory is in its place; -ENAMETOOLONG; -errno
 */
int file_put(const struct file_where *w, struct span data, bool follow,
	     enum file_done *done);

/** file_put_how() - file_put() with a choice of what to do in a pinch */
int file_put_how(const struct file_where *w, struct span data, bool follow,
		 enum file_how pinch, enum file_done *done);

/**
 * file_remove() - Remove a file, or a symbolic link itself
 *
 * Return: 0, also if there is none; -errno
 */
int file_remove(const struct file_where *w);

/**
 * file_link() - Make a symbolic link
 * @to:		Its target
 *
 * Return: 0; -EEXIST; -errno
 */
int file_link(const struct file_where *w, const char *to);

/**
 * file_block() - Replace our marked block in a text
 * @old:	Text so far; everything outside our block is kept
 * @body:	New content of the block, of whole lines; empty removes it
 * @w:		The new text is appended here; test @w->bad
 *
 * Without a block so far, it is added at the end, on a line of its own.
 */
void file_block(struct span old, struct span body, struct wr *w);

/**
 * file_read() - Read a file into memory that the caller frees
 * @path:	Path as it is
 * @max:	Longest content accepted
 * @out:	Set on success; NUL-terminated
 *
 * Return: 0; -EFBIG; -ENOMEM; -errno of open() or read()
 */
int file_read(const char *path, size_t max, char **out, size_t *len);

/** file_path() - Join @w->root and @w->path; 0 or -ENAMETOOLONG */
int file_path(const struct file_where *w, char *buf, size_t size);

#endif /* AGENT_FILE_H */
