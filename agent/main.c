#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/beside.h"
#include "agent/ca.h"
#include "agent/conf.h"
#include "agent/dial.h"
#include "agent/fwd.h"
#include "agent/hosts.h"
#include "agent/ifmon.h"
#include "agent/ifup.h"
#include "agent/nl.h"
#include "agent/plan.h"
#include "agent/probe.h"
#include "agent/report.h"
#include "agent/resolv.h"
#include "agent/unmanaged.h"
#include "base/fd.h"
#include "link/tap.h"
#include "proto/ports.h"

#define TUN_DIR		"/dev/net"
#define TUN_NODE	"/dev/net/tun"
#define TUN_MAJOR	10	/* admin-guide/devices.txt of Linux */
#define TUN_MINOR	200
#define TAP_MTU		1500	/* of a new one */
#define ASKED_MAX	2048	/* all variables, as env_emit() writes them */
#define AGENT_TIMERS	8	/* keepalive, dead, retry, and room */

/**
 * struct agent - All of it
 * @ifindex:	Of the interface; 0 if the NIC has not come yet
 * @no_device:	The interface is not there, and could not be made
 * @probe:	Pipe from the child that runs the probe
 * @line:	What it has said so far
 */
struct agent {
	struct conf conf;
	struct report report;
	struct ev *ev;
	struct nl nl;
	struct fwd fwd;
	bool forwards, monitors, no_device;
	struct ifmon ifmon;
	unsigned int ifindex;
	struct beside beside;
	struct ev_src sig, probe;
	pid_t probe_pid;
	char line[REPORT_VALUE];
	size_t line_len;
};

static struct file_where agent_where(const struct agent *a)
{
	return (struct file_where){ .root = a->conf.root,
				    .run_dir = a->conf.run_dir, .path = "" };
}

/* --- files --------------------------------------------------------------- */

static void agent_ca_say(void *arg, const char *text)
{
	report_warn(arg, "%s", text);
}

static void agent_ca(struct agent *a)
{
	struct file_where w = agent_where(a);
	const struct ca_conf conf = {
		.files = a->conf.ca, .now = time(NULL), .mode = a->conf.ca_env,
		.say = agent_ca_say, .arg = &a->report };
	static struct ca_result ca;
	struct report *r = &a->report;
	int rc = ca_install(&w, &conf, &ca);

	/* What "status" needs to look whether all is as it was asked for */
	if (conf.files[0])
		report_set(r, "CA_FILES", "%s", conf.files);
	if (conf.mode != CA_ENV_MODE_KEEP)
		report_set(r, "CA_ENV", "%s", conf.mode == CA_ENV_MODE_OFF ?
			   "off" : "replace");
	if (rc && rc != -EBADMSG)
		report_warn(r, "cannot install CA certificates: %s",
			    strerror(-rc));
	if (ca.refused)
		report_set(r, "CA_REFUSED", "%u", ca.refused);
	if (rc || !ca.certs) {
		report_set(r, "CA", "%s", rc ? "failed" : "none");
		return;
	}
	report_set(r, "CA", "%u certificate%s from %s%s in %s", ca.certs,
		   ca.certs == 1 ? "" : "s", ca.source,
		   ca.sources > 1 ? " and others" : "", ca.bundle);
	report_set(r, "CA_BUNDLE", "%s", ca.bundle);
	if (ca.file[0])
		report_set(r, "CA_FILE", "%s", ca.file);
	if (ca.jks[0])
		report_set(r, "CA_JKS", "%s", ca.jks);
	if (ca.unjudged)
		report_set(r, "CA_UNJUDGED", "%u", ca.unjudged);
	if (ca.note[0])
		report_set(r, "CA_NOTE", "%s", ca.note);
}

