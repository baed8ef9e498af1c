#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "init/sys.h"
#include "tests/unit/init_fake.h"

#define FILES	48
#define FAILS	16
#define CHILDREN 16
#define SIGNALS	8

static struct {
	char calls[16384], said[8192];
	size_t len;
	struct {
		const char *path, *text;
		mode_t mode;
		dev_t dev;
		unsigned long magic;
		bool readonly;
	} files[FILES];
	struct {
		const char *line;
		int rc;
	} fails[FAILS];
	struct {
		pid_t pid;
		int status;
	} children[CHILDREN];
	int signals[SIGNALS];
	size_t nfiles, nfails, nchildren, child, nsignals, sig;
	pid_t fork_pid;
	int within;
	const char *self;
	bool contained, ending;
	unsigned int open, console;
	uint64_t now_ns;
} fake;

static int log_fd = -1;

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.now_ns = NS_PER_S;
	fake.fork_pid = 1000;
	fake.open = 7;
}

void fake_file(const char *path, mode_t mode, const char *text)
{
	ASSERT(fake.nfiles < FILES);
	fake.files[fake.nfiles].path = path;
	fake.files[fake.nfiles].text = text;
	fake.files[fake.nfiles++].mode = mode;
}

void fake_mount(const char *path, unsigned long magic)
{
	fake_file(path, S_IFDIR | 0755, NULL);
	fake.files[fake.nfiles - 1].magic = magic;
	fake.files[fake.nfiles - 1].dev = fake.nfiles;
}

void fake_dir(const char *path, unsigned long magic)
{
	fake_mount(path, magic);
	fake.files[fake.nfiles - 1].dev = 0;
}

void fake_readonly(const char *path)
{
	fake_dir(path, 0);
	fake.files[fake.nfiles - 1].readonly = true;
}

void fake_self(const char *path)
{
	fake.self = path;
}

void fake_fail(const char *line, int rc)
{
	ASSERT(fake.nfails < FAILS);
	fake.fails[fake.nfails].line = line;
	fake.fails[fake.nfails++].rc = rc;
}

void fake_child(pid_t pid, int status)
{
	ASSERT(fake.nchildren < CHILDREN);
	fake.children[fake.nchildren].pid = pid;
	fake.children[fake.nchildren++].status = status;
}

void fake_children_for_ever(bool ending)
{
	fake.ending = ending;
}

void fake_within(int rc)
{
	fake.within = rc;
}

void fake_signal(int sig)
{
	ASSERT(fake.nsignals < SIGNALS);
	fake.signals[fake.nsignals++] = sig;
}

void fake_fork(pid_t pid)
{
	fake.fork_pid = pid;
}

void fake_contained(bool yes)
{
	fake.contained = yes;
}

void fake_stdio(unsigned int open, unsigned int console)
{
	fake.open = open;
	fake.console = console;
}

void fake_advance(uint64_t ns)
{
	fake.now_ns += ns;
}

const char *fake_calls(void)
{
	static char text[sizeof(fake.calls)];

	memcpy(text, fake.calls, fake.len);
	text[fake.len] = '\0';
	fake.len = 0;
	return text;
}

const char *fake_logged(void)
{
	ssize_t n = pread(log_fd, fake.said, sizeof(fake.said) - 1, 0);

	fake.said[MAX(n, 0)] = '\0';
	ASSERT(ftruncate(log_fd, 0) == 0);
	ASSERT(lseek(log_fd, 0, SEEK_SET) == 0);
	return fake.said;
}

