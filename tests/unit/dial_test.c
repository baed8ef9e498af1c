#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/util.h"
#include "gateway/relay/dial.h"
#include "gateway/relay/flows.h"

int dial_test(void);

static uint64_t now = 5000 * NS_PER_S;

static unsigned int take(struct dial_rate *r, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && dial_rate_take(r, now))
		n++;
	return n;
}

static void rate(void **state)
{
	struct dial_rate r;

	(void)state;
	dial_rate_init(&r, 1000, 50);
	assert_int_equal(take(&r, 1000), 50);
	now += 20 * NS_PER_MS;
	assert_int_equal(take(&r, 1000), 20);
	now += 3600 * NS_PER_S;
	assert_int_equal(take(&r, 1000), 50);	/* no more than that is saved */
	for (int i = 0; i < 30; i++)
		dial_rate_give(&r);
	assert_int_equal(take(&r, 1000), 30);
	for (int i = 0; i < 1000; i++)
		dial_rate_give(&r);		/* nor by giving back */
	assert_int_equal(take(&r, 10000), 50);
	now += NS_PER_S;
	assert_int_equal(take(&r, 10000), 50);
}

static struct ipaddr addr(uint32_t a)
{
	return ipaddr_host4(a);
}

/* Dials to where nobody answers */
static unsigned int flood(struct dial_gate *g, uint32_t first, unsigned int n)
{
	unsigned int in = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct ipaddr a = addr(first + i);
		uint32_t b = dial_gate_bucket(g, &a);

		if (dial_gate_check(g, b, now) == 0) {
			dial_gate_enter(g, b);
			in++;
		}
	}
	return in;
}

static void per_destination(void **state)
{
	static struct dial_gate g;
	const struct ipaddr hole = addr(0xc6120001);
	uint32_t b;

	(void)state;
	dial_gate_init(&g, 64, 4096);
	b = dial_gate_bucket(&g, &hole);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(dial_gate_check(&g, b, now), 0);
		dial_gate_enter(&g, b);
	}
	for (int i = 0; i < 100000; i++)
		assert_int_equal(dial_gate_check(&g, b, now), -EBUSY);
	/* and that was at nobody else's expense */
	assert_in_range(flood(&g, 0x0a000000, 4000), 3900, 4000);
	dial_gate_leave(&g, b);
	assert_int_equal(dial_gate_check(&g, b, now), 0);
}

/* A flood uses up the rate; who is known to answer can still be reached */
static void flooded(void **state)
{
	static struct dial_gate g;
	const struct ipaddr good = addr(0xc6336401), other = addr(0xc6336402);
	uint32_t b, o;
	unsigned int n = 0;

	(void)state;
	dial_gate_init(&g, 64, 4096);
	b = dial_gate_bucket(&g, &good);
	o = dial_gate_bucket(&g, &other);
	for (int i = 0; i < 20000; i++) {	/* connect, talk, close */
		assert_int_equal(dial_gate_check(&g, b, now), 0);
		dial_gate_enter(&g, b);
		dial_gate_leave(&g, b);
		dial_gate_proved(&g, b);
	}
	assert_in_range(flood(&g, 0xc6120000, 20000), 4000, 4300);
	now += NS_PER_S;
	assert_in_range(flood(&g, 0xc6130000, 20000), 1900, 2200);
	assert_int_equal(dial_gate_check(&g, o, now), -EAGAIN);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(dial_gate_check(&g, b, now), 0);
		dial_gate_enter(&g, b);
		dial_gate_leave(&g, b);
		if (i % 2)
			dial_gate_proved(&g, b);
	}
	while (dial_gate_check(&g, b, now) == 0)	/* no blank cheque */
		assert_in_range(n++, 0, 3000);
}

/* By last use, and dead only when the turn is over */
static void table(void **state)
{
	struct ev *ev = ev_new(1);
	struct flows fs;
	struct flow *f[4];

	(void)state;
	assert_non_null(ev);
	assert_int_equal(flows_init(&fs, ev, sizeof(struct flow), 3), 0);
	for (int i = 0; i < 3; i++)
		f[i] = flows_new(&fs);
	assert_true(flows_is_full(&fs));
	assert_null(flows_new(&fs));
	assert_ptr_equal(fs.oldest, f[0]);
	flows_used(&fs, f[0]);
	flows_used(&fs, f[0]);
	assert_ptr_equal(fs.oldest, f[1]);
	flows_used(&fs, f[2]);
	assert_ptr_equal(fs.newest, f[2]);
	flows_end(&fs, f[0]);			/* in the middle */
	assert_true(f[0]->dead);
	assert_null(flows_new(&fs));		/* its handler may run */
	assert_int_equal(ev_turn(ev, 0), 0);
	f[3] = flows_new(&fs);
	assert_ptr_equal(f[3], f[0]);
	assert_false(f[3]->dead);
	flows_end(&fs, f[1]);
	flows_end(&fs, f[2]);
	flows_reap(&fs);
	assert_ptr_equal(fs.oldest, f[3]);
	assert_ptr_equal(fs.newest, f[3]);
	flows_end(&fs, f[3]);
	flows_done(&fs);
	ev_free(ev);
}

int dial_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate),
		cmocka_unit_test(per_destination),
		cmocka_unit_test(flooded),
		cmocka_unit_test(table),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
