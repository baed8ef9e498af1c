#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/wr.h"

/*
 * report - what the agent says about itself
 *
 * A short list KEY=VALUE, of which all goes to the status file and some to PID
 * 1's pipe.  Values are cut to fit, and their control characters replaced: no
 * value makes a line of its own.
 */

#define REPORT_KEYS	64
#define REPORT_KEY	16
#define REPORT_VALUE	272	/* a name of 255 bytes, and more */
#define REPORT_ERRORS	8	/* ERROR1 and so on; more are only logged */
#define REPORT_RUN_DIR	"/run/msb"
#define REPORT_FILE	"status"

struct report;

/** report_fn - Told when the status file is written */
typedef void (*report_fn)(struct report *r);

/**
 * struct report - All that is said
 * @on_save:	NULL for nobody
 */
struct report {
	const char *run_dir;
	report_fn on_save;
	int ready_fd;
	bool dirty, failed, told, told_ready;
	unsigned int n, errors, warnings;
	struct report_kv {
		char key[REPORT_KEY], value[REPORT_VALUE];
	} kv[REPORT_KEYS];
};

/** report_init() - An empty report that goes nowhere yet */
void report_init(struct report *r);

/**
 * report_open() - Say where it goes
 * @run_dir:	Of the status file; borrowed for ever; made if missing
 * @ready_fd:	Pipe to PID 1, owned by the report; -1 for none
 */
void report_open(struct report *r, const char *run_dir, int ready_fd);

/** report_set() - Set a key, or change it; a full list ignores new ones */
void report_set(struct report *r, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** report_get() - Value of a key; "" if it is not set */
const char *report_get(const struct report *r, const char *key);

/** report_time() - Set a key to CLOCK_BOOTTIME in ns */
void report_time(struct report *r, const char *key);

/** report_cpu() - Set a key to the CPU time that this process has used, in ns */
void report_cpu(struct report *r, const char *key);

/** report_warn() - Log a warning, and add it as WARNING1, WARNING2, ... */
void report_warn(struct report *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * report_fail() - Log an error, and add it as ERROR1, ERROR2, ...
 *
 * The network is not as it was asked for: report_ready() says FAILED.
 */
void report_fail(struct report *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** report_mend() - What failed works now: forget the errors, not warnings */
void report_mend(struct report *r);

/** report_emit() - Append all of it as lines KEY=VALUE */
void report_emit(const struct report *r, struct wr *w);

/** report_save() - Write the status file if something has changed
 *
 * A failure is logged once; the agent works without it.
 */
void report_save(struct report *r);

/**
 * report_ready() - Tell PID 1 what was configured, and READY or FAILED
 *
 * READY is told once, and FAILED only before it.
 */
void report_ready(struct report *r);

/** report_stage() - A time came after READY: tell PID 1 now; else with READY */
void report_stage(struct report *r, const char *key);

/** report_tell() - One line to PID 1, and only there: for the token */
void report_tell(struct report *r, const char *key, const char *value);

#endif /* AGENT_REPORT_H */
