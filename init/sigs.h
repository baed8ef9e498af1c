#ifndef INIT_SIGS_H
#define INIT_SIGS_H

#include "init/shutdown.h"

/* What PID 1 hears; all other signals are blocked and stay pending */
enum sigs_kind {
	SIGS_NONE,	/* nothing is pending */
	SIGS_CHILD,	/* SIGCHLD: somebody has ended */
	SIGS_STOP,	/* SIGINT is Ctrl-Alt-Del; the others: see sigs_how() */
};

/**
 * sigs_open() - Block all signals and open the descriptor that reports ours
 *
 * Return: non-blocking descriptor, owned by the caller; -errno
 */
int sigs_open(void);

/**
 * sigs_read() - Take one signal
 * @fd:		Of sigs_open()
 * @signo:	Set to its number unless SIGS_NONE is returned
 */
enum sigs_kind sigs_read(int fd, int *signo);

/**
 * sigs_how() - How a signal of SIGS_STOP wants the machine to end
 * @unsaid:	Returned for one that leaves it to the configuration: SIGTERM,
 *		SIGINT, SIGPWR, SIGUSR2 and 38, whose "power off" is what
 *		MSB_POWEROFF makes of it, since not every VMM has a switch
 *
 * SIGUSR1 and 37 are halt, 39 is reboot, as busybox and systemd(1), SIGNALS,
 * have them.
 */
enum shutdown_how sigs_how(int signo, enum shutdown_how unsaid);

#endif /* INIT_SIGS_H */
