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

static void nap(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000,
			       .tv_nsec = (long)(ms % 1000 * NS_PER_MS) };

	nanosleep(&ts, NULL);
}

int keep_child(void)
{
	unsigned int ms = 0;

	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (;;) {
		long since = now_s();
		int status = 0;
		pid_t pid = fork(), got;

		if (pid == 0)
			return -1;
		if (pid < 0) {
			log_err("agent: fork: %s", strerror(errno));
		} else {
			do {
				got = waitpid(pid, &status, 0);
			} while (got < 0 && errno == EINTR);
			if (got == pid && WIFEXITED(status) &&
			    WEXITSTATUS(status) == 0)
				return 0;
		}
		ms = keep_delay_ms(ms, now_s() - since);
		log_warn("agent: ended with %s %d; starting it again in %u ms",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
			 WEXITSTATUS(status), ms);
		nap(ms);
	}
}
