#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include <limits.h>
#include <stdbool.h>

#include "base/wr.h"

/*
 * probe - fetch one URL and say how each stage went
 *
 * libcurl on BearSSL, the same way out as any program of the guest.
 */

#define PROBE_TIMEOUT_MS	15000
#define PROBE_URL_MAX		1024

/* Exit status of "msb-init probe", and what stopped a probe */
enum probe_exit {
	PROBE_EXIT_OK,
	PROBE_EXIT_OTHER,
	PROBE_EXIT_USAGE,
	PROBE_EXIT_RESOLVE,
	PROBE_EXIT_CONNECT,
	PROBE_EXIT_TLS,
	PROBE_EXIT_HTTP,	/* there was an answer, of 400 or more */
	PROBE_EXIT_TIMEOUT,
	PROBE_EXIT_NUM,
};

/**
 * struct probe - What came of it; times are from the start, 0 if not reached
 * @tls:	"TLS 1.2"; "" without TLS
 * @cause:	Why it failed; "" if it did not
 * @remedy:	What to look at; static
 */
struct probe {
	char url[PROBE_URL_MAX], ca[PATH_MAX], ip[64], tls[16], cause[320];
	const char *remedy;
	enum probe_exit exit;
	long status;
	long long resolve_us, connect_us, tls_us, first_us, total_us;
};

/**
 * probe_run() - Fetch @url
 * @ca:		Bundle to trust; NULL for the one that is installed
 * @p:		Set completely
 */
void probe_run(const char *url, const char *ca, struct probe *p);

/** probe_text() - In words, several lines */
void probe_text(const struct probe *p, struct wr *w);

/** probe_line() - In one short line, for the status file */
void probe_line(const struct probe *p, struct wr *w);

/** probe_json() - As one JSON object, and a newline */
void probe_json(const struct probe *p, struct wr *w);

#endif /* AGENT_PROBE_H */
