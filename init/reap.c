#include <errno.h>
#include <sys/wait.h>

#include "init/reap.h"
#include "init/sys.h"

int reap_all(reap_fn fn, void *arg)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = sys_wait(&status);
		if (pid == -EINTR)
			continue;
		if (pid <= 0)
			return pid;
		fn(arg, pid, status);
	}
}

int reap_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	       WEXITSTATUS(status);
}
