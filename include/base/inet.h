#ifndef BASE_INET_H
#define BASE_INET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/**
 * struct ipaddr - IPv4 or IPv6 address in one form
 * @b:	Network byte order; an IPv4 address is stored IPv4-mapped,
 *	::ffff:a.b.c.d (RFC 4291 2.5.5.2), so both families share every table
 *	and every comparison
 */
struct ipaddr {
	uint8_t b[16];
};

#define IPADDR_STRLEN	46	/* INET6_ADDRSTRLEN: text with NUL */
#define MAC_STRLEN	18	/* aa:bb:cc:dd:ee:ff with NUL */

/** ipaddr_v4() - From four bytes in network order */
struct ipaddr ipaddr_v4(const uint8_t b[static 4]);

/** ipaddr_v6() - From sixteen bytes in network order */
struct ipaddr ipaddr_v6(const uint8_t b[static 16]);

/** ipaddr_host4() - From an IPv4 address in host order */
struct ipaddr ipaddr_host4(uint32_t host);

/** ipaddr_to_host4() - IPv4 address in host order; only if ipaddr_is4() */
uint32_t ipaddr_to_host4(const struct ipaddr *a);

/** ipaddr_is4() - Whether this is an IPv4 address (stored as mapped) */
bool ipaddr_is4(const struct ipaddr *a);

/** ipaddr_bytes() - The 4 or 16 bytes that go on the wire, borrowed from @a */
const uint8_t *ipaddr_bytes(const struct ipaddr *a);

/** ipaddr_eq() - Same address */
bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b);

/** ipaddr_is_any() - 0.0.0.0 or :: */
bool ipaddr_is_any(const struct ipaddr *a);

/** ipaddr_is_loopback() - 127/8 or ::1 */
bool ipaddr_is_loopback(const struct ipaddr *a);

/** ipaddr_is_multicast() - 224/4 or ff00::/8 */
bool ipaddr_is_multicast(const struct ipaddr *a);

/** ipaddr_is_linklocal() - 169.254/16 or fe80::/10 */
bool ipaddr_is_linklocal(const struct ipaddr *a);

/** ipaddr_is_broadcast4() - 255.255.255.255 */
bool ipaddr_is_broadcast4(const struct ipaddr *a);

/**
 * ipaddr_in() - Whether @a lies in @net/@plen
 * @plen:	Prefix length within the family of @net: 0-32 for IPv4, 0-128
 */
bool ipaddr_in(const struct ipaddr *a, const struct ipaddr *net,
	       unsigned int plen);

/**
 * ipaddr_parse() - Parse text of either family
 * @s:		IPv4: four decimal octets without leading zeros; IPv6: RFC 4291
 *		without zone, brackets or prefix
 * @out:	Set on success
 *
 * Return: 0; -EINVAL if it is no address
 */
int ipaddr_parse(struct span s, struct ipaddr *out);

/** ipaddr_fmt() - RFC 5952 text of @a into @buf; returns @buf */
const char *ipaddr_fmt(const struct ipaddr *a, char buf[static IPADDR_STRLEN]);

/**
 * ipaddr_to_sa() - Fill a socket address of the address's own family
 * @port:	Host order
 *
 * Return: the length to pass to connect(), bind() or sendto()
 */
socklen_t ipaddr_to_sa(const struct ipaddr *a, uint16_t port,
		       struct sockaddr_storage *ss);

/**
 * ipaddr_from_sa() - Read an AF_INET or AF_INET6 socket address
 * @port:	Set to the port in host order; may be NULL
 *
 * Return: 0; -EAFNOSUPPORT for any other family
 */
int ipaddr_from_sa(const struct sockaddr_storage *ss, struct ipaddr *out,
		   uint16_t *port);

/** mac_fmt() - aa:bb:cc:dd:ee:ff into @buf; returns @buf */
const char *mac_fmt(const uint8_t mac[static 6], char buf[static MAC_STRLEN]);

#endif /* BASE_INET_H */
