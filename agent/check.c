#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/ca.h"
#include "agent/check.h"
#include "agent/hosts.h"
#include "agent/ifup.h"
#include "agent/json.h"
#include "agent/nl.h"
#include "agent/plan.h"
#include "agent/resolv.h"
#include "base/util.h"

#define CHECK_LATER	"it has been changed since"

/**
 * struct check_ctx - What all checks need
 * @iface:	Name that the interface has, or should have
 */
struct check_ctx {
	struct checks *c;
	struct span report;
	struct env asked;
	struct nl nl;
	struct nl_link link;
	char iface[IFNAMSIZ];
};

/* --- the report ----------------------------------------------------------- */

/* Value of a key; empty if it is not there */
static struct span check_get(struct span text, const char *key)
{
	while (text.len) {
		struct span value = span_cut(&text, '\n', NULL);

		if (span_is(span_cut(&value, '=', NULL), key))
			return value;
	}
	return (struct span){ 0 };
}

void check_asked(struct span text, struct env *e)
{
	char value[ENV_VALUE_MAX];
	const char *name;

	env_init(e);
	for (unsigned int i = 0; (name = env_name(i)); i++)
		if (!span_copy(check_get(text, name), value, sizeof(value)))
			(void)env_set(e, name, value, NULL);
}

/* The first error or warning that has @word in it; empty if there is none */
static struct span check_line(struct span text, const char *word)
{
	while (text.len) {
		struct span value = span_cut(&text, '\n', NULL);
		struct span key = span_cut(&value, '=', NULL);

		if ((span_starts(key, "ERROR") || span_starts(key, "WARNING")) &&
		    value.len && memmem(value.p, value.len, word, strlen(word)))
			return value;
	}
	return (struct span){ 0 };
}

static void check_why(struct check *k, struct span report,
		      const char *const words[static 2])
{
	struct span why = { 0 };

	for (int i = 0; i < 2 && !why.len; i++)
		if (words[i])
			why = check_line(report, words[i]);
	if (!why.len)
		why = check_get(report, "ERROR1");
	if (!why.len && !span_is(check_get(report, "STATE"), "ready"))
		why = span_str("the agent has not come so far");
	if (!why.len)
		why = span_str(CHECK_LATER);
	(void)span_copy(why, k->why, sizeof(k->why));
}

struct check *check_add(struct checks *c, struct span report, const char *item,
			bool same, const char *const words[static 2])
{
	struct check *k = &c->list[c->n];

	ASSERT(c->n < CHECK_MAX);
	c->n++;
	*k = (struct check){ .item = item, .same = same };
	if (same)
		return k;
	c->differ++;
	check_why(k, report, words);
	return k;
}

/* --- the interface -------------------------------------------------------- */

static void check_mac(struct check_ctx *x)
{
	const char *const words[] = { "MAC ", NULL };
	char text[MAC_STRLEN];
	bool same = x->link.has_mac &&
		    !memcmp(x->link.mac, x->asked.mac, sizeof(x->link.mac));
	struct check *k = check_add(x->c, x->report, "mac", same, words);

	snprintf(k->asked, sizeof(k->asked), "%s", mac_fmt(x->asked.mac, text));
	snprintf(k->is, sizeof(k->is), "%s",
		 x->link.has_mac ? mac_fmt(x->link.mac, text) : "none");
}

static void check_mtu(struct check_ctx *x)
{
	const char *const words[] = { "MTU ", NULL };
	struct check *k = check_add(x->c, x->report, "mtu",
				    x->link.mtu == x->asked.mtu, words);

	snprintf(k->asked, sizeof(k->asked), "%u", x->asked.mtu);
	snprintf(k->is, sizeof(k->is), "%u", x->link.mtu);
}

static void check_up(struct check_ctx *x)
{
	const char *const words[] = { "bring it up", NULL };
	bool up = x->link.flags & IFF_UP;
	struct check *k = check_add(x->c, x->report, "link", up, words);

	snprintf(k->asked, sizeof(k->asked), "up");
	snprintf(k->is, sizeof(k->is), up ? "up" : "down");
}

/* "missing", or the kernel's refusal to say */
static void check_is(struct check *k, int has)
{
	snprintf(k->is, sizeof(k->is), "%s", has == 1 ? k->asked :
		 has == 0 ? "missing" : strerror(-has));
}

