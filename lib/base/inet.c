#include "base/inet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define V4_OFF	12		/* of the IPv4 bytes in a mapped address */
#define GROUPS	8

static const uint8_t mapped[V4_OFF] = { [10] = 0xff, [11] = 0xff };

struct ipaddr ipaddr_v4(const uint8_t b[static 4])
{
	struct ipaddr a;

	memcpy(a.b, mapped, V4_OFF);
	memcpy(a.b + V4_OFF, b, 4);
	return a;
}

struct ipaddr ipaddr_v6(const uint8_t b[static 16])
{
	struct ipaddr a;

	memcpy(a.b, b, 16);
	return a;
}

struct ipaddr ipaddr_host4(uint32_t host)
{
	const uint8_t b[4] = { (uint8_t)(host >> 24), (uint8_t)(host >> 16),
			       (uint8_t)(host >> 8), (uint8_t)host };

	return ipaddr_v4(b);
}

uint32_t ipaddr_to_host4(const struct ipaddr *a)
{
	const uint8_t *b = a->b + V4_OFF;

	ASSERT(ipaddr_is4(a));
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	       (uint32_t)b[2] << 8 | b[3];
}

bool ipaddr_is4(const struct ipaddr *a)
{
	return !memcmp(a->b, mapped, V4_OFF);
}

const uint8_t *ipaddr_bytes(const struct ipaddr *a)
{
	return ipaddr_is4(a) ? a->b + V4_OFF : a->b;
}

bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

bool ipaddr_is_any(const struct ipaddr *a)
{
	static const struct ipaddr any6;

	if (ipaddr_is4(a))
		return ipaddr_to_host4(a) == 0;
	return ipaddr_eq(a, &any6);
}

bool ipaddr_is_loopback(const struct ipaddr *a)
{
	static const struct ipaddr lo6 = { .b = { [15] = 1 } };

	if (ipaddr_is4(a))
		return a->b[V4_OFF] == 127;
	return ipaddr_eq(a, &lo6);
}

bool ipaddr_is_multicast(const struct ipaddr *a)
{
	if (ipaddr_is4(a))
		return (a->b[V4_OFF] & 0xf0) == 0xe0;
	return a->b[0] == 0xff;
}

bool ipaddr_is_linklocal(const struct ipaddr *a)
{
	if (ipaddr_is4(a))
		return a->b[V4_OFF] == 169 && a->b[V4_OFF + 1] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ipaddr_is_broadcast4(const struct ipaddr *a)
{
	return ipaddr_is4(a) && ipaddr_to_host4(a) == UINT32_MAX;
}

bool ipaddr_in(const struct ipaddr *a, const struct ipaddr *net,
	       unsigned int plen)
{
	bool is4 = ipaddr_is4(net);
	const uint8_t *x, *y;
	unsigned int bits;

	if (is4 != ipaddr_is4(a) || plen > (is4 ? 32 : 128))
		return false;
	x = ipaddr_bytes(a);
	y = ipaddr_bytes(net);
	if (memcmp(x, y, plen / 8))
		return false;
	bits = plen % 8;
	return !bits || !((x[plen / 8] ^ y[plen / 8]) >> (8 - bits));
}

int ipaddr_parse(struct span s, struct ipaddr *out)
{
	char text[IPADDR_STRLEN];
	uint8_t b[16];

	if (span_copy(s, text, sizeof(text)))
		return -EINVAL;
	if (inet_pton(AF_INET, text, b) == 1)
		*out = ipaddr_v4(b);
	else if (inet_pton(AF_INET6, text, b) == 1)
		*out = ipaddr_v6(b);
	else
		return -EINVAL;
	return 0;
}

/* The C libraries do not agree on RFC 5952, so this is not inet_ntop() */
static void fmt6(const uint8_t *b, char *buf)
{
	int best = -1, len = 1, n = 0;		/* a lone 0 stays as it is */
	unsigned int g[GROUPS];

	for (int i = 0; i < GROUPS; i++)
		g[i] = (unsigned int)b[2 * i] << 8 | b[2 * i + 1];
	for (int i = 0; i < GROUPS; i++) {
		int j = i;

		while (j < GROUPS && !g[j])
			j++;
		if (j - i > len) {
			best = i;
			len = j - i;
		}
	}
	for (int i = 0; i < GROUPS; i++) {
		if (i == best) {
			n += snprintf(buf + n, (size_t)(IPADDR_STRLEN - n),
				      "::");
			i += len - 1;
			continue;
		}
		n += snprintf(buf + n, (size_t)(IPADDR_STRLEN - n), "%s%x",
			      i && i != best + len ? ":" : "", g[i]);
	}
}

const char *ipaddr_fmt(const struct ipaddr *a, char buf[static IPADDR_STRLEN])
{
	const uint8_t *b = ipaddr_bytes(a);

	if (ipaddr_is4(a))
		snprintf(buf, IPADDR_STRLEN, "%u.%u.%u.%u", b[0], b[1], b[2],
			 b[3]);
	else
		fmt6(b, buf);
	return buf;
}

socklen_t ipaddr_to_sa(const struct ipaddr *a, uint16_t port,
		       struct sockaddr_storage *ss)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in4 = { .sin_family = AF_INET };

	memset(ss, 0, sizeof(*ss));
	if (ipaddr_is4(a)) {
		in4.sin_port = htons(port);
		memcpy(&in4.sin_addr, ipaddr_bytes(a), sizeof(in4.sin_addr));
		memcpy(ss, &in4, sizeof(in4));
		return sizeof(in4);
	}
	in6.sin6_port = htons(port);
	memcpy(&in6.sin6_addr, ipaddr_bytes(a), sizeof(in6.sin6_addr));
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

int ipaddr_from_sa(const struct sockaddr_storage *ss, struct ipaddr *out,
		   uint16_t *port)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in4;
	uint8_t b[16];

	switch (ss->ss_family) {
	case AF_INET:
		memcpy(&in4, ss, sizeof(in4));
		memcpy(b, &in4.sin_addr, 4);
		*out = ipaddr_v4(b);
		if (port)
			*port = ntohs(in4.sin_port);
		return 0;
	case AF_INET6:
		memcpy(&in6, ss, sizeof(in6));
		memcpy(b, &in6.sin6_addr, 16);
		*out = ipaddr_v6(b);
		if (port)
			*port = ntohs(in6.sin6_port);
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}

const char *mac_fmt(const uint8_t mac[static 6], char buf[static MAC_STRLEN])
{
	snprintf(buf, MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
	return buf;
}
