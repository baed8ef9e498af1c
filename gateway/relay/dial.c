#include <errno.h>

#include "gateway/relay/dial.h"

bool dial_is_host(const struct dial *d, const struct ipaddr *a)
{
	return (d->v4 && ipaddr_eq(a, &d->gw4)) ||
	       (d->v6 && ipaddr_eq(a, &d->gw6));
}

bool dial_retry(int err)
{
	return err == ECONNREFUSED || err == EADDRNOTAVAIL ||
	       err == ENETUNREACH;
}

static bool is_own(const struct dial *d, const struct ipaddr *a, uint16_t port)
{
	for (unsigned int i = 0; i < d->nown; i++)
		if (d->own[i].port == port &&
		    (ipaddr_eq(a, &d->own[i].addr) ||
		     ipaddr_is_any(&d->own[i].addr)))
			return true;
	return false;
}

int dial_resolve(const struct dial *d, const struct ipaddr *dst, uint16_t port,
		 enum policy_proto proto, bool fallback,
		 struct dial_target *out)
{
	static const uint8_t lo6[16] = { [15] = 1 };
	const struct ipaddr loop4 = ipaddr_host4(0x7f000001);
	const struct ipaddr loop6 = ipaddr_v6(lo6);
	const bool is4 = ipaddr_is4(dst);
	const struct policy_query q = { .dst = *dst, .port = port,
					.proto = proto };

	out->verdict = policy_egress(d->policy, &q);
	out->port = port;
	out->n = 0;
	if (!out->verdict.allow)
		return -EACCES;
	if (is4 ? !d->v4 : !d->v6)
		return -EHOSTUNREACH;
	if (dial_is_host(d, dst)) {
		out->addr[out->n++] = is4 ? loop4 : loop6;
		if (fallback)
			out->addr[out->n++] = is4 ? loop6 : loop4;
	} else {
		out->addr[out->n++] = *dst;
	}
	for (unsigned int i = 0; i < out->n; i++)
		if (is_own(d, &out->addr[i], port))
			return -EHOSTUNREACH;
	return 0;
}
