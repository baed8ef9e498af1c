#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "gateway/isolate.h"

/*
 * What libc and the loop need in any case.  clock_gettime() and getrandom() are
 * usually served by the vDSO, but not everywhere.
 *
 * #syscalls read write readv writev close epoll_wait epoll_pwait epoll_ctl
 * #syscalls clock_gettime getrandom exit_group exit restart_syscall futex
 * #syscalls rt_sigreturn rt_sigprocmask brk mmap munmap mremap madvise
 * #syscalls gettid getpid fcntl
 */

static int drop_capabilities(void)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	memset(none, 0, sizeof(none));
	/* EINVAL is the end of the list, EPERM is nothing to drop */
	for (unsigned long cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			break;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return syscall(SYS_capset, &hdr, none) < 0 ? -errno : 0;
}

int isolate_early(int keep)
{
	struct rlimit none = { 0, 0 };
	int rc;

	if (syscall(SYS_close_range, (unsigned int)keep + 1, ~0u, 0) < 0) {
		rc = -errno;
		log_err("isolation: close_range: %s", strerror(-rc));
		return rc;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		rc = -errno;
		log_err("isolation: no_new_privs: %s", strerror(-rc));
		return rc;
	}
	rc = drop_capabilities();
	if (rc < 0) {
		log_err("isolation: capabilities: %s", strerror(-rc));
		return rc;
	}
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0) {
		rc = -errno;
		log_err("isolation: dumpable: %s", strerror(-rc));
		return rc;
	}
	return 0;
}

/* One call, if its first argument is @value */
static int allow_with(scmp_filter_ctx ctx, int call, scmp_datum_t value)
{
	const struct scmp_arg_cmp first = {
		.arg = 0, .op = SCMP_CMP_EQ, .datum_a = value,
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &first);
}

static int allow_socket(scmp_filter_ctx ctx, int domain)
{
	return allow_with(ctx, SCMP_SYS(socket), (scmp_datum_t)domain);
}

/* abort() needs it, on ourselves: not the monitor, nor what else the user runs */
static int allow_abort(scmp_filter_ctx ctx)
{
	return allow_with(ctx, SCMP_SYS(tgkill), (scmp_datum_t)getpid());
}

int isolate_late(void)
{
	static const int calls[] = {
#define X(name) SCMP_SYS(name),
#include "seccomp_list.h"
#undef X
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = 0;

	if (!ctx) {
		log_err("isolation: out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(calls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (rc == 0)
		rc = allow_socket(ctx, AF_INET);
	if (rc == 0)
		rc = allow_socket(ctx, AF_INET6);
	if (rc == 0)
		rc = allow_abort(ctx);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc < 0)
		log_err("isolation: seccomp: %s; the kernel needs "
			"CONFIG_SECCOMP_FILTER", strerror(-rc));
	return rc;
}