static void check_addr(struct check_ctx *x, const struct env_family *f)
{
	struct nl_addr a = { x->link.index, f->addr, f->plen };
	bool is4 = ipaddr_is4(&f->addr);
	char addr[IPADDR_STRLEN];
	const char *const words[] = { ipaddr_fmt(&f->addr, addr),
				      is4 ? NULL : "MSB_NET_IPV6" };
	int has = nl_addr_has(&x->nl, &a);
	struct check *k = check_add(x->c, x->report, is4 ? "ipv4" : "ipv6",
				    has == 1, words);

	snprintf(k->asked, sizeof(k->asked), "%s/%u", addr, f->plen);
	check_is(k, has);
}

static void check_route(struct check_ctx *x, const struct env_family *f)
{
	struct nl_route r = { x->link.index, f->gw, env_onlink(f) };
	bool is4 = ipaddr_is4(&f->gw);
	char word[IPADDR_STRLEN + 16], gw[IPADDR_STRLEN];
	const char *const words[] = { word, is4 ? NULL : "MSB_NET_IPV6" };
	int has = nl_route_has(&x->nl, &r);
	struct check *k;

	snprintf(word, sizeof(word), "route by %s", ipaddr_fmt(&f->gw, gw));
	k = check_add(x->c, x->report, is4 ? "route4" : "route6", has == 1,
		      words);
	snprintf(k->asked, sizeof(k->asked), "default via %s", gw);
	check_is(k, has);
}

/** check_iface() - Find it; the rest is asked only if it is there */
static int check_iface(struct check_ctx *x)
{
	const char *const words[] = { "rename it", x->asked.iface };
	struct check *k;
	int rc;

	if (span_copy(check_get(x->report, "IFACE"), x->iface,
		      sizeof(x->iface)) || !x->iface[0])
		(void)span_copy(span_str(x->asked.iface), x->iface,
				sizeof(x->iface));
	rc = ifup_by_name(&x->nl, x->iface, &x->link);
	if (rc && rc != -ENODEV)
		return rc;
	k = check_add(x->c, x->report, "interface",
		      !rc && !strcmp(x->iface, x->asked.iface), words);
	snprintf(k->asked, sizeof(k->asked), "%s", x->asked.iface);
	snprintf(k->is, sizeof(k->is), "%s", rc ? "missing" : x->iface);
	if (rc)
		return 0;
	check_mac(x);
	check_mtu(x);
	check_up(x);
	if (x->asked.ip4.set) {
		check_addr(x, &x->asked.ip4);
		check_route(x, &x->asked.ip4);
	}
	if (x->asked.ip6.set) {
		check_addr(x, &x->asked.ip6);
		check_route(x, &x->asked.ip6);
	}
	return 0;
}

/* --- files ---------------------------------------------------------------- */

/**
 * check_file() - Note what a dry run of writing a file came to
 * @was:	Requests planned before it
 * @rc:		What it returned
 */
static struct check *check_file(struct check_ctx *x, const char *item,
				unsigned int was, int rc, const char *word)
{
	const char *const words[] = { word, NULL };
	bool same = !rc && plan_count() == was;
	struct check *k = check_add(x->c, x->report, item, same, words);

	snprintf(k->is, sizeof(k->is), "%s", same ? "as asked" :
		 rc ? strerror(-rc) : "other content");
	return k;
}

static void check_resolv(struct check_ctx *x, const struct file_where *w)
{
	unsigned int was = plan_count();
	char text[REPORT_VALUE], link[256];
	struct wr out = wr_init(text, sizeof(text));
	struct check *k;
	int rc;

	resolv_emit(&x->asked, &out);
	if (out.bad || !wr_len(&out))
		return;
	for (uint8_t *p = out.start; p < out.p; p++)
		if (*p == '\n')
			*p = p + 1 < out.p ? ',' : '\0';
	rc = resolv_write(&x->asked, w, link, sizeof(link));
	k = check_file(x, "resolver", was, rc, "/etc/resolv.conf");
	memcpy(k->asked, text, wr_len(&out));
}

static void check_names(struct check_ctx *x, const struct file_where *w)
{
	unsigned int was = plan_count();
	struct check *k;
	int rc = hosts_write(&x->asked, w);

	k = check_file(x, "hosts", was, rc, "/etc/hosts");
	snprintf(k->asked, sizeof(k->asked), "our lines in /etc/hosts");
	if (!x->asked.hostname[0])
		return;
	was = plan_count();
	rc = hosts_name(&x->asked, w);
	k = check_file(x, "hostname", was, rc, "host name");
	snprintf(k->asked, sizeof(k->asked), "%s", x->asked.hostname);
	if (!k->same && gethostname(k->is, sizeof(k->is)))
		k->is[0] = '\0';
}

