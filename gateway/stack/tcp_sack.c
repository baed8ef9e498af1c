/* Scoreboard: what the guest has beyond snd_una (RFC 2018, RFC 6675) */
#include "gateway/stack/tcp_priv.h"

#include <string.h>

#include "base/count.h"
#include "base/util.h"

COUNT(tcp_sack_forgotten, "SACK ranges forgotten because there were too many");

static void remove_at(struct tcp *c, unsigned int i)
{
	memmove(&c->sacked[i], &c->sacked[i + 1],
		(c->nsacked - i - 1) * sizeof(c->sacked[0]));
	c->nsacked--;
}

/* Full: forget the lowest, whose bytes will be sent once more if need be.  The
 * highest ones decide what counts as lost */
static void insert_at(struct tcp *c, unsigned int i, struct tcp_range r)
{
	if (c->nsacked == TCP_SACKED_MAX) {
		count_inc(tcp_sack_forgotten);
		if (i == 0)
			return;
		remove_at(c, 0);
		i--;
	}
	memmove(&c->sacked[i + 1], &c->sacked[i],
		(c->nsacked - i) * sizeof(c->sacked[0]));
	c->sacked[i] = r;
	c->nsacked++;
}

bool tcp_sack_add(struct tcp *c, struct tcp_range r)
{
	unsigned int i = 0;

	/* Also leaves out what is reported as received twice (RFC 2883) */
	if (seq_lt(r.start, c->snd_una) || !seq_lt(r.start, r.end) ||
	    seq_lt(c->snd_max, r.end))
		return false;
	while (i < c->nsacked && seq_lt(c->sacked[i].end, r.start))
		i++;
	if (i < c->nsacked && seq_le(c->sacked[i].start, r.start) &&
	    seq_le(r.end, c->sacked[i].end))
		return false;
	while (i < c->nsacked && seq_le(c->sacked[i].start, r.end)) {
		r.start = seq_min(r.start, c->sacked[i].start);
		r.end = seq_max(r.end, c->sacked[i].end);
		remove_at(c, i);
	}
	insert_at(c, i, r);
	return true;
}

void tcp_sack_trim(struct tcp *c)
{
	while (c->nsacked && seq_le(c->sacked[0].end, c->snd_una))
		remove_at(c, 0);
	if (c->nsacked)
		c->sacked[0].start = seq_max(c->sacked[0].start, c->snd_una);
}

uint32_t tcp_sack_limit(const struct tcp *c)
{
	uint64_t above = 0;

	for (unsigned int i = c->nsacked; i--; ) {
		const struct tcp_range *r = &c->sacked[i];

		above += r->end - r->start;
		if (above > (TCP_DUPTHRESH - 1u) * c->mss ||
		    c->nsacked - i >= TCP_DUPTHRESH)
			return r->start;
	}
	return c->snd_una;
}

uint32_t tcp_sack_hole(const struct tcp *c, uint32_t seq, uint32_t limit,
		       uint32_t *end)
{
	*end = limit;
	for (unsigned int i = 0; i < c->nsacked; i++) {
		const struct tcp_range *r = &c->sacked[i];

		if (seq_lt(seq, r->start)) {
			*end = seq_min(limit, r->start);
			break;
		}
		seq = seq_max(seq, r->end);
	}
	return seq_min(seq, limit);
}
