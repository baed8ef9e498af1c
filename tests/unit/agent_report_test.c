#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/conf.h"
#include "agent/fwd.h"
#include "agent/json.h"
#include "agent/probe.h"
#include "agent/report.h"
#include "agent/status.h"
#include "base/util.h"

int agent_report_test(void);

static char text[REPORT_KEYS * (REPORT_KEY + REPORT_VALUE + 2)];

static void test_emit(void **state)
{
	static struct report r;
	struct wr w = wr_init(text, sizeof(text) - 1);

	(void)state;
	report_init(&r);
	report_set(&r, "A", "%d", 1);
	report_set(&r, "B", "%s", "two\nREADY=1\t\x7f");
	assert_true(r.dirty);
	r.dirty = false;
	report_set(&r, "A", "%d", 1);
	assert_false(r.dirty);
	report_set(&r, "A", "%d", 3);
	assert_true(r.dirty);
	report_emit(&r, &w);
	*w.p = '\0';
	assert_string_equal(text, "A=3\nB=two?READY=1??\n");
	assert_string_equal(report_get(&r, "A"), "3");
	assert_string_equal(report_get(&r, "C"), "");
}

static void test_full(void **state)
{
	static struct report r;
	char key[REPORT_KEY], *big = malloc(2 * REPORT_VALUE);
	struct wr w = wr_init(text, sizeof(text));

	(void)state;
	memset(big, 'x', 2 * REPORT_VALUE - 1);
	big[2 * REPORT_VALUE - 1] = '\0';
	report_init(&r);
	for (int i = 0; i < 2 * REPORT_KEYS; i++) {
		snprintf(key, sizeof(key), "K%d", i);
		report_set(&r, key, "%s", big);
	}
	assert_int_equal(r.n, REPORT_KEYS);
	assert_int_equal(strlen(report_get(&r, "K0")), REPORT_VALUE - 1);
	report_emit(&r, &w);
	assert_false(w.bad);
	free(big);
}

