#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "gateway/isolate.h"

int isolate_test(void);

/* Not by ASSERT(): before what never returns ASan makes calls of its own */
static void break_invariant(void)
{
	void (*volatile fn)(const char *file, int line, const char *expr) =
		assert_fail;

	fn("file.c", 7, "x == y");
}

static void signal_parent(void)
{
	syscall(SYS_tgkill, getppid(), getppid(), 0);
}

/**
 * locked_in() - Run @fn in a process with the filter
 * @said:	What it wrote to stderr
 *
 * Return: the signal that ended it, or 0
 */
static int locked_in(void (*fn)(void), char *said, size_t size)
{
	const struct rlimit none = { 0, 0 };
	int fd[2], st;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		dup2(fd[1], STDERR_FILENO);
		if (isolate_late() == 0)
			fn();
		_exit(0);
	}
	close(fd[1]);
	n = read(fd[0], said, size - 1);
	said[MAX(n, 0)] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return WIFSIGNALED(st) ? WTERMSIG(st) : 0;
}

/* Whoever looks for the reason finds it in the log */
static void broken_invariant_is_told(void **state)
{
	char said[256];

	(void)state;
	assert_true(locked_in(break_invariant, said, sizeof(said)) != 0);
	assert_string_equal(said, "file.c:7: broken invariant: x == y\n");
}

static void signals_reach_nobody_else(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(locked_in(signal_parent, said, sizeof(said)), SIGSYS);
}

int isolate_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_invariant_is_told),
		cmocka_unit_test(signals_reach_nobody_else),
	};

	return cmocka_run_group_tests_name("isolate", tests, NULL, NULL);
}
