/* Scoreboard: what the guest has beyond snd_una (RFC 2018, RFC 6675) */
#include "gateway/stack/tcp_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/count.h"
#include "base/util.h"

COUNT(tcp_sack_forgotten, "SACK ranges forgotten because there were too many");

#define SHEET_BYTES	(TCP_SACKED_MAX * sizeof(struct tcp_range))

_Static_assert(TCP_SHEETS == 64, "sheets_used has a bit for each");
_Static_assert(TCP_SACKED_MAX <= UINT8_MAX, "ranges are counted by a byte");

/* Pages that no loss has touched cost nothing */
int tcp_sheets_new(struct tcp_stack *ts)
{
	void *p = mmap(NULL, TCP_SHEETS * SHEET_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	ts->sheets = p;
	return 0;
}

void tcp_sheets_free(struct tcp_stack *ts)
{
	munmap(ts->sheets, TCP_SHEETS * SHEET_BYTES);
}

static struct tcp_range *sacked(struct tcp *c)
{
	return c->sheet == TCP_SHEET_NONE ? c->few :
		&c->ts->sheets[c->sheet * (size_t)TCP_SACKED_MAX];
}

const struct tcp_range *tcp_sacked(const struct tcp *c)
{
	return c->sheet == TCP_SHEET_NONE ? c->few :
		&c->ts->sheets[c->sheet * (size_t)TCP_SACKED_MAX];
}

/* Whether there is room for one more range */
static bool widen(struct tcp *c)
{
	struct tcp_stack *ts = c->ts;
	uint64_t unused = ~ts->sheets_used;

	if (c->sheet != TCP_SHEET_NONE)
		return c->nsacked < TCP_SACKED_MAX;
	if (c->nsacked < TCP_SACKED_FEW)
		return true;
	if (!unused)
		return false;
	c->sheet = (uint8_t)__builtin_ctzll(unused);
	ts->sheets_used |= 1ULL << c->sheet;
	memcpy(sacked(c), c->few, sizeof(c->few));
	return true;
}

static void give_sheet(struct tcp *c)
{
	if (c->sheet != TCP_SHEET_NONE)
		c->ts->sheets_used &= ~(1ULL << c->sheet);
	c->sheet = TCP_SHEET_NONE;
}

void tcp_sack_clear(struct tcp *c)
{
	c->nsacked = 0;
	give_sheet(c);
}

static void remove_some(struct tcp *c, unsigned int i, unsigned int n)
{
	struct tcp_range *s = sacked(c);

	memmove(&s[i], &s[i + n], (c->nsacked - i - n) * sizeof(s[0]));
	c->nsacked = (uint8_t)(c->nsacked - n);
}

/* Full: forget the lowest, whose bytes will be sent once more if need be.  The
 * highest ones decide what counts as lost */
static void insert_at(struct tcp *c, unsigned int i, struct tcp_range r)
{
	struct tcp_range *s;

	if (!widen(c)) {
		count_inc(tcp_sack_forgotten);
		if (i == 0)
			return;
		remove_some(c, 0, 1);
		i--;
	}
	s = sacked(c);
	memmove(&s[i + 1], &s[i], (c->nsacked - i) * sizeof(s[0]));
	s[i] = r;
	c->nsacked++;
}

/* The first range that ends at or after @seq; @nsacked if none does */
static unsigned int find(const struct tcp *c, uint32_t seq)
{
	const struct tcp_range *s = tcp_sacked(c);
	unsigned int lo = 0, hi = c->nsacked;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (seq_lt(s[mid].end, seq))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool tcp_sack_add(struct tcp *c, struct tcp_range r)
{
	struct tcp_range *s = sacked(c);
	unsigned int i, n = 0;

	/* Also leaves out what is reported as received twice (RFC 2883) */
	if (seq_lt(r.start, c->snd_una) || !seq_lt(r.start, r.end) ||
	    seq_lt(c->snd_max, r.end))
		return false;
	i = find(c, r.start);
	if (i < c->nsacked && seq_le(s[i].start, r.start) &&
	    seq_le(r.end, s[i].end))
		return false;
	for (; i + n < c->nsacked && seq_le(s[i + n].start, r.end); n++) {
		r.start = seq_min(r.start, s[i + n].start);
		r.end = seq_max(r.end, s[i + n].end);
	}
	if (n) {
		s[i] = r;
		remove_some(c, i + 1, n - 1);
	} else {
		insert_at(c, i, r);
	}
	return true;
}

void tcp_sack_trim(struct tcp *c)
{
	struct tcp_range *s = sacked(c);
	unsigned int n = 0;

	while (n < c->nsacked && seq_le(s[n].end, c->snd_una))
		n++;
	if (n)
		remove_some(c, 0, n);
	if (!c->nsacked)
		give_sheet(c);
	else
		s[0].start = seq_max(s[0].start, c->snd_una);
}

uint32_t tcp_sack_limit(const struct tcp *c)
{
	const struct tcp_range *s = tcp_sacked(c);
	uint64_t above = 0;

	for (unsigned int i = c->nsacked; i--; ) {
		above += s[i].end - s[i].start;
		if (above > (TCP_DUPTHRESH - 1u) * c->mss ||
		    c->nsacked - i >= TCP_DUPTHRESH)
			return s[i].start;
	}
	return c->snd_una;
}

uint32_t tcp_sack_hole(const struct tcp *c, uint32_t seq, uint32_t limit,
		       uint32_t *end)
{
	const struct tcp_range *s = tcp_sacked(c);

	*end = limit;
	for (unsigned int i = find(c, seq); i < c->nsacked; i++) {
		if (seq_lt(seq, s[i].start)) {
			*end = seq_min(limit, s[i].start);
			break;
		}
		seq = seq_max(seq, s[i].end);
	}
	return seq_min(seq, limit);
}
