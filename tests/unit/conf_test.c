#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/util.h"
#include "gateway/conf.h"
#include "gateway/monitor/listen.h"
#include "gateway/monitor/monitor.h"
#include "gateway/monitor/token.h"

int conf_test(void);

#define ARGS_MAX	12

static int args(struct gw_conf *c, const char *line, char *err, size_t size)
{
	char buf[512], *argv[ARGS_MAX + 1] = { buf }, *save = NULL;
	int argc = 0;

	conf_init(c);
	snprintf(buf, sizeof(buf), "run %s", line);
	for (char *w = strtok_r(buf, " ", &save); w && argc < ARGS_MAX;
	     w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return conf_flags(c, argc, argv, NULL, NULL, err, size);
}

static void addr_is(const struct ipaddr *a, const char *text)
{
	char buf[IPADDR_STRLEN];

	assert_string_equal(ipaddr_fmt(a, buf), text);
}

static const struct {
	const char *args, *gw4, *guest4, *gw6, *guest6;
	uint8_t mac4, mac5;
} slots[] = {
	{ "--slot 0", "100.96.0.1", "100.96.0.2", "fd42:6d73:62::1",
	  "fd42:6d73:62::2", 0, 0 },
	{ "--slot 1", "100.96.0.5", "100.96.0.6", "fd42:6d73:62:1::1",
	  "fd42:6d73:62:1::2", 0, 1 },
	{ "--slot=42", "100.96.0.169", "100.96.0.170", "fd42:6d73:62:2a::1",
	  "fd42:6d73:62:2a::2", 0, 42 },
	{ "--slot 65535", "100.99.255.253", "100.99.255.254",
	  "fd42:6d73:62:ffff::1", "fd42:6d73:62:ffff::2", 255, 255 },
	{ "--ipv4 10.0.0.6", "10.0.0.5", "10.0.0.6", "fd42:6d73:62::1",
	  "fd42:6d73:62::2", 0, 0 },
	{ "--ipv6 2001:db8:1::5", "100.96.0.1", "100.96.0.2",
	  "2001:db8:1::1", "2001:db8:1::5", 0, 0 },
};

static void slots_and_addresses(void **state)
{
	struct gw_conf c;
	char err[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		assert_int_equal(args(&c, slots[i].args, err, sizeof(err)), 0);
		assert_int_equal(conf_derive(&c, true, true, err, sizeof(err)),
				 0);
		addr_is(&c.net.gw4, slots[i].gw4);
		addr_is(&c.net.guest4, slots[i].guest4);
		addr_is(&c.net.gw6, slots[i].gw6);
		addr_is(&c.net.guest6, slots[i].guest6);
		assert_int_equal(c.net.mac[3], slots[i].mac4);
		assert_int_equal(c.net.guest_mac[4], slots[i].mac5);
		assert_int_equal(c.net.mac[5], 1);
		assert_int_equal(c.net.guest_mac[5], 2);
	}
}

static void families(void **state)
{
	struct gw_conf c;
	char err[256];

	(void)state;
	args(&c, "", err, sizeof(err));
	assert_int_equal(conf_derive(&c, true, false, err, sizeof(err)), 0);
	assert_true(c.net.v4 && !c.net.v6 && c.policy.ngw == 1);
	args(&c, "--ipv6 on --ipv4 off", err, sizeof(err));
	assert_int_equal(conf_derive(&c, true, false, err, sizeof(err)), 0);
	assert_true(!c.net.v4 && c.net.v6 && c.policy.ngw == 1);
	args(&c, "--mtu 1279 --ipv6 on", err, sizeof(err));
	assert_int_equal(conf_derive(&c, true, false, err, sizeof(err)),
			 -EINVAL);
	assert_non_null(strstr(err, "1280"));
	args(&c, "--mtu 1279 --ipv6 off", err, sizeof(err));
	assert_int_equal(conf_derive(&c, true, true, err, sizeof(err)), 0);
}

/* Each is refused, and the message names what was wrong */
static const struct {
	const char *args, *says;
} bad[] = {
	{ "--slot 65536", "--slot" },
	{ "--slot -1", "--slot" },
	{ "--slot", "--slot" },
	{ "--slot=", "--slot" },
	{ "--unix=", "--unix" },
	{ "--token-file=", "--token-file" },
	{ "--pcap=", "--pcap" },
	{ "--ipv4 maybe", "--ipv4" },
	{ "--ipv4 fd00::1", "--ipv4" },
	{ "--ipv6 10.0.0.1", "--ipv6" },
	{ "--net public,none", "--net" },
	{ "--dns-nameserver example.com", "--dns-nameserver" },
	{ "--dns-nameserver 1.1.1.1:0", "--dns-nameserver" },
	{ "--dns-nameserver 1.1.1.1:65536", "--dns-nameserver" },
	{ "--max-connections 0", "--max-connections" },
	{ "--max-connections 65537", "--max-connections" },
	{ "--mtu 67", "--mtu" },
	{ "--nonsense", "--nonsense" },
	{ "--no-isolation=1", "--no-isolation" },
	{ "--unix /a --uds /b", "--uds" },
	{ "--vsock 1024", "--cid" },
	{ "--uds-group x --vhost-user /a", "--uds-group" },
	{ "--guest-cid 2", "--guest-cid" },
	{ "--fault loss=200%", "--fault" },
	{ "--log-level loud", "--log-level" },
	{ "--config /nonexistent/x", "/nonexistent/x" },
};

static void flags_refused(void **state)
{
	struct gw_conf c;
	char err[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err[0] = '\0';
		if (args(&c, bad[i].args, err, sizeof(err)) != -EINVAL)
			fail_msg("accepted %s", bad[i].args);
		if (!strstr(err, bad[i].says))
			fail_msg("%s: \"%s\"", bad[i].args, err);
	}
}

static void nameservers(void **state)
{
	static const struct {
		const char *text, *addr;
		uint16_t port;
	} good[] = {
		{ "1.1.1.1", "1.1.1.1", 53 },
		{ " 1.1.1.1:5353 ", "1.1.1.1", 5353 },
		{ "2001:db8::1", "2001:db8::1", 53 },
		{ "[2001:db8::1]:54", "2001:db8::1", 54 },
	};
	struct dns_server s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(conf_nameserver(good[i].text, &s), 0);
		addr_is(&s.addr, good[i].addr);
		assert_int_equal(s.port, good[i].port);
	}
}

