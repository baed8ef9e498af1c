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
		rc = keep_child(false);
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

/** obey() - In a keeper that obeys, and its children; never returns */
static _Noreturn void obey(int *lives, bool die)
{
	int rc;

	log_init(STDERR_FILENO, "t", LOG_SINK_TEXT, LOG_LEVEL_ERR);
	rc = keep_child(true);
	if (rc >= 0)
		_exit(rc == 0 ? 42 : 1);
	++*lives;
	if (die)
		raise(SIGKILL);
	for (;;)
		pause();	/* SIGTERM is not blocked, and ends it */
}

/* SIGTERM reaches the child, also while there is none: nobody comes back */
static void test_obey(void **state)
{
	(void)state;
	for (int die = 0; die < 2; die++) {
		volatile int *lives = mmap(NULL, sizeof(int),
					   PROT_READ | PROT_WRITE, MAP_SHARED |
					   MAP_ANONYMOUS, -1, 0);
		int status = 0;
		pid_t pid;

		assert_ptr_not_equal(lives, MAP_FAILED);
		pid = fork();
		if (pid == 0)
			obey((int *)(uintptr_t)lives, die);
		for (int i = 0; i < 1000 && !*lives; i++)
			usleep(10000);
		assert_int_equal(kill(pid, SIGTERM), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 42);
		if (!die)
			assert_int_equal(*lives, 1);
		munmap((void *)(uintptr_t)lives, sizeof(int));
	}
}

int agent_keep_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delay), cmocka_unit_test(test_lives),
		cmocka_unit_test(test_obey),
	};

	return cmocka_run_group_tests_name("agent_keep", tests, NULL, NULL);
}
