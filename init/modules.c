#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/module.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "init/modules.h"
#include "init/sys.h"

#ifndef MODULE_INIT_COMPRESSED_FILE	/* Linux 5.17 */
#define MODULE_INIT_COMPRESSED_FILE	4
#endif

#define LIST_MAX	16384	/* about 200 paths of Debian's length */

int modules_next(struct span *list, struct span *path)
{
	while (list->len) {
		struct span line = span_trim(span_cut(list, '\n', NULL));

		if (!line.len || line.p[0] == '#')
			continue;
		*path = line;
		return 1;
	}
	return 0;
}

int modules_flags(const char *path)
{
	static const char *const ends[] = { ".xz", ".zst", ".gz" };
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t n = strlen(ends[i]);

		if (len > n && memcmp(path + len - n, ends[i], n) == 0)
			return MODULE_INIT_COMPRESSED_FILE;
	}
	return 0;
}

/** load_one() - Load one module; 0 or -errno */
static int load_one(const char *path)
{
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return fd;
	rc = sys_finit_module(fd, modules_flags(path));
	fd_close(&fd);
	return rc == -EEXIST ? 0 : rc;
}

int modules_load(const char *list)
{
	static char text[LIST_MAX];
	ssize_t n = sys_read_file(list, text, sizeof(text));
	char path[PATH_MAX];
	struct span rest, one;
	int failed = 0;

	if (n == -ENOENT)
		return 0;
	if (n < 0 || (size_t)n == sizeof(text) - 1) {
		log_err("modules: %s: %s", list,
			strerror(n < 0 ? (int)-n : EFBIG));
		return 1;
	}
	rest = span_str(text);
	while (modules_next(&rest, &one)) {
		int rc = span_copy(one, path, sizeof(path));

		if (rc == 0)
			rc = load_one(path);
		if (rc == 0)
			continue;
		failed++;
		log_err("modules: %.*s: %s", (int)MIN(one.len, (size_t)256),
			(const char *)one.p, strerror(-rc));
	}
	return failed;
}