static const struct {
	const char *json, *says;	/* no @says: accepted */
} docs[] = {
	{ "{}", NULL },
	{ "{\"interface\":{\"mtu\":1400,\"ipv4_pool\":\"172.16.0.0/12\"}}",
	  NULL },
	{ "{\"interface\":{\"mac\":[2,0,0,0,0,9],\"mtu\":null}}", NULL },
	{ "{\"dns\":{\"nameservers\":[\"1.1.1.1\",\"[::1]:53\"]},"
	  "\"max_connections\":100}", NULL },
	{ "{\"udp\":{\"filtering\":\"endpoint-independent\"}}", NULL },
	{ "{\"interface\":{\"router_advertisements\":true}}", NULL },
	{ "{\"interface\":{\"router_advertisements\":1}}",
	  "interface.router_advertisements" },
	{ "{\"udp\":{\"max_flows\":64}}", NULL },
	{ "{\"udp\":{\"max_flows\":65536}}", NULL },
	{ "{\"udp\":{\"max_flows\":63}}", "udp.max_flows" },
	{ "{\"udp\":{\"max_flows\":65537}}", "udp.max_flows" },
	{ "{\"udp\":{\"max_flows\":\"1\"}}", "udp.max_flows" },
	{ "{\"tcp\":{\"congestion\":\"reno\"}}", NULL },
	{ "{\"tcp\":{\"congestion\":\"none\"}}", NULL },
	{ "{\"tcp\":{\"congestion\":\"cubic\"}}", "tcp.congestion" },
	{ "{\"tcp\":{\"congestion\":null}}", "tcp.congestion" },
	{ "{\"tcp\":{\"cc\":\"reno\"}}", "tcp.cc" },
	{ "", "not JSON" },
	{ "[]", "object" },
	{ "{\"interface\":[]}", "interface" },
	{ "{\"interface\":{\"mut\":1}}", "interface.mut" },
	{ "{\"interface\":{\"mtu\":\"x\"}}", "interface.mtu" },
	{ "{\"interface\":{\"mtu\":67}}", "interface.mtu" },
	{ "{\"interface\":{\"mac\":[1,0,0,0,0,9]}}", "interface.mac" },
	{ "{\"interface\":{\"ipv4_pool\":\"10.0.0.0/31\"}}",
	  "interface.ipv4_pool" },
	{ "{\"interface\":{\"ipv4_pool\":\"10.0.0.1/30\"}}",
	  "interface.ipv4_pool" },
	{ "{\"interface\":{\"ipv6_pool\":\"10.0.0.0/8\"}}",
	  "interface.ipv6_pool" },
	{ "{\"dns\":{\"nameservers\":[\"example.com\"]}}", "dns.nameservers" },
	{ "{\"max_connections\":65537}", "max_connections" },
	{ "{\"policy\":{}}", "policy" },
	{ "{\"tls\":{}}", "tls" },
	{ "{\"ports\":[]}", "ports" },
	{ "{\"what\":1}", "what" },
	{ "{\"dns\":{},\"dns\":{}}", "not JSON" },
};

