#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/plan.h"
#include "base/fd.h"

int file_path(const struct file_where *w, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s%s", w->root, w->path);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/**
 * file_slurp() - Read an open file to its end
 * @max:	Longest content accepted
 *
 * The size that fstat() gives is a hint only: files in /proc have none.
 */
static int file_slurp(int fd, size_t max, char **out, size_t *len)
{
	size_t cap = 4096, have = 0;
	char *buf = NULL, *more;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (st.st_size > 0 && (size_t)st.st_size <= max)
		cap = (size_t)st.st_size + 2;
	for (;;) {
		more = realloc(buf, cap);
		if (!more) {
			free(buf);
			return -ENOMEM;
		}
		buf = more;
		n = read(fd, buf + have, cap - have - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
		if (have > max) {
			free(buf);
			return -EFBIG;
		}
		if (have == cap - 1)
			cap *= 2;
	}
	if (n < 0) {
		n = -errno;
		free(buf);
		return (int)n;
	}
	buf[have] = '\0';
	*out = buf;
	*len = have;
	return 0;
}

int file_read(const char *path, size_t max, char **out, size_t *len)
{
	int fd, rc;

	/* Not to hang on a FIFO that somebody put there */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	rc = file_slurp(fd, max, out, len);
	close(fd);
	return rc;
}

/* Whether the file has exactly this content, and everybody may read it */
static bool file_same(const char *path, struct span data)
{
	struct stat st;
	size_t len = 0;
	bool same;
	char *old = NULL;

	if (stat(path, &st) || !S_ISREG(st.st_mode) ||
	    (st.st_mode & 0444) != 0444 || (size_t)st.st_size != data.len)
		return false;
	if (file_read(path, data.len, &old, &len))
		return false;
	same = len == data.len && (!len || !memcmp(old, data.p, len));
	free(old);
	return same;
}

static int file_mkdir(const char *dir)
{
	if (!access(dir, F_OK) || !plan_mkdir(dir))
		return 0;
	if (mkdir(dir, 0755))
		return errno == EEXIST ? 0 : -errno;
	(void)chmod(dir, 0755);		/* whatever the umask is */
	return 0;
}

/* Make every directory above @path that is missing */
static int file_mkdirs(const char *path)
{
	char dir[PATH_MAX];
	int rc;

	if (span_copy(span_str(path), dir, sizeof(dir)))
		return -ENAMETOOLONG;
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		rc = file_mkdir(dir);
		if (rc)
			return rc;
		*p = '/';
	}
	return 0;
}

static int file_fill(int fd, struct span data)
{
	int rc = fd_write_all(fd, data.p, data.len);

	/* A full disk or quota may show only here */
	if (close(fd) && !rc && errno != EINTR)
		rc = -errno;
	return rc;
}

/* Over the same inode: for mount points.  Not atomic, hence the last resort */
static int file_put_in_place(const char *path, struct span data)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY |
			    O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return errno == ENXIO ? -EACCES : -errno;
	/* A device or a FIFO keeps nothing: as good as not writable */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EACCES;
	}
	(void)fchmod(fd, 0644);
	return file_fill(fd, data);
}