/* None of these keeps the network from working: warnings at most */
static void agent_files(struct agent *a)
{
	struct file_where w = agent_where(a);
	struct report *r = &a->report;
	char link[256], dns[2 * IPADDR_STRLEN], text[IPADDR_STRLEN];
	struct wr out = wr_init(dns, sizeof(dns) - 1);
	const struct env *e = &a->conf.env;
	int rc;

	rc = hosts_write(e, &w);
	if (rc)
		report_warn(r, "/etc/hosts: %s", strerror(-rc));
	rc = hosts_name(e, &w);
	if (rc)
		report_warn(r, "cannot set the host name: %s", strerror(-rc));
	agent_ca(a);
	if (!e->net || a->conf.bad_net)
		return;
	rc = resolv_write(e, &w, link, sizeof(link));
	if (rc)
		report_warn(r, "/etc/resolv.conf: %s", strerror(-rc));
	else if (link[0] && !plan_dry())
		log_info("/etc/resolv.conf: replaced the link to %s", link);
	if (e->ip4.set && e->ip4.has_dns)
		wr_fmt(&out, "%s", ipaddr_fmt(&e->ip4.dns, text));
	if (e->ip6.set && e->ip6.has_dns)
		wr_fmt(&out, "%s%s", wr_len(&out) ? " " : "",
		       ipaddr_fmt(&e->ip6.dns, text));
	*out.p = '\0';
	if (wr_len(&out))
		report_set(r, "DNS", "%s", dns);
}

/* --- interface ----------------------------------------------------------- */

/* devtmpfs has the node only where the driver is built in or was loaded */
static void agent_tap_node(void)
{
	if (!access(TUN_NODE, F_OK))
		return;
	if (plan_do("mknod %s c %d %d, mode 0600", TUN_NODE, TUN_MAJOR,
		    TUN_MINOR)) {
		(void)mkdir(TUN_DIR, 0755);
		(void)mknod(TUN_NODE, S_IFCHR | 0600,
			    makedev(TUN_MAJOR, TUN_MINOR));
	}
}

/* What tap_open() does, in words; whether to do it */
static bool agent_tap_planned(const char *name)
{
	bool act = plan_do("open %s", TUN_NODE);

	plan_do("ioctl TUNSETIFF %s IFF_TAP|IFF_NO_PI|IFF_VNET_HDR", name);
	plan_do("ioctl TUNSETVNETHDRSZ %d", LINK_VNET_LEN);
	plan_do("ioctl TUNSETVNETLE 1");
	plan_do("ioctl TUNSETPERSIST 1");
	plan_do("ioctl TUNSETOFFLOAD, each that the kernel has");
	return act;
}

/* The TAP there would be: the one that is there, or a new one */
static int agent_tap_dry(struct agent *a, struct nl_link *l)
{
	const char *name = a->conf.env.iface;
	int rc = ifup_by_name(&a->nl, name, l);

	if (rc != -ENODEV)
		return rc;
	*l = (struct nl_link){ .index = plan_make(name), .mtu = TAP_MTU };
	return span_copy(span_str(name), l->name, sizeof(l->name));
}

static int agent_tap(struct agent *a, struct nl_link *l, int *fd,
		     uint32_t *features)
{
	const char *name = a->conf.env.iface;
	int rc;

	agent_tap_node();
	if (!agent_tap_planned(name))
		return agent_tap_dry(a, l);
	*fd = tap_open(name, true, features);
	if (*fd == -ENOENT || *fd == -ENODEV || *fd == -ENXIO) {
		report_fail(&a->report, "no tun in this kernel: load the module"
			    " tun (CONFIG_TUN)");
		return *fd;
	}
	if (*fd < 0) {
		report_fail(&a->report, "%s: cannot make the TAP: %s%s", name,
			    strerror(-*fd), *fd == -EBUSY ?
			    ": is another agent running?" : "");
		if (*fd == -EBUSY)	/* its report is not ours to replace */
			a->report.run_dir = NULL;
		return *fd;
	}
	rc = ifup_by_name(&a->nl, name, l);
	if (rc)
		report_fail(&a->report, "%s: %s", name, strerror(-rc));
	return rc;
}

