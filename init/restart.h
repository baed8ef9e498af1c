#ifndef INIT_RESTART_H
#define INIT_RESTART_H

#include <stdbool.h>
#include <stdint.h>

/* restart - whether and when something that has ended is started again */

#define RESTART_MIN_MS		100
#define RESTART_MAX_MS		10000
#define RESTART_STABLE_S	60

/** What the end of the workload means: MSB_RESTART */
enum restart {
	RESTART_NEVER,
	RESTART_ON_FAILURE,	/* after a status other than 0 */
	RESTART_ALWAYS,
	RESTART_NUM,
};

/**
 * restart_parse() - Read MSB_RESTART
 * @s:		"never", "on-failure" or "always"; NULL and "" are never
 *
 * Return: what it says; never, with a warning, for anything else
 */
enum restart restart_parse(const char *s);

/** restart_wanted() - Whether it is started again after this status */
bool restart_wanted(enum restart r, int code);

/**
 * restart_delay_ms() - How long to wait before that
 * @last_ms:	What this said the last time, 0 at first; updated
 * @lived_ns:	How long it had lived
 *
 * Return: 100 ms, and twice as much each time up to 10 s; 100 again after it
 *	   lived for a minute
 */
uint32_t restart_delay_ms(uint32_t *last_ms, uint64_t lived_ns);

#endif /* INIT_RESTART_H */
