#ifndef INIT_SIGS_H
#define INIT_SIGS_H

/* What PID 1 hears; all other signals are blocked and stay pending */
enum sigs_kind {
	SIGS_NONE,	/* nothing is pending */
	SIGS_CHILD,	/* SIGCHLD: somebody has ended */
	SIGS_STOP,	/* SIGTERM, SIGINT (Ctrl-Alt-Del), SIGPWR, 37 to 39 */
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

#endif /* INIT_SIGS_H */
