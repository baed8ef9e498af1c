#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/file.h"
#include "agent/json.h"
#include "agent/report.h"
#include "agent/status.h"
#include "base/fd.h"
#include "base/util.h"

#define STATUS_MAX	(64 * 1024)
#define STATUS_NO_REPORT 3	/* exit status, and the next */
#define STATUS_UNKNOWN	4

/* Value of a key in the file; empty if it has none */
static struct span status_get(struct span text, const char *key)
{
	while (text.len) {
		struct span value = span_cut(&text, '\n', NULL);

		if (span_is(span_cut(&value, '=', NULL), key))
			return value;
	}
	return (struct span){ 0 };
}

static uint64_t status_ns(struct span text, const char *key)
{
	uint64_t n;

	return span_uint(status_get(text, key), UINT64_MAX, &n) ? 0 : n;
}

static void status_row(struct wr *w, const char *name, struct span value)
{
	if (!value.len)
		return;
	wr_fmt(w, "%-16s", name);
	wr_span(w, value);
	wr_u8(w, '\n');
}

static void status_ms(struct wr *w, const char *name, uint64_t from,
		      uint64_t to)
{
	uint64_t us = to > from ? (to - from) / NS_PER_US : 0;

	if (from && to)
		wr_fmt(w, "%-16s%llu.%03llu ms\n", name,
		       (unsigned long long)us / 1000,
		       (unsigned long long)us % 1000);
}

static void status_link(struct span text, uint64_t now_ns, struct wr *w)
{
	struct span state = status_get(text, "LINK_STATE");
	uint64_t since = status_ns(text, "LINK_SINCE");

	status_row(w, "link", status_get(text, "LINK"));
	if (!state.len)
		return;
	wr_fmt(w, "%-16s", "link state");
	wr_span(w, state);
	if (since && now_ns > since)
		wr_fmt(w, " for %llu s", (unsigned long long)
		       ((now_ns - since) / NS_PER_S));
	wr_u8(w, '\n');
	status_row(w, "link error", status_get(text, "LINK_ERROR"));
	status_row(w, "offloads", status_get(text, "OFFLOADS"));
}

void status_text(struct span text, uint64_t now_ns, const struct checks *c,
		 struct wr *w)
{
	static const struct {
		const char *key, *name;
	} rows[] = {
		{ "STATE", "state" }, { "IFACE", "interface" },
		{ "IFACE_STATE", "interface state" },
		{ "MAC", "mac" }, { "MTU", "mtu" }, { "IPV4", "ipv4" },
		{ "GW4", "route ipv4" }, { "IPV6", "ipv6" },
		{ "GW6", "route ipv6" }, { "DNS", "dns" },
	};
	static const char *const kinds[] = { "ERROR", "WARNING" };
	uint64_t start = status_ns(text, "T_START");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		status_row(w, rows[i].name, status_get(text, rows[i].key));
	status_link(text, now_ns, w);
	status_row(w, "ca", status_get(text, "CA"));
	status_row(w, "ca refused", status_get(text, "CA_REFUSED"));
	status_row(w, "ca unjudged", status_get(text, "CA_UNJUDGED"));
	status_row(w, "ca note", status_get(text, "CA_NOTE"));
	status_row(w, "probe", status_get(text, "PROBE"));
	if (c)
		check_text(c, w);
	/* T_START is the time since boot: what the kernel and PID 1 took */
	status_ms(w, "boot to agent", 1, start);
	status_ms(w, "start to link", start, status_ns(text, "T_LINK"));
	status_ms(w, "start to ready", start, status_ns(text, "T_ETH0"));
	status_ms(w, "start to gw", start, status_ns(text, "T_CONNECTED"));
	status_ms(w, "cpu until ready", 1, status_ns(text, "CPU"));
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (unsigned int i = 1; i <= REPORT_ERRORS; i++) {
			char key[REPORT_KEY];

			snprintf(key, sizeof(key), "%s%u", kinds[k], i);
			status_row(w, k ? "warning" : "error",
				   status_get(text, key));
		}
}

static bool status_is_number(struct span s)
{
	uint64_t n;

	return s.len && s.p[0] != '+' && (s.p[0] != '0' || s.len == 1) &&
	       !span_uint(s, UINT64_MAX, &n);
}

void status_json(struct span text, const struct checks *c, struct wr *w)
{
	char key[REPORT_KEY], value[REPORT_VALUE];
	bool first = true;

	wr_u8(w, '{');
	while (text.len) {
		struct span v = span_cut(&text, '\n', NULL);
		struct span k = span_cut(&v, '=', NULL);

		if (!k.len || span_copy(k, key, sizeof(key)) ||
		    span_copy(v, value, sizeof(value)))
			continue;
		for (char *p = key; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p - 'A' + 'a');
		json_key(w, &first, key);
		if (status_is_number(v))
			wr_span(w, v);
		else
			json_str(w, value);
	}
	if (c) {
		wr_fmt(w, first ? "" : ",");
		check_json(c, w);
	}
	wr_fmt(w, "}\n");
}

static void status_usage(FILE *f)
{
	fputs("usage: msb-init status [--json] [--run-dir DIR]\n"
	      "Prints what was configured, and what differs from what was asked"
	      " for, and why.\n"
	      "Exit status: 0 if all is as asked; 1 if something differs or has"
	      " failed; 2 wrong\n"
	      "usage; 3 if no agent has reported; 4 if it cannot be told.\n",
	      f);
}

static int status_print(const char *run_dir, bool json)
{
	static uint8_t out[2 * STATUS_MAX];
	static struct checks checks;
	const struct file_where where = { "", run_dir, "" };
	struct wr w = wr_init(out, sizeof(out));
	struct timespec ts;
	struct span text;
	char path[108], *buf;
	size_t len;
	bool ready;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", run_dir, REPORT_FILE);
	rc = file_read(path, STATUS_MAX, &buf, &len);
	if (rc) {
		fprintf(stderr, "msb-init: %s: %s: has the agent been"
			" started?\n", path, strerror(-rc));
		return STATUS_NO_REPORT;
	}
	text = (struct span){ (uint8_t *)buf, len };
	clock_gettime(CLOCK_BOOTTIME, &ts);
	rc = check_run(&checks, text, &where);
	if (rc)
		fprintf(stderr, "msb-init: cannot look at the interface: %s\n",
			strerror(-rc));
	if (json)
		status_json(text, rc ? NULL : &checks, &w);
	else
		status_text(text, (uint64_t)ts.tv_sec * NS_PER_S +
				  (uint64_t)ts.tv_nsec, rc ? NULL : &checks,
			    &w);
	ready = span_is(status_get(text, "STATE"), "ready") && !checks.differ;
	if (fd_write_all(STDOUT_FILENO, out, wr_len(&w)))
		rc = -EIO;
	free(buf);
	return rc ? STATUS_UNKNOWN : !ready;
}

int agent_status_main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *run_dir = REPORT_RUN_DIR;
	bool json = false;
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'j') {
			json = true;
		} else if (o == 'r') {
			run_dir = optarg;
		} else {
			status_usage(o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : 2;
		}
	}
	if (optind != argc) {
		status_usage(stderr);
		return 2;
	}
	return status_print(run_dir, json);
}
