#ifndef INIT_PID1_H
#define INIT_PID1_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ev.h"
#include "base/timer.h"
#include "init/become.h"
#include "init/cut.h"
#include "init/handoff.h"
#include "init/restart.h"
#include "init/shutdown.h"
#include "init/watch.h"
#include "init/workload.h"

/*
 * pid1 - the life of a guest, as a table of states and events
 *
 * Theory of operation
 * -------------------
 *
 *	MOUNT --> NET --> READY <-> RUN --> STOP --> OFF
 *
 * MOUNT  File systems, modules, the real root.  Blocks: there is nobody yet.
 * NET    The agent sets the network up.  Whether it is ready, has failed or
 *        says nothing in time: on it goes, and a line says which.
 * READY  The workload is being started; tried again when fork() fails, and
 *        after a pause when it has ended and is to be restarted.
 * RUN    It runs.  The agent is started again whenever it ends.
 * STOP   In phases, see enum pid1_phase; over when no process is left.
 * OFF    Everything is written out, and the machine ends.  If the kernel will
 *        not end it we stay here.
 *
 * A signal leads to STOP from anywhere, and so does the workload's end, unless
 * MSB_RESTART says otherwise.
 * Nothing leads out of the program, but that READY may give it to another init:
 * PID 1 must not exit, so what fails is reported, and then left out or tried
 * again.
 *
 * An event finds one cell: the next state, and what to do there.  Doing may
 * bring about the next event, which it returns.
 */

enum pid1_state {
	PID1_MOUNT,
	PID1_NET,
	PID1_READY,
	PID1_RUN,
	PID1_STOP,
	PID1_OFF,
	PID1_STATE_NUM,
};

enum pid1_event {
	PID1_EV_BEGIN,		/* begin with the work of this state */
	PID1_EV_DONE,		/* the work of this state is done */
	PID1_EV_READY,		/* the agent: the network is ready */
	PID1_EV_FAILED,		/* the agent: it is not, and will not be */
	PID1_EV_TIMEOUT,	/* the timer of this state */
	PID1_EV_AGENT_EXIT,	/* the agent has ended, or cannot be started */
	PID1_EV_AGENT_RETRY,	/* its pause is over */
	PID1_EV_WORK_EXIT,	/* the workload has ended, or there is none */
	PID1_EV_WORK_OVER,	/* and will not be started again */
	PID1_EV_SIGNAL,		/* we are asked to stop */
	PID1_EV_EMPTY,		/* no child is left */
	PID1_EV_NUM,
	PID1_EV_NONE = PID1_EV_NUM,
};

/** Phases of STOP; each ends early when it has nobody left to wait for */
enum pid1_phase {
	PID1_PHASE_WORK,	/* SIGTERM to the workload; the network is up */
	PID1_PHASE_ALL,		/* SIGTERM to all */
	PID1_PHASE_KILL,	/* SIGKILL to all */
};

/** CLOCK_BOOTTIME at each step of the boot; 0: not reached */
enum pid1_stamp {
	PID1_STAMP_MAIN,
	PID1_STAMP_MOUNTS,
	PID1_STAMP_MODULES,
	PID1_STAMP_AGENT,
	PID1_STAMP_READY,
	PID1_STAMP_HANDOFF,
	PID1_STAMP_WORKLOAD,
	PID1_STAMP_NUM,
};

#define PID1_BOOT_FILE		"/run/msb/boot"
#define PID1_CMDLINE_MAX	8192

/**
 * struct pid1 - All that PID 1 knows
 * @argv, @env:	Borrowed for ever
 * @self:	Path of this program, or NULL
 * @sig:	The signals
 * @cpu_ns:	CPU time of this process when it began: as the kernel's thread
 *		that boots, it has used some before
 * @reap_more:	There may be more ended children than were collected
 * @pipe:	The agent's lines; fd -1 when there is no agent
 * @stage:	Timer of the state
 * @retry:	Timer of the agent's restart
 * @agent:	Its pid, 0 if it does not run
 * @work:	Pid and process group of the workload, 0 if it does not run
 * @work_since_ns, @work_lived_ns: When it was started, how long the last one
 *		lived
 * @work_delay_ms: Pause before its last restart; 0 if none was needed yet
 * @become:	Who it runs as
 * @hand_over:	Another init is to be PID 1, and this was not tried yet
 * @cut:	What the end of a full command line has spoilt
 * @kept:	The environment without that; @env points to it then
 * @work_code:	What reap_code() said of it, -1 while that is unknown
 */
struct pid1 {
	struct ev *ev;
	enum pid1_state state;
	int argc;
	char *const *argv, *const *env;
	const char *self;
	bool verbose;
	uint64_t ready_ms, stop_ms;
	enum shutdown_how how;
	uint64_t stamp[PID1_STAMP_NUM], cpu_ns;
	struct ev_src sig, pipe;
	bool reap_more;
	struct timer stage, retry;
	struct watch watch;
	pid_t agent, work;
	uint64_t agent_since_ns;
	uint64_t work_since_ns, work_lived_ns;
	uint32_t work_delay_ms;
	enum restart restart;
	struct become become;
	bool hand_over;
	struct handoff handoff;
	int work_code;
	enum pid1_phase phase;
	struct workload workload;
	struct spawn_env work_env;
	enum cut cut;
	struct spawn_env kept;
	char cmdline[PID1_CMDLINE_MAX];
};

/** pid1_act - Do what a cell says; returns the next event or PID1_EV_NONE */
typedef enum pid1_event (*pid1_act)(struct pid1 *p);

struct pid1_cell {
	enum pid1_state next;
	pid1_act act;
};

/** pid1_cell() - The cell of the table; borrowed for ever */
const struct pid1_cell *pid1_cell(enum pid1_state s, enum pid1_event e);

/**
 * pid1_init() - Fill in a zeroed struct from arguments and environment
 * @ev:		Borrowed for ever
 */
void pid1_init(struct pid1 *p, struct ev *ev, int argc, char *const *argv,
	       char *const *env);

/** pid1_event() - Let an event happen, and those that follow from it */
void pid1_event(struct pid1 *p, enum pid1_event e);

/**
 * pid1_reap() - Collect ended children and let that happen: AGENT_EXIT,
 *		 WORK_EXIT, EMPTY
 */
void pid1_reap(struct pid1 *p);

/** What the absence of MSB_END=1 tells */
enum pid1_end {
	PID1_END_FINE,		/* it is there, or nobody needs it */
	PID1_END_FULL,		/* not there, and the line is full */
	PID1_END_PARTS,		/* not there, and other variables are missing */
};

/** pid1_end() - Whether the command line seems to have been cut off */
enum pid1_end pid1_end(size_t cmdline_len, char *const *env);

/** pid1_seconds() - Read 0 to 60 s as ms; @fallback, with a warning, if bad */
uint64_t pid1_seconds(const char *name, const char *value, uint64_t fallback);

/** pid1_main() - Be PID 1 */
_Noreturn void pid1_main(int argc, char **argv, char *const *env);

#endif /* INIT_PID1_H */
