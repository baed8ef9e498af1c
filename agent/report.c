#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/report.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"

#define REPORT_TEXT	(REPORT_KEYS * (REPORT_KEY + REPORT_VALUE + 2))

/* What PID 1 hears, in this order */
static const char *const report_pipe[] = {
	"IFACE", "MAC", "MTU", "IPV4", "GW4", "IPV6", "GW6", "LINK",
	"CA_BUNDLE", "CA_FILE", "CA_JKS", "T_START", "T_LINK", "T_ETH0", "T_CONNECTED",
};

void report_init(struct report *r)
{
	memset(r, 0, sizeof(*r));
	r->ready_fd = -1;
}

void report_open(struct report *r, const char *run_dir, int ready_fd)
{
	r->run_dir = run_dir;
	r->ready_fd = ready_fd;
}

/* No control character, no byte that is not text */
static void report_clean(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

static struct report_kv *report_find(const struct report *r, const char *key)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (!strcmp(r->kv[i].key, key))
			return (struct report_kv *)&r->kv[i];
	return NULL;
}

static void report_put(struct report *r, const char *key, const char *value)
{
	struct report_kv *kv = report_find(r, key);

	if (!kv) {
		if (r->n == REPORT_KEYS)
			return;
		kv = &r->kv[r->n++];
		(void)span_copy(span_str(key), kv->key, sizeof(kv->key));
	} else if (!strcmp(kv->value, value)) {
		return;
	}
	(void)span_copy(span_str(value), kv->value, sizeof(kv->value));
	r->dirty = true;
}

void report_set(struct report *r, const char *key, const char *fmt, ...)
{
	char value[REPORT_VALUE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	report_clean(value);
	report_put(r, key, value);
}

const char *report_get(const struct report *r, const char *key)
{
	const struct report_kv *kv = report_find(r, key);

	return kv ? kv->value : "";
}

static void report_clock(struct report *r, const char *key, clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	report_set(r, key, "%llu", (unsigned long long)ts.tv_sec * NS_PER_S +
				   (unsigned long long)ts.tv_nsec);
}

void report_time(struct report *r, const char *key)
{
	report_clock(r, key, CLOCK_BOOTTIME);
}

void report_cpu(struct report *r, const char *key)
{
	report_clock(r, key, CLOCK_PROCESS_CPUTIME_ID);
}

static void report_note(struct report *r, const char *kind, unsigned int *n,
			char *text)
{
	char key[REPORT_KEY];

	report_clean(text);
	if (*n >= REPORT_ERRORS)
		return;
	snprintf(key, sizeof(key), "%s%u", kind, ++*n);
	report_put(r, key, text);
}

void report_warn(struct report *r, const char *fmt, ...)
{
	char text[REPORT_VALUE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warn("%s", text);
	report_note(r, "WARNING", &r->warnings, text);
}

void report_fail(struct report *r, const char *fmt, ...)
{
	char text[REPORT_VALUE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_err("%s", text);
	report_note(r, "ERROR", &r->errors, text);
	r->failed = true;
}

void report_mend(struct report *r)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < r->n; i++)
		if (strncmp(r->kv[i].key, "ERROR", strlen("ERROR")))
			r->kv[kept++] = r->kv[i];
	r->dirty |= kept != r->n;
	r->n = kept;
	r->errors = 0;
	r->failed = false;
}

void report_emit(const struct report *r, struct wr *w)
{
	for (unsigned int i = 0; i < r->n; i++)
		wr_fmt(w, "%s=%s\n", r->kv[i].key, r->kv[i].value);
}

void report_save(struct report *r)
{
	static bool complained;
	char path[108], text[REPORT_TEXT];
	struct wr w = wr_init(text, sizeof(text));
	struct file_where where = { "", "", path };
	int rc;

	if (!r->dirty || !r->run_dir)
		return;
	r->dirty = false;
	if (snprintf(path, sizeof(path), "%s/%s", r->run_dir, REPORT_FILE) >=
	    (int)sizeof(path))
		return;
	report_emit(r, &w);
	rc = file_put(&where, (struct span){ w.start, wr_len(&w) }, true, NULL);
	if (rc && !complained) {
		complained = true;
		log_warn("cannot write %s: %s", path, strerror(-rc));
	}
	if (r->on_save)
		r->on_save(r);
}

void report_tell(struct report *r, const char *key, const char *value)
{
	char line[REPORT_KEY + REPORT_VALUE + 2];
	struct wr w = wr_init(line, sizeof(line));

	if (r->ready_fd < 0)
		return;
	wr_fmt(&w, "%s=%s\n", key, value);
	if (!w.bad && fd_write_all(r->ready_fd, line, wr_len(&w)))
		fd_close(&r->ready_fd);		/* PID 1 listens no more */
	secure_zero(line, sizeof(line));
}

static void report_tell_key(struct report *r, const char *key)
{
	const char *value = report_get(r, key);

	if (value[0])
		report_tell(r, key, value);
}

void report_stage(struct report *r, const char *key)
{
	if (r->told)
		report_tell_key(r, key);
}

void report_ready(struct report *r)
{
	if (r->told_ready || (r->told && r->failed))
		return;
	r->told = true;
	r->told_ready = !r->failed;
	for (size_t i = 0; i < ARRAY_SIZE(report_pipe); i++)
		report_tell_key(r, report_pipe[i]);
	if (r->failed)
		report_tell(r, "FAILED", report_get(r, "ERROR1"));
	else
		report_tell(r, "READY", "1");
}
