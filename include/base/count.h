#ifndef BASE_COUNT_H
#define BASE_COUNT_H

#include <stdint.h>

/*
 * count - counters, defined beside the code that counts
 *
 *	COUNT(drop_arp_short, "ARP packets too short to parse");
 *	...
 *	count_inc(drop_arp_short);
 *
 * Each definition lands in one linker section, so that a dump or the metrics
 * endpoint finds them all without a central list.  Names are unique in a
 * program.  A dropped frame, packet or record has a counter whose name begins
 * with drop_ and says the reason.
 */
struct count {
	const char *name, *help;
	uint64_t n;
};

#define COUNT(id, text)							\
	static struct count count_##id					\
	__attribute__((section("msb_count"), used,			\
		       aligned(sizeof(void *)))) = {			\
		.name = #id, .help = text }

#define count_inc(id)		((void)(count_##id.n++))
#define count_add(id, v)	((void)(count_##id.n += (uint64_t)(v)))

/** count_each() - Call @fn for every counter of this program */
void count_each(void (*fn)(const struct count *c, void *arg), void *arg);

/** count_get() - Value of the counter called @name; 0 if there is none */
uint64_t count_get(const char *name);

/** count_reset() - Set every counter to 0; for tests */
void count_reset(void);

#endif /* BASE_COUNT_H */
