#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/hosts.h"
#include "agent/resolv.h"
#include "base/util.h"

int agent_file_test(void);

#define B	FILE_MARK_BEGIN "\n"
#define E	FILE_MARK_END "\n"

static const struct {
	const char *name, *old, *body, *want;
} blocks[] = {
	{ "empty file", "", "x\n", B "x\n" E },
	{ "at the end", "a\n", "x\n", "a\n" B "x\n" E },
	{ "no newline at the end", "a", "x\n", "a\n" B "x\n" E },
	{ "replaced in place", "a\n" B "old\n" E "b\n", "x\n",
	  "a\n" B "x\n" E "b\n" },
	{ "the same", "a\n" B "x\n" E, "x\n", "a\n" B "x\n" E },
	{ "removed", "a\n" B "x\n" E "b\n", "", "a\nb\n" },
	{ "nothing to remove", "a\nb", "", "a\nb" },
	{ "no end: not ours", "a\n" B "b\n", "x\n", "a\n" B "b\n" B "x\n" E },
	{ "only the end", "a\n" E "b\n", "x\n", "a\n" E "b\n" B "x\n" E },
	{ "a stray beginning", B "a\n" B "old\n" E, "x\n",
	  B "a\n" B "x\n" E },
	{ "end without newline", "a\n" B "old\n" FILE_MARK_END, "x\n",
	  "a\n" B "x\n" E },
	{ "blanks and CR", FILE_MARK_BEGIN " \r\nold\n" E, "x\n", B "x\n" E },
	{ "not quite a mark", FILE_MARK_BEGIN "x\na\n" E, "x\n",
	  FILE_MARK_BEGIN "x\na\n" E B "x\n" E },
};

static void test_block(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		char out[512];
		struct wr w = wr_init(out, sizeof(out) - 1);
		size_t len = strlen(blocks[i].old);
		uint8_t *old = malloc(len ? len : 1);

		memcpy(old, blocks[i].old, len);
		file_block((struct span){ old, len }, span_str(blocks[i].body),
			   &w);
		free(old);
		assert_false(w.bad);
		*w.p = '\0';
		if (strcmp(out, blocks[i].want))
			fail_msg("%s: got \"%s\"", blocks[i].name, out);

		/* What was written is read the same way */
		len = wr_len(&w);
		char again[512];
		struct wr w2 = wr_init(again, sizeof(again) - 1);

		file_block((struct span){ (uint8_t *)out, len },
			   span_str(blocks[i].body), &w2);
		*w2.p = '\0';
		assert_string_equal(again, out);
	}
}

/* --- with files ---------------------------------------------------------- */

static char root[64];

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/agent_file.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

/* Remove a tree, however it was left */
static int drop(const char *path, const struct stat *st, int kind,
		struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static char *at(const char *path)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return full;
}

static void expect(const char *path, const char *text)
{
	char *got;
	size_t len;

	assert_int_equal(file_read(at(path), 65536, &got, &len), 0);
	assert_string_equal(got, text);
	free(got);
}

static void test_put(void **state)
{
	struct file_where w = { root, "/run", "/a/b/file" };
	enum file_done done;
	struct stat one, two;

	(void)state;
	umask(077);
	assert_int_equal(file_put(&w, span_str("one\n"), false, &done), 0);
	assert_int_equal(done, FILE_DONE_RENAMED);
	expect("/a/b/file", "one\n");
	assert_int_equal(stat(at("/a/b/file"), &one), 0);
	assert_int_equal(one.st_mode & 07777, 0644);
	assert_int_equal(stat(at("/a/b"), &two), 0);
	assert_int_equal(two.st_mode & 07777, 0755);

	/* Equal: not touched */
	assert_int_equal(file_put(&w, span_str("one\n"), false, &done), 0);
	assert_int_equal(done, FILE_DONE_SAME);
	assert_int_equal(stat(at("/a/b/file"), &two), 0);
	assert_int_equal(one.st_ino, two.st_ino);

	/* Equal, but not for everybody: mended */
	assert_int_equal(chmod(at("/a/b/file"), 0600), 0);
	assert_int_equal(file_put(&w, span_str("one\n"), false, &done), 0);
	assert_int_equal(done, FILE_DONE_RENAMED);

	/* Shorter, empty, and nothing is left over */
	assert_int_equal(file_put(&w, span_str(""), false, NULL), 0);
	expect("/a/b/file", "");
	assert_int_equal(access(at("/a/b/.file.msb-new"), F_OK), -1);
	umask(022);
}

