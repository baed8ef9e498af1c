#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "init/cut.h"
#include "init/pid1.h"
#include "init/pid1_act.h"
#include "proto/cmdline.h"
#include "tests/unit/init_fake.h"

int init_cut_test(void);

#define NET	"MSB_NET=x MSB_NET_IPV4=y"

static void test_judge(void **state)
{
	static const struct {
		const char *tail;
		enum cut want;
		const char *name;
	} cases[] = {
		{ "quiet", CUT_NONE, NULL },
		{ NET, CUT_NET, "MSB_NET_IPV4" },
		{ "MSB_NET=x MSB_NET_IP", CUT_NET, "MSB_NET_IP" },
		{ NET " MSB_HOSTNAME=a", CUT_NET, "MSB_HOSTNAME" },
		{ "MSB_LINK=vsock:2:10", CUT_NET, "MSB_LINK" },
		{ NET " MSB_END=1", CUT_NONE, NULL },
		{ NET " MSB_END=", CUT_WORK, "MSB_END" },
		{ NET " MSB_E", CUT_WORK, "MSB_E" },
		{ NET " MSB_END=1 MSB_USER=1", CUT_WORK, "MSB_USER" },
		{ NET " MSB_END=1 MSB_EXEC=\"rm -r /", CUT_WORK, "MSB_EXEC" },
		{ NET " MSB_END=1 quie", CUT_NONE, NULL },
		{ NET " quie", CUT_NET, "quie" },
		{ NET " MSB_END=1 -- rm -r /", CUT_WORK, "--" },
		{ "-- MSB_END=1", CUT_WORK, "--" },
	};
	char line[CMDLINE_SIZE + 1], name[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].tail);

		for (size_t len = CMDLINE_SIZE - 2; len <= CMDLINE_SIZE;
		     len++) {
			enum cut want = len < CMDLINE_SIZE - 1 ? CUT_NONE :
							cases[i].want;
			struct span s = { (uint8_t *)line, len };

			memset(line, 'a', sizeof(line));
			line[len - n - 1] = ' ';
			memcpy(line + len - n, cases[i].tail, n);
			assert_int_equal(cut_judge(s, name, sizeof(name)),
					 want);
			if (want != CUT_NONE)
				assert_string_equal(name, cases[i].name);
		}
	}
}

static struct pid1 *begin(char *const *env)
{
	static struct pid1 p;
	static char *const none[] = { NULL };
	struct ev *ev = ev_new(2);

	assert_non_null(ev);
	fake_reset();
	fake_file("/bin/sh", S_IFREG | 0755, NULL);
	fake_file("/etc/passwd", S_IFREG | 0644, "u:x:1:1::/:/bin/sh\n");
	memset(&p, 0, sizeof(p));
	pid1_init(&p, ev, 0, none, env);
	return &p;
}

/* A full line: what its end may have cut short is used by nobody */
static void test_mount(void **state)
{
	static const struct {
		const char *tail, *said;
		bool net, user;
	} cases[] = {
		{ " MSB_NET=x MSB_END=1 MSB_USER=1", "have been cut off in "
		  "MSB_USER: the workload will not be started", true, false },
		{ " MSB_END=1 -- rm -r /", "cut off in the words after "
		  "\"--\": the workload", true, true },
		{ " MSB_USER=1 MSB_NET=x", "", false, true },
		{ " MSB_USER=1 MSB_NET=x MSB_END=1", "", true, true },
	};
	char net[] = "MSB_NET=x", user[] = "MSB_USER=1";
	char *env[] = { net, user, NULL };
	char line[CMDLINE_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pid1 *p = begin(env);

		memset(line, 'a', sizeof(line));
		memcpy(line + sizeof(line) - 1 - strlen(cases[i].tail),
		       cases[i].tail, strlen(cases[i].tail) + 1);
		fake_file("/proc/cmdline", S_IFREG, line);
		assert_int_equal(pid1_act_mount(p), PID1_EV_DONE);
		if (cases[i].said[0])
			assert_non_null(strstr(fake_logged(), cases[i].said));
		assert_int_equal(!!pid1_env(p->env, "MSB_NET"), cases[i].net);
		assert_int_equal(!!pid1_env(p->env, "MSB_USER"), cases[i].user);
		/* The agent says it of the network, PID 1 of all the rest */
		assert_int_equal(!!pid1_env(p->env, "MSB_CUT"), !cases[i].net);
		fake_calls();
		assert_int_equal(pid1_act_work(p), cases[i].said[0] ?
				 PID1_EV_WORK_OVER : PID1_EV_DONE);
		assert_int_equal(!!strstr(fake_calls(), "fork"),
				 !cases[i].said[0]);
		if (cases[i].said[0])
			assert_int_equal(p->work_code, 126);
		fake_logged();
		ev_free(p->ev);
	}
}

int init_cut_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test_setup_teardown(test_mount, fake_setup,
						fake_teardown),
	};

	return cmocka_run_group_tests_name("init_cut", tests, NULL, NULL);
}
