#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include "agent/file.h"
#include "agent/report.h"
#include "proto/env.h"

/*
 * check - compare what was asked for with what is now
 *
 * The interface is asked for by rtnetlink.  A file is as it should be if writing
 * it once more, in a dry run, would change nothing.
 */

#define CHECK_MAX	16

/**
 * struct check - One thing that was asked for
 * @item:	What it is, one word; static
 * @why:	The cause as far as it is known, "" if @same
 */
struct check {
	const char *item;
	bool same;
	char asked[REPORT_VALUE], is[REPORT_VALUE], why[REPORT_VALUE];
};

struct checks {
	struct check list[CHECK_MAX];
	unsigned int n, differ;
};

/**
 * check_asked() - The variables that stand in the agent's report
 * @report:	Content of the status file
 */
void check_asked(struct span report, struct env *e);

/**
 * check_run() - Compare
 * @c:		Set completely
 * @report:	Content of the status file: what was asked for, and what failed
 * @w:		Where the files are; @w->path is ignored
 *
 * Return: 0; -errno if the kernel cannot be asked
 */
int check_run(struct checks *c, struct span report, const struct file_where *w);

/**
 * check_add() - Note one thing
 * @words:	What an error or a warning about it has in it; may be NULL
 *
 * The cause of a difference is the line of the report that has one of @words,
 * else the first error, else somebody who came later.
 */
struct check *check_add(struct checks *c, struct span report, const char *item,
			bool same, const char *const words[static 2]);

/** check_text() - A line that sums up, and one for each difference */
void check_text(const struct checks *c, struct wr *w);

/** check_json() - "same":BOOL,"checks":[...] */
void check_json(const struct checks *c, struct wr *w);

#endif /* AGENT_CHECK_H */