static void documents(void **state)
{
	struct gw_conf c, before;
	char err[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(docs); i++) {
		int rc;

		conf_init(&c);
		before = c;
		err[0] = '\0';
		rc = conf_load(&c, docs[i].json, strlen(docs[i].json), err,
			       sizeof(err));
		if (rc != (docs[i].says ? -EINVAL : 0))
			fail_msg("%s: %d %s", docs[i].json, rc, err);
		if (!docs[i].says)
			continue;
		if (!strstr(err, docs[i].says))
			fail_msg("%s: \"%s\"", docs[i].json, err);
		assert_memory_equal(&c, &before, sizeof(c));
	}
}

static void congestion(void **state)
{
	static const char reno[] = "{\"tcp\":{\"congestion\":\"reno\"}}";
	static const char none[] = "{\"tcp\":{\"congestion\":\"none\"}}";
	struct gw_conf c;
	char err[256];

	(void)state;
	conf_init(&c);
	assert_false(c.tcp_reno);
	assert_int_equal(conf_load(&c, reno, strlen(reno), err, sizeof(err)),
			 0);
	assert_true(c.tcp_reno);
	assert_int_equal(conf_load(&c, none, strlen(none), err, sizeof(err)),
			 0);
	assert_false(c.tcp_reno);
}

static void flags_override_the_file(void **state)
{
	char path[] = "/tmp/msb-conf-XXXXXX", line[128], err[256];
	const char *doc = "{\"interface\":{\"mtu\":1400},"
			  "\"dns\":{\"nameservers\":[\"9.9.9.9\"]}}";
	int fd = mkstemp(path);
	struct gw_conf c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, doc, strlen(doc)), (ssize_t)strlen(doc));
	close(fd);
	snprintf(line, sizeof(line), "--mtu 1300 --config %s", path);
	assert_int_equal(args(&c, line, err, sizeof(err)), 0);
	assert_int_equal(c.mtu, 1300);
	assert_int_equal(c.ndns, 1);
	snprintf(line, sizeof(line), "--config=%s --dns-nameserver 1.1.1.1",
		 path);
	assert_int_equal(args(&c, line, err, sizeof(err)), 0);
	assert_int_equal(c.mtu, 1400);
	assert_int_equal(c.ndns, 1);
	addr_is(&c.dns[0].addr, "1.1.1.1");
	unlink(path);
}