/* What came down the pipe so far */
static const char *heard(int fd)
{
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_pipe(void **state)
{
	static struct report r;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	report_init(&r);
	report_open(&r, NULL, p[1]);
	report_set(&r, "T_START", "%d", 5);
	report_set(&r, "STATE", "%s", "not for the pipe");
	report_set(&r, "IFACE", "%s", "eth0");
	report_stage(&r, "T_START");		/* nothing before READY */
	report_tell(&r, "TOKEN", "00");		/* but this at once */
	assert_string_equal(heard(p[0]), "TOKEN=00\n");
	report_ready(&r);
	assert_string_equal(heard(p[0]), "IFACE=eth0\nT_START=5\nREADY=1\n");
	report_ready(&r);
	assert_string_equal(heard(p[0]), "");
	report_set(&r, "T_CONNECTED", "%d", 9);
	report_stage(&r, "T_CONNECTED");
	assert_string_equal(heard(p[0]), "T_CONNECTED=9\n");
	assert_string_equal(report_get(&r, "TOKEN"), "");
	close(p[0]);
	close(p[1]);
}

static void test_failed(void **state)
{
	static struct report r;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	report_init(&r);
	report_open(&r, NULL, p[1]);
	r.errors = 0;
	report_set(&r, "ERROR1", "%s", "first");
	r.failed = true;
	report_ready(&r);
	assert_string_equal(heard(p[0]), "FAILED=first\n");
	report_ready(&r);
	assert_string_equal(heard(p[0]), "");
	/* It works at last, and that is told once; warnings stay */
	report_warn(&r, "%s", "careful");
	report_fail(&r, "%s", "second");
	report_set(&r, "MTU", "%d", 1400);
	report_mend(&r);
	assert_false(r.failed);
	assert_string_equal(report_get(&r, "ERROR1"), "");
	assert_string_equal(report_get(&r, "WARNING1"), "careful");
	report_ready(&r);
	assert_string_equal(heard(p[0]), "MTU=1400\nREADY=1\n");
	report_fail(&r, "%s", "third");
	assert_string_equal(report_get(&r, "ERROR1"), "third");
	report_ready(&r);
	assert_string_equal(heard(p[0]), "");
	close(p[0]);
	close(p[1]);
}

static void test_retry(void **state)
{
	unsigned int slow = 0, dead = 0;

	(void)state;
	assert_int_equal(fwd_retry_ms(0, -ECONNREFUSED), FWD_RETRY_MIN_MS);
	assert_int_equal(fwd_retry_ms(0, -ETIMEDOUT), FWD_RETRY_MIN_MS);
	for (int i = 0; i < 20; i++) {
		slow = fwd_retry_ms(slow, -ECONNRESET);
		dead = fwd_retry_ms(dead, -ETIMEDOUT);
	}
	assert_int_equal(slow, FWD_RETRY_MAX_MS);
	assert_int_equal(dead, FWD_RETRY_DEAD_MS);
	/* It answers again, if only to refuse */
	assert_int_equal(fwd_retry_ms(dead, -ECONNRESET), FWD_RETRY_MAX_MS);
}

#define STATUS								\
	"STATE=ready\nIFACE=eth0\nMTU=1400\nLINK=vsock:2:1024\n"	\
	"LINK_STATE=up\nLINK_SINCE=3000000000\nT_START=1000000000\n"	\
	"T_ETH0=1002500000\nERROR1=a \"b\"\nLEAD=007\n"

static void test_status(void **state)
{
	struct wr w = wr_init(text, sizeof(text) - 1);

	(void)state;
	status_text(span_str(STATUS), 8000000000ULL, NULL, &w);
	*w.p = '\0';
	assert_non_null(strstr(text, "interface       eth0\n"));
	assert_non_null(strstr(text, "link state      up for 5 s\n"));
	assert_non_null(strstr(text, "start to ready  2.500 ms\n"));
	assert_non_null(strstr(text, "error           a \"b\"\n"));
	assert_null(strstr(text, "ipv4"));

	w = wr_init(text, sizeof(text) - 1);
	status_json(span_str("STATE=ready\nMTU=1400\nERROR1=a \"b\"\nLEAD=007\n"
			     "NONE=\nnonsense\n=x\n"), NULL, &w);
	*w.p = '\0';
	assert_string_equal(text, "{\"state\":\"ready\",\"mtu\":1400,"
			    "\"error1\":\"a \\\"b\\\"\",\"lead\":\"007\","
			    "\"none\":\"\",\"nonsense\":\"\"}\n");

	/* Any file at all, cut anywhere */
	for (size_t n = 0; n <= strlen(STATUS); n++) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, STATUS, n);
		w = wr_init(text, sizeof(text));
		status_text((struct span){ copy, n }, 0, NULL, &w);
		status_json((struct span){ copy, n }, NULL, &w);
		assert_false(w.bad);
		free(copy);
	}
}

static void test_json(void **state)
{
	struct wr w = wr_init(text, sizeof(text) - 1);

	(void)state;
	json_str(&w, "a\"\\\n\x01\x7f\xc3\xa9z");
	*w.p = '\0';
	assert_string_equal(text, "\"a\\\"\\\\\\u000a\\u0001\\u007f"
			    "\\ufffd\\ufffdz\"");
}

static void test_probe(void **state)
{
	static struct probe p = { .url = "https://a/", .tls = "TLS 1.2",
				  .remedy = "", .status = 204,
				  .connect_us = 1500, .tls_us = 2750,
				  .total_us = 3000 };
	struct wr w = wr_init(text, sizeof(text) - 1);

	(void)state;
	probe_text(&p, &w);
	*w.p = '\0';
	assert_non_null(strstr(text, "connect     1.5 ms\n"));
	assert_non_null(strstr(text, "tls         2.7 ms\n"));
	assert_non_null(strstr(text, "ca bundle   none found\n"));
	assert_null(strstr(text, "failed"));
	w = wr_init(text, sizeof(text) - 1);
	probe_json(&p, &w);
	*w.p = '\0';
	assert_non_null(strstr(text, "\"exit\":0,\"status\":204,"));
	assert_non_null(strstr(text, "\"tls\":\"TLS 1.2\""));

	/* Only what needs no network: the exit status of what is refused */
	probe_run("gopher://127.0.0.1/", NULL, &p);
	assert_int_equal(p.exit, PROBE_EXIT_USAGE);
	assert_true(p.cause[0] && p.remedy[0]);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	probe_run(text, NULL, &p);
	assert_int_equal(p.exit, PROBE_EXIT_USAGE);
}

