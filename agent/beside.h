#ifndef AGENT_BESIDE_H
#define AGENT_BESIDE_H

#include "agent/conf.h"
#include "agent/notify.h"

/*
 * beside - the agent next to another init than ours
 *
 * PID 1 became that init (--handoff): nobody waits for the agent, so it keeps
 * itself alive, and SIGTERM is not for it.  Or that init started it: then it
 * is a service like others, which says when it is up.  In both cases the link's
 * token lies where the agent's next life finds it.
 */

/**
 * struct beside - All of it
 * @token_fd:	As of memtoken.h; -1 if PID 1 keeps the token
 * @stored:	The service manager has a copy of that descriptor
 * @away:	The console belongs to another init
 */
struct beside {
	struct notify notify;
	int token_fd;
	bool stored, away;
};

/**
 * beside_start() - Become what the options ask for
 * @c:		@token is set if there is one from an earlier life
 *
 * Return: -1 to go on; else the exit status of a process that only waited
 */
int beside_start(struct beside *b, struct conf *c);

/**
 * beside_ready() - The network is set up, or has failed
 * @works:	The agent is of some use: frames are moved, or nothing failed
 *
 * Return: whether to go on; a service that is of no use ends, and its manager
 *	   starts it again
 */
bool beside_ready(struct beside *b, const struct conf *c,
		  const struct report *r, bool works);

/** beside_status() - Tell the service manager in words how it is */
void beside_status(struct beside *b, const struct report *r);

/** beside_token() - The gateway has given us a token */
void beside_token(struct beside *b,
		  const uint8_t token[static HELLO_TOKEN_LEN]);

/** beside_stop() - The agent is going to end */
void beside_stop(struct beside *b);

#endif /* AGENT_BESIDE_H */
