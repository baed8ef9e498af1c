#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/span.h"
#include "base/util.h"
#include "base/wr.h"

#define MSG_MAX		1024	/* longer messages are cut */
#define RECORD_MAX	4096	/* PIPE_BUF: such writes do not mix */
/* A longer write to /dev/kmsg fails: LOG_LINE_MAX of kernel/printk/printk.c
 * was 1024 less the size of a prefix until Linux 6.5 */
#define KMSG_MAX	960
#define TTY_FLAGS	(O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define CONSOLE		makedev(5, 1)
#define OWN_MIN		10
#define WINDOW_NS	(10 * NS_PER_S)

COUNT(log_lost, "log records lost because the sink was full or failed");

static const struct {
	const char *text, *option;
	int kmsg;
} levels[] = {
	[LOG_LEVEL_ERR] = { "error", "error", 3 },
	[LOG_LEVEL_WARN] = { "warn", "warn", 4 },
	[LOG_LEVEL_INFO] = { "info", "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", "debug", 7 },
};
_Static_assert(ARRAY_SIZE(levels) == LOG_LEVEL_NUM, "a level without name");

static struct {
	int fd;
	const char *program;
	enum log_sink sink;
	enum log_level max;
	unsigned int left_out;	/* to be said by the next record */
	unsigned int lost;	/* since the last record that got through */
	bool cut;		/* only a part of a line did */
	int own;		/* the terminal, opened by us */
} sink = { .fd = STDERR_FILENO, .max = LOG_LEVEL_WARN, .own = -1 };

void log_init(int fd, const char *program, enum log_sink form,
	      enum log_level max)
{
	log_shared_tty();
	sink.fd = fd;
	sink.lost = 0;
	sink.cut = false;
	sink.program = program;
	sink.sink = form;
	sink.max = max;
}

int log_own_tty(void)
{
	char path[32];
	struct stat st;
	int fd, high;

	if (sink.own >= 0 || !isatty(sink.fd))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sink.fd);
	fd = open(path, TTY_FLAGS);
	if (fd < 0 && !fstat(sink.fd, &st) && st.st_rdev == CONSOLE)
		fd = open("/dev/console", TTY_FLAGS);
	if (fd < 0)
		return -errno;
	/* The low ones have a meaning to those whom we exec */
	high = fcntl(fd, F_DUPFD_CLOEXEC, OWN_MIN);
	if (high < 0)
		high = -errno;
	close(fd);
	sink.own = high;
	return high < 0 ? high : 0;
}

void log_shared_tty(void)
{
	fd_close(&sink.own);
}

