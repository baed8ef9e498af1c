#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/module.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "init/sys.h"

#define WAIT_MAX_S	2
#define NAP_MAX_MS	20U	/* a child that writes much may take seconds */
#define PIPE_FD_MIN	10
#define PID_NS_INIT	0xEFFFFFFCU	/* PROC_PID_INIT_INO, proc_ns.h */
#define CLOSE_MAX	4096	/* descriptors tried without close_range() */

/* What stands in a file's place, such as a FIFO, must not hold PID 1 up */
#define NO_WAIT		(O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int result(long rc)
{
	return rc < 0 ? -errno : (int)rc;
}

int sys_mount(const char *source, const char *target, const char *type,
	      unsigned long flags, const char *data)
{
	return result(mount(source, target, type, flags, data));
}

int sys_umount(const char *target, int flags)
{
	return result(umount2(target, flags));
}

int sys_mkdir(const char *path, mode_t mode)
{
	return result(mkdir(path, mode));
}

int sys_rmdir(const char *path)
{
	return result(rmdir(path));
}

int sys_list(const char *path, char *buf, size_t size)
{
	DIR *d = opendir(path);
	struct dirent *e;
	size_t used = 0;
	int n = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name) + 1;

		if (e->d_name[0] == '.' || len > size - used)
			continue;
		memcpy(buf + used, e->d_name, len);
		used += len;
		n++;
	}
	closedir(d);
	return n;
}

int sys_symlink(const char *target, const char *path)
{
	return result(symlink(target, path));
}

int sys_stat(const char *path, struct stat *st)
{
	return result(stat(path, st));
}

bool sys_self(const char *path)
{
	static const char name[] = "/msb-init";
	char real[PATH_MAX];
	struct stat self, st;
	size_t n;

	if (stat("/proc/self/exe", &self) == 0 && stat(path, &st) == 0 &&
	    self.st_dev == st.st_dev && self.st_ino == st.st_ino)
		return true;
	if (!realpath(path, real))
		return false;
	n = strlen(real);
	return n >= sizeof(name) - 1 &&
	       strcmp(real + n - (sizeof(name) - 1), name) == 0;
}

int sys_fstype(const char *path, unsigned long *magic)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return -errno;
	*magic = (unsigned long)fs.f_type;
	return 0;
}

bool sys_readonly(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

int sys_chdir(const char *path)
{
	return result(chdir(path));
}

int sys_chroot(const char *path)
{
	return result(chroot(path));
}

int sys_open(const char *path, int flags)
{
	return result(open(path, flags | O_CLOEXEC));
}

bool sys_fd_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

bool sys_fd_console(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(5, 1);
}

int sys_dup2(int fd, int to)
{
	if (fd == to)
		return fd_cloexec(fd, false);
	return dup2(fd, to) < 0 ? -errno : 0;
}

int sys_pipe(int fds[2])
{
	int low[2], high[2], rc = 0;

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	high[0] = fcntl(low[0], F_DUPFD_CLOEXEC, PIPE_FD_MIN);
	high[1] = fcntl(low[1], F_DUPFD_CLOEXEC, PIPE_FD_MIN);
	if (high[0] < 0 || high[1] < 0) {
		rc = -errno;
		fd_close(&high[0]);
		fd_close(&high[1]);
	} else {
		memcpy(fds, high, sizeof(high));
	}
	fd_close(&low[0]);
	fd_close(&low[1]);
	return rc;
}

ssize_t sys_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | NO_WAIT);
	size_t have = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (have < size - 1 && n) {
		n = read(fd, buf + have, size - 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fd_close(&fd);
			return -errno;
		}
		have += (size_t)n;
	}
	buf[have] = '\0';
	fd_close(&fd);
	return (ssize_t)have;
}

int sys_write_file(const char *path, mode_t mode, const char *text)
{
	int flags = O_WRONLY | NO_WAIT | (mode ? O_CREAT | O_TRUNC : 0);
	int fd = open(path, flags, mode);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (mode && fchmod(fd, mode) < 0)	/* whatever the umask is */
		rc = -errno;
	if (!rc)
		rc = fd_write_all(fd, text, strlen(text));
	fd_close(&fd);
	return rc;
}

int sys_finit_module(int fd, int flags)
{
	return result(syscall(SYS_finit_module, fd, "", flags));
}

int sys_reboot(int cmd)
{
	return result(reboot(cmd));
}

void sys_sync(void)
{
	sync();
}

int sys_kill(pid_t pid, int sig)
{
	ASSERT(pid != -1 || getpid() == 1);
	return result(kill(pid, sig));
}

pid_t sys_wait(int *status)
{
	return result(waitpid(-1, status, WNOHANG));
}

