#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/unmanaged.h"
#include "base/util.h"

int agent_unmanaged_test(void);

#define BLOCK	FILE_MARK_BEGIN "\ndenyinterfaces eth0\n" FILE_MARK_END "\n"

static const struct env env = {
	.iface = "eth0", .mac = { 2, 0x6d, 0x73, 0, 1, 2 },
};

static char root[64];

static int make(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/unmanaged-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int gone(const char *path, const struct stat *st, int flag,
		struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int unmake(void **state)
{
	(void)state;
	return nftw(root, gone, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *content(const char *path)
{
	static char text[1024];
	char full[PATH_MAX];
	size_t n = 0;
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "re");
	if (!f)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void put(const char *path, const char *text)
{
	struct file_where w = { root, "/run/msb", path };

	assert_int_equal(file_put(&w, span_str(text), true, NULL), 0);
}

static void count(void *arg, const char *path, int rc)
{
	int *n = arg;

	(void)path;
	assert_true(rc < 0);
	++*n;
}

static int write_all(void)
{
	struct file_where w = { root, "/run/msb", "" };
	int failed = 0;

	unmanaged_write(&env, &w, count, &failed);
	return failed;
}

/* Those that read /run get their file in any case, the others where they are */
static void test_files(void **state)
{
	const char *text;

	(void)state;
	assert_int_equal(write_all(), 0);
	text = content("/run/systemd/network/00-msb-init.network");
	assert_non_null(text);
	assert_non_null(strstr(text, "[Match]\nMACAddress=02:6d:73:00:01:02\n"
			       "\n[Link]\nUnmanaged=yes\n"));
	text = content("/run/systemd/network/00-msb-init.link");
	assert_non_null(text);
	assert_non_null(strstr(text, "\n[Link]\nName=eth0\n"));
	text = content("/run/systemd/system/systemd-networkd-wait-online"
		       ".service.d/00-msb-init.conf");
	assert_non_null(text);
	assert_non_null(strstr(text, "ConditionPathExists=!/run/systemd/"
			       "network/00-msb-init.network\n"));
	text = content("/run/NetworkManager/conf.d/00-msb-init.conf");
	assert_non_null(text);
	assert_non_null(strstr(text, "match-device=mac:02:6d:73:00:01:02;"
			       "interface-name:=eth0\nmanaged=0\n"));
	assert_non_null(strstr(text, "dns=none\n"));
	assert_null(content("/etc/cloud/cloud.cfg.d/99-msb-init.cfg"));
	assert_null(content("/etc/dhcpcd.conf"));

	put("/etc/cloud/cloud.cfg.d/05_logging.cfg", "x\n");
	put("/etc/dhcpcd.conf", "interface eth1\nstatic x=y");
	for (int i = 0; i < 2; i++) {	/* the second time changes nothing */
		assert_int_equal(write_all(), 0);
		text = content("/etc/cloud/cloud.cfg.d/99-msb-init.cfg");
		assert_non_null(text);
		assert_non_null(strstr(text, "network:\n  config: disabled\n"));
		assert_string_equal(content("/etc/dhcpcd.conf"),
				    BLOCK "interface eth1\nstatic x=y");
	}
}

/* One that cannot be written does not keep the others from it */
static void test_fails(void **state)
{
	(void)state;
	put("/run/systemd/network", "in the way\n");
	assert_int_equal(write_all(), 2);
	assert_non_null(content("/run/NetworkManager/conf.d/"
				"00-msb-init.conf"));
}

static void test_dhcpcd(void **state)
{
	static const struct {
		const char *old, *want;
	} cases[] = {
		{ "", BLOCK },
		{ "a\n", BLOCK "a\n" },
		{ BLOCK "a\n", BLOCK "a\n" },
		{ "a\n" BLOCK "b\n", BLOCK "a\nb\n" },
		{ FILE_MARK_BEGIN "\ndenyinterfaces old\n" FILE_MARK_END "\na",
		  BLOCK "a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[512];
		struct wr w = wr_init(out, sizeof(out) - 1);

		unmanaged_dhcpcd(&env, span_str(cases[i].old), &w);
		assert_false(w.bad);
		*w.p = '\0';
		assert_string_equal(out, cases[i].want);
	}
}

int agent_unmanaged_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, make, unmake),
		cmocka_unit_test_setup_teardown(test_fails, make, unmake),
		cmocka_unit_test(test_dhcpcd),
	};

	return cmocka_run_group_tests_name("agent_unmanaged", tests, NULL,
					   NULL);
}