int log_parse_level(const char *s, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (!strcmp(s, levels[i].option)) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool log_enabled(enum log_level l)
{
	if (l <= sink.max)
		return true;
	sink.left_out = 0;	/* belonged to the record that is not written */
	return false;
}

/* C0, DEL and C1 drive terminals; the rest breaks lines or turns text round */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e ||
	       c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

/* Append @msg as far as it fits before the last @tail bytes of @w */
static void put_text(struct wr *w, struct span msg, bool json, size_t tail)
{
	while (msg.len) {
		uint32_t c = 0xfffd;
		size_t n = span_utf8(msg, &c);
		char buf[16];
		int len;

		if (!n)
			len = snprintf(buf, sizeof(buf), "\xef\xbf\xbd");
		else if (is_control(c))
			len = snprintf(buf, sizeof(buf), json || c > 0xff ?
				       "\\u%04x" : "\\x%02x", (unsigned int)c);
		else if (json && (c == '"' || c == '\\'))
			len = snprintf(buf, sizeof(buf), "\\%c", (char)c);
		else
			len = snprintf(buf, sizeof(buf), "%.*s", (int)n,
				       (const char *)msg.p);
		if (wr_left(w) < (size_t)len + tail)
			return;
		wr_bytes(w, buf, (size_t)len);
		n += !n;
		msg.p += n;
		msg.len -= n;
	}
}

/*
 * UTC, proleptic Gregorian.  gmtime_r() of glibc opens /etc/localtime the first
 * time, which an isolated process may not.  Years are counted from March, so
 * that the leap day is the last of a year: 153 days make five months from March
 * or August on, and 146 097 days make 400 years.
 */
static void put_time(struct wr *w, struct timespec ts)
{
	uint64_t sec = (uint64_t)ts.tv_sec, days = sec / 86400 + 719468;
	unsigned int era = (unsigned int)(days / 146097);
	unsigned int day = (unsigned int)(days % 146097);
	unsigned int year = (day - day / 1460 + day / 36524 - day / 146096) /
			    365;
	unsigned int month;

	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	day -= (153 * month + 2) / 5;
	year += 400 * era + (month >= 10);
	month = month < 10 ? month + 3 : month - 9;
	wr_fmt(w, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day + 1,
	       (unsigned int)(sec / 3600 % 24), (unsigned int)(sec / 60 % 60),
	       (unsigned int)(sec % 60),
	       (unsigned int)((uint64_t)ts.tv_nsec / NS_PER_MS));
}

static void put_record(struct wr *w, enum log_level l, struct span msg)
{
	struct span program = span_str(sink.program);
	struct timespec ts;

	if (!program.len)
		program = span_str(program_invocation_short_name);
	switch (sink.sink) {
	case LOG_SINK_TEXT:
		put_text(w, program, false, RECORD_MAX / 2);
		wr_fmt(w, ": %s: ", levels[l].text);
		put_text(w, msg, false, 1);
		wr_u8(w, '\n');
		break;
	case LOG_SINK_JSON:
		clock_gettime(CLOCK_REALTIME, &ts);
		wr_fmt(w, "{\"time\":\"");
		put_time(w, ts);
		wr_fmt(w, "\",\"level\":\"%s\",\"program\":\"", levels[l].text);
		put_text(w, program, true, RECORD_MAX / 2);
		wr_fmt(w, "\",\"msg\":\"");
		put_text(w, msg, true, 3);
		wr_fmt(w, "\"}\n");
		break;
	case LOG_SINK_KMSG:
		wr_fmt(w, "<%d>", levels[l].kmsg);
		put_text(w, program, false, KMSG_MAX / 2);
		wr_fmt(w, ": ");
		put_text(w, msg, false, 1);
		wr_u8(w, '\n');
		break;
	}
}

/*
 * One write().  The descriptor may be a blocking one that we must not change,
 * such as the caller's terminal, so it is asked first.
 *
 * #syscalls ppoll write
 */
static void emit(const uint8_t *buf, size_t len)
{
	int fd = sink.own >= 0 ? sink.own : sink.fd;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	const struct timespec zero = { 0 };
	ssize_t n;
	int saved = errno;

	if (ppoll(&p, 1, &zero, NULL) != 1 || !(p.revents & POLLOUT))
		goto lost;
	do {
		n = write(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		sink.cut = n < (ssize_t)len;
	if (n == (ssize_t)len) {
		sink.lost = 0;
		goto out;
	}
lost:
	sink.lost++;
	count_inc(log_lost);
out:
	errno = saved;
}

static void vlog(enum log_level l, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void vlog(enum log_level l, const char *fmt, va_list ap)
{
	char msg[MSG_MAX];
	uint8_t buf[RECORD_MAX];
	struct wr w = wr_init(buf, sink.sink == LOG_SINK_KMSG ? KMSG_MAX :
						sizeof(buf));
	size_t len;
	int n = vsnprintf(msg, sizeof(msg), fmt, ap);

	if (n < 0)
		return;
	len = MIN((size_t)n, sizeof(msg) - 1);
	if (sink.left_out) {
		n = snprintf(msg + len, sizeof(msg) - len,
			     " (%u like this left out)", sink.left_out);
		len = MIN(len + (size_t)n, sizeof(msg) - 1);
		sink.left_out = 0;
	}
	if (sink.lost) {
		n = snprintf(msg + len, sizeof(msg) - len,
			     " (%u before this got lost)", sink.lost);
		len = MIN(len + (size_t)n, sizeof(msg) - 1);
	}
	if (sink.cut && sink.sink != LOG_SINK_KMSG)
		wr_u8(&w, '\n');
	put_record(&w, l, (struct span){ (const uint8_t *)msg, len });
	emit(buf, wr_len(&w));
}

void log_at(enum log_level l, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_enabled(l))
		return;
	errno = saved;		/* %m */
	va_start(ap, fmt);
	vlog(l, fmt, ap);
	va_end(ap);
	errno = saved;
}

bool log_ratelimit(struct log_limit *l)
{
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	sink.left_out = 0;
	if (!l->window_ns || now - l->window_ns >= WINDOW_NS) {
		sink.left_out = l->burst ? l->lost : 0;
		l->window_ns = now;
		l->used = 0;
		l->lost = 0;
	}
	if (l->used >= l->burst) {
		l->lost++;
		return false;
	}
	l->used++;
	return true;
}

_Noreturn void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(LOG_LEVEL_ERR, fmt, ap);
	va_end(ap);
	exit(1);
}