pid_t sys_fork(void)
{
	return result(fork());
}

int sys_within(void (*fn)(void), unsigned int ms)
{
	uint64_t end = sys_now() + ms * NS_PER_MS;
	unsigned int nap_ms = 1;
	int status = 0;
	pid_t pid = fork(), got;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		fn();
		_exit(0);
	}
	while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
		if (sys_now() >= end)
			return -ETIMEDOUT;
		sys_sleep_ms(nap_ms);
		nap_ms = MIN(2 * nap_ms, NAP_MAX_MS);
	}
	return got == pid && status ? -EIO : 0;
}

int sys_execve(const char *path, char *const argv[], char *const envp[])
{
	return result(execve(path, argv, envp));
}

void sys_exit(int status)
{
	ASSERT(getpid() != 1);
	_exit(status);
}

int sys_setsid(void)
{
	return setsid() < 0 ? -errno : 0;
}

int sys_ctty(int fd)
{
	return result(ioctl(fd, TIOCSCTTY, 0));
}

pid_t sys_getpgid(pid_t pid)
{
	return result(getpgid(pid));
}

static volatile sig_atomic_t rang;

/** on_alarm() - What blocks returns, with EINTR or with a part of its work */
static void on_alarm(int sig)
{
	(void)sig;
	rang = 1;
}

/** bounded() - Call @fn, interrupted by SIGALRM after 2 s */
static int bounded(int (*fn)(int fd, const char *text), int fd,
		   const char *text)
{
	struct sigaction act = { .sa_handler = on_alarm }, old;
	sigset_t set, was;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaction(SIGALRM, &act, &old);
	sigprocmask(SIG_UNBLOCK, &set, &was);
	rang = 0;
	alarm(WAIT_MAX_S);
	rc = fn(fd, text);
	alarm(0);
	sigprocmask(SIG_SETMASK, &was, NULL);
	sigaction(SIGALRM, &old, NULL);
	return rc;
}

static int drain(int fd, const char *text)
{
	(void)text;
	return result(tcdrain(fd));
}

int sys_drain(int fd)
{
	return bounded(drain, fd, NULL);
}

static int write_text(int fd, const char *text)
{
	while (*text && !rang) {
		ssize_t n = write(fd, text, strlen(text));

		if (n < 0)
			return -errno;
		text += n;
	}
	return *text ? -EINTR : 0;
}

int sys_write_within(int fd, const char *text)
{
	return bounded(write_text, fd, text);
}

void sys_close_from(int first)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned int)first, ~0U, 0U) == 0)
		return;
#endif
	for (int fd = first; fd < CLOSE_MAX; fd++)
		close(fd);
}

int sys_prctl(int op, unsigned long a, unsigned long b)
{
	return result(prctl(op, a, b, 0UL, 0UL));
}

int sys_capdrop(unsigned int cap)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	unsigned int i = CAP_TO_INDEX(cap);
	uint32_t keep = ~(uint32_t)CAP_TO_MASK(cap);

	ASSERT(i < ARRAY_SIZE(data));
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[i].effective &= keep;
	data[i].permitted &= keep;
	data[i].inheritable &= keep;
	return result(syscall(SYS_capset, &head, data));
}

int sys_setgroups(const gid_t *groups, size_t n)
{
	return result(setgroups(n, groups));
}

int sys_setgid(gid_t gid)
{
	return result(setgid(gid));
}

int sys_setuid(uid_t uid)
{
	return result(setuid(uid));
}

int sys_getrlimit(int resource, uint64_t *soft, uint64_t *hard)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -errno;
	*soft = limit.rlim_cur;
	*hard = limit.rlim_max;
	return 0;
}

int sys_setrlimit(int resource, uint64_t soft, uint64_t hard)
{
	const struct rlimit limit = { .rlim_cur = (rlim_t)soft,
				      .rlim_max = (rlim_t)hard };

	return result(setrlimit(resource, &limit));
}

int sys_sigblock(void)
{
	sigset_t all;

	sigfillset(&all);
	/* PID 1 is immune to a default SIGPIPE, but EPIPE is what we want */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	return result(sigprocmask(SIG_SETMASK, &all, NULL));
}

void sys_sigreset(void)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* Refused for SIGKILL, SIGSTOP and what libc keeps: no matter */
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int sys_signalfd(const int *sigs, size_t n)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, sigs[i]);
	return result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int sys_sigwait(int a, int b)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, a);
	sigaddset(&set, b);
	return result(sigwaitinfo(&set, NULL));
}

bool sys_contained(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != PID_NS_INIT;
}

void sys_sleep_ms(unsigned int ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000 * NS_PER_MS),
	};

	nanosleep(&ts, NULL);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t sys_boottime(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t sys_cputime(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t sys_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}
