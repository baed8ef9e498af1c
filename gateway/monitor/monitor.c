#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ev.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "gateway/monitor/monitor.h"
#include "gateway/monitor/token.h"

#define BACKOFF_MIN	(100 * NS_PER_MS)
#define BACKOFF_MAX	(5 * NS_PER_S)
#define STEADY		(60 * NS_PER_S)	/* so long up: back-off starts anew */
#define STOP_WAIT	(3 * NS_PER_S)
#define FD_PARK		64	/* above every descriptor the child will have */
#define LOG_READS	16	/* in one turn: signals want to be heard, too */
#define LOG_WAIT	(200 * NS_PER_MS)

/**
 * struct monitor - The one monitor
 * @ctl:	Our end of the message socket; fd -1 while no child runs
 * @logs:	Our end of the log pipe
 * @served:	A packet process has been ready once: from then on its death is
 *		answered with a new one; before, it is our own failure
 * @log_last:	Last byte of its log
 */
struct monitor {
	const struct monitor_cfg *cfg;
	struct ev *ev;
	struct ev_src sig, ctl, logs;
	struct timer restart, kill, log_wait;
	pid_t child;
	uint64_t started_ns, backoff_ns;
	uint8_t token[MON_TOKEN_LEN];
	bool has_token, ready, moved, served, stopping;
	int status;
	unsigned char log_last;
};

/* ---- the child's side of fork() ------------------------------------------- */

/* Put each descriptor where the packet process expects it, then exec */
static _Noreturn void child_exec(const struct monitor_cfg *cfg, int ctl,
				 int logs, pid_t parent)
{
	char *const argv[] = { (char *)(uintptr_t)"msb-gateway",
			       (char *)(uintptr_t)"packet", NULL };
	char *const envp[] = { NULL };
	int parked[MONITOR_FDS_MAX + 2] = { 0 };
	unsigned int n = cfg->nfds + 2;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_IGN);	/* a terminal's ^C is the monitor's */
	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	for (unsigned int i = 0; i < n; i++) {
		int fd = i == 0 ? ctl : i == 1 ? logs : cfg->fds[i - 2];

		parked[i] = fcntl(fd, F_DUPFD, FD_PARK);
		if (parked[i] < 0)
			_exit(1);
	}
	if (dup2(parked[0], 0) < 0 || dup2(parked[1], 1) < 0 ||
	    dup2(parked[1], 2) < 0)
		_exit(1);
	for (unsigned int i = 2; i < n; i++)
		if (dup2(parked[i], (int)(MONITOR_FD_FIRST + i - 2)) < 0)
			_exit(1);
	for (unsigned int i = 0; i < n; i++)
		close(parked[i]);
	execve("/proc/self/exe", argv, envp);
	_exit(127);
}

/* ---- starting and ending it ----------------------------------------------- */

static void child_close(struct monitor *m)
{
	ev_del(m->ev, &m->ctl);
	ev_del(m->ev, &m->logs);
	timer_del(ev_timerq(m->ev), &m->log_wait);
	fd_close(&m->ctl.fd);
	fd_close(&m->logs.fd);
}

static int child_greet(struct monitor *m)
{
	struct mon_dns dns = { 0 };
	int rc = mon_send(m->ctl.fd, MON_TYPE_CONF, m->cfg->conf,
			  m->cfg->conf_len);

	if (rc == 0 && m->has_token)
		rc = mon_send(m->ctl.fd, MON_TYPE_TOKEN, m->token,
			      sizeof(m->token));
	if (m->cfg->dns && m->cfg->dns->n)
		dns = *m->cfg->dns;
	else if (monitor_resolv("/etc/resolv.conf", &dns) < 0 || !dns.n)
		log_warn("no nameserver in /etc/resolv.conf: the guest's "
			 "queries get SERVFAIL; name one with "
			 "--dns-nameserver");
	if (rc == 0)
		rc = mon_send(m->ctl.fd, MON_TYPE_DNS, &dns, sizeof(dns));
	return rc;
}

static int child_start(struct monitor *m)
{
	int ctl[2] = { -1, -1 }, logs[2] = { -1, -1 }, rc;
	pid_t parent = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0 ||
	    pipe2(logs, O_CLOEXEC | O_NONBLOCK) < 0) {
		rc = -errno;
		goto fail;
	}
	m->child = fork();
	if (m->child < 0) {
		rc = -errno;
		goto fail;
	}
	if (m->child == 0)
		child_exec(m->cfg, ctl[1], logs[1], parent);
	fd_close(&ctl[1]);
	fd_close(&logs[1]);
	m->ctl.fd = ctl[0];
	m->logs.fd = logs[0];
	m->ready = m->moved = false;
	m->started_ns = ev_now(m->ev);
	rc = child_greet(m);
	if (rc == 0)
		rc = fd_nonblock(m->ctl.fd);
	if (rc == 0)
		rc = ev_add(m->ev, &m->ctl, EPOLLIN);
	if (rc == 0)
		rc = ev_add(m->ev, &m->logs, EPOLLIN);
	if (rc < 0) {	/* SIGCHLD follows, and does the rest */
		log_err("packet process: %s", strerror(-rc));
		kill(m->child, SIGKILL);
	}
	return 0;
