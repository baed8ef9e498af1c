/* The scoreboard beside a model that has a bit for each byte */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/count.h"
#include "gateway/stack/tcp_priv.h"

int tcp_board_test(void);

#define SPACE	2048			/* bytes in flight */
#define CONNS	(TCP_SHEETS + 6)
#define STEPS	60000

/** struct model - What a connection's scoreboard has to say */
struct model {
	bool has[SPACE];
	unsigned int una;		/* offsets from @base */
	uint32_t base;
	bool sheet;
};

static struct tcp_stack stack;
static struct tcp conn[CONNS];
static struct model model[CONNS];
static unsigned int sheets_used, forgotten;
static uint32_t seed;

static unsigned int below(unsigned int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* Runs of @m in order; returns how many */
static unsigned int runs_of(const struct model *m, struct tcp_range *run)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SPACE; i++) {
		if (!m->has[i])
			continue;
		if (!i || !m->has[i - 1])
			run[n++].start = m->base + i;
		run[n - 1].end = m->base + i + 1;
	}
	return n;
}

static void fill(struct model *m, unsigned int from, unsigned int to, bool how)
{
	memset(&m->has[from], how, to - from);
}

/* Whether one more run finds room */
static bool model_room(struct model *m, unsigned int n)
{
	if (m->sheet)
		return n < TCP_SACKED_MAX;
	if (n < TCP_SACKED_FEW)
		return true;
	if (sheets_used == TCP_SHEETS)
		return false;
	sheets_used++;
	m->sheet = true;
	return true;
}

static void model_give(struct model *m)
{
	sheets_used -= m->sheet;
	m->sheet = false;
}

static bool model_add(struct model *m, unsigned int from, unsigned int to)
{
	struct tcp_range run[SPACE];
	unsigned int n = runs_of(m, run), now;

	if (from < m->una || from >= to || to > SPACE ||
	    !memchr(&m->has[from], false, to - from))
		return false;
	fill(m, from, to, true);
	now = runs_of(m, run);
	if (now <= n || model_room(m, n))
		return true;
	forgotten++;			/* the lowest, which may be this one */
	fill(m, run[0].start - m->base, run[0].end - m->base, false);
	return true;
}

static void model_trim(struct model *m, unsigned int una)
{
	fill(m, m->una, una, false);
	m->una = una;
	if (!memchr(m->has, true, SPACE))
		model_give(m);
}

/* --- comparing ------------------------------------------------------------ */

static void same_runs(const struct tcp *c, const struct model *m)
{
	const struct tcp_range *s = tcp_sacked(c);
	struct tcp_range run[SPACE];
	unsigned int n = runs_of(m, run), above = 0, i;
	uint32_t limit = c->snd_una;

	assert_int_equal(c->nsacked, n);
	assert_int_equal(c->sheet != TCP_SHEET_NONE, m->sheet);
	for (i = 0; i < n; i++) {
		assert_int_equal(s[i].start, run[i].start);
		assert_int_equal(s[i].end, run[i].end);
	}
	while (i--) {			/* RFC 6675 4, IsLost() */
		above += run[i].end - run[i].start;
		if (n - i >= 3 || above > 2u * c->mss) {
			limit = run[i].start;
			break;
		}
	}
	assert_int_equal(tcp_sack_limit(c), limit);
}

static void same_hole(const struct tcp *c, const struct model *m)
{
	unsigned int from = m->una + below(SPACE - m->una), at = from, end;
	unsigned int limit = from + below(SPACE + 1 - from);
	uint32_t hole_end, hole;

	while (at < limit && m->has[at])
		at++;
	for (end = at; end < limit && !m->has[end]; )
		end++;
	hole = tcp_sack_hole(c, m->base + from, m->base + limit, &hole_end);
	assert_int_equal(hole, m->base + at);
	if (at < limit)
		assert_int_equal(hole_end, m->base + end);
}

/* --- the test ------------------------------------------------------------- */

static void conn_new(unsigned int n)
{
	/* Half of them wrap around within what is in flight */
	uint32_t base = n % 2 ? 0u - below(SPACE) : 1000000u * n;

	model[n] = (struct model){ .base = base };
	conn[n] = (struct tcp){ .ts = &stack, .sheet = TCP_SHEET_NONE,
				.snd_una = base, .snd_max = base + SPACE,
				.mss = (uint16_t)(1 + n % 9) };
}

static void step(struct tcp *c, struct model *m)
{
	unsigned int what = below(1000), from = below(SPACE), una;
	unsigned int to = from + below(below(64) ? 3 : 40);
	bool news;

	if (what < 990) {
		news = tcp_sack_add(c, (struct tcp_range){ m->base + from,
							   m->base + to });
		assert_int_equal(news, model_add(m, from, to));
	} else if (what < 998) {
		una = m->una + below((SPACE - m->una) / 4 + 1);
		c->snd_una = m->base + una;
		tcp_sack_trim(c);
		model_trim(m, una);
	} else {
		tcp_sack_clear(c);
		fill(m, 0, SPACE, false);
		model_give(m);
	}
}

static void as_the_model(void **state)
{
	unsigned int full = 0;

	(void)state;
	stack = (struct tcp_stack){ 0 };
	assert_int_equal(tcp_sheets_new(&stack), 0);
	count_reset();
	sheets_used = forgotten = 0;
	seed = 1;
	for (unsigned int n = 0; n < CONNS; n++)
		conn_new(n);
	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int n = below(CONNS);

		step(&conn[n], &model[n]);
		same_runs(&conn[n], &model[n]);
		same_hole(&conn[n], &model[n]);
		full += conn[n].nsacked == TCP_SACKED_MAX;
		if (SPACE - model[n].una < SPACE / 8) {
			tcp_sack_clear(&conn[n]);
			model_give(&model[n]);
			conn_new(n);
		}
	}
	assert_int_equal(count_get("tcp_sack_forgotten"), forgotten);
	assert_true(full > 1000 && sheets_used == TCP_SHEETS);
	tcp_sheets_free(&stack);
}

/* What was forgotten is news again, whole or in part */
static void forgotten_is_news(void **state)
{
	struct tcp *c = &conn[0];

	(void)state;
	conn_new(0);
	c->snd_una = 1;
	c->snd_max = 1001;
	assert_true(tcp_sack_add(c, (struct tcp_range){ 101, 201 }));
	tcp_sack_clear(c);
	assert_true(tcp_sack_add(c, (struct tcp_range){ 121, 181 }));
	assert_int_equal(c->nsacked, 1);
}

/* Of no page of theirs is anything left */
static void sheets_are_given_back(void **state)
{
	const size_t size = TCP_SHEETS * TCP_SACKED_MAX *
			    sizeof(struct tcp_range), page = 4096;
	unsigned char in;
	char *mem;

	(void)state;
	assert_int_equal(tcp_sheets_new(&stack), 0);
	mem = (char *)stack.sheets;
	tcp_sheets_free(&stack);
	for (size_t at = 0; at < size; at += page) {
		assert_int_equal(mincore(mem + at, page, &in), -1);
		assert_int_equal(errno, ENOMEM);
	}
}

int tcp_board_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_model),
		cmocka_unit_test(forgotten_is_news),
		cmocka_unit_test(sheets_are_given_back),
	};

	return cmocka_run_group_tests_name("tcp_board", tests, NULL, NULL);
}
