#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/ev.h"
#include "base/fd.h"

/* What happened, in order, one letter each */
static char trace[64];
static struct ev *ev;

static void note(char c)
{
	size_t n = strlen(trace);

	assert_true(n < sizeof(trace) - 1);
	trace[n] = c;
	trace[n + 1] = '\0';
}

struct pipe_src {
	struct ev_src src;
	int wr;
	char name;
	struct ev_src *del, *again, *mod;
	struct ev_task *defer, *undefer;
};

static void ready(struct ev_src *src, uint32_t events)
{
	struct pipe_src *p = container_of(src, struct pipe_src, src);
	char c;

	note(events ? p->name : (char)(p->name | 0x20));
	if (events & EPOLLIN)
		assert_int_equal(read(src->fd, &c, 1), 1);
	if (p->del)
		ev_del(ev, p->del);
	if (p->again)
		ev_again(ev, p->again);
	if (p->mod)
		assert_int_equal(ev_mod(ev, p->mod, 0), 0);
	if (p->defer)
		ev_defer(ev, p->defer);
	if (p->undefer)
		ev_undefer(ev, p->undefer);
}

static void open_pipe(struct pipe_src *p, char name)
{
	int fd[2];

	*p = (struct pipe_src){ .name = name };
	assert_int_equal(pipe(fd), 0);
	p->src = (struct ev_src){ .fd = fd[0], .ready = ready };
	p->wr = fd[1];
	assert_int_equal(ev_add(ev, &p->src, EPOLLIN), 0);
}

static void poke(struct pipe_src *p)
{
	assert_int_equal(write(p->wr, "x", 1), 1);
}

static void close_pipe(struct pipe_src *p)
{
	ev_del(ev, &p->src);
	ev_del(ev, &p->src);		/* no effect */
	fd_close(&p->src.fd);
	fd_close(&p->wr);
}

static int setup(void **state)
{
	(void)state;
	ev = ev_new(8);
	trace[0] = '\0';
	return ev ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	ev_free(ev);
	ev = NULL;
	return 0;
}

static void test_basic(void **state)
{
	struct pipe_src a;

	(void)state;
	open_pipe(&a, 'A');
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "");
	poke(&a);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "A");
	assert_int_equal(ev_mod(ev, &a.src, 0), 0);
	poke(&a);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "A");
	assert_int_equal(ev_mod(ev, &a.src, EPOLLIN), 0);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "AA");
	assert_int_equal(ev_add(ev, &a.src, EPOLLIN), -EEXIST);
	close_pipe(&a);
	assert_int_equal(ev_mod(ev, &a.src, EPOLLIN), -ENOENT);
	assert_int_equal(ev_add(ev, &a.src, EPOLLIN), -EBADF);
}

static void test_edge(void **state)
{
	struct pipe_src a;
	char c;

	(void)state;
	open_pipe(&a, 'A');
	assert_int_equal(ev_mod(ev, &a.src, EPOLLIN | EPOLLET), 0);
	poke(&a);
	poke(&a);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_int_equal(ev_turn(ev, 0), 0);	/* a byte waits, but no edge */
	assert_string_equal(trace, "A");
	assert_int_equal(ev_mod(ev, &a.src, EPOLLIN | EPOLLET), 0);
	assert_int_equal(ev_turn(ev, 0), 0);	/* asked for again */
	assert_string_equal(trace, "AA");
	assert_int_equal(fd_nonblock(a.src.fd), 0);
	assert_int_equal(read(a.src.fd, &c, 1), -1);
	close_pipe(&a);
}

/* Whichever comes first deletes the other: exactly one handler runs */
static void test_del_in_batch(void **state)
{
	struct pipe_src a, b;

	(void)state;
	open_pipe(&a, 'A');
	open_pipe(&b, 'B');
	a.del = &b.src;
	b.del = &a.src;
	poke(&a);
	poke(&b);
	fd_close(&a.wr);	/* a hang-up is reported unasked */
	fd_close(&b.wr);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_int_equal(strlen(trace), 1);
	close_pipe(&a);
	close_pipe(&b);
}

static void test_mod_in_batch(void **state)
{
	struct pipe_src a, b;

	(void)state;
	open_pipe(&a, 'A');
	open_pipe(&b, 'B');
	a.mod = &b.src;
	b.mod = &a.src;
	poke(&a);
	poke(&b);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_int_equal(strlen(trace), 1);
	close_pipe(&a);
	close_pipe(&b);
}

/* A new source in the memory of a deleted one is not taken for it */
static void test_readd_in_batch(void **state)
{
	struct pipe_src a, b, c;

	(void)state;
	open_pipe(&a, 'A');
	open_pipe(&b, 'B');
	open_pipe(&c, 'C');
	poke(&a);
	assert_int_equal(ev_turn(ev, 0), 0);
	ev_del(ev, &c.src);
	assert_int_equal(ev_add(ev, &c.src, EPOLLIN), 0);
	poke(&c);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "AC");
	close_pipe(&a);
	close_pipe(&b);
	close_pipe(&c);
}

static void test_again(void **state)
{
	struct pipe_src a, b;

	(void)state;
	open_pipe(&a, 'A');
	open_pipe(&b, 'B');
	ev_again(ev, &b.src);
	ev_again(ev, &a.src);
	ev_again(ev, &b.src);			/* once */
	poke(&a);
	assert_int_equal(ev_turn(ev, -1), 0);	/* does not sleep */
	assert_string_equal(trace, "Aba");
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "Aba");

	trace[0] = '\0';
	a.again = &a.src;			/* asks for ever */
	ev_again(ev, &a.src);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "aa");
	a.again = NULL;
	ev_del(ev, &a.src);			/* the only one */
	ev_again(ev, &b.src);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "aab");
	close_pipe(&a);
	close_pipe(&b);
}

