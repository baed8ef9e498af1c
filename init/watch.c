#include <ctype.h>
#include <string.h>

#include "base/count.h"
#include "base/span.h"
#include "base/util.h"
#include "init/restart.h"
#include "init/watch.h"

COUNT(drop_watch_long, "Lines of the agent that were too long");
COUNT(drop_watch_form, "Lines of the agent without KEY=");
COUNT(drop_watch_token, "Tokens of the agent that were not 32 hex digits");
COUNT(drop_watch_path, "Files of the agent that were not an absolute path");

void watch_begin(struct watch *w)
{
	secure_zero(w->line, sizeof(w->line));
	w->len = 0;
	w->skip = false;
}

static void take_token(struct watch *w, struct span v)
{
	bool ok = v.len == WATCH_TOKEN_LEN;

	for (size_t i = 0; ok && i < v.len; i++)
		ok = isxdigit(v.p[i]);
	if (!ok) {
		count_inc(drop_watch_token);
		return;
	}
	memcpy(w->token, v.p, WATCH_TOKEN_LEN);
	w->has_token = true;
}

/** take_path() - An absolute path, or nothing to take back an earlier one */
static void take_path(char *dst, size_t size, struct span v)
{
	if (v.len && v.p[0] != '/') {
		count_inc(drop_watch_path);
		return;
	}
	if (span_copy(v, dst, size) < 0)
		count_inc(drop_watch_path);
}

static enum watch_said take_line(struct watch *w)
{
	struct span v = { (const uint8_t *)w->line, w->len };
	bool has_value;
	struct span k = span_cut(&v, '=', &has_value);

	if (!has_value || !k.len) {
		count_inc(drop_watch_form);
		return WATCH_SAID_NOTHING;
	}
	if (span_is(k, "READY") && span_is(v, "1"))
		return WATCH_SAID_READY;
	if (span_is(k, "FAILED")) {
		v.len = MIN(v.len, sizeof(w->reason) - 1);
		if (span_copy(v, w->reason, sizeof(w->reason)) < 0)
			count_inc(drop_watch_form);
		return WATCH_SAID_FAILED;
	}
	if (span_is(k, "TOKEN"))
		take_token(w, v);
	else if (span_is(k, "CA_BUNDLE"))
		take_path(w->ca_bundle, sizeof(w->ca_bundle), v);
	else if (span_is(k, "CA_FILE"))
		take_path(w->ca_file, sizeof(w->ca_file), v);
	else if (span_is(k, "CA_JKS"))
		take_path(w->ca_jks, sizeof(w->ca_jks), v);
	return WATCH_SAID_NOTHING;
}

void watch_feed(struct watch *w, const char *p, size_t n, watch_said_fn said,
		void *arg)
{
	enum watch_said what;

	for (size_t i = 0; i < n; i++) {
		if (p[i] != '\n') {
			if (w->len < sizeof(w->line))
				w->line[w->len++] = p[i];
			else
				w->skip = true;
			continue;
		}
		what = WATCH_SAID_NOTHING;
		if (w->skip)
			count_inc(drop_watch_long);
		else
			what = take_line(w);
		watch_begin(w);
		if (what != WATCH_SAID_NOTHING)
			said(arg, what);
	}
}

uint32_t watch_delay_ms(struct watch *w, uint64_t lived_ns)
{
	return restart_delay_ms(&w->backoff_ms, lived_ns);
}
