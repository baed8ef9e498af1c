#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/util.h"
#include "init/sigs.h"
#include "init/sys.h"

/*
 * What systemd and container managers send to a PID 1 to end it.  They count
 * from glibc's SIGRTMIN, which is 34; that of this C library is another
 */
#define RT_HALT		(34 + 3)
#define RT_POWEROFF	(34 + 4)
#define RT_REBOOT	(34 + 5)

/* SIGUSR1 and SIGUSR2: halt and poweroff of busybox; its reboot is SIGTERM */
static const int heard[] = { SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGUSR1,
			     SIGUSR2, RT_HALT, RT_POWEROFF, RT_REBOOT };

int sigs_open(void)
{
	int rc = sys_sigblock();

	return rc < 0 ? rc : sys_signalfd(heard, ARRAY_SIZE(heard));
}

enum sigs_kind sigs_read(int fd, int *signo)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return SIGS_NONE;
	*signo = (int)si.ssi_signo;
	return si.ssi_signo == SIGCHLD ? SIGS_CHILD : SIGS_STOP;
}

enum shutdown_how sigs_how(int signo, enum shutdown_how unsaid)
{
	switch (signo) {
	case SIGUSR1:
	case RT_HALT:
		return SHUTDOWN_HALT;
	case RT_REBOOT:
		return SHUTDOWN_REBOOT;
	default:
		return unsaid;
	}
}