int fake_setup(void **state)
{
	(void)state;
	fake_reset();
	if (log_fd < 0)
		log_fd = memfd_create("log", MFD_CLOEXEC);
	log_init(log_fd, "t", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	fake_logged();
	return log_fd < 0;
}

int fake_teardown(void **state)
{
	(void)state;
	log_init(STDERR_FILENO, "unit", LOG_SINK_TEXT, LOG_LEVEL_WARN);
	return 0;
}

__attribute__((format(printf, 1, 2)))
static int call(const char *fmt, ...)
{
	char *line = fake.calls + fake.len;
	size_t left = sizeof(fake.calls) - fake.len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, left, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0 && (size_t)n + 2 < left);
	fake.len += (size_t)n + 1;
	for (size_t i = 0; i < fake.nfails; i++)
		if (strncmp(line, fake.fails[i].line,
			    strlen(fake.fails[i].line)) == 0) {
			line[n] = '\n';
			return fake.fails[i].rc;
		}
	line[n] = '\n';
	return 0;
}

static const char *or_dash(const char *s)
{
	return s ? s : "-";
}

/** file() - Index of a file, the one that was put last; -ENOENT */
static int file(const char *path)
{
	for (size_t i = fake.nfiles; i > 0; i--)
		if (strcmp(fake.files[i - 1].path, path) == 0)
			return (int)i - 1;
	return -ENOENT;
}

int sys_mount(const char *source, const char *target, const char *type,
	      unsigned long flags, const char *data)
{
	return call("mount %s %s %s %lx %s", or_dash(source), target,
		    or_dash(type), flags, or_dash(data));
}

int sys_umount(const char *target, int flags)
{
	return call("umount %s %x", target, (unsigned int)flags);
}

int sys_mkdir(const char *path, mode_t mode)
{
	return call("mkdir %s %o", path, mode);
}

int sys_rmdir(const char *path)
{
	return call("rmdir %s", path);
}

int sys_list(const char *path, char *buf, size_t size)
{
	size_t len = strlen(path), used = 0;
	int n = 0;

	for (size_t i = 0; i < fake.nfiles; i++) {
		const char *at = fake.files[i].path;

		if (strncmp(at, path, len) || at[len] != '/' ||
		    strchr(at + len + 1, '/'))
			continue;
		at += len + 1;
		ASSERT(strlen(at) < size - used);
		memcpy(buf + used, at, strlen(at) + 1);
		used += strlen(at) + 1;
		n++;
	}
	return n;
}

int sys_symlink(const char *target, const char *path)
{
	return call("symlink %s %s", target, path);
}

/* "/dev/pts/..": all parents are on device 0 */
int sys_stat(const char *path, struct stat *st)
{
	size_t len = strlen(path);
	int i = file(path);

	memset(st, 0, sizeof(*st));
	if (len > 3 && strcmp(path + len - 3, "/..") == 0)
		return 0;
	if (i < 0)
		return i;
	st->st_mode = fake.files[i].mode;
	st->st_dev = fake.files[i].dev;
	return 0;
}

bool sys_self(const char *path)
{
	return fake.self && strcmp(path, fake.self) == 0;
}

int sys_fstype(const char *path, unsigned long *magic)
{
	int i = file(path);

	if (i < 0)
		return i;
	*magic = fake.files[i].magic;
	return 0;
}

bool sys_readonly(const char *path)
{
	return file(path) >= 0 && fake.files[file(path)].readonly;
}

int sys_chdir(const char *path)
{
	return call("chdir %s", path);
}

int sys_chroot(const char *path)
{
	return call("chroot %s", path);
}

int sys_open(const char *path, int flags)
{
	int rc = call("open %s", path);

	(void)flags;
	return rc < 0 ? rc : open("/dev/null", O_RDWR | O_CLOEXEC);
}

bool sys_fd_open(int fd)
{
	return fake.open & 1U << fd;
}

bool sys_fd_console(int fd)
{
	return fake.console & 1U << fd;
}

int sys_dup2(int fd, int to)
{
	(void)fd;
	return call("dup2 %d", to);
}

int sys_pipe(int fds[2])
{
	int rc = call("pipe");

	if (rc < 0)
		return rc;
	return pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;
}

ssize_t sys_read_file(const char *path, char *buf, size_t size)
{
	int i = file(path);
	int n;

	if (i < 0)
		return i;
	n = snprintf(buf, size, "%s",
		     fake.files[i].text ? fake.files[i].text : "");
	return (ssize_t)MIN((size_t)n, size - 1);
}

