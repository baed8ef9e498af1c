#include <errno.h>

#include "base/siphash.h"
#include "base/util.h"
#include "gateway/relay/dial.h"

/*
 * A dial to nowhere costs 20 us, with its end: 2000 of them a second are 4 % of a
 * processor.
 */
#define DIALS_PER_S	2000
#define DIALS_BURST	16384	/* at most */
#define CREDIT_MAX	200

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

/* ---- how many ------------------------------------------------------------- */

void dial_rate_init(struct dial_rate *r, uint32_t per_s, uint32_t burst)
{
	*r = (struct dial_rate){ .step_ns = NS_PER_S / per_s };
	r->burst_ns = r->step_ns * burst;
}

bool dial_rate_take(struct dial_rate *r, uint64_t now_ns)
{
	uint64_t used = MAX(r->used_ns, now_ns) + r->step_ns;

	if (used > now_ns + r->burst_ns)
		return false;
	r->used_ns = used;
	return true;
}

void dial_rate_give(struct dial_rate *r)
{
	r->used_ns -= MIN(r->used_ns, r->step_ns);
}

void dial_gate_init(struct dial_gate *g, uint32_t max, uint32_t flows)
{
	*g = (struct dial_gate){ .max = max };
	dial_rate_init(&g->rate, DIALS_PER_S,
		       MAX(MIN(flows, DIALS_BURST), DIAL_BURST_MIN));
	siphash_key(g->key);
}

uint32_t dial_gate_bucket(const struct dial_gate *g, const struct ipaddr *a)
{
	return (uint32_t)siphash(g->key, a->b, sizeof(a->b)) % DIAL_BUCKETS;
}

int dial_gate_check(struct dial_gate *g, uint32_t bucket, uint64_t now_ns)
{
	ASSERT(bucket < DIAL_BUCKETS);
	if (g->dials[bucket] >= g->max)
		return -EBUSY;
	if (!dial_rate_take(&g->rate, now_ns)) {
		if (!g->credit[bucket])
			return -EAGAIN;
		g->credit[bucket]--;
	}
	return 0;
}

void dial_gate_enter(struct dial_gate *g, uint32_t bucket)
{
	g->dials[bucket]++;
}

void dial_gate_leave(struct dial_gate *g, uint32_t bucket)
{
	ASSERT(g->dials[bucket]);
	g->dials[bucket]--;
}

void dial_gate_proved(struct dial_gate *g, uint32_t bucket)
{
	dial_rate_give(&g->rate);
	g->credit[bucket] = (uint8_t)MIN(g->credit[bucket] + 2, CREDIT_MAX);
}
