#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"

static int out[2];
static char got[8192];

static int setup(void **state)
{
	(void)state;
	if (pipe2(out, O_NONBLOCK | O_CLOEXEC))
		return -1;
	count_reset();
	return 0;
}

/* The log is left as quiet as it can be for whoever runs next */
static int teardown(void **state)
{
	(void)state;
	log_init(STDERR_FILENO, "unit", LOG_SINK_TEXT, LOG_LEVEL_ERR);
	fd_close(&out[0]);
	fd_close(&out[1]);
	return 0;
}

static const char *take(void)
{
	ssize_t n = read(out[0], got, sizeof(got) - 1);

	got[n > 0 ? n : 0] = '\0';
	return got;
}

static void test_text(void **state)
{
	static const char *const cases[][2] = {
		{ "plain \\ \"x\"", "plain \\ \"x\"" },
		{ "a\nb\r\tc", "a\\x0ab\\x0d\\x09c" },
		{ "\x1b[31m\x7f", "\\x1b[31m\\x7f" },
		{ "\xc2\x9b", "\\x9b" },		/* C1 CSI */
		{ "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
		  "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80" },
		/* NOLINTNEXTLINE(misc-misleading-bidirectional): the point */
		{ "\xe2\x80\xae", "\\u202e" },		/* turns text round */
		{ "\xe2\x80\xa8", "\\u2028" },
		{ "a\xff" "b\xc3", "a\xef\xbf\xbd" "b\xef\xbf\xbd" },
		{ "", "" },
	};
	char want[256];

	(void)state;
	log_init(out[1], "prog", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		log_warn("%s", cases[i][0]);
		snprintf(want, sizeof(want), "prog: warn: %s\n", cases[i][1]);
		assert_string_equal(take(), want);
	}
}

static void test_levels(void **state)
{
	enum log_level l = LOG_LEVEL_DEBUG;

	(void)state;
	log_init(out[1], "prog", LOG_SINK_TEXT, LOG_LEVEL_WARN);
	log_info("no");
	log_debug("no");
	assert_string_equal(take(), "");
	errno = ENOENT;
	log_err("%s: %s", "x", strerror(errno));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(take(),
			    "prog: error: x: No such file or directory\n");
	assert_false(log_enabled(LOG_LEVEL_INFO));
	assert_true(log_enabled(LOG_LEVEL_WARN));
	assert_int_equal(log_parse_level("info", &l), 0);
	assert_int_equal(l, LOG_LEVEL_INFO);
	assert_int_equal(log_parse_level("error", &l), 0);
	assert_int_equal(l, LOG_LEVEL_ERR);
	assert_int_equal(log_parse_level("Info", &l), -EINVAL);
	assert_int_equal(log_parse_level("", &l), -EINVAL);
	assert_int_equal(l, LOG_LEVEL_ERR);
}

static void test_json(void **state)
{
	char today[32];
	struct tm tm;
	const char *p;
	time_t now;

	(void)state;
	log_init(out[1], "pr\"og", LOG_SINK_JSON, LOG_LEVEL_INFO);
	log_info("a\"b\\c\n\x01\xff\xc2\x80/");
	p = take();
	assert_memory_equal(p, "{\"time\":\"20", 11);
	assert_int_equal(p[9 + 23], 'Z');
	now = time(NULL);
	assert_non_null(gmtime_r(&now, &tm));
	strftime(today, sizeof(today), "%Y-%m-%dT%H:", &tm);
	if (tm.tm_min || tm.tm_sec > 2)		/* else the hour may be over */
		assert_memory_equal(p + 9, today, 14);
	assert_string_equal(p + 9 + 24,
		"\",\"level\":\"info\",\"program\":\"pr\\\"og\","
		"\"msg\":\"a\\\"b\\\\c\\u000a\\u0001\xef\xbf\xbd\\u0080/\"}\n");
}

