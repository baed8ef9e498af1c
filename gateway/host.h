#ifndef GATEWAY_HOST_H
#define GATEWAY_HOST_H

#include <stdbool.h>
#include <stdint.h>

/* host - what this machine offers to a gateway */

/**
 * host_has_route() - Whether the host can reach the Internet in this family
 *
 * Connects a UDP socket to 192.0.2.1 or 2001:db8::1 (documentation addresses, RFC
 * 5737 and 3849); no packet leaves.
 */
bool host_has_route(bool v6);

/**
 * host_raise_nofile() - Raise the soft descriptor limit to the hard one
 * @need:	Descriptors that the configuration can use
 *
 * Return: 0; -EMFILE if the hard limit is below @need, with @hard set
 */
int host_raise_nofile(uint64_t need, uint64_t *hard);

/**
 * host_check() - Print what this host lacks, each with the remedy
 *
 * Return: 0 if nothing that a guest would miss is lacking, else 1
 */
int host_check(void);

#endif /* GATEWAY_HOST_H */