static void test_offloads(void **state)
{
	static const struct {
		uint32_t f;
		const char *want;
	} t[] = {
		{ 0, "none" }, { 1, "csum" }, { 7, "csum,tso4,tso6" },
		{ 0x1f, "csum,tso4,tso6,uso4,uso6" }, { 0x20, "none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(fwd_offloads(t[i].f, text, 48), t[i].want);
}

/* --- configuration ------------------------------------------------------- */

#define HEX	"000102030405060708090a0b0c0d0eFf"

static void test_token(void **state)
{
	static const struct {
		const char *in;
		int rc;
	} t[] = {
		{ HEX, 0 }, { HEX "\n", 0 }, { HEX "\n\n", -EBADMSG },
		{ HEX "0", -EBADMSG }, { " " HEX, -EBADMSG },
		{ "", -EBADMSG },
		{ "g00102030405060708090a0b0c0d0e0f", -EBADMSG },
		{ "0x0102030405060708090a0b0c0d0e0f", -EBADMSG },
	};
	uint8_t token[HELLO_TOKEN_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		size_t len = strlen(t[i].in);
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, t[i].in, len);
		memset(token, 0, sizeof(token));
		assert_int_equal(conf_token((struct span){ copy, len }, token),
				 t[i].rc);
		assert_int_equal(token[15], t[i].rc ? 0 : 0xff);
		free(copy);
	}
	for (size_t n = 0; n < strlen(HEX); n++)
		assert_int_equal(conf_token((struct span){
				(const uint8_t *)HEX, n }, token), -EBADMSG);
}

static void test_environ(void **state)
{
	static const char env[] = "A=1\0MSB_NETX=no\0MSB_NET=yes=x\0MSB_NET=2";
	const struct span s = { (const uint8_t *)env, sizeof(env) };
	char buf[8];

	(void)state;
	assert_int_equal(conf_environ(s, "MSB_NET", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "yes=x");
	assert_int_equal(conf_environ(s, "MSB", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(conf_environ(s, "MSB_NETXX", buf, sizeof(buf)),
			 -ENOENT);
	assert_int_equal(conf_environ(s, "MSB_NET", buf, 5), -ENAMETOOLONG);
	assert_int_equal(conf_environ((struct span){ 0 }, "A", buf, 8),
			 -ENOENT);
}

static void test_args(void **state)
{
	char *good[] = { (char[]){ "agent" }, (char[]){ "--once" },
			 (char[]){ "--link" }, (char[]){ "nic" },
			 (char[]){ "--log-level=debug" }, NULL };
	struct conf c;

	(void)state;
	assert_int_equal(conf_args(&c, false, 5, good), 0);
	assert_true(c.once && !c.pid1);
	assert_string_equal(c.link, "nic");
	assert_int_equal(c.level, LOG_LEVEL_DEBUG);
	assert_string_equal(c.run_dir, REPORT_RUN_DIR);
}

/* A variable that is wrong spoils the interface, a name that is wrong not */
static void test_env(void **state)
{
	static const struct {
		const char *name, *value;
		bool bad;
		const char *why;
	} t[] = {
		{ "MSB_NET", "iface=eth0,mac=02:00:00:00:00:01,mtu=70000", true,
		  "MSB_NET: invalid MTU: 70000 (at offset " },
		{ "MSB_LINK", "x", true, "MSB_LINK: " },
		{ "MSB_NET_IPV4", "addr=10.0.0.2/30,gw=10.0.0.1", true,
		  "MSB_NET" },
		{ "MSB_HOSTNAME", "w1", false, "" },
		{ "MSB_NET", "  ", false, "" },
	};
	static struct report r;
	struct conf c;

	(void)state;
	log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "t", LOG_SINK_TEXT,
		 LOG_LEVEL_ERR);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		report_init(&r);
		c = (struct conf){ .pid1 = true, .ready_fd = -1 };
		env_init(&c.env);
		setenv(t[i].name, t[i].value, 1);
		conf_env(&c, &r);
		unsetenv(t[i].name);
		if (c.bad_net != t[i].bad || r.failed != t[i].bad ||
		    strncmp(report_get(&r, "ERROR1"), t[i].why,
			    strlen(t[i].why)))
			fail_msg("%s=%s: \"%s\"", t[i].name, t[i].value,
				 report_get(&r, "ERROR1"));
	}
	log_init(2, "unit", LOG_SINK_TEXT, LOG_LEVEL_WARN);
}

int agent_report_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emit),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_environ),
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_env),
	};

	return cmocka_run_group_tests_name("agent_report", tests, NULL, NULL);
}
