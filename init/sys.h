#ifndef INIT_SYS_H
#define INIT_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * sys - every system call of PID 1 that changes something outside of it, and
 *	 every one whose answer decides what it does
 *
 * A seam: the unit tests link their own definitions of all these functions in
 * place of sys.c, so that no test mounts, kills or reboots anything.  All
 * return 0 (or what is said) or -errno.
 */

/** sys_mount() - mount(2) */
int sys_mount(const char *source, const char *target, const char *type,
	      unsigned long flags, const char *data);

/** sys_umount() - umount2(2) */
int sys_umount(const char *target, int flags);

/** sys_mkdir() - mkdir(2) */
int sys_mkdir(const char *path, mode_t mode);

/** sys_rmdir() - rmdir(2) */
int sys_rmdir(const char *path);

/**
 * sys_list() - Names in a directory, without those that begin with a dot
 * @buf:	Receives them, each with its NUL; what does not fit is left out
 *
 * Return: how many; -errno
 */
int sys_list(const char *path, char *buf, size_t size);

/** sys_symlink() - symlink(2) */
int sys_symlink(const char *target, const char *path);

/** sys_stat() - stat(2), following symbolic links */
int sys_stat(const char *path, struct stat *st);

/**
 * sys_self() - Whether @path, links followed, is this program or another file
 *		of its name
 */
bool sys_self(const char *path);

/** sys_fstype() - f_type of statfs(2) */
int sys_fstype(const char *path, unsigned long *magic);

/** sys_readonly() - Whether the file system that @path is on is read-only */
bool sys_readonly(const char *path);

/** sys_chdir() - chdir(2) */
int sys_chdir(const char *path);

/** sys_chroot() - chroot(2) */
int sys_chroot(const char *path);

/** sys_open() - open(2), always O_CLOEXEC; the descriptor is the caller's */
int sys_open(const char *path, int flags);

/** sys_fd_open() - Whether descriptor @fd is open */
bool sys_fd_open(int fd);

/** sys_fd_console() - Whether descriptor @fd is /dev/console, by its number */
bool sys_fd_console(int fd);

/** sys_dup2() - dup2(2); the copy stays open across exec */
int sys_dup2(int fd, int to);

/**
 * sys_pipe() - pipe2(2), both ends O_CLOEXEC, none O_NONBLOCK
 *
 * Both are 10 or above, so that a child can put them at fixed low numbers in
 * any order.
 */
int sys_pipe(int fds[2]);

/**
 * sys_read_file() - Read the beginning of a file; never waits, as for a FIFO
 * @buf:	NUL-terminated after the content
 * @size:	Size of @buf, not 0
 *
 * Return: bytes read without the NUL; @size - 1 if the file may be longer;
 *	   -errno
 */
ssize_t sys_read_file(const char *path, char *buf, size_t size);

/**
 * sys_write_file() - Replace the content of a file; never waits
 * @mode:	If not 0 the file is created when it is missing, and gets
 *		exactly this mode
 */
int sys_write_file(const char *path, mode_t mode, const char *text);

/** sys_finit_module() - finit_module(2) without parameters */
int sys_finit_module(int fd, int flags);

/** sys_reboot() - reboot(2); returns only on failure, or for RB_DISABLE_CAD */
int sys_reboot(int cmd);

/** sys_sync() - sync(2) */
void sys_sync(void);

/**
 * sys_kill() - kill(2)
 *
 * -1, everybody, is an invariant of PID 1: this asserts that we are.
 */
int sys_kill(pid_t pid, int sig);

/**
 * sys_wait() - Collect any one child without waiting
 *
 * Return: its pid; 0 if none has ended; -ECHILD if there is no child; -errno
 */
pid_t sys_wait(int *status);

/** sys_fork() - fork(2): 0 in the child */
pid_t sys_fork(void);

/**
 * sys_within() - Run @fn in a child, and wait for it
 *
 * Return: 0 when it is done; -ETIMEDOUT if it is not after @ms; -EIO if it was
 *	   killed; -errno of fork()
 */
int sys_within(void (*fn)(void), unsigned int ms);

/** sys_execve() - execve(2); returns only on failure */
int sys_execve(const char *path, char *const argv[], char *const envp[]);

/** sys_exit() - _exit(2) of a child; never of PID 1, which it asserts */
void sys_exit(int status);

/** sys_setsid() - setsid(2) */
int sys_setsid(void);

/** sys_ctty() - Make the terminal at @fd ours, unless it is taken */
int sys_ctty(int fd);

/** sys_getpgid() - getpgid(2) */
pid_t sys_getpgid(pid_t pid);

/** sys_drain() - Wait until @fd's terminal has sent everything, at most 2 s */
int sys_drain(int fd);

/** sys_write_within() - Write all of a text, or what is taken within 2 s
 *
 * Return: 0; -EINTR when the time was up; -errno
 */
int sys_write_within(int fd, const char *text);

/** sys_close_from() - Close all descriptors from @first on */
void sys_close_from(int first);

/** sys_prctl() - prctl(2); the arguments that are not given are 0 */
int sys_prctl(int op, unsigned long a, unsigned long b);

/** sys_capdrop() - Take a capability out of all three sets of this process */
int sys_capdrop(unsigned int cap);

/** sys_setgroups() - setgroups(2) */
int sys_setgroups(const gid_t *groups, size_t n);

/** sys_setgid() - setgid(2) */
int sys_setgid(gid_t gid);

/** sys_setuid() - setuid(2) */
int sys_setuid(uid_t uid);

/** sys_getrlimit() - getrlimit(2); all ones is no limit */
int sys_getrlimit(int resource, uint64_t *soft, uint64_t *hard);

/** sys_setrlimit() - setrlimit(2); all ones is no limit */
int sys_setrlimit(int resource, uint64_t soft, uint64_t hard);

/** sys_sigblock() - Block every signal; ignore SIGPIPE */
int sys_sigblock(void);

/** sys_sigreset() - Default dispositions, then an empty mask */
void sys_sigreset(void);

/** sys_signalfd() - Non-blocking signalfd for the signals of @sigs[@n] */
int sys_signalfd(const int *sigs, size_t n);

/** sys_sigwait() - Wait for one of two blocked signals; its number or -errno */
int sys_sigwait(int a, int b);

/**
 * sys_contained() - Whether we are in a PID namespace: not the machine's own
 *		     PID 1, and its file systems are not ours to shut
 */
bool sys_contained(void);

/** sys_sleep_ms() - Sleep; may wake early */
void sys_sleep_ms(unsigned int ms);

/** sys_boottime() - CLOCK_BOOTTIME in ns */
uint64_t sys_boottime(void);

/** sys_cputime() - CPU time that this process has used, in ns */
uint64_t sys_cputime(void);

/** sys_now() - CLOCK_MONOTONIC in ns, for what may have blocked in this turn */
uint64_t sys_now(void);

#endif /* INIT_SYS_H */
