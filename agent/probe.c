#include <assert.h>
#include <bearssl.h>
#include <curl/curl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/ca.h"
#include "agent/json.h"
#include "agent/probe.h"
#include "agent/report.h"
#include "base/fd.h"
#include "base/util.h"

#define PROBE_OUT	8192	/* longest report */
#define PROBE_BODY_MAX	(64 * 1024)	/* enough: nobody looks at it */

static const struct {
	enum probe_exit exit;
	CURLcode code;
} probe_codes[] = {
	{ PROBE_EXIT_OK, CURLE_OK },
	{ PROBE_EXIT_OK, CURLE_WRITE_ERROR },	/* we stopped reading */
	{ PROBE_EXIT_USAGE, CURLE_UNSUPPORTED_PROTOCOL },
	{ PROBE_EXIT_USAGE, CURLE_URL_MALFORMAT },
	{ PROBE_EXIT_RESOLVE, CURLE_COULDNT_RESOLVE_HOST },
	{ PROBE_EXIT_CONNECT, CURLE_COULDNT_CONNECT },
	{ PROBE_EXIT_TLS, CURLE_SSL_CONNECT_ERROR },
	{ PROBE_EXIT_TLS, CURLE_PEER_FAILED_VERIFICATION },
	{ PROBE_EXIT_TLS, CURLE_SSL_CACERT_BADFILE },
	{ PROBE_EXIT_TLS, CURLE_SSL_CERTPROBLEM },
	{ PROBE_EXIT_TLS, CURLE_SSL_CIPHER },
	{ PROBE_EXIT_TIMEOUT, CURLE_OPERATION_TIMEDOUT },
};

static const char *const probe_remedies[] = {
	[PROBE_EXIT_OK] = "",
	[PROBE_EXIT_OTHER] = "see the log of the gateway",
	[PROBE_EXIT_USAGE] = "give a URL such as https://example.com/",
	[PROBE_EXIT_RESOLVE] = "see /etc/resolv.conf, and whether the gateway's"
			       " policy allows this name",
	[PROBE_EXIT_CONNECT] = "see whether the gateway's policy allows this"
			       " address and port, and whether the host reaches"
			       " it",
	[PROBE_EXIT_TLS] = "see the CA bundle (--cacert FILE), the guest's"
			   " clock, and whether the server speaks TLS 1.2",
	[PROBE_EXIT_HTTP] = "the way out works; the server, or the gateway's"
			    " policy, refused the request",
	[PROBE_EXIT_TIMEOUT] = "see whether the gateway is connected (msb-init"
			       " status), and its list of flows",
};

static_assert(ARRAY_SIZE(probe_remedies) == PROBE_EXIT_NUM,
	      "one remedy for each exit status");

/* What the callbacks of one transfer share */
struct probe_run {
	CURL *curl;
	struct probe *p;
	size_t body;
};

/* The name of the version, while the connection is still there */
static void probe_tls(struct probe_run *r)
{
	const struct curl_tlssessioninfo *info = NULL;
	const br_ssl_client_context *cc;
	unsigned int v;

	if (r->p->tls[0] ||
	    curl_easy_getinfo(r->curl, CURLINFO_TLS_SSL_PTR, &info) || !info ||
	    !info->internals)
		return;
	if (info->backend != CURLSSLBACKEND_BEARSSL) {
		snprintf(r->p->tls, sizeof(r->p->tls), "yes");
		return;
	}
	cc = info->internals;
	v = br_ssl_engine_get_version(&cc->eng);
	if (v >= BR_TLS10)
		snprintf(r->p->tls, sizeof(r->p->tls), "TLS 1.%u",
			 v - BR_TLS10);
}

static size_t probe_on_header(char *buf, size_t size, size_t n, void *arg)
{
	struct probe_run *r = arg;

	(void)buf;
	probe_tls(r);
	return size * n;
}

static size_t probe_on_body(char *buf, size_t size, size_t n, void *arg)
{
	struct probe_run *r = arg;

	(void)buf;
	r->body += size * n;
	return r->body > PROBE_BODY_MAX ? 0 : size * n;
}

static void probe_setup(struct probe_run *r, char *errbuf)
{
	CURL *c = r->curl;

	curl_easy_setopt(c, CURLOPT_URL, r->p->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, errbuf);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)PROBE_TIMEOUT_MS);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "msb-init");
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, probe_on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, probe_on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	if (r->p->ca[0])
		curl_easy_setopt(c, CURLOPT_CAINFO, r->p->ca);
}

static long long probe_time(CURL *c, CURLINFO what)
{
	curl_off_t us = 0;

	return curl_easy_getinfo(c, what, &us) ? 0 : (long long)us;
}

/* What curl knows of the transfer, and how it ended */
static void probe_result(struct probe_run *r, CURLcode rc, const char *errbuf)
{
	struct probe *p = r->p;
	const char *ip = NULL;

	p->resolve_us = probe_time(r->curl, CURLINFO_NAMELOOKUP_TIME_T);
	p->connect_us = probe_time(r->curl, CURLINFO_CONNECT_TIME_T);
	p->tls_us = probe_time(r->curl, CURLINFO_APPCONNECT_TIME_T);
	p->first_us = probe_time(r->curl, CURLINFO_STARTTRANSFER_TIME_T);
	p->total_us = probe_time(r->curl, CURLINFO_TOTAL_TIME_T);
	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &p->status);
	if (!curl_easy_getinfo(r->curl, CURLINFO_PRIMARY_IP, &ip) && ip)
		(void)span_copy(span_str(ip), p->ip, sizeof(p->ip));

	p->exit = PROBE_EXIT_OTHER;
	for (size_t i = 0; i < ARRAY_SIZE(probe_codes); i++)
		if (probe_codes[i].code == rc)
			p->exit = probe_codes[i].exit;
	if (p->exit != PROBE_EXIT_OK) {
		snprintf(p->cause, sizeof(p->cause), "%s",
			 errbuf[0] ? errbuf : curl_easy_strerror(rc));
	} else if (p->status >= 400) {
		p->exit = PROBE_EXIT_HTTP;
		snprintf(p->cause, sizeof(p->cause), "HTTP status %ld",
			 p->status);
	}
}