static void test_put_odd(void **state)
{
	struct file_where w = { root, "/run", "/file" };
	char link[64];
	struct stat st;

	(void)state;
	assert_int_equal(mkdir(at("/dir"), 0755), 0);
	w.path = "/dir";
	assert_int_equal(file_put(&w, span_str("x"), false, NULL), -EISDIR);

	/* A link: followed, or replaced */
	w.path = "/file";
	assert_int_equal(file_put(&w, span_str("x"), false, NULL), 0);
	assert_int_equal(symlink("file", at("/link")), 0);
	w.path = "/link";
	assert_int_equal(file_put(&w, span_str("y"), true, NULL), 0);
	expect("/file", "y");
	assert_int_equal(readlink(at("/link"), link, sizeof(link)), 4);
	assert_int_equal(file_put(&w, span_str("z"), false, NULL), 0);
	expect("/file", "y");
	assert_int_equal(readlink(at("/link"), link, sizeof(link)), -1);

	/* A dangling one: replaced either way */
	assert_int_equal(symlink("nowhere/at/all", at("/dangling")), 0);
	w.path = "/dangling";
	assert_int_equal(file_put(&w, span_str("x"), true, NULL), 0);
	expect("/dangling", "x");

	/* One to what is no file, such as /dev/null: replaced either way */
	assert_int_equal(mkfifo(at("/fifo"), 0600), 0);
	assert_int_equal(symlink("fifo", at("/device")), 0);
	w.path = "/device";
	assert_int_equal(file_put(&w, span_str("x"), true, NULL), 0);
	expect("/device", "x");
	assert_int_equal(stat(at("/fifo"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode));

	/* What a run that was killed left behind is no obstacle */
	assert_int_equal(symlink("file", at("/.file.msb-new")), 0);
	w.path = "/file";
	assert_int_equal(file_put(&w, span_str("new"), false, NULL), 0);
	expect("/file", "new");
}

static void test_read(void **state)
{
	struct file_where w = { root, "/run", "/file" };
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(file_read(at("/file"), 10, &text, &len), -ENOENT);
	assert_int_equal(file_read(root, 10, &text, &len), -EISDIR);
	assert_int_equal(file_put(&w, span_str("0123456789"), false, NULL), 0);
	assert_int_equal(file_read(at("/file"), 9, &text, &len), -EFBIG);
	assert_int_equal(file_read(at("/file"), 10, &text, &len), 0);
	assert_int_equal(len, 10);
	assert_string_equal(text, "0123456789");
	free(text);
	/* No size known beforehand */
	assert_int_equal(file_read("/proc/self/maps", 1 << 24, &text, &len), 0);
	assert_true(len > 0 && strlen(text) == len);
	free(text);
}

/* --- hosts and resolv.conf ----------------------------------------------- */

static void set(struct env *e, const char *name, const char *value)
{
	assert_int_equal(env_set(e, name, value, NULL), 0);
}

#define IP6	"fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"	\
		"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
#define NET4	"addr=172.16.1.2/30,gw=172.16.1.1"
#define NET6	"addr=fd42:6d73:62:2a::2/64,gw=fd42:6d73:62:2a::1"
#define ALIAS	"host.microsandbox.internal"

static void test_emit(void **state)
{
	const struct {
		const char *host, *alias, *net4, *net6, *hosts, *resolv;
	} t[] = {
		{ "", "", "", "", "127.0.0.1\tlocalhost\n"
		  "::1\tlocalhost ip6-localhost ip6-loopback\n" IP6, "" },
		{ "w1", ALIAS, NET4 ",dns=172.16.1.1",
		  NET6 ",dns=fd42:6d73:62:2a::1",
		  "127.0.0.1\tlocalhost w1\n"
		  "::1\tlocalhost ip6-localhost ip6-loopback w1\n"
		  "172.16.1.1\t" ALIAS "\nfd42:6d73:62:2a::1\t" ALIAS "\n" IP6,
		  "nameserver 172.16.1.1\nnameserver fd42:6d73:62:2a::1\n" },
		{ "", ALIAS, "", NET6 ",dns=fd42:6d73:62:2a::1",
		  "127.0.0.1\tlocalhost\n"
		  "::1\tlocalhost ip6-localhost ip6-loopback\n"
		  "fd42:6d73:62:2a::1\t" ALIAS "\n" IP6,
		  "nameserver fd42:6d73:62:2a::1\n" },
		{ "", "", NET4, "", "127.0.0.1\tlocalhost\n"
		  "::1\tlocalhost ip6-localhost ip6-loopback\n" IP6, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char out[1024];
		struct wr w = wr_init(out, sizeof(out) - 1);
		struct env e;

		env_init(&e);
		set(&e, "MSB_HOSTNAME", t[i].host);
		set(&e, "MSB_HOST_ALIAS", t[i].alias);
		set(&e, "MSB_NET_IPV4", t[i].net4);
		set(&e, "MSB_NET_IPV6", t[i].net6);
		hosts_emit(&e, &w);
		*w.p = '\0';
		assert_string_equal(out, t[i].hosts);
		w = wr_init(out, sizeof(out) - 1);
		resolv_emit(&e, &w);
		*w.p = '\0';
		assert_string_equal(out, t[i].resolv);
	}
}

static void test_hosts_write(void **state)
{
	struct file_where w = { root, "/run", "/etc/hosts" };
	char want[1024];
	struct wr out = wr_init(want, sizeof(want) - 1);
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(file_put(&w, span_str("10.0.0.1 mine"), false, NULL),
			 0);
	wr_fmt(&out, "10.0.0.1 mine\n" B);
	hosts_emit(&e, &out);
	wr_fmt(&out, E);
	*out.p = '\0';
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hosts_write(&e, &w), 0);
		expect("/etc/hosts", want);
	}
}

static void test_resolv_write(void **state)
{
	struct file_where w = { root, "/run", "" };
	char link[64];
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(mkdir(at("/etc"), 0755), 0);
	assert_int_equal(symlink("../run/none", at("/etc/resolv.conf")), 0);
	/* No server: the image's own stays */
	assert_int_equal(resolv_write(&e, &w, link, sizeof(link)), 0);
	assert_int_equal(readlink(at("/etc/resolv.conf"), link, sizeof(link)),
			 11);
	set(&e, "MSB_NET_IPV4", NET4 ",dns=172.16.1.1");
	assert_int_equal(resolv_write(&e, &w, link, sizeof(link)), 0);
	assert_string_equal(link, "../run/none");
	expect("/etc/resolv.conf", "nameserver 172.16.1.1\n");
	assert_int_equal(resolv_write(&e, &w, link, sizeof(link)), 0);
	assert_string_equal(link, "");
}

int agent_file_test(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block),
		T(test_put),
		T(test_put_odd),
		T(test_read),
		cmocka_unit_test(test_emit),
		T(test_hosts_write),
		T(test_resolv_write),
	};
#undef T

	return cmocka_run_group_tests_name("agent_file", tests, NULL, NULL);
}