static void pools_have_an_end(void **state)
{
	const char *doc = "{\"interface\":{\"ipv4_pool\":\"10.0.0.0/28\"}}";
	struct gw_conf c;
	char err[256];

	(void)state;
	conf_init(&c);
	assert_int_equal(conf_load(&c, doc, strlen(doc), err, sizeof(err)), 0);
	c.slot = 3;
	assert_int_equal(conf_derive(&c, true, false, err, sizeof(err)), 0);
	addr_is(&c.net.guest4, "10.0.0.14");
	c.slot = 4;
	assert_int_equal(conf_derive(&c, true, false, err, sizeof(err)),
			 -EINVAL);
}

static void pools_nobody_can_use(void **state)
{
	static const char *const values[] = {
		"\"ipv4_pool\":\"0.0.0.0/8\"", "\"ipv4_pool\":\"127.0.0.0/8\"",
		"\"ipv4_pool\":\"224.0.0.0/8\"", "\"ipv4_pool\":\"240.0.0.0/8\"",
		"\"ipv6_pool\":\"::/48\"", "\"ipv6_pool\":\"fe80::/48\"",
		"\"ipv6_pool\":\"ff00::/48\"", "\"mac\":[2,109,115,0,0,1]",
	};
	char doc[128], err[256];
	struct gw_conf c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		snprintf(doc, sizeof(doc), "{\"interface\":{%s}}", values[i]);
		conf_init(&c);
		assert_int_equal(conf_load(&c, doc, strlen(doc), err,
					   sizeof(err)), 0);
		if (conf_derive(&c, true, true, err, sizeof(err)) != -EINVAL)
			fail_msg("%s", doc);
		assert_non_null(strstr(err, "interface."));
	}
}

/* ---- the monitor's files -------------------------------------------------- */