void probe_run(const char *url, const char *ca, struct probe *p)
{
	struct probe_run r = { .p = p };
	struct file_where w = { "", REPORT_RUN_DIR, "" };
	char errbuf[CURL_ERROR_SIZE] = "";

	*p = (struct probe){ .remedy = "", .exit = PROBE_EXIT_USAGE };
	if (span_copy(span_str(url), p->url, sizeof(p->url))) {
		snprintf(p->cause, sizeof(p->cause), "the URL is too long");
	} else if (ca && span_copy(span_str(ca), p->ca, sizeof(p->ca))) {
		snprintf(p->cause, sizeof(p->cause), "--cacert is too long");
	} else if (curl_global_init(CURL_GLOBAL_DEFAULT) ||
		   !(r.curl = curl_easy_init())) {
		p->exit = PROBE_EXIT_OTHER;
		snprintf(p->cause, sizeof(p->cause), "libcurl does not start");
	} else {
		if (!ca && ca_bundle(&w, p->ca, sizeof(p->ca)))
			p->ca[0] = '\0';
		probe_setup(&r, errbuf);
		probe_result(&r, curl_easy_perform(r.curl), errbuf);
		curl_easy_cleanup(r.curl);
		curl_global_cleanup();
	}
	p->remedy = probe_remedies[p->exit];
}

static void probe_ms(struct wr *w, const char *name, long long us)
{
	if (us)
		wr_fmt(w, "%-12s%lld.%lld ms\n", name, us / 1000,
		       us % 1000 / 100);
}

void probe_text(const struct probe *p, struct wr *w)
{
	wr_fmt(w, "%-12s%s\n", "url", p->url);
	if (p->ip[0])
		wr_fmt(w, "%-12s%s\n", "address", p->ip);
	probe_ms(w, "resolve", p->resolve_us);
	probe_ms(w, "connect", p->connect_us);
	probe_ms(w, "tls", p->tls_us);
	probe_ms(w, "first byte", p->first_us);
	probe_ms(w, "total", p->total_us);
	if (p->tls[0])
		wr_fmt(w, "%-12s%s\n", "version", p->tls);
	if (p->status)
		wr_fmt(w, "%-12s%ld\n", "status", p->status);
	if (p->tls_us || p->exit == PROBE_EXIT_TLS)
		wr_fmt(w, "%-12s%s\n", "ca bundle",
		       p->ca[0] ? p->ca : "none found");
	if (p->exit)
		wr_fmt(w, "%-12s%s\n%-12s%s\n", "failed", p->cause, "remedy",
		       p->remedy);
}

void probe_line(const struct probe *p, struct wr *w)
{
	if (p->exit)
		wr_fmt(w, "failed (%d): %s", p->exit, p->cause);
	else
		wr_fmt(w, "ok: status %ld, resolve %lld, connect %lld, tls"
		       " %lld, first byte %lld, total %lld us%s%s", p->status,
		       p->resolve_us, p->connect_us, p->tls_us, p->first_us,
		       p->total_us, p->tls[0] ? ", " : "", p->tls);
}

void probe_json(const struct probe *p, struct wr *w)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "url", p->url }, { "address", p->ip }, { "tls", p->tls },
		{ "ca_bundle", p->ca }, { "cause", p->cause },
		{ "remedy", p->remedy },
	};
	const struct {
		const char *key;
		long long value;
	} numbers[] = {
		{ "exit", p->exit }, { "status", p->status },
		{ "resolve_us", p->resolve_us },
		{ "connect_us", p->connect_us },
		{ "tls_us", p->tls_us }, { "first_byte_us", p->first_us },
		{ "total_us", p->total_us },
	};
	bool first = true;

	wr_u8(w, '{');
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		json_key(w, &first, numbers[i].key);
		wr_fmt(w, "%lld", numbers[i].value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_key(w, &first, texts[i].key);
		json_str(w, texts[i].value);
	}
	wr_fmt(w, "}\n");
}

static void probe_usage(FILE *f)
{
	fputs("usage: msb-init probe URL [--json] [--cacert FILE]\n"
	      "Fetches URL and prints how long each stage took.\n"
	      "Exit status: 0 if there was an answer, 3 name not resolved,"
	      " 4 no connection,\n"
	      "5 TLS failed, 6 HTTP status of 400 or more, 7 time is up,"
	      " 2 wrong usage,\n"
	      "1 anything else.\n", f);
}

int agent_probe_main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "cacert", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static uint8_t out[PROBE_OUT];
	struct wr w = wr_init(out, sizeof(out));
	const char *ca = NULL;
	bool json = false;
	struct probe p;
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'j') {
			json = true;
		} else if (o == 'c') {
			ca = optarg;
		} else {
			probe_usage(o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : PROBE_EXIT_USAGE;
		}
	}
	if (optind != argc - 1) {
		probe_usage(stderr);
		return PROBE_EXIT_USAGE;
	}
	probe_run(argv[optind], ca, &p);
	if (json)
		probe_json(&p, &w);
	else
		probe_text(&p, &w);
	if (fd_write_all(1, out, wr_len(&w)))
		return PROBE_EXIT_OTHER;
	return (int)p.exit;
}