fail:
	for (int i = 0; i < 2; i++) {
		fd_close(&ctl[i]);
		fd_close(&logs[i]);
	}
	m->child = -1;
	log_err("cannot start the packet process: %s", strerror(-rc));
	return rc;
}

static void end(struct monitor *m, int status)
{
	m->status = status;
	ev_stop(m->ev);
}

static void try_later(struct monitor *m)
{
	if (ev_now(m->ev) - m->started_ns >= STEADY || !m->backoff_ns)
		m->backoff_ns = BACKOFF_MIN;
	else
		m->backoff_ns = MIN(2 * m->backoff_ns, BACKOFF_MAX);
	timer_set(ev_timerq(m->ev), &m->restart,
		  ev_now(m->ev) + m->backoff_ns);
}

static void on_restart(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, restart);

	if (!m->stopping && child_start(m) < 0)
		try_later(m);
}

static void on_kill(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, kill);

	if (m->child > 0) {
		log_warn("packet process %d does not end; killing it",
			 (int)m->child);
		kill(m->child, SIGKILL);
	}
}

static void stop(struct monitor *m)
{
	if (m->stopping)
		return;
	m->stopping = true;
	timer_del(ev_timerq(m->ev), &m->restart);
	if (m->child <= 0) {
		end(m, 0);
		return;
	}
	timer_set(ev_timerq(m->ev), &m->kill, ev_now(m->ev) + STOP_WAIT);
	if (mon_send(m->ctl.fd, MON_TYPE_STOP, NULL, 0) < 0)
		kill(m->child, SIGKILL);
}

/* ---- what comes from it --------------------------------------------------- */

/* Whoever reads our log may have stopped: then a write would block for ever */
static bool log_room(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) != 0;
}

/*
 * It writes no control characters, unless somebody has taken it over: they would
 * drive the terminal of whoever reads the log.
 */
static void defuse(struct monitor *m, char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
		    (m->log_last == 0xc2 && c >= 0x80 && c < 0xa0))
			text[i] = '?';
		m->log_last = c;
	}
}

/**
 * copy_logs() - Hand on what the packet process has logged
 *
 * What nobody takes stays in its pipe.  That fills up, and the packet process
 * counts the records that it cannot write: it never waits for us.
 */
static void copy_logs(struct monitor *m)
{
	char buf[PIPE_BUF];	/* fits when poll() says that there is room */
	ssize_t n = -1;

	for (int i = 0; i < LOG_READS; i++) {
		if (!log_room()) {
			ev_del(m->ev, &m->logs);
			timer_set(ev_timerq(m->ev), &m->log_wait,
				  ev_now(m->ev) + LOG_WAIT);
			return;
		}
		n = read(m->logs.fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		defuse(m, buf, (size_t)n);
		/* If this fails, nobody ever reads our log */
		fd_write_all(STDERR_FILENO, buf, (size_t)n);
	}
	if (n == 0)
		ev_del(m->ev, &m->logs);
}

static void on_log_wait(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, log_wait);

	if (ev_add(m->ev, &m->logs, EPOLLIN) < 0)
		timer_set(ev_timerq(m->ev), t, ev_now(m->ev) + LOG_WAIT);
}

static void logs_ready(struct ev_src *src, uint32_t events)
{
	(void)events;
	copy_logs(container_of(src, struct monitor, logs));
}

/* Each is sent once.  Return: false if it is none that may be sent now */
static bool message(struct monitor *m, enum mon_type type, const void *p,
		    size_t len)
{
	switch ((int)type) {
	case MON_TYPE_READY:
		if (m->ready)
			return false;
		m->ready = m->served = true;
		log_debug("packet process %d is isolated and serves",
			  (int)m->child);
		return true;
	case MON_TYPE_TOKEN:	/* a sandbox has one, for good */
		if (len != sizeof(m->token) || m->has_token)
			return false;
		memcpy(m->token, p, len);
		m->has_token = true;
		if (m->cfg->token_file)
			token_save(m->cfg->token_file, m->token);
		return mon_send(m->ctl.fd, MON_TYPE_TOKEN, m->token,
				sizeof(m->token)) == 0;
	case MON_TYPE_MOVED:
		if (m->moved)
			return false;
		m->moved = true;
		log_info("%.*s", (int)len, (const char *)p);
		return true;
	default:
		return false;
	}
}

