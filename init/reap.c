#include <errno.h>
#include <sys/wait.h>

#include "init/reap.h"
#include "init/sys.h"

int reap_some(reap_fn fn, void *arg)
{
	int status;
	pid_t pid;

	for (unsigned int i = 0; i < REAP_BUDGET; i++) {
		pid = sys_wait(&status);
		if (pid == -EINTR)
			continue;
		if (pid <= 0)
			return pid;
		fn(arg, pid, status);
	}
	return 1;
}

int reap_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	       WEXITSTATUS(status);
}
