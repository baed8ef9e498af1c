#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/console.h"
#include "init/sys.h"

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

void console_last(int status)
{
	char line[64];
	int n = snprintf(line, sizeof(line),
			 "msb-init: workload exited with status %d\n", status);

	if (n > 0)
		fd_write_all(STDERR_FILENO, line, (size_t)n);
	sys_drain(STDERR_FILENO);
}