/* What it says is heard no more; SIGCHLD follows.  One that ends by itself has
 * closed its socket as the last thing, and does not notice */
static void disown(struct monitor *m)
{
	ev_del(m->ev, &m->ctl);
	fd_close(&m->ctl.fd);
	if (m->child > 0)
		kill(m->child, SIGKILL);
}

static void take_messages(struct monitor *m)
{
	static uint8_t buf[MON_MAX];
	enum mon_type type = MON_TYPE_NUM;
	ssize_t n;

	while (m->ctl.fd >= 0) {
		n = mon_recv(m->ctl.fd, &type, buf, sizeof(buf));
		if (n == -EAGAIN)
			return;
		if (n >= 0 && message(m, type, buf, (size_t)n))
			continue;
		if (n != -EPIPE)
			log_err("packet process sent what is no message, or "
				"not its own (%d, %zd): killing it", (int)type,
				n);
		disown(m);
	}
}

static void ctl_ready(struct ev_src *src, uint32_t events)
{
	(void)events;
	take_messages(container_of(src, struct monitor, ctl));
}

static void child_ended(struct monitor *m, int st)
{
	bool clean = WIFEXITED(st) && WEXITSTATUS(st) == 0;

	m->child = -1;		/* its number may be somebody else's by now */
	take_messages(m);
	copy_logs(m);
	child_close(m);
	if (m->stopping) {
		end(m, clean ? 0 : 1);
		return;
	}
	if (WIFSIGNALED(st))
		log_err("packet process ended by signal %d (%s)%s",
			WTERMSIG(st), strsignal(WTERMSIG(st)),
			WTERMSIG(st) == SIGSYS ? ": a system call that is not "
			"on its list" : "");
	else
		log_err("packet process ended with status %d",
			WEXITSTATUS(st));
	if (!m->served) {
		end(m, 1);
		return;
	}
	try_later(m);
}

static void sig_ready(struct ev_src *src, uint32_t events)
{
	struct monitor *m = container_of(src, struct monitor, sig);
	struct signalfd_siginfo si;
	int st;

	(void)events;
	while (read(src->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo != SIGCHLD) {
			stop(m);
			continue;
		}
		if (m->child > 0 && waitpid(m->child, &st, WNOHANG) == m->child)
			child_ended(m, st);
	}
}

/* ---- */

static int setup(struct monitor *m)
{
	sigset_t set;
	int rc;

	m->ev = ev_new(4);
	if (!m->ev)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	m->sig.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->sig.fd < 0)
		return -errno;
	rc = ev_add(m->ev, &m->sig, EPOLLIN);
	if (rc < 0)
		return rc;
	if (m->cfg->token_file)
		rc = token_load(m->cfg->token_file, m->token);
	m->has_token = m->cfg->token_file && rc == 0;
	return rc == -ENOENT ? 0 : rc;
}

/* Somebody may have removed it, and another gateway have taken its place */
static void unlink_own(const char *path, const struct stat *own)
{
	struct stat st;

	if (path && lstat(path, &st) == 0 && st.st_dev == own->st_dev &&
	    st.st_ino == own->st_ino)
		unlink(path);
}

int monitor_run(const struct monitor_cfg *cfg)
{
	struct stat own = { 0 };
	struct monitor m = {
		.cfg = cfg,
		.sig = { .fd = -1, .ready = sig_ready },
		.ctl = { .fd = -1, .ready = ctl_ready },
		.logs = { .fd = -1, .ready = logs_ready },
		.restart = { .fire = on_restart },
		.kill = { .fire = on_kill },
		.log_wait = { .fire = on_log_wait },
		.child = -1,
		.status = 1,
	};
	int rc;

	ASSERT(cfg->nfds <= MONITOR_FDS_MAX);
	if (cfg->unlink_path && lstat(cfg->unlink_path, &own) < 0)
		own.st_ino = 0;
	rc = setup(&m);
	if (rc == 0)
		rc = child_start(&m);
	else
		log_err("cannot start: %s", strerror(-rc));
	if (rc == 0)
		rc = ev_run(m.ev);
	unlink_own(cfg->unlink_path, &own);
	if (m.ev) {
		child_close(&m);
		ev_del(m.ev, &m.sig);
		ev_free(m.ev);
	}
	fd_close(&m.sig.fd);
	secure_zero(m.token, sizeof(m.token));
	return rc < 0 ? 1 : m.status;
}
