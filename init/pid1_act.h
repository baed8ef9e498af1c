#ifndef INIT_PID1_ACT_H
#define INIT_PID1_ACT_H

#include "init/pid1.h"

/* pid1_act - what the files of pid1 share: actions of the table, and helpers */

/** pid1_env() - Value of a variable, or NULL; borrowed */
const char *pid1_env(char *const *env, const char *name);

/** pid1_stamp() - Note when a stage was reached, the first time */
void pid1_stamp(struct pid1 *p, enum pid1_stamp s);

/** pid1_arm() - Let a timer fire in @ms from now */
void pid1_arm(struct pid1 *p, struct timer *t, uint64_t ms);

/** pid1_act_agent() - Start the agent, the first time or again */
enum pid1_event pid1_act_agent(struct pid1 *p);

/** pid1_act_mount() - All of MOUNT: what blocks, because nobody waits yet */
enum pid1_event pid1_act_mount(struct pid1 *p);

/** pid1_act_work() - Start the workload, the first time or again */
enum pid1_event pid1_act_work(struct pid1 *p);

/** pid1_act_work_end() - It has ended: again after a pause, or over */
enum pid1_event pid1_act_work_end(struct pid1 *p);

#endif /* INIT_PID1_ACT_H */