/* Deleted from the list that is being worked off, and from the next one */
/* A closed source is silent, and so is whoever gets its number next */
static void test_close(void **state)
{
	struct pipe_src a, b;
	int fd;

	(void)state;
	open_pipe(&a, 'A');
	poke(&a);
	ev_again(ev, &a.src);
	fd = a.src.fd;
	ev_close(ev, &a.src);
	assert_int_equal(a.src.fd, -1);
	open_pipe(&b, 'B');
	assert_int_equal(b.src.fd, fd);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "");
	poke(&b);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "B");
	ev_close(ev, &a.src);			/* no effect */
	fd_close(&a.wr);
	close_pipe(&b);
}

static void test_again_del(void **state)
{
	struct pipe_src a, b, c;

	(void)state;
	open_pipe(&a, 'A');
	open_pipe(&b, 'B');
	open_pipe(&c, 'C');
	ev_again(ev, &a.src);
	ev_again(ev, &b.src);
	ev_again(ev, &c.src);
	a.del = &c.src;				/* the last */
	a.again = &a.src;
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "ab");
	a.del = &a.src;				/* itself */
	a.again = NULL;
	ev_again(ev, &b.src);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "abab");
	close_pipe(&a);
	close_pipe(&b);
	close_pipe(&c);
}

struct job {
	struct ev_task t;
	char name;
	struct job *next, *drop;
};

static void run(struct ev_task *t)
{
	struct job *j = container_of(t, struct job, t);

	note(j->name);
	if (j->next)
		ev_defer(ev, &j->next->t);
	if (j->drop)
		ev_undefer(ev, &j->drop->t);
}

static void test_defer(void **state)
{
	struct job x = { .t.run = run, .name = '1' };
	struct job y = { .t.run = run, .name = '2' };
	struct job z = { .t.run = run, .name = '3' };
	struct pipe_src a;

	(void)state;
	open_pipe(&a, 'A');
	a.defer = &y.t;
	poke(&a);
	ev_defer(ev, &x.t);
	ev_defer(ev, &x.t);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "A12");
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "A12");

	/* What a task defers, itself too, runs in the next turn */
	trace[0] = '\0';
	x.next = &x;
	x.drop = &y;
	ev_defer(ev, &x.t);
	ev_defer(ev, &y.t);
	ev_defer(ev, &z.t);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "13");
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "131");
	ev_undefer(ev, &x.t);
	ev_undefer(ev, &x.t);
	ev_defer(ev, &z.t);
	ev_undefer(ev, &z.t);
	ev_defer(ev, &y.t);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "1312");
	a.undefer = &z.t;
	poke(&a);
	ev_defer(ev, &z.t);
	a.defer = NULL;
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(trace, "1312A");
	close_pipe(&a);
}

struct alarm {
	struct timer t;
	int fired;
	struct ev_src *del;
};

static void ring_alarm(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, t);

	a->fired++;
	note('t');
	if (a->del)
		ev_del(ev, a->del);
}

static void test_timer(void **state)
{
	struct alarm al = { .t.fire = ring_alarm };
	uint64_t start = ev_now(ev);
	int turns = 0;

	(void)state;
	timer_set(ev_timerq(ev), &al.t, start + 5 * NS_PER_MS + 1);
	while (!al.fired) {
		assert_int_equal(ev_turn(ev, -1), 0);
		turns++;
	}
	assert_true(ev_now(ev) > start + 5 * NS_PER_MS);
	assert_true(turns <= 2);		/* rounded up: no spinning */

	timer_set(ev_timerq(ev), &al.t, ev_now(ev) + 3600 * NS_PER_S);
	assert_int_equal(ev_turn(ev, 1), 0);	/* the shorter of both */
	assert_int_equal(al.fired, 1);
	timer_set(ev_timerq(ev), &al.t, UINT64_MAX - 1);
	assert_int_equal(ev_turn(ev, 1), 0);
	timer_set(ev_timerq(ev), &al.t, 0);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(al.fired, 2);
}

/* Timers come before handlers, and may take events away from them */
static void test_timer_first(void **state)
{
	struct alarm al = { .t.fire = ring_alarm };
	struct pipe_src a;

	(void)state;
	open_pipe(&a, 'A');
	poke(&a);
	poke(&a);
	timer_set(ev_timerq(ev), &al.t, 1);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "tA");
	al.del = &a.src;
	timer_set(ev_timerq(ev), &al.t, 1);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(trace, "tAt");
	close_pipe(&a);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void test_eintr(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	const struct itimerval soon = { .it_value.tv_usec = 20000 };

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(ev_turn(ev, 5000), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
}

static void stop(struct timer *t)
{
	(void)t;
	ev_stop(ev);
}

static void test_run(void **state)
{
	struct timer t = { .fire = stop };

	(void)state;
	for (int i = 0; i < 2; i++) {
		timer_set(ev_timerq(ev), &t, ev_now(ev) + NS_PER_MS);
		assert_int_equal(ev_run(ev), 0);
		assert_false(timer_armed(&t));
	}
}

int ev_test(void);
int ev_test(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_basic),
		T(test_edge),
		T(test_del_in_batch),
		T(test_mod_in_batch),
		T(test_readd_in_batch),
		T(test_again),
		T(test_again_del),
		T(test_close),
		T(test_defer),
		T(test_timer),
		T(test_timer_first),
		T(test_eintr),
		T(test_run),
	};

	return cmocka_run_group_tests_name("ev", tests, NULL, NULL);
}
