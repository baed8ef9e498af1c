#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "init/reap.h"
#include "init/sigs.h"
#include "tests/unit/init_fake.h"

int init_reap_test(void);

static void test_code(void **state)
{
	static const struct {
		int status, code;
	} cases[] = {
		{ 0, 0 }, { 1 << 8, 1 }, { 42 << 8, 42 }, { 255 << 8, 255 },
		{ 128 << 8, 128 }, { SIGHUP, 129 }, { SIGKILL, 137 },
		{ SIGSEGV | 0x80, 139 }, { SIGTERM, 143 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(reap_code(cases[i].status), cases[i].code);
}

static void sum(void *arg, pid_t pid, int status)
{
	*(int *)arg += (int)pid * 1000 + status;
}

static void test_all(void **state)
{
	int got = 0;

	(void)state;
	fake_child(1, 5);
	fake_child(-EINTR, 0);
	fake_child(2, 6);
	fake_child(0, 0);
	fake_child(3, 7);
	fake_child(-ECHILD, 0);
	assert_int_equal(reap_some(sum, &got), 0);
	assert_int_equal(got, 3011);
	assert_int_equal(reap_some(sum, &got), -ECHILD);
	assert_int_equal(got, 6018);
	assert_int_equal(reap_some(sum, &got), 0);
	fake_child(-ENOSYS, 0);
	assert_int_equal(reap_some(sum, &got), -ENOSYS);
}

/* Orphans that end faster than they are collected: the loop gets its turn */
static void test_some(void **state)
{
	int got = 0;

	(void)state;
	fake_children_for_ever(true);
	assert_int_equal(reap_some(sum, &got), 1);
	assert_int_equal(got, REAP_BUDGET * 1000);
	fake_children_for_ever(false);
	assert_int_equal(reap_some(sum, &got), 0);
}

static void test_sigs(void **state)
{
	static const struct {
		int signo;
		enum sigs_kind kind;
	} cases[] = {
		{ SIGCHLD, SIGS_CHILD }, { SIGTERM, SIGS_STOP },
		{ SIGINT, SIGS_STOP }, { SIGPWR, SIGS_STOP },
		{ SIGUSR1, SIGS_STOP }, { SIGUSR2, SIGS_STOP },
		{ 37, SIGS_STOP }, { 38, SIGS_STOP }, { 39, SIGS_STOP },
	};
	struct signalfd_siginfo si;
	int p[2], signo = 0;

	(void)state;
	assert_true(sigs_open() >= 0);
	assert_string_equal(fake_calls(), "sigblock\n"
			    "signalfd 17 15 2 30 10 12 37 38 39\n");
	fake_fail("signalfd", -EMFILE);
	assert_int_equal(sigs_open(), -EMFILE);

	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_nonblock(p[0]), 0);
	assert_int_equal(sigs_read(p[0], &signo), SIGS_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&si, 0, sizeof(si));
		si.ssi_signo = (uint32_t)cases[i].signo;
		assert_int_equal(fd_write_all(p[1], &si, sizeof(si)), 0);
		assert_int_equal(sigs_read(p[0], &signo), cases[i].kind);
		assert_int_equal(signo, cases[i].signo);
	}
	close(p[0]);
	close(p[1]);
}

int init_reap_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_code), T(test_all), T(test_some), T(test_sigs),
#undef T
	};

	return cmocka_run_group_tests_name("init_reap", tests, NULL, NULL);
}
