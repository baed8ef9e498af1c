#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/keep.h"
#include "base/log.h"
#include "base/util.h"

unsigned int keep_delay_ms(unsigned int last_ms, long lived_s)
{
	if (!last_ms || lived_s >= KEEP_STABLE_S)
		return KEEP_MIN_MS;
	return MIN(2 * last_ms, (unsigned int)KEEP_MAX_MS);
}

static long now_s(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long)ts.tv_sec;
}

/** nap() - Sleep; true at once if one of @stop comes */
static bool nap(unsigned int ms, const sigset_t *stop)
{
	struct timespec ts = { .tv_sec = ms / 1000,
			       .tv_nsec = (long)(ms % 1000 * NS_PER_MS) };

	return sigtimedwait(stop, NULL, &ts) > 0;
}

/**
 * wait_child() - Wait until it ends, and pass on what is for it
 * @set:	Signals to wait for: SIGCHLD, and those to be passed on
 *
 * Return: whether it is to stay ended
 */
static bool wait_child(pid_t pid, const sigset_t *set, int *status)
{
	bool told = false;

	for (;;) {
		int sig = sigwaitinfo(set, NULL);
		pid_t got;

		if (sig > 0 && sig != SIGCHLD) {
			told = true;
			kill(pid, sig);
		}
		got = waitpid(pid, status, WNOHANG);
		if (got == pid)
			return told || (WIFEXITED(*status) &&
					WEXITSTATUS(*status) == 0);
		if (got < 0 && errno != EINTR)
			return told;
	}
}

/** signals() - Who is told what; @stop are the signals that end us */
static void signals(bool obey, sigset_t *stop, sigset_t *set, sigset_t *was)
{
	sigemptyset(stop);
	if (obey) {
		sigaddset(stop, SIGTERM);
		sigaddset(stop, SIGINT);
	} else {
		signal(SIGTERM, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
	}
	*set = *stop;
	sigaddset(set, SIGCHLD);
	sigprocmask(SIG_BLOCK, set, was);
}

int keep_child(bool obey)
{
	sigset_t stop, set, was;
	unsigned int ms = 0;

	signals(obey, &stop, &set, &was);
	for (;;) {
		long since = now_s();
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			sigprocmask(SIG_SETMASK, &was, NULL);
			return -1;
		}
		if (pid < 0)
			log_err("agent: fork: %s", strerror(errno));
		else if (wait_child(pid, &set, &status))
			return 0;
		ms = keep_delay_ms(ms, now_s() - since);
		log_warn("agent: ended with %s %d; starting it again in %u ms",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
			 WEXITSTATUS(status), ms);
		if (nap(ms, &stop))
			return 0;
	}
}
