#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/span.h"
#include "base/util.h"
#include "init/cgroup.h"
#include "init/sys.h"
#include "proto/env.h"

#define ROOT		"/sys/fs/cgroup"
#define PIDS_MAX	4194304		/* PID_MAX_LIMIT, linux/threads.h */
#define PIDS_MIN	8		/* fewer are no guest at all */

/** number() - A number in a file; @other if there is none */
static uint64_t number(const char *path, uint64_t other)
{
	char text[32];
	uint64_t n;

	if (sys_read_file(path, text, sizeof(text)) < 0 ||
	    span_uint(span_trim(span_str(text)), UINT64_MAX, &n) < 0)
		return other;
	return n;
}

/** usual() - What the kernel allows, less an eighth for everybody else */
static uint64_t usual(void)
{
	uint64_t threads = number("/proc/sys/kernel/threads-max", PIDS_MAX);
	uint64_t pids = number("/proc/sys/kernel/pid_max", PIDS_MAX);
	uint64_t all = MIN(threads, pids);

	return MAX(all - all / 8, (uint64_t)PIDS_MIN);
}

/** limit() - The text for pids.max */
static void limit(const char *value, char *buf, size_t size)
{
	struct span s = env_trim(span_str(value));
	uint64_t n = 0;

	if (span_is(s, "max")) {
		snprintf(buf, size, "max");
		return;
	}
	if (s.len && (span_uint(s, PIDS_MAX, &n) < 0 || !n))
		log_err(CGROUP_VAR ": %.32s: not \"max\" or a number from 1 "
			"to %d", value, PIDS_MAX);
	snprintf(buf, size, "%llu", (unsigned long long)(n ? n : usual()));
}

static void set(const char *path, const char *text)
{
	int rc = sys_write_file(path, 0, text);

	if (rc < 0)
		log_warn("workload: %s: %s", path, strerror(-rc));
}

bool cgroup_setup(const char *pids_max)
{
	unsigned long magic;
	char text[24];
	int rc;

	limit(pids_max, text, sizeof(text));
	if (sys_contained() || sys_fstype(ROOT, &magic) < 0 ||
	    magic != CGROUP2_SUPER_MAGIC) {
		log_info("workload: there are no control groups here");
		return false;
	}
	/* One that the kernel lacks must not take the other along */
	sys_write_file(ROOT "/cgroup.subtree_control", 0, "+pids");
	sys_write_file(ROOT "/cgroup.subtree_control", 0, "+memory");
	rc = sys_mkdir(CGROUP_DIR, 0755);
	if (rc < 0 && rc != -EEXIST) {
		log_warn("workload: control group: %s", strerror(-rc));
		return false;
	}
	set(CGROUP_DIR "/pids.max", text);
	set(CGROUP_DIR "/memory.oom.group", "1");
	return true;
}

void cgroup_enter(void)
{
	int rc = sys_write_file(CGROUP_DIR "/cgroup.procs", 0, "0");

	if (rc < 0)
		log_warn("workload: control group: %s", strerror(-rc));
}

/** event() - By how much a number in a file of events has grown */
static uint64_t event(const char *path, const char *key, uint64_t *last)
{
	char text[512];
	struct span rest, line;
	uint64_t n, was = *last;

	if (sys_read_file(path, text, sizeof(text)) < 0)
		return 0;
	rest = span_str(text);
	while (rest.len) {
		line = span_cut(&rest, '\n', NULL);
		if (span_is(span_cut(&line, ' ', NULL), key) &&
		    span_uint(line, UINT64_MAX, &n) == 0)
			*last = n;
	}
	return *last > was ? *last - was : 0;
}

void cgroup_events(void)
{
	static uint64_t killed, refused;
	uint64_t n = event(CGROUP_DIR "/memory.events", "oom_kill", &killed);

	if (n)
		log_warn("workload: out of memory: the kernel killed %llu of "
			 "its processes", (unsigned long long)n);
	n = event(CGROUP_DIR "/pids.events", "max", &refused);
	if (n)
		log_warn("workload: too many processes: fork was refused %llu "
			 "times, see " CGROUP_VAR, (unsigned long long)n);
}

void cgroup_kill(void)
{
	sys_write_file(CGROUP_DIR "/cgroup.kill", 0, "1");
}
