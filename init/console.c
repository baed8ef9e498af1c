#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/span.h"
#include "base/util.h"
#include "init/console.h"
#include "init/sys.h"

#define KEY_MAX		64
#define LAST_LINE	"msb-init: workload exited with status %d"

static char key[KEY_MAX + 1];

/* Bit N: descriptor N is not ours to replace, it came open or is a console */
static unsigned int settled;

/** any_open() - Open the best there is; whether it is the console in @best */
static int any_open(bool *best)
{
	int fd = sys_open("/dev/console", O_RDWR | O_NOCTTY);

	*best = fd >= 0;
	if (fd < 0)
		fd = sys_open("/dev/null", O_RDWR);
	if (fd < 0)
		fd = sys_open("/", O_RDONLY | O_DIRECTORY);
	return fd;
}

void console_open(bool first)
{
	bool best;
	int fd;

	if (first)
		settled = 0;
	for (int i = 0; first && i <= STDERR_FILENO; i++)
		if (sys_fd_open(i))
			settled |= 1U << i;
	for (int i = 0; i <= STDERR_FILENO; i++) {
		bool have = settled & 1U << i;

		if (have && !sys_fd_console(i))
			continue;
		fd = any_open(&best);
		if (fd < 0)
			return;
		if (best || !have)
			sys_dup2(fd, i);
		if (fd != i)
			fd_close(&fd);
		if (best)
			settled |= 1U << i;
	}
}

/* Whether it may stand on a line of its own */
static bool key_fine(const char *s)
{
	size_t n = strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return n && !s[n];
}

/** key_take() - Read a file's key, and empty it; whether there was one */
static bool key_take(const char *path)
{
	char text[KEY_MAX + 2];		/* one byte more would be read */
	ssize_t n = sys_read_file(path, text, sizeof(text));
	int rc;

	if (n <= 0)
		return false;
	if (span_copy(span_trim(span_str(text)), key, sizeof(key)) ||
	    !key_fine(key)) {
		key[0] = '\0';
		log_warn("%s: not 1 to %d letters and digits", path, KEY_MAX);
	}
	secure_zero(text, sizeof(text));
	rc = sys_write_file(path, 0600, "");
	if (rc < 0)
		log_warn("%s: %s: the workload can read it", path,
			 strerror(-rc));
	return true;
}

void console_key(void)
{
	key[0] = '\0';
	if (!key_take(CONSOLE_KEY_NEXT))
		key_take(CONSOLE_KEY_FILE);
}

void console_key_leave(void)
{
	int rc;

	if (!key[0])
		return;
	sys_mkdir("/run/msb", 0755);
	rc = sys_write_file(CONSOLE_KEY_NEXT, 0600, key);
	if (rc < 0)
		log_warn(CONSOLE_KEY_NEXT ": %s", strerror(-rc));
}

void console_last(int status)
{
	char line[64 + KEY_MAX];

	snprintf(line, sizeof(line), key[0] ? LAST_LINE " (key %s)\n" :
					      LAST_LINE "%s\n", status, key);
	sys_write_within(STDERR_FILENO, line);
	sys_drain(STDERR_FILENO);
}