int sys_write_file(const char *path, mode_t mode, const char *text)
{
	return call("write %s %o %s", path, mode, text);
}

int sys_finit_module(int fd, int flags)
{
	(void)fd;
	return call("finit %d", flags);
}

int sys_reboot(int cmd)
{
	return call("reboot %x", (unsigned int)cmd);
}

void sys_sync(void)
{
	call("sync");
}

int sys_kill(pid_t pid, int sig)
{
	return call("kill %d %d", (int)pid, sig);
}

pid_t sys_wait(int *status)
{
	size_t i = fake.child;

	*status = 0;
	if (fake.ending)
		return 1;
	if (i == fake.nchildren)
		return 0;
	fake.child++;
	*status = fake.children[i].status;
	return fake.children[i].pid;
}

pid_t sys_fork(void)
{
	int rc = call("fork");

	return rc < 0 ? rc : fake.fork_pid;
}

int sys_within(void (*fn)(void), unsigned int ms)
{
	if (fake.within)
		call("within %u", ms);
	else
		fn();
	return fake.within;
}

int sys_execve(const char *path, char *const argv[], char *const envp[])
{
	char words[1024] = "";
	size_t n = 0;
	int rc;

	for (; *argv && n < sizeof(words); argv++)
		n += (size_t)snprintf(words + n, sizeof(words) - n, " [%s]",
				      *argv);
	(void)envp;
	rc = call("exec %s%s", path, words);
	return rc ? rc : -ENOENT;
}

void sys_exit(int status)
{
	call("exit %d", status);
}

int sys_setsid(void)
{
	return call("setsid");
}

int sys_ctty(int fd)
{
	return call("ctty %d", fd);
}

pid_t sys_getpgid(pid_t pid)
{
	return call("getpgid %d", (int)pid);
}

int sys_drain(int fd)
{
	return call("drain %d", fd);
}

int sys_write_within(int fd, const char *text)
{
	int rc = call("write_within %d", fd);

	return rc ? rc : fd_write_all(fd, text, strlen(text));
}

void sys_close_from(int first)
{
	call("close_from %d", first);
}

int sys_prctl(int op, unsigned long a, unsigned long b)
{
	return call("prctl %d %lu %lu", op, a, b);
}

int sys_capdrop(unsigned int cap)
{
	return call("capdrop %u", cap);
}

int sys_setgroups(const gid_t *groups, size_t n)
{
	char text[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 " %u", groups[i]);
	return call("setgroups%s", text);
}

int sys_setgid(gid_t gid)
{
	return call("setgid %u", gid);
}

int sys_setuid(uid_t uid)
{
	return call("setuid %u", uid);
}

int sys_getrlimit(int resource, uint64_t *soft, uint64_t *hard)
{
	*soft = 1000 + (unsigned int)resource;
	*hard = 2000 + (unsigned int)resource;
	return 0;
}

int sys_setrlimit(int resource, uint64_t soft, uint64_t hard)
{
	return call("setrlimit %d %llu %llu", resource,
		    (unsigned long long)soft, (unsigned long long)hard);
}

int sys_sigblock(void)
{
	return call("sigblock");
}

void sys_sigreset(void)
{
	call("sigreset");
}

int sys_signalfd(const int *sigs, size_t n)
{
	char text[64] = "";
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 " %d", sigs[i]);
	return call("signalfd%s", text);
}

int sys_sigwait(int a, int b)
{
	(void)a;
	(void)b;
	return fake.sig < fake.nsignals ? fake.signals[fake.sig++] : a;
}

bool sys_contained(void)
{
	return fake.contained;
}

void sys_sleep_ms(unsigned int ms)
{
	fake.now_ns += ms * NS_PER_MS;
}

uint64_t sys_boottime(void)
{
	return fake.now_ns;
}

uint64_t sys_cputime(void)
{
	return fake.now_ns / 2;
}

uint64_t sys_now(void)
{
	return fake.now_ns;
}
