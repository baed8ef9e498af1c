#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * log - one line a record, to one descriptor, as text or as JSON
 *
 * A record is written with one write(); when the descriptor would block the
 * record is lost and counted, never waited for; the next one that gets through
 * says how many were.  Control characters are
 * escaped, so what a guest sent cannot forge a line or drive a terminal.
 */

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_NUM,
};

enum log_sink {
	LOG_SINK_TEXT,	/* "msb-gateway: warn: message" */
	LOG_SINK_JSON,	/* {"time":..,"level":..,"program":..,"msg":..} */
	LOG_SINK_KMSG,	/* "<4>msb-init: message", for /dev/kmsg */
};

/**
 * log_init() - Set the sink; before that, warnings and errors go to stderr
 * @fd:		Borrowed for ever
 * @program:	Name in each record; borrowed for ever
 * @sink:	Form of a record
 * @max:	Most detailed level that is written
 */
void log_init(int fd, const char *program, enum log_sink sink,
	      enum log_level max);

/**
 * log_own_tty() - If the sink is a terminal, write to it without blocking
 *
 * Nobody may be reading it, and a write() that has found room may still wait
 * for that of somebody else.  O_NONBLOCK belongs to the open file, which is not
 * ours alone: so the terminal is opened once more.  Needs /proc, or that the
 * terminal is /dev/console.
 *
 * Return: 0, also if it is no terminal; -errno, and all is as before
 */
int log_own_tty(void);

/** log_shared_tty() - Back to @fd of log_init(): our own is to be closed */
void log_shared_tty(void);

/** log_parse_level() - "error", "warn", "info", "debug"; -EINVAL otherwise */
int log_parse_level(const char *s, enum log_level *out);

/** log_enabled() - Whether a record of this level would be written */
bool log_enabled(enum log_level l);

/** log_at() - Write a record; use the macros below */
void log_at(enum log_level l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...)	log_at(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...)	log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)	log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)							\
	do {								\
		if (log_enabled(LOG_LEVEL_DEBUG))			\
			log_at(LOG_LEVEL_DEBUG, __VA_ARGS__);		\
	} while (0)

/**
 * struct log_limit - At most @burst records per 10 s from one place
 *
 * When the window ends, the next record says how many were left out.
 */
struct log_limit {
	unsigned int burst;
	unsigned int used, lost;
	uint64_t window_ns;
};

/** log_ratelimit() - Whether the caller may log now (CLOCK_MONOTONIC) */
bool log_ratelimit(struct log_limit *l);

/** die() - Log an error and exit(1); only before the event loop starts */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* BASE_LOG_H */
