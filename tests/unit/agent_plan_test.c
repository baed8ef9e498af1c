#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/check.h"
#include "agent/ioc.h"
#include "agent/nl.h"
#include "agent/nl_text.h"
#include "agent/plan.h"
#include "base/util.h"

int agent_plan_test(void);

static char text[8192];

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(span_str(s), &a), 0);
	return a;
}

/* --- words ---------------------------------------------------------------- */

static void test_addr_words(void **state)
{
	static const struct {
		const char *addr;
		uint8_t plen;
		uint16_t flags;
		const char *want;
	} t[] = {
		{ "10.0.0.2", 30, NLM_F_REPLACE, "RTM_NEWADDR 10.0.0.2/30 dev "
		  "lo broadcast 10.0.0.3 flags CREATE|REPLACE" },
		{ "10.0.0.2", 32, NLM_F_EXCL, "RTM_NEWADDR 10.0.0.2/32 dev lo "
		  "flags CREATE|EXCL" },
		{ "fd00::2", 64, 0, "RTM_NEWADDR fd00::2/64 dev lo nodad flags "
		  "CREATE" },
	};
	_Alignas(struct nlmsghdr) uint8_t req[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct nl_addr a = { 1, ip(t[i].addr), t[i].plen };
		struct wr w = wr_init(text, sizeof(text) - 1);

		assert_int_equal(nl_addr_msg(req, sizeof(req), &a, t[i].flags),
				 0);
		assert_true(nl_text_changes((void *)req));
		nl_text((void *)req, &w);
		*w.p = '\0';
		assert_string_equal(text, t[i].want);
	}
}

static void test_route_words(void **state)
{
	_Alignas(struct nlmsghdr) uint8_t req[256];
	struct nlmsghdr *nlh = (void *)req;
	struct nl_route r = { 1, ip("fd00::1"), true };
	struct wr w = wr_init(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(nl_route_msg(req, sizeof(req), &r), 0);
	assert_true(nl_text_changes(nlh));
	nl_text(nlh, &w);
	*w.p = '\0';
	assert_string_equal(text, "RTM_NEWROUTE default via fd00::1 dev lo "
			    "proto static onlink flags CREATE|REPLACE");

	/* What only asks is no part of a plan; what is unknown is */
	for (unsigned int type = RTM_BASE; type < RTM_BASE + 64; type++) {
		nlh->nlmsg_type = (uint16_t)type;
		assert_int_equal(nl_text_changes(nlh),
				 type != RTM_GETLINK && type != RTM_GETADDR &&
				 type != RTM_GETROUTE && (type & 3) != 2);
	}
	nlh->nlmsg_type = RTM_DELLINK;
	w = wr_init(text, sizeof(text) - 1);
	nl_text(nlh, &w);
	*w.p = '\0';
	assert_string_equal(text, "type 17 flags CREATE|REPLACE");
}

/* --- a dry run ------------------------------------------------------------ */

/* What a dry run has said since the last call */
static const char *said(int fd)
{
	static off_t at;
	ssize_t n;

	if (fd < 0) {
		at = 0;
		return "";
	}
	n = pread(fd, text, sizeof(text) - 1, at);
	text[n > 0 ? n : 0] = '\0';
	at += n > 0 ? n : 0;
	return text;
}

/* No call reaches the kernel: there is no such interface, yet all succeed */
static void test_dry(void **state)
{
	int fd = memfd_create("plan", MFD_CLOEXEC);
	uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	unsigned int index;
	char name[IF_NAMESIZE];
	short flags;

	(void)state;
	said(-1);
	plan_begin(fd);
	assert_true(plan_dry());
	index = plan_make("none0");
	assert_int_not_equal(index, 0);
	assert_string_equal(plan_name(index, name), "none0");
	assert_string_equal(plan_conf("none0", name), "default");
	assert_string_equal(plan_conf("lo", name), "lo");
	assert_int_equal(ioc_up("none0", false), 0);	/* as it is */
	assert_string_equal(said(fd), "");
	assert_int_equal(ioc_up("none0", true), 0);
	assert_int_equal(ioc_up("none0", true), 0);
	assert_false(plan_dropped(index));
	assert_int_equal(ioc_up("none0", false), 0);
	assert_true(plan_dropped(index));
	assert_int_equal(ioc_rename("none0", "none1"), 0);
	assert_int_equal(ioc_mac("none1", mac), 0);
	assert_int_equal(ioc_mtu("none1", 1400), 0);
	assert_true(plan_flags("none1", &flags) && !(flags & IFF_UP));
	assert_false(plan_flags("none0", &flags));
	assert_string_equal(plan_name(index, name), "none1");
	assert_string_equal(said(fd),
		"ioctl SIOCSIFFLAGS none0 up\nioctl SIOCSIFFLAGS none0 down\n"
		"ioctl SIOCSIFNAME none0 none1\n"
		"ioctl SIOCSIFHWADDR none1 02:00:00:00:00:01\n"
		"ioctl SIOCSIFMTU none1 1400\n");
	assert_int_equal(plan_count(), 5);
	plan_end();
	assert_false(plan_dry());
	assert_true(ioc_mtu("none1", 1400) < 0);
	assert_string_equal(said(fd), "");
	close(fd);
}

/* A line is a line, however long it is; one that nobody reads is counted */
static void test_long(void **state)
{
	int fd = memfd_create("plan", MFD_CLOEXEC);
	char *big = malloc(5000);

	(void)state;
	memset(big, 'x', 4999);
	big[4999] = '\0';
	said(-1);
	plan_begin(fd);
	assert_false(plan_do("%s", big));
	said(fd);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_true(strlen(text) > 100 && strlen(text) < 600);
	plan_begin(-1);
	assert_int_equal(plan_count(), 0);
	assert_false(plan_do("%s", big));
	assert_int_equal(plan_count(), 1);
	plan_end();
	assert_true(plan_do("x"));
	free(big);
	close(fd);
}

/* A directory is made once, and not at all in a dry run */
static void test_mkdir(void **state)
{
	int fd = memfd_create("plan", MFD_CLOEXEC);
	char path[400];

	(void)state;
	said(-1);
	plan_begin(fd);
	assert_false(plan_mkdir("/a"));
	assert_false(plan_mkdir("/a/b"));
	assert_false(plan_mkdir("/a"));
	assert_false(plan_mkdir("/a/b"));
	assert_string_equal(said(fd), "mkdir /a, mode 0755\n"
			    "mkdir /a/b, mode 0755\n");
	assert_int_equal(plan_count(), 2);
	for (int i = 0; i < 9; i++) {	/* more than is remembered */
		memset(path, 'a' + i, sizeof(path) - 1);
		path[sizeof(path) - 1] = '\0';
		assert_false(plan_mkdir(path));
	}
	plan_end();
	assert_true(plan_mkdir("/a"));
	assert_true(plan_mkdir("/a"));
	close(fd);
}

/* More interfaces than there is room for are not remembered */
static void test_full(void **state)
{
	char name[IF_NAMESIZE] = "none0";

	(void)state;
	plan_begin(-1);
	for (int i = 0; i < 9; i++) {
		name[4] = (char)('0' + i);
		plan_make(name);
		plan_set_flags(name, IFF_UP);
		plan_rename(name, "y");
	}
	plan_end();
}

/* --- checks --------------------------------------------------------------- */

static void test_why(void **state)
{
	static const struct {
		const char *report, *why;
	} t[] = {
		{ "STATE=ready\nWARNING1=no\nWARNING2=a MTU b\n", "a MTU b" },
		{ "STATE=failed\nERROR1=other\nERROR2=mtu: MTU\n", "mtu: MTU" },
		{ "STATE=failed\nERROR1=first\nERROR2=second\n", "first" },
		{ "STATE=ready\nMTU=1\nX=MTU\n", "it has been changed since" },
		{ "STATE=starting\n", "the agent has not come so far" },
		{ "", "the agent has not come so far" },
	};
	static const char *const words[] = { NULL, "MTU" };
	static struct checks c;

	(void)state;
	memset(&c, 0, sizeof(c));
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct check *k = check_add(&c, span_str(t[i].report), "mtu",
					    false, words);

		assert_string_equal(k->why, t[i].why);
	}
	assert_int_equal(c.differ, ARRAY_SIZE(t));
	assert_string_equal(check_add(&c, span_str(t[0].report), "x", true,
				      words)->why, "");
	assert_int_equal(c.differ, ARRAY_SIZE(t));
	assert_int_equal(c.n, ARRAY_SIZE(t) + 1);
}