/* A temporary file beside @path, then rename(); owner as before */
static int file_put_rename(const char *path, struct span data)
{
	const char *base = strrchr(path, '/') + 1;
	char tmp[PATH_MAX];
	struct stat st;
	int fd, rc;

	if (snprintf(tmp, sizeof(tmp), "%.*s.%s.msb-new", (int)(base - path),
		     path, base) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	if (unlink(tmp) && errno != ENOENT)
		return -errno;
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return -errno;
	if (!stat(path, &st) && (st.st_uid || st.st_gid))
		(void)!fchown(fd, st.st_uid, st.st_gid);
	rc = fchmod(fd, 0644) ? -errno : 0;
	if (rc)
		close(fd);
	else
		rc = file_fill(fd, data);
	if (!rc && rename(tmp, path))
		rc = -errno;
	if (rc)
		unlink(tmp);
	return rc;
}

/* Both names lead to one inode: our copy is mounted there already */
static bool file_is_one(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static int file_put_bind(const struct file_where *w, const char *path,
			 struct span data)
{
	char copy[PATH_MAX];
	int rc;

	if (snprintf(copy, sizeof(copy), "%s%s/%s", w->root, w->run_dir,
		     strrchr(w->path, '/') + 1) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	if (file_is_one(copy, path))
		return file_put_in_place(copy, data);
	rc = file_mkdirs(copy);
	if (!rc)
		rc = file_put_rename(copy, data);
	if (!rc && mount(copy, path, NULL, MS_BIND, NULL))
		rc = -errno;
	return rc;
}

/** file_planned() - Put it into words; whether to do it */
static bool file_planned(const char *path)
{
	char link[PATH_MAX];
	ssize_t n = readlink(path, link, sizeof(link));

	if (n > 0)
		return plan_do("write %s, mode 0644, in place of the link to "
			       "%.*s", path, (int)n, link);
	return plan_do("write %s, mode 0644", path);
}

int file_put_how(const struct file_where *w, struct span data, bool follow,
		 enum file_how pinch, enum file_done *done)
{
	char path[PATH_MAX], real[PATH_MAX];
	enum file_done how = FILE_DONE_RENAMED;
	struct stat st;
	int rc;

	rc = file_path(w, path, sizeof(path));
	if (rc)
		return rc;
	/*
	 * A dangling link has no target to keep, and one to a device is no file
	 * of anybody's: they are replaced themselves
	 */
	if (follow && realpath(path, real) && !stat(real, &st) &&
	    S_ISREG(st.st_mode))
		(void)span_copy(span_str(real), path, sizeof(path));
	if (file_same(path, data)) {
		if (done)
			*done = FILE_DONE_SAME;
		return 0;
	}
	if (!lstat(path, &st) && S_ISDIR(st.st_mode))
		return -EISDIR;

	rc = file_mkdirs(path);
	if (!rc && !file_planned(path)) {
		if (done)
			*done = how;
		return 0;
	}
	if (!rc)
		rc = file_put_rename(path, data);
	if (rc == -EBUSY && pinch == FILE_HOW_ANY) {
		how = FILE_DONE_IN_PLACE;
		rc = file_put_in_place(path, data);
	}
	if (pinch != FILE_HOW_RENAME && (rc == -EROFS || rc == -EPERM ||
					 rc == -EACCES || rc == -EBUSY)) {
		how = FILE_DONE_BOUND;
		rc = file_put_bind(w, path, data);
	}
	if (!rc && done)
		*done = how;
	return rc;
}

int file_put(const struct file_where *w, struct span data, bool follow,
	     enum file_done *done)
{
	return file_put_how(w, data, follow, FILE_HOW_ANY, done);
}

int file_remove(const struct file_where *w)
{
	char path[PATH_MAX];
	int rc = file_path(w, path, sizeof(path));

	struct stat st;

	if (rc)
		return rc;
	if ((lstat(path, &st) && errno == ENOENT) ||
	    !plan_do("remove %s", path))
		return 0;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int file_link(const struct file_where *w, const char *to)
{
	char path[PATH_MAX];
	int rc = file_path(w, path, sizeof(path));

	if (rc)
		return rc;
	if (!plan_do("link %s to %s", path, to))
		return 0;
	return symlink(to, path) ? -errno : 0;
}

/* Whether the line starting at @s is @mark and nothing more */
static bool file_mark_is(struct span line, const char *mark)
{
	return span_is(span_trim(line), mark);
}

/**
 * file_find_block() - The extent of our block
 * @from:	Set to the offset of its first marker
 * @to:		Set to the offset behind its last line
 *
 * The last opening mark before the first closing one: a stray opening mark
 * never makes foreign lines ours.
 *
 * Return: whether there is one
 */
static bool file_find_block(struct span old, size_t *from, size_t *to)
{
	struct span rest = old;
	bool open = false;

	while (rest.len) {
		size_t at = (size_t)(rest.p - old.p);
		struct span line = span_cut(&rest, '\n', NULL);

		if (file_mark_is(line, FILE_MARK_BEGIN)) {
			*from = at;
			open = true;
		} else if (open && file_mark_is(line, FILE_MARK_END)) {
			*to = rest.len ? (size_t)(rest.p - old.p) : old.len;
			return true;
		}
	}
	return false;
}

void file_block(struct span old, struct span body, struct wr *w)
{
	size_t from = old.len, to = old.len;

	if (!file_find_block(old, &from, &to))
		from = to = old.len;
	wr_bytes(w, old.p, from);
	if (body.len) {
		if (from && old.p[from - 1] != '\n')
			wr_u8(w, '\n');
		wr_fmt(w, "%s\n", FILE_MARK_BEGIN);
		wr_span(w, body);
		wr_fmt(w, "%s\n", FILE_MARK_END);
	}
	if (to < old.len)
		wr_bytes(w, old.p + to, old.len - to);
}