static void tokens_in_files(void **state)
{
	char dir[] = "/tmp/msb-token-XXXXXX", path[64];
	uint8_t t[MON_TOKEN_LEN] = { 1, 2, 0xfe }, u[MON_TOKEN_LEN] = { 0 };
	struct stat st;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t", dir);
	assert_int_equal(token_load(path, u), -ENOENT);
	assert_int_equal(token_save(path, t), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(token_load(path, u), 0);
	assert_memory_equal(t, u, sizeof(t));
	chmod(path, 0640);
	assert_int_equal(token_load(path, u), -EACCES);
	chmod(path, 0600);
	if (geteuid() == 0 && chown(path, 1, (gid_t)-1) == 0) {
		assert_int_equal(token_load(path, u), -EACCES);
		assert_int_equal(chown(path, 0, (gid_t)-1), 0);
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("not a token at all, but quite some text\n", f);
	fclose(f);
	chmod(path, 0600);
	assert_int_equal(token_load(path, u), -EBADMSG);
	unlink(path);
	rmdir(dir);
}

static void resolv_conf(void **state)
{
	char path[] = "/tmp/msb-resolv-XXXXXX";
	const char *text = "# nameserver 9.9.9.9\nnameserver 1.1.1.1\n"
			   "nameserver\t2001:db8::1 # x\nnameserverx 1.2.3.4\n"
			   "nameserver fe80::1%eth0\nsearch a\nnameserver\n"
			   "nameserver 127.0.0.53";
	int fd = mkstemp(path);
	struct mon_dns d;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	assert_int_equal(monitor_resolv(path, &d), 0);
	assert_int_equal(d.n, 3);
	addr_is(&d.server[0].addr, "1.1.1.1");
	addr_is(&d.server[1].addr, "2001:db8::1");
	addr_is(&d.server[2].addr, "127.0.0.53");
	unlink(path);
	assert_int_equal(monitor_resolv(path, &d), -ENOENT);
}

/* One of the racers: 0 if it has the place, and still has it when all have run */
static int racer(const char *path, int go, int over)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char err[256], c;
	int fd, s, rc;

	if (read(go, &c, 1) != 0)
		return 1;
	fd = listen_unix(path, NULL, err, sizeof(err));
	if (fd < 0)
		return fd == -EADDRINUSE ? 2 : 3;
	if (read(over, &c, 1) != 1)
		return 4;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	rc = connect(s, (const struct sockaddr *)&a, sizeof(a));
	return rc < 0 || accept(fd, NULL, NULL) < 0 ? 5 : 0;
}

#define RACERS	8

/* Several start at once in the place of a stale one: one wins, and can be reached */
static void race_for_a_stale_socket(void **state)
{
	char dir[] = "/tmp/msb-listen-XXXXXX", path[64], err[256];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	for (int round = 0; round < 40; round++) {
		int go[2], over[2], status;

		close(listen_unix(path, NULL, err, sizeof(err)));
		assert_int_equal(pipe(go), 0);
		assert_int_equal(pipe(over), 0);
		for (int i = 0; i < RACERS; i++) {
			if (fork())
				continue;
			alarm(5);	/* else two winners wait for ever */
			close(go[1]);
			close(over[1]);
			_exit(racer(path, go[0], over[0]));
		}
		close(go[1]);
		close(over[0]);
		for (int i = 1; i < RACERS; i++) {
			/* the losers end by themselves, a winner does not */
			assert_true(waitpid(-1, &status, 0) > 0);
			assert_int_equal(WEXITSTATUS(status), 2);
		}
		assert_int_equal(write(over[1], "x", 1), 1);
		assert_true(waitpid(-1, &status, 0) > 0);
		assert_int_equal(status, 0);
		close(go[0]);
		close(over[1]);
	}
	unlink(path);
	assert_int_equal(rmdir(dir), 0);	/* and no other file is there */
}

/* A group that we are in, so that this needs no rights */
static void for_a_group(const char *path)
{
	const struct group *g = getgrgid(getegid());
	char err[256];
	struct stat st;
	int fd;

	if (!g)
		return;
	fd = listen_unix(path, g->gr_name, err, sizeof(err));
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_int_equal(st.st_gid, getegid());
	close(fd);
	unlink(path);
}

static void listening_sockets(void **state)
{
	char dir[] = "/tmp/msb-listen-XXXXXX", path[64], err[256];
	struct stat st;
	int a, b;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	a = listen_unix(path, NULL, err, sizeof(err));
	assert_true(a >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (int i = 0; i < 20; i++) {	/* somebody answers, busy or not */
		b = listen_unix(path, NULL, err, sizeof(err));
		assert_int_equal(b, -EADDRINUSE);
	}
	assert_int_equal(listen_unix("", NULL, err, sizeof(err)), -EINVAL);
	close(a);
	a = listen_unix(path, NULL, err, sizeof(err));	/* stale: replaced */
	assert_true(a >= 0);
	close(a);
	unlink(path);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(listen_unix(path, NULL, err, sizeof(err)), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);	/* not ours to remove */
	unlink(path);
	for_a_group(path);
	assert_int_equal(listen_unix(path, "no-such-group", err, sizeof(err)),
			 -ENOENT);
	assert_int_equal(access(path, F_OK), -1);	/* nothing is left over */
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(listen_unix(path, NULL, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "directory"));
}

static void udp_flows(void **state)
{
	static const struct {
		uint32_t conns, asked, flows;
	} row[] = {
		{ 1, 0, 64 }, { 256, 0, 64 }, { 260, 0, 65 }, { 4096, 0, 1024 },
		{ 65536, 0, 16384 }, { 1, 10000, 10000 }, { 65536, 64, 64 },
	};
	struct gw_conf c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		conf_init(&c);
		c.max_conns = row[i].conns;
		c.udp_flows = row[i].asked;
		assert_int_equal(conf_udp_flows(&c), row[i].flows);
	}
}

int conf_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_flows),
		cmocka_unit_test(slots_and_addresses),
		cmocka_unit_test(families),
		cmocka_unit_test(flags_refused),
		cmocka_unit_test(nameservers),
		cmocka_unit_test(documents),
		cmocka_unit_test(congestion),
		cmocka_unit_test(flags_override_the_file),
		cmocka_unit_test(pools_have_an_end),
		cmocka_unit_test(pools_nobody_can_use),
		cmocka_unit_test(tokens_in_files),
		cmocka_unit_test(resolv_conf),
		cmocka_unit_test(listening_sockets),
		cmocka_unit_test(race_for_a_stale_socket),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
