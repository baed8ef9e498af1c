#ifndef AGENT_KEEP_H
#define AGENT_KEEP_H

#include <stdbool.h>

/*
 * keep - start the agent again when it dies, and nobody else can as well
 *
 * Beside an init that PID 1 has become, the agent is no service of anybody; and
 * a service manager without a store for descriptors would lose the link's token.
 * So the process that was started stays behind as a keeper, which does nothing
 * but wait: it reads no byte from anywhere, and has next to no memory of its
 * own.
 *
 * After a hand-off both ignore SIGTERM and SIGHUP: those are what an init sends
 * to everybody while the network is still needed.
 */
#define KEEP_MIN_MS	100
#define KEEP_MAX_MS	10000
#define KEEP_STABLE_S	60

/**
 * keep_child() - Fork, and keep the child alive
 * @obey:	SIGTERM and SIGINT are for the child, and then for good;
 *		otherwise SIGTERM is ignored
 *
 * Return: -1 in the child, each time there is one; else we are the keeper at
 *	   its end, and this is its exit status: the child has left by itself,
 *	   or was told to
 */
int keep_child(bool obey);

/**
 * keep_delay_ms() - Pause before the next child
 * @last_ms:	The last pause, 0 at first
 * @lived_s:	How long the child had lived
 *
 * Return: KEEP_MIN_MS, doubled each time up to KEEP_MAX_MS; KEEP_MIN_MS again
 *	   after KEEP_STABLE_S
 */
unsigned int keep_delay_ms(unsigned int last_ms, long lived_s);

#endif /* AGENT_KEEP_H */