static void test_kmsg(void **state)
{
	char big[2000];

	(void)state;
	log_init(out[1], "prog", LOG_SINK_KMSG, LOG_LEVEL_DEBUG);
	log_err("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
	assert_string_equal(take(), "<3>prog: e\n<4>prog: w\n<6>prog: i\n"
			    "<7>prog: d\n");
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	log_err("%s", big);
	take();
	assert_in_range(strlen(got), 900, 976);	/* LOG_LINE_MAX */
	assert_int_equal(got[strlen(got) - 1], '\n');
}

/* However long and odd: one record, whole, valid, at most PIPE_BUF */
static void test_long(void **state)
{
	static const enum log_sink sinks[] = { LOG_SINK_TEXT, LOG_SINK_JSON };
	char big[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
		size_t n;

		memset(big, i ? '\1' : 'x', sizeof(big));
		big[sizeof(big) - 1] = '\0';
		log_init(out[1], "prog", sinks[i], LOG_LEVEL_INFO);
		log_info("%s", big);
		n = strlen(take());
		assert_in_range(n, 1000, 4096);
		if (i)
			assert_string_equal(got + n - 9, "\\u0001\"}\n");
		else
			assert_string_equal(got + n - 3, "xx\n");
		assert_null(memchr(got, '\n', n - 1));
	}
}

static void test_full(void **state)
{
	char big[4096] = { 0 };
	int flags;

	(void)state;
	log_init(out[1], "prog", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	while (write(out[1], big, sizeof(big)) > 0)
		;
	log_info("lost");
	assert_int_equal(count_get("log_lost"), 1);
	/* A blocking descriptor is not waited for either */
	flags = fcntl(out[1], F_GETFL);
	assert_int_equal(fcntl(out[1], F_SETFL, flags & ~O_NONBLOCK), 0);
	log_info("lost too");
	assert_int_equal(count_get("log_lost"), 2);
	while (read(out[0], big, sizeof(big)) > 0)
		;
	log_info("back");
	assert_string_equal(take(),
			    "prog: info: back (2 before this got lost)\n");
	log_init(-1, "prog", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	log_info("nowhere");
	assert_int_equal(count_get("log_lost"), 3);
}

static void test_ratelimit(void **state)
{
	struct log_limit l = { .burst = 2 };

	(void)state;
	log_init(out[1], "prog", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	for (int i = 0; i < 5; i++) {
		if (log_ratelimit(&l))
			log_info("%d", i);
	}
	assert_string_equal(take(), "prog: info: 0\nprog: info: 1\n");
	l.window_ns -= 11 * NS_PER_S;		/* as if it were long ago */
	if (log_ratelimit(&l))
		log_info("x");
	assert_string_equal(take(),
			    "prog: info: x (3 like this left out)\n");
	assert_true(log_ratelimit(&l));
	log_info("y");
	assert_string_equal(take(), "prog: info: y\n");
	assert_false(log_ratelimit(&l));

	/* The number never lands on somebody else's record */
	l.window_ns -= 11 * NS_PER_S;
	assert_true(log_ratelimit(&l));
	log_debug("not written");
	log_info("z");
	assert_string_equal(take(), "prog: info: z\n");
}

static void test_die(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	log_init(out[1], "prog", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(STDERR_FILENO);
		die("over: %d", 7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 0);
	assert_string_equal(take(), "prog: error: over: 7\n");
}

int log_test(void);
/* A terminal that nobody reads: nothing waits, and no line is glued to another */
static void test_terminal(void **state)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), s;
	char big[1000], *p;
	ssize_t n;

	(void)state;
	assert_true(m >= 0);
	assert_int_equal(grantpt(m) | unlockpt(m), 0);
	s = open(ptsname(m), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(s >= 0);
	memset(big, '\1', sizeof(big) - 1);	/* four bytes each */
	big[sizeof(big) - 1] = '\0';
	log_init(s, "prog", LOG_SINK_TEXT, LOG_LEVEL_INFO);
	assert_int_equal(log_own_tty(), 0);
	assert_false(fcntl(s, F_GETFL) & O_NONBLOCK);
	for (int i = 0; count_get("log_lost") < 3; i++) {
		assert_true(i < 1000);
		log_info("%s", big);
		/* Room for a part of a line */
		if (count_get("log_lost") == 1)
			assert_int_equal(read(m, got, 1), 1);
	}
	while ((n = read(m, got, sizeof(got))) > 0)
		;
	log_info("here again");
	n = read(m, got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = '\0';
	p = strstr(got, "prog: info: here again (3 before this got lost)\r\n");
	assert_non_null(p);
	assert_true(p == got || p[-1] == '\n');
	log_info("as ever");
	n = read(m, got, sizeof(got) - 1);
	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, "prog: info: as ever\r\n");
	log_shared_tty();
	close(s);
	close(m);
}

int log_test(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_text),
		T(test_levels),
		T(test_json),
		T(test_kmsg),
		T(test_long),
		T(test_full),
		T(test_terminal),
		T(test_ratelimit),
		T(test_die),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