/* "nic" is found, or a TAP made: MSB_LINK decides, or what the machine has */
static int agent_link(struct agent *a, struct nl_link *l, int *tap_fd,
		      uint32_t *features)
{
	struct env_link *link = &a->conf.env.link;
	char text[ENV_PATH_MAX + 8];
	int rc = -ENODEV;

	if (link->kind == ENV_LINK_AUTO || link->kind == ENV_LINK_NIC)
		rc = ifup_find_nic(&a->nl, &a->conf.env, l);
	if (!rc) {
		link->kind = ENV_LINK_NIC;
	} else if (link->kind == ENV_LINK_NIC) {
		report_fail(&a->report, "no NIC with the MAC of MSB_NET, and"
			    " none called %s: %s", a->conf.env.iface,
			    strerror(-rc));
		return rc;
	} else {
		if (link->kind == ENV_LINK_AUTO)
			*link = (struct env_link){
				.kind = ENV_LINK_VSOCK, .cid = PROTO_CID_HOST,
				.port = PROTO_PORT_FRAMES };
		rc = agent_tap(a, l, tap_fd, features);
	}
	report_set(&a->report, "LINK", "%s",
		   dial_name(link, text, sizeof(text)));
	return rc;
}

static void agent_token(struct fwd *f)
{
	beside_token(&container_of(f, struct agent, fwd)->beside,
		     f->hello.token);
}

/**
 * agent_net() - Everything between the variables and a working interface
 *
 * The connect is begun before the addresses are set: the gateway answers while
 * we go on.
 */
static void agent_net(struct agent *a)
{
	struct report *r = &a->report;
	uint32_t features = 0;
	struct nl_link l;
	int fd = -1, rc;

	if (!a->conf.env.net || a->conf.bad_net)
		return;
	rc = agent_link(a, &l, &fd, &features);
	/* A NIC that was asked for may come later yet; a TAP is ours to make */
	a->monitors = !rc || a->conf.env.link.kind == ENV_LINK_NIC;
	a->no_device = rc;
	if (rc) {
		fd_close(&fd);
		return;
	}
	a->ifindex = l.index;
	report_time(r, "T_LINK");
	if (a->conf.env.link.kind != ENV_LINK_NIC && !a->conf.once &&
	    plan_do("connect %s, and forward", report_get(r, "LINK"))) {
		rc = fwd_start(&a->fwd, a->ev, r, fd, features, &a->conf.env,
			       a->conf.token);
		if (rc)
			report_fail(r, "cannot forward: %s", strerror(-rc));
		a->forwards = !rc;
		a->fwd.on_token = agent_token;
		fd = -1;
	}
	ifup_iface(&a->nl, r, &l, &a->conf.env);
	fd_close(&fd);
}

/* --- probe --------------------------------------------------------------- */

/* In the child: a short line to the pipe */
static _Noreturn void agent_probe_child(const char *url, int fd)
{
	static struct probe p;
	char line[REPORT_VALUE];
	struct wr w = wr_init(line, sizeof(line));

	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	probe_run(url, NULL, &p);
	probe_line(&p, &w);
	_exit(fd_write_all(fd, line, wr_len(&w)) ? 1 : (int)p.exit);
}