static void test_asked(void **state)
{
	struct env e;

	(void)state;
	check_asked(span_str("IFACE=x\nMSB_NET=iface=eth3,mac=2:0:0:0:0:1,"
			     "mtu=1400\nMSB_HOSTNAME=h\nMSB_NET_IPV4=bad\n"),
		    &e);
	assert_true(e.net && !e.ip4.set && !e.ip6.set);
	assert_string_equal(e.iface, "eth3");
	assert_int_equal(e.mtu, 1400);
	assert_string_equal(e.hostname, "h");
	check_asked(span_str(""), &e);
	assert_false(e.net);
}

static void test_print(void **state)
{
	static struct checks c = {
		.n = 2, .differ = 1,
		.list = {
			{ "link", true, "up", "up", "" },
			{ "mtu", false, "1400", "1500", "a \"b\"" },
		},
	};
	struct wr w = wr_init(text, sizeof(text) - 1);

	(void)state;
	check_text(&c, &w);
	*w.p = '\0';
	assert_string_equal(text, "as asked        no: 1 of 2 differ\n"
		"differs         mtu: asked 1400, is 1500: a \"b\"\n");
	w = wr_init(text, sizeof(text) - 1);
	check_json(&c, &w);
	*w.p = '\0';
	assert_string_equal(text, "\"same\":false,\"checks\":["
		"{\"item\":\"link\",\"asked\":\"up\",\"is\":\"up\","
		"\"same\":true},{\"item\":\"mtu\",\"asked\":\"1400\","
		"\"is\":\"1500\",\"same\":false,\"why\":\"a \\\"b\\\"\"}]");
	c.differ = c.n = 0;
	w = wr_init(text, sizeof(text) - 1);
	check_text(&c, &w);
	*w.p = '\0';
	assert_string_equal(text, "as asked        yes\n");
}

int agent_plan_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr_words),
		cmocka_unit_test(test_route_words),
		cmocka_unit_test(test_dry),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_mkdir),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests_name("agent_plan", tests, NULL, NULL);
}