/* The first thing that there is to say is the cause */
static void check_ca_say(void *arg, const char *text)
{
	char *why = arg;

	if (!why[0])
		snprintf(why, REPORT_VALUE, "%s", text);
}

static void check_ca(struct check_ctx *x, const struct file_where *w)
{
	static struct ca_result ca;
	unsigned int was = plan_count();
	char files[REPORT_VALUE] = "", mode[16] = "", why[REPORT_VALUE] = "";
	struct ca_conf conf = { .files = files, .now = time(NULL),
				.say = check_ca_say, .arg = why };
	struct check *k;
	int rc;

	(void)span_copy(check_get(x->report, "CA_FILES"), files, sizeof(files));
	(void)span_copy(check_get(x->report, "CA_ENV"), mode, sizeof(mode));
	(void)ca_env_mode(mode, &conf.mode);
	rc = ca_install(w, &conf, &ca);
	if (!rc && !ca.certs && plan_count() == was)
		return;		/* none is asked for, and none is there */
	k = check_file(x, "ca", was, rc, ca.source[0] ? ca.source : "CA");
	snprintf(k->asked, sizeof(k->asked), "%.230s",
		 ca.source[0] ? ca.source : "none");
	if (rc == -EBADMSG) {
		snprintf(k->is, sizeof(k->is), "refused");
		snprintf(k->why, sizeof(k->why), "%s", why);
	}
}

/* --- all ------------------------------------------------------------------ */

/* What moves the frames must be alive; "msb-init net" has left on purpose */
static void check_agent(struct check_ctx *x)
{
	static const char *const words[] = { NULL, NULL };
	uint64_t pid;
	struct check *k;
	bool alive;

	if (!span_is(check_get(x->report, "MODE"), "agent") ||
	    span_uint(check_get(x->report, "PID"), INT32_MAX, &pid) || !pid)
		return;
	alive = !kill((pid_t)pid, 0) || errno == EPERM;
	k = check_add(x->c, x->report, "agent", alive, words);
	snprintf(k->asked, sizeof(k->asked), "running");
	snprintf(k->is, sizeof(k->is), alive ? "running" : "ended");
	if (!alive)
		snprintf(k->why, sizeof(k->why), "process %d is gone",
			 (int)pid);
}

int check_run(struct checks *c, struct span report, const struct file_where *w)
{
	static struct check_ctx x;
	int rc = 0;

	memset(c, 0, sizeof(*c));
	x = (struct check_ctx){ .c = c, .report = report };
	check_asked(report, &x.asked);
	check_agent(&x);
	if (x.asked.net) {
		rc = nl_open(&x.nl);
		if (!rc)
			rc = check_iface(&x);
		nl_close(&x.nl);
	}
	if (rc)
		return rc;
	plan_begin(-1);
	if (x.asked.net)
		check_resolv(&x, w);
	check_names(&x, w);
	check_ca(&x, w);
	plan_end();
	return 0;
}

void check_text(const struct checks *c, struct wr *w)
{
	if (c->differ)
		wr_fmt(w, "%-16sno: %u of %u differ\n", "as asked", c->differ,
		       c->n);
	else
		wr_fmt(w, "%-16syes\n", "as asked");
	for (unsigned int i = 0; i < c->n; i++)
		if (!c->list[i].same)
			wr_fmt(w, "%-16s%s: asked %s, is %s: %s\n", "differs",
			       c->list[i].item, c->list[i].asked,
			       c->list[i].is, c->list[i].why);
}

static void check_member(struct wr *w, bool *first, const char *key,
			 const char *value)
{
	json_key(w, first, key);
	json_str(w, value);
}

void check_json(const struct checks *c, struct wr *w)
{
	wr_fmt(w, "\"same\":%s,\"checks\":[", c->differ ? "false" : "true");
	for (unsigned int i = 0; i < c->n; i++) {
		const struct check *k = &c->list[i];
		bool first = true;

		wr_fmt(w, i ? ",{" : "{");
		check_member(w, &first, "item", k->item);
		check_member(w, &first, "asked", k->asked);
		check_member(w, &first, "is", k->is);
		wr_fmt(w, ",\"same\":%s", k->same ? "true" : "false");
		if (!k->same)
			check_member(w, &first, "why", k->why);
		wr_u8(w, '}');
	}
	wr_u8(w, ']');
}
