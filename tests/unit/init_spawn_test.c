#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "init/spawn.h"
#include "tests/unit/init_fake.h"

int init_spawn_test(void);

static void test_env(void **state)
{
	static struct spawn_env e;
	char a[] = "A=1", ab[] = "AB=2", big[SPAWN_ENV_TEXT + 1];
	char *base[] = { a, ab, NULL }, *many[SPAWN_ENV_MAX + 2] = { NULL };

	(void)state;
	spawn_env_init(&e, base);
	assert_string_equal(spawn_env_get(&e, "A"), "1");
	assert_string_equal(spawn_env_get(&e, "AB"), "2");
	assert_null(spawn_env_get(&e, "B"));
	assert_null(spawn_env_get(&e, ""));
	assert_int_equal(spawn_env_set(&e, "A", "3", true), 0);
	assert_string_equal(spawn_env_get(&e, "A"), "1");
	assert_int_equal(spawn_env_set(&e, "A", "3", false), 0);
	assert_string_equal(spawn_env_get(&e, "A"), "3");
	assert_int_equal(spawn_env_set(&e, "C", "", true), 0);
	assert_int_equal(spawn_env_set(&e, "D", "x", false), 0);
	spawn_env_unset(&e, "D");
	spawn_env_unset(&e, "D");
	assert_null(spawn_env_get(&e, "D"));
	assert_string_equal(spawn_env_get(&e, "C"), "");
	assert_string_equal(e.v[2], "C=");
	assert_null(e.v[3]);

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(spawn_env_set(&e, "D", big, true), -ENOSPC);
	assert_null(spawn_env_get(&e, "D"));
	fake_logged();

	for (size_t i = 0; i <= SPAWN_ENV_MAX; i++)
		many[i] = ab;
	spawn_env_init(&e, many);
	assert_int_equal(e.n, SPAWN_ENV_MAX);
	assert_non_null(strstr(fake_logged(), "more than 256 variables"));
	assert_int_equal(spawn_env_set(&e, "D", "1", true), -ENOSPC);
}

static void test_env_put(void **state)
{
	static struct spawn_env e;
	char a[] = "A=1", ab[] = "AB=2", a3[] = "A=3", c[] = "C=";
	char bare[] = "B", *base[] = { a, ab, NULL };

	(void)state;
	spawn_env_init(&e, base);
	assert_int_equal(spawn_env_put(&e, a3), 0);
	assert_int_equal(spawn_env_put(&e, c), 0);
	assert_int_equal(spawn_env_put(&e, bare), 0);
	assert_ptr_equal(e.v[0], a3);
	assert_ptr_equal(e.v[1], ab);
	assert_ptr_equal(e.v[2], c);
	assert_ptr_equal(e.v[3], bare);
	assert_null(e.v[4]);
}

static void test_find(void **state)
{
	static const struct {
		const char *name, *path;
		int rc;
		const char *want;
	} cases[] = {
		{ "ls",		"/bin:/usr/bin",	0,	  "/bin/ls" },
		{ "ls",		"/usr/bin:/bin",	0,	  "/bin/ls" },
		{ "ls",		"/usr/bin",		-ENOENT,  NULL },
		{ "ls",		"",			-ENOENT,  NULL },
		{ "data",	"/usr/bin:/bin",	-EACCES,  NULL },
		{ "dir",	"/bin",			-EACCES,  NULL },
		{ "",		"/bin",			-ENOENT,  NULL },
		{ "here",	"/bin::/sbin",		0,	  "./here" },
		{ "/x/gone",	"/bin",			0,	  "/x/gone" },
		{ "ls",		"/a-directory-with-a-long-name:/bin",
							-ENAMETOOLONG, NULL },
	};

	(void)state;
	fake_file("/bin/ls", S_IFREG | 0755, NULL);
	fake_file("/bin/data", S_IFREG | 0644, NULL);
	fake_file("./here", S_IFREG | 0755, NULL);
	fake_file("/bin/dir", S_IFDIR | 0755, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[24];

		assert_int_equal(spawn_find(cases[i].name, cases[i].path, buf,
					    sizeof(buf)), cases[i].rc);
		if (cases[i].want)
			assert_string_equal(buf, cases[i].want);
	}
}

/* An ELF file: header, two program headers, the interpreter's name */
static size_t elf_make(uint8_t *out, const char *interp)
{
	Elf64_Ehdr eh = { .e_phoff = sizeof(eh), .e_phnum = 2 };
	Elf64_Phdr ph[2] = { { .p_type = PT_LOAD }, {
		.p_type = PT_INTERP, .p_offset = sizeof(eh) + sizeof(ph),
		.p_filesz = strlen(interp) + 1 } };

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(out, &eh, sizeof(eh));
	memcpy(out + sizeof(eh), ph, sizeof(ph));
	memcpy(out + sizeof(eh) + sizeof(ph), interp, strlen(interp) + 1);
	return sizeof(eh) + sizeof(ph) + strlen(interp) + 1;
}