static void agent_probe_ready(struct ev_src *src, uint32_t events)
{
	struct agent *a = container_of(src, struct agent, probe);
	size_t room = sizeof(a->line) - 1 - a->line_len;
	ssize_t n = read(src->fd, a->line + a->line_len, room);

	(void)events;
	if (n > 0) {
		a->line_len += (size_t)n;
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	ev_del(a->ev, src);
	fd_close(&src->fd);
	/* The end of the pipe is the end of the child */
	while (waitpid(a->probe_pid, NULL, 0) < 0 && errno == EINTR)
		;
	a->line[a->line_len] = '\0';
	report_set(&a->report, "PROBE", "%s: %s", a->conf.probe,
		   a->line_len ? a->line : "the probe died");
	log_info("probe: %s", report_get(&a->report, "PROBE"));
	report_save(&a->report);
}

/* In a child of its own: names and connections may take their time */
static void agent_probe(struct agent *a)
{
	int p[2];

	if (!a->conf.probe[0] || a->report.failed ||
	    !plan_do("fetch %s", a->conf.probe))
		return;
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK))
		return;
	a->probe_pid = fork();
	if (!a->probe_pid) {
		close(p[0]);
		fd_close(&a->report.ready_fd);
		agent_probe_child(a->conf.probe, p[1]);
	}
	close(p[1]);
	a->probe.fd = p[0];
	a->probe.ready = agent_probe_ready;
	if (a->probe_pid < 0 || ev_add(a->ev, &a->probe, EPOLLIN))
		fd_close(&a->probe.fd);
}

/* --- life ---------------------------------------------------------------- */

static void agent_signal(struct ev_src *src, uint32_t events)
{
	struct agent *a = container_of(src, struct agent, sig);
	struct signalfd_siginfo si = { 0 };

	(void)events;
	if (read(src->fd, &si, sizeof(si)) != sizeof(si))
		return;
	log_debug("signal %u", si.ssi_signo);
	ev_stop(a->ev);
}

static int agent_signals(struct agent *a)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	if (!a->conf.handoff)
		sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	a->sig.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->sig.fd < 0)
		return -errno;
	a->sig.ready = agent_signal;
	return ev_add(a->ev, &a->sig, EPOLLIN);
}

static void agent_unmanaged_failed(void *arg, const char *path, int rc)
{
	struct agent *a = arg;

	report_warn(&a->report, "%s: %s", path, strerror(-rc));
}

/* Only beside another init is there anybody to be kept away */
static void agent_unmanaged(struct agent *a)
{
	struct file_where w = agent_where(a);

	if (a->conf.env.net && !a->conf.bad_net &&
	    (a->conf.handoff || !a->conf.pid1))
		unmanaged_write(&a->conf.env, &w, agent_unmanaged_failed, a);
}

static void agent_saved(struct report *r)
{
	struct agent *a = container_of(r, struct agent, report);

	beside_status(&a->beside, r);
}

/* As PID 1 does with its own */
static void agent_stages(const struct report *r)
{
	static const char *const keys[] = { "T_START", "T_LINK", "T_ETH0",
					    "CPU" };
	char text[128];
	struct wr w = wr_init(text, sizeof(text));

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (report_get(r, keys[i])[0])
			wr_fmt(&w, " %s=%s", keys[i], report_get(r, keys[i]));
	log_info("boot (ns):%.*s", (int)wr_len(&w), text);
}

static void agent_configure(struct agent *a)
{
	struct report *r = &a->report;
	int rc = nl_open(&a->nl);

	if (rc) {
		report_fail(r, "no netlink: %s", strerror(-rc));
	} else {
		ifup_lo(&a->nl, r);
		agent_unmanaged(a);
		agent_net(a);
	}
	agent_files(a);
	nl_close(&a->nl);
	if (a->conf.env.net && !r->failed)
		report_time(r, "T_ETH0");
	report_set(r, "STATE", "%s", r->failed ? "failed" : "ready");
	report_cpu(r, "CPU");
	if (a->conf.verbose && !a->conf.dry)
		agent_stages(r);
	report_save(r);
	report_ready(r);
}

