#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/keep.h"
#include "base/log.h"

int agent_keep_test(void);

static void test_delay(void **state)
{
	unsigned int ms = 0;

	(void)state;
	for (unsigned int want = 100; want < 10000; want *= 2) {
		ms = keep_delay_ms(ms, 0);
		assert_int_equal(ms, want);
	}
	assert_int_equal(keep_delay_ms(ms, 0), 10000);
	assert_int_equal(keep_delay_ms(10000, 59), 10000);
	assert_int_equal(keep_delay_ms(10000, 60), 100);
}

/*
 * Three lives: one that fails, one that is killed, one that ends.  Neither is
 * impressed by SIGTERM.
 */
static void test_lives(void **state)
{
	int *lives = mmap(NULL, sizeof(*lives), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	(void)state;
	assert_ptr_not_equal(lives, MAP_FAILED);
	pid = fork();
	if (pid == 0) {
		int rc;

		log_init(STDERR_FILENO, "t", LOG_SINK_TEXT, LOG_LEVEL_ERR);
		rc = keep_child();
		if (rc >= 0)
			_exit(rc == 0 && *lives == 3 ? 42 : 1);
		kill(getppid(), SIGTERM);
		raise(SIGTERM);
		raise(SIGHUP);
		if (++*lives == 2)
			raise(SIGKILL);
		_exit(*lives == 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	munmap(lives, sizeof(*lives));
}

int agent_keep_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delay), cmocka_unit_test(test_lives),
	};

	return cmocka_run_group_tests_name("agent_keep", tests, NULL, NULL);
}