static int interp(const void *head, size_t len, char *buf, size_t size)
{
	void *copy = malloc(len + !len);
	int rc;

	assert_non_null(copy);
	memcpy(copy, head, len);
	rc = spawn_interp(copy, len, buf, size);
	free(copy);
	return rc;
}

static void test_interp(void **state)
{
	static const struct {
		const char *head;
		int rc;
		const char *want;
	} cases[] = {
		{ "#!/bin/sh\nls\n",		0,	 "/bin/sh" },
		{ "#! \t/usr/bin/env python\n",	0,	 "/usr/bin/env" },
		{ "#!/bin/sh\t-e\n",		0,	 "/bin/sh" },
		{ "#!/bin/sh\r\n",		0,	 "/bin/sh" },
		{ "#!/bin/sh",			-ENOENT, NULL },
		{ "#!\n",			-ENOENT, NULL },
		{ "#!",				-ENOENT, NULL },
		{ "#",				-ENOENT, NULL },
		{ "",				-ENOENT, NULL },
		{ "ls\n",			-ENOENT, NULL },
	};
	uint8_t elf[256];
	char buf[64];
	size_t len = elf_make(elf, "/lib/ld.so");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(interp(cases[i].head, strlen(cases[i].head),
					buf, sizeof(buf)), cases[i].rc);
		if (cases[i].want)
			assert_string_equal(buf, cases[i].want);
	}
	assert_int_equal(interp(elf, len, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/lib/ld.so");
	assert_int_equal(interp(elf, len, buf, 4), -ENOENT);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(interp(elf, n, buf, sizeof(buf)), -ENOENT);
	/* No field may lead outside */
	for (size_t i = 0; i < len; i++) {
		uint8_t was = elf[i];

		elf[i] = 0xff;
		interp(elf, len, buf, sizeof(buf));
		elf[i] = was;
	}
}

static void test_exec_fails(void **state)
{
	static const struct {
		const char *word;
		int rc;			/* of execve() */
		int status;
		const char *said;
	} cases[] = {
		{ "gone",	0,	  127, "gone: there is no such" },
		{ "/x/gone",	-ENOENT,  127, "/x/gone: there is no such" },
		{ "data",	0,	  126, "data: Permission denied" },
		{ "script",	-ENOENT,  127,
		  "/bin/script: its interpreter /bin/rc is missing" },
		{ "odd",	-ENOENT,  127,
		  "/bin/odd: its interpreter is missing" },
		{ "/bin/odd",	-ENOEXEC, 126, "/bin/odd: Exec format error" },
		{ "/bin/odd",	-EACCES,  126, "/bin/odd: Permission denied" },
	};
	char path[] = "PATH=/bin", *env[] = { path, NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char word[32], *argv[] = { word, NULL };

		fake_reset();
		fake_file("/bin/data", S_IFREG | 0644, NULL);
		fake_file("/bin/script", S_IFREG | 0755, "#!/bin/rc\n");
		fake_file("/bin/odd", S_IFREG | 0755, "odd");
		fake_fail("exec", cases[i].rc);
		snprintf(word, sizeof(word), "%s", cases[i].word);
		assert_int_equal(spawn_exec(argv, env), cases[i].status);
		assert_non_null(strstr(fake_logged(), cases[i].said));
		assert_int_equal(strncmp(fake_calls(), "close_from 3\n"
					 "sigreset\n", 22), 0);
	}
}

static char word_a[] = "/bin/a", path_env[] = "PATH=/bin";
static char *const argv_a[] = { word_a, NULL };
static char *const env_a[] = { path_env, NULL };
static const struct become nobody = { .user = "nobody" }, root_ = {
	.user = "0", .cgroup = true,
};
static struct spawn_env work_env;
static const struct spawn_job job = { argv_a, &work_env, &root_ };

#define BECOME	"write /sys/fs/cgroup/workload/cgroup.procs 0 0\n"	\
		"write /proc/self/oom_score_adj 0 0\nsetgroups\n"	\
		"setgid 0\nsetuid 0\n"

static void test_workload_plain(void **state)
{
	(void)state;
	fake_file("/bin/a", S_IFREG | 0755, NULL);
	spawn_env_init(&work_env, env_a);
	fake_fail("ctty", -ENOTTY);
	assert_int_equal(spawn_workload_child(&job), 127);
	assert_string_equal(fake_calls(), "setsid\nctty 0\n" BECOME
		"close_from 3\nsigreset\nexec /bin/a [/bin/a]\n");

	assert_int_equal(spawn_workload(&job), 1000);
	assert_string_equal(fake_calls(), "fork\n");
	fake_fail("fork", -EAGAIN);
	assert_int_equal(spawn_workload(&job), -EAGAIN);
}

/* On a terminal: a leader waits, lets it drain, and exits alike */
static void test_workload_leader(void **state)
{
	static const struct {
		int status, want;
	} cases[] = {
		{ 0, 0 }, { 42 << 8, 42 }, { SIGKILL, 137 }, { SIGTERM, 143 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_fork(77);
		fake_signal(SIGCHLD);
		fake_child(0, 0);		/* it was stopped, say */
		fake_child(77, cases[i].status);
		assert_int_equal(spawn_workload_child(&job),
				 cases[i].want);
		assert_string_equal(fake_calls(), "setsid\nctty 0\nfork\n"
			"close_from 3\ndrain 0\n");
	}

	/* The child of the leader execs; without fork() the leader does */
	for (int rc = 0; rc >= -EAGAIN; rc -= EAGAIN) {
		fake_reset();
		fake_fork(0);
		fake_fail("fork", rc);
		spawn_workload_child(&job);
		assert_non_null(strstr(fake_calls(), BECOME "close_from 3\n"
				       "sigreset\nexec /bin/a"));
	}
}

/* A user that cannot be had: nothing runs, least of all as root */
static void test_workload_nobody(void **state)
{
	const struct spawn_job bad = { argv_a, &work_env, &nobody };

	(void)state;
	spawn_env_init(&work_env, env_a);
	fake_fail("ctty", -ENOTTY);
	assert_int_equal(spawn_workload_child(&bad), 126);
	assert_null(strstr(fake_calls(), "exec"));
	assert_non_null(strstr(fake_logged(), "guest user not found: nobody"));
}

/* SIGTERM goes on only to a workload that has left the leader's group */
static void test_workload_forward(void **state)
{
	static const struct {
		int pgid;
		const char *kills;
	} cases[] = {
		{ 88,	  "kill -88 15\nkill -88 18\n" },
		{ 500,	  NULL },
		{ -ESRCH, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *calls;

		fake_reset();
		fake_fork(77);
		fake_fail("getpgid 77", cases[i].pgid);
		fake_fail("getpgid 0", 500);
		fake_signal(SIGTERM);
		fake_child(77, 0);
		spawn_workload_child(&job);
		calls = fake_calls();
		if (cases[i].kills)
			assert_non_null(strstr(calls, cases[i].kills));
		else
			assert_null(strstr(calls, "kill"));
	}
}

static void test_agent(void **state)
{
	struct watch w = { .len = 0 };
	struct spawn_agent a = { .watch = &w, .env = env_a, .self = "/i" };
	int fd = -1;

	(void)state;
	assert_int_equal(spawn_agent(&a, &fd), 1000);
	assert_true(fd >= 0);
	assert_string_equal(fake_calls(), "pipe\nfork\n");
	assert_int_equal(read(fd, &w, 1), 0);	/* the child's end is shut */
	close(fd);

	/* In the child, with a token */
	memcpy(w.token, "0123456789abcdef0123456789abcdef", WATCH_TOKEN_LEN);
	w.has_token = true;
	fake_fork(0);
	fd = -1;
	spawn_agent(&a, &fd);
	assert_int_equal(fd, -1);
	assert_string_equal(fake_calls(), "pipe\npipe\nfork\n"
		"open /dev/null\nsetsid\n"
		"write /proc/self/oom_score_adj 0 -1000\n"
		"dup2 0\ndup2 3\ndup2 4\nclose_from 5\nsigreset\n"
		"exec /proc/self/exe [msb-init] [agent] [--pid1]\n"
		"exec /i [msb-init] [agent] [--pid1]\nexit 127\n");

	/* Without one */
	w.has_token = false;
	a.self = NULL;
	spawn_agent(&a, &fd);
	assert_non_null(strstr(fake_calls(), "dup2 3\nclose_from 4\n"));

	/* For another init */
	a.handoff = true;
	spawn_agent(&a, &fd);
	assert_non_null(strstr(fake_calls(), "exec /proc/self/exe "
			       "[@msb-init] [agent] [--pid1] [--handoff]\n"));
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_agent_fails(void **state)
{
	static const struct {
		const char *line;
		int rc;
	} cases[] = { { "pipe", -EMFILE }, { "fork", -EAGAIN } };
	struct watch w = { .has_token = true };
	struct spawn_agent a = { .watch = &w, .env = env_a, .self = "/i" };
	int before, fd = -1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset();
		fake_fail(cases[i].line, cases[i].rc);
		before = open_fds();
		assert_int_equal(spawn_agent(&a, &fd),
				 cases[i].rc);
		assert_int_equal(open_fds(), before);
		assert_int_equal(fd, -1);
	}
}

int init_spawn_test(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
		T(test_env), T(test_env_put), T(test_find), T(test_interp), T(test_exec_fails),
		T(test_workload_plain), T(test_workload_leader),
		T(test_workload_nobody), T(test_workload_forward),
		T(test_agent), T(test_agent_fails),
#undef T
	};

	return cmocka_run_group_tests_name("init_spawn", tests, NULL, NULL);
}