static int agent_live(struct agent *a)
{
	int rc;

	if (!beside_ready(&a->beside, &a->conf, &a->report,
			  a->forwards || !a->report.failed))
		return 1;
	agent_probe(a);
	if (a->monitors) {
		rc = ifmon_start(&a->ifmon, a->ev, &a->nl, &a->report,
				 &a->conf.env, a->ifindex);
		if (rc)
			report_warn(&a->report, "%s: cannot watch it: %s",
				    a->conf.env.iface, strerror(-rc));
	}
	rc = ev_run(a->ev);
	if (rc)
		log_err("event loop: %s", strerror(-rc));
	ifmon_stop(&a->ifmon);
	if (a->forwards)
		fwd_stop(&a->fwd);
	return rc || a->fwd.tap_gone;
}

/* What was asked for, for msb-init status to compare with */
static void agent_asked(struct agent *a)
{
	char text[ASKED_MAX];
	struct wr w = wr_init(text, sizeof(text));
	struct span all, key;

	env_emit(&a->conf.env, '\n', &w);
	all = (struct span){ w.start, wr_len(&w) };
	while (all.len) {
		struct span value = span_cut(&all, '\n', NULL);
		char name[REPORT_KEY];

		key = span_cut(&value, '=', NULL);
		if (!span_copy(key, name, sizeof(name)))
			report_set(&a->report, name, "%.*s", (int)value.len,
				   (const char *)value.p);
	}
}

static enum agent_exit agent_once(const struct agent *a)
{
	if (a->conf.bad_net)
		return AGENT_EXIT_VARIABLE;
	if (a->no_device)
		return AGENT_EXIT_DEVICE;
	return a->report.failed ? AGENT_EXIT_FAILED : AGENT_EXIT_OK;
}

static int agent_run(struct agent *a)
{
	int rc;

	a->ev = ev_new(AGENT_TIMERS);
	rc = a->ev ? agent_signals(a) : -errno;
	if (rc) {
		log_err("cannot start: %s", strerror(-rc));
		return AGENT_EXIT_FAILED;
	}
	agent_configure(a);
	if (a->conf.dry && !a->conf.once)
		agent_probe(a);
	rc = a->conf.once || a->conf.dry ? (int)agent_once(a) : agent_live(a);
	fd_close(&a->sig.fd);
	ev_free(a->ev);
	return rc;
}

static int agent_start(bool net, int argc, char **argv)
{
	static struct agent a;
	int rc;

	report_init(&a.report);
	report_time(&a.report, "T_START");
	rc = conf_args(&a.conf, net, argc, argv);
	if (rc)
		return rc == -ECANCELED ? AGENT_EXIT_OK : AGENT_EXIT_USAGE;
	log_init(2, "msb-init", LOG_SINK_TEXT, a.conf.level);
	if (a.conf.dry)
		plan_begin(STDOUT_FILENO);
	(void)log_own_tty();	/* without it there is a little to fear */
	conf_env(&a.conf, &a.report);
	report_open(&a.report, a.conf.run_dir,
		    a.conf.dry ? -1 : a.conf.ready_fd);
	rc = beside_start(&a.beside, &a.conf);
	if (rc >= 0)
		return rc;
	a.report.on_save = agent_saved;
	report_set(&a.report, "PID", "%d", (int)getpid());
	report_set(&a.report, "MODE", "%s", a.conf.once ? "once" : "agent");
	report_set(&a.report, "STATE", "%s", "starting");
	agent_asked(&a);
	rc = agent_run(&a);
	beside_stop(&a.beside);
	fd_close(&a.report.ready_fd);
	secure_zero(a.conf.token, sizeof(a.conf.token));
	return rc;
}

int agent_main(int argc, char **argv)
{
	return agent_start(false, argc, argv);
}

int agent_net_main(int argc, char **argv)
{
	return agent_start(true, argc, argv);
}

void agent_version_print(FILE *f)
{
#ifdef LIBMNL_VERSION
	fprintf(f, "libmnl/%s\n", LIBMNL_VERSION);
#else
	fprintf(f, "libmnl\n");		/* it does not tell its version */
#endif
	fprintf(f, "%s\n", curl_version());
}
