#ifndef AGENT_PLAN_H
#define AGENT_PLAN_H

#include <net/if.h>
#include <stdbool.h>

/*
 * plan - the seam under everything that changes the guest
 *
 * Theory of operation
 * -------------------
 * Who is about to send a request that changes something puts it into words
 * first, from the very bytes that it would send.  In a dry run the words are
 * all that comes of it, and count as success; otherwise they are logged, as
 * debug, and the request is sent.  There is one way through the code, so a plan
 * cannot differ from what is done.
 *
 * What a dry run asks the kernel has still the old answer.  The few answers
 * that matter later are therefore kept here, for each interface: that it would
 * have been made, how it is called, its flags, and that it has been down, which
 * costs it its routes and its IPv6 addresses; and which directories would be
 * there.
 */

/**
 * plan_begin() - From now on this is a dry run
 * @fd:		Gets the words, a line for each request; borrowed for ever; -1
 *		to count only
 */
void plan_begin(int fd);

/** plan_end() - Requests are sent again; forgets everything */
void plan_end(void);

/** plan_dry() - Whether this is a dry run */
bool plan_dry(void);

/** plan_count() - Requests of this dry run so far */
unsigned int plan_count(void);

/**
 * plan_do() - A request is about to be sent
 *
 * Return: whether to send it
 */
bool plan_do(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** plan_mkdir() - As plan_do(), for a directory: a dry run names it once */
bool plan_mkdir(const char *path);

/** plan_make() - In a dry run: an interface would be made; its made-up index */
unsigned int plan_make(const char *ifname);

/** plan_rename() - In a dry run: it would be called @name */
void plan_rename(const char *ifname, const char *name);

/** plan_set_flags() - In a dry run: it would have these flags */
void plan_set_flags(const char *ifname, short flags);

/** plan_flags() - Whether a dry run would have set its flags, or made it */
bool plan_flags(const char *ifname, short *flags);

/** plan_dropped() - Whether it would have lost what goes when it is down */
bool plan_dropped(unsigned int ifindex);

/**
 * plan_conf() - Where the kernel has the settings of an interface now
 *
 * Under another name if a dry run would have renamed it; those of one that it
 * would have made are the "default".
 *
 * Return: name for /proc/sys/net/FAMILY/conf/NAME, @ifname or @buf
 */
const char *plan_conf(const char *ifname, char buf[static IF_NAMESIZE]);

/** plan_name() - Name of an interface, or "?", in @buf; returns @buf */
const char *plan_name(unsigned int ifindex, char buf[static IF_NAMESIZE]);

#endif /* AGENT_PLAN_H */
