#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/ifmon.h"
#include "agent/ifup.h"
#include "base/fd.h"
#include "base/log.h"

#define LOWER_UP	0x10000		/* IFF_LOWER_UP of linux/if.h */

static const struct {
	const char *name, *what;
} ifmon_states[] = {
	[IFMON_STATE_UP] = { "up", "" },
	[IFMON_STATE_DOWN] = { "down", "was taken down" },
	[IFMON_STATE_CABLE] = { "no carrier", "has no carrier" },
	[IFMON_STATE_GONE] = { "gone", "is gone" },
};
static_assert(ARRAY_SIZE(ifmon_states) == IFMON_STATE_NUM, "name every state");

static int ifmon_open(struct ifmon *m)
{
	int rc = nl_open(m->nl);

	if (rc)
		log_warn("%s: cannot look at it: %s", m->env->iface,
			 strerror(-rc));
	return rc;
}

/* --- what is there ------------------------------------------------------- */

struct ifmon_seek {
	unsigned int index;
	struct nl_link *out;
};

static bool ifmon_match(const struct nl_link *l, void *arg)
{
	struct ifmon_seek *s = arg;

	if (l->index != s->index)
		return false;
	*s->out = *l;
	return true;
}

/** ifmon_find() - The interface as it is now: 0; -ENODEV; -errno */
static int ifmon_find(struct ifmon *m, struct nl_link *l)
{
	struct ifmon_seek s = { m->index, l };
	int rc = nl_links(m->nl, ifmon_match, &s);

	if (rc)
		return rc < 0 ? rc : 0;
	return m->env->link.kind == ENV_LINK_NIC ?
	       ifup_look_nic(m->nl, m->env, l) : -ENODEV;
}

/* --- what is done -------------------------------------------------------- */

static void ifmon_event(const struct nl_link *l, bool gone, void *arg)
{
	struct ifmon *m = arg;

	if (l->index == m->index && (gone || !(l->flags & IFF_UP)))
		m->fell = true;
}

static void ifmon_events(struct ifmon *m)
{
	if (nl_events_read(m->src.fd, ifmon_event, m))
		m->fell = true;		/* for all we know */
}

/** ifmon_fall() - It is not up: say so */
static void ifmon_fall(struct ifmon *m, enum ifmon_state to)
{
	if (to == m->state)
		return;
	m->state = to;
	report_mend(m->report);
	report_fail(m->report, "%s %s", m->env->iface, ifmon_states[to].what);
}

/** ifmon_repair() - It is up, or to be brought up: configure what is missing */
static void ifmon_repair(struct ifmon *m, const struct nl_link *l)
{
	bool first = !m->index, back = l->index != m->index;

	/* All that went wrong with it is tried again */
	report_mend(m->report);
	m->state = IFMON_STATE_UP;
	m->index = l->index;
	if (ifup_iface(m->nl, m->report, l, m->env))
		return;
	if (first)
		report_time(m->report, "T_ETH0");
	log_info("%s %s, and configured%s", m->env->iface, first ? "has come" :
		 back ? "is back" : "is up again", first ? "" : " again");
	/* To set its MAC ifup may have taken it down */
	ifmon_events(m);
	m->fell = false;
	ev_again(m->ev, &m->src);
}

static void ifmon_decide(struct ifmon *m, const struct nl_link *l, bool late)
{
	bool same = l->index == m->index && m->state != IFMON_STATE_GONE;

	if (same && !(l->flags & IFF_UP)) {
		ifmon_fall(m, IFMON_STATE_DOWN);
	} else if (same && !(l->flags & LOWER_UP)) {
		/* Many drivers find their carrier only after a while */
		if (late)
			ifmon_fall(m, IFMON_STATE_CABLE);
		else if (m->state != IFMON_STATE_CABLE)
			timer_set(ev_timerq(m->ev), &m->late,
				  ev_now(m->ev) + IFMON_CARRIER_NS);
	} else if (!same || m->fell || m->state != IFMON_STATE_UP) {
		ifmon_repair(m, l);
	}
}

/**
 * ifmon_look() - Look, and do what is to be done
 * @late:	It has had its time to find a carrier
 */
static void ifmon_look(struct ifmon *m, bool late)
{
	struct report *r = m->report;
	struct nl_link l;
	int rc;

	if (ifmon_open(m))
		return;
	rc = ifmon_find(m, &l);
	if (!rc)
		ifmon_decide(m, &l, late);
	else if (rc == -ENODEV)
		ifmon_fall(m, IFMON_STATE_GONE);
	else
		log_warn("%s: cannot look at it: %s", m->env->iface,
			 strerror(-rc));
	nl_close(m->nl);
	report_set(r, "IFACE_STATE", "%s", ifmon_states[m->state].name);
	report_set(r, "STATE", "%s", r->failed ? "failed" : "ready");
	report_save(r);
	if (!r->failed)
		report_ready(r);
}

static void ifmon_ready(struct ev_src *src, uint32_t events)
{
	struct ifmon *m = container_of(src, struct ifmon, src);

	(void)events;
	ifmon_events(m);
	ifmon_look(m, false);
}

static void ifmon_late(struct timer *t)
{
	ifmon_look(container_of(t, struct ifmon, late), true);
}

int ifmon_start(struct ifmon *m, struct ev *ev, struct nl *nl,
		struct report *r, const struct env *e, unsigned int index)
{
	int fd = nl_events_open(), rc;

	*m = (struct ifmon){
		.ev = ev, .nl = nl, .report = r, .env = e,
		.src = { .fd = fd, .ready = ifmon_ready },
		.late = { .fire = ifmon_late },
		.state = index ? IFMON_STATE_UP : IFMON_STATE_GONE,
		.index = index,
	};
	if (fd < 0)
		return fd;
	rc = ev_add(ev, &m->src, EPOLLIN);
	if (rc) {
		fd_close(&m->src.fd);
		m->ev = NULL;
		return rc;
	}
	ifmon_look(m, false);
	return 0;
}

void ifmon_stop(struct ifmon *m)
{
	if (!m->ev)
		return;
	timer_del(ev_timerq(m->ev), &m->late);
	ev_del(m->ev, &m->src);
	fd_close(&m->src.fd);
}
