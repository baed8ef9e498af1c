#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "gateway/conf.h"
#include "gateway/gw.h"
#include "gateway/host.h"
#include "gateway/monitor/listen.h"
#include "gateway/monitor/monitor.h"
#include "proto/env.h"
#include "proto/ports.h"

#define ERR_LEN	512

static const char usage[] =
"msb-gateway - user-space network gateway of a sandbox\n"
"\n"
"  msb-gateway run WAY [OPTIONS]   serve one sandbox until SIGTERM\n"
"  msb-gateway env [OPTIONS]       print what the guest must be told\n"
"  msb-gateway check-host          say what this host lacks\n"
"  msb-gateway --version | --help\n"
"\n"
"Ways in, one of:\n"
"  --vhost-user PATH [--guest-cid N]  be the virtio-vsock device (QEMU)\n"
"  --uds PATH [--uds-group GROUP]     hybrid vsock: PATH_1024 (Firecracker,\n"
"                                     Cloud Hypervisor, vhost-device-vsock)\n"
"  --unix PATH [--uds-group GROUP]    plain Unix socket (libkrun, QEMU stream)\n"
"  --vsock PORT --cid N               AF_VSOCK, with the host's vhost-vsock\n"
"  --tap-fd N                         an open TAP with virtio-net headers\n"
"\n"
"Addresses:\n"
"  --slot N            number of the sandbox on this host, 0 to 65535 (0)\n"
"  --ipv4 auto|on|off|ADDR, --ipv6 auto|on|off|ADDR\n"
"                      auto: on if the host has a route; ADDR: the guest's\n"
"  --mtu N             1500\n"
"  --ra                send IPv6 router advertisements\n"
"\n"
"Policy:\n"
"  --net LIST          public, private, host; or none, or all (public)\n"
"  --dns-nameserver A  IP, IP:PORT or [IPv6]:PORT; repeat for more\n"
"  --max-connections N TCP flows at once, 1 to 65536 (4096)\n"
"\n"
"Other:\n"
"  --config FILE       JSON; flags override it\n"
"  --token-file FILE   keep the sandbox's token across restarts\n"
"  --pcap FILE         record what the guest sends and gets\n"
"  --fault LIST        lose, reorder, double and corrupt frames, for tests:\n"
"                      seed=1,loss=2%,reorder=5%,dup=1%,corrupt=0.1%,delay=1ms\n"
"  --log-level error|warn|info|debug, --log-format text|json\n"
"  --no-offload, --no-peek-off  do without, for tests\n"
"  --no-isolation      for debuggers only\n"
"\n"
"env only:\n"
"  --cmdline           on one line, for the kernel's command line\n";

/* ---- run ------------------------------------------------------------------ */

static uint64_t nofile_need(const struct gw_conf *c)
{
	/* one socket for each flow: TCP, UDP, pings and DNS; and a few more */
	return (uint64_t)c->max_conns + conf_udp_flows(c) + 512;
}

static int open_listener(const struct gw_conf *c, char *path, size_t size,
			 char *err)
{
	path[0] = '\0';
	switch (c->way) {
	case CONF_WAY_VHOST_USER:
	case CONF_WAY_UNIX:
		snprintf(path, size, "%s", c->path);
		return listen_unix(path, c->group, err, ERR_LEN);
	case CONF_WAY_UDS:
		snprintf(path, size, "%s_%u", c->path, PROTO_PORT_FRAMES);
		return listen_unix(path, c->group, err, ERR_LEN);
	case CONF_WAY_VSOCK:
		return listen_vsock(c->vsock_port, err, ERR_LEN);
	case CONF_WAY_TAP:
		if (fcntl(c->tap_fd, F_GETFD) < 0) {
			snprintf(err, ERR_LEN, "--tap-fd %d: %s", c->tap_fd,
				 strerror(errno));
			return -EBADF;
		}
		return fd_nonblock(c->tap_fd) < 0 ? -EBADF : c->tap_fd;
	case CONF_WAY_NONE:
		break;
	}
	snprintf(err, ERR_LEN, "say how the guest's frames come in: "
		 "--vhost-user, --uds, --unix, --vsock or --tap-fd");
	return -EINVAL;
}

static int open_pcap(const char *path, char *err)
{
	/* O_NONBLOCK: a FIFO whose reader stalls ends the capture, not the guest */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND |
		      O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0) {
		snprintf(err, ERR_LEN, "--pcap %s: %s", path, strerror(errno));
		return -errno;
	}
	return fd;
}

static void say_what(const struct gw_conf *c)
{
	char a[IPADDR_STRLEN], b[IPADDR_STRLEN];

	log_info("slot %u: guest %s%s%s, policy %s", c->slot,
		 c->net.v4 ? ipaddr_fmt(&c->net.guest4, a) : "",
		 c->net.v4 && c->net.v6 ? " and " : "",
		 c->net.v6 ? ipaddr_fmt(&c->net.guest6, b) : "", c->net_list);
	if (!c->net.v4 && !c->net.v6)
		log_warn("no address family is active: this host has no route; "
			 "say --ipv4 on to reach the host itself");
	if (c->no_isolation)
		log_warn("--no-isolation: a guest that breaks out of the "
			 "packet process has this user's rights");
}

static int serve(struct gw_conf *c, char *err)
{
	char path[CONF_PATH_MAX + 16];
	struct mon_dns dns = { .n = c->ndns };
	struct monitor_cfg m = { .conf = c, .conf_len = sizeof(*c) };
	int fds[2], rc;

	fds[0] = open_listener(c, path, sizeof(path), err);
	if (fds[0] < 0)
		return -EINVAL;
	c->fd.link = MONITOR_FD_FIRST;
	m.nfds = 1;
	m.unlink_path = path[0] ? path : NULL;
	if (c->pcap[0]) {
		fds[1] = open_pcap(c->pcap, err);
		if (fds[1] < 0) {
			if (m.unlink_path)
				unlink(m.unlink_path);
			return -EINVAL;
		}
		c->fd.pcap = MONITOR_FD_FIRST + 1;
		m.nfds = 2;
	}
	for (uint32_t i = 0; i < c->ndns; i++) {
		dns.server[i].addr = c->dns[i].addr;
		dns.server[i].port = c->dns[i].port;
	}
	m.fds = fds;
	m.dns = &dns;
	m.token_file = c->token_file[0] ? c->token_file : NULL;
	say_what(c);
	rc = monitor_run(&m);
	for (unsigned int i = 0; i < m.nfds; i++)
		fd_close(&fds[i]);
	return rc;
}

static int usage_error(const char *err)
{
	fprintf(stderr, "msb-gateway: %s\n", err);
	return 2;
}

static int derive(struct gw_conf *c, char *err)
{
	return conf_derive(c,
			   c->family4 == CONF_FAMILY_AUTO &&
			   host_has_route(false),
			   c->family6 == CONF_FAMILY_AUTO &&
			   host_has_route(true), err, ERR_LEN);
}

static int cmd_run(int argc, char **argv)
{
	static struct gw_conf c;
	char err[ERR_LEN];
	uint64_t hard;
	int rc;

	conf_init(&c);
	if (conf_flags(&c, argc, argv, NULL, NULL, err, sizeof(err)) < 0 ||
	    derive(&c, err) < 0)
		return usage_error(err);
	log_init(STDERR_FILENO, "msb-gateway", c.log_sink, c.log_level);
	rc = host_raise_nofile(nofile_need(&c), &hard);
	if (rc == -EMFILE) {
		snprintf(err, sizeof(err), "--max-connections %u, with %u UDP "
			 "flows, needs %llu descriptors, and the hard limit "
			 "(RLIMIT_NOFILE) is %llu: raise it or lower the "
			 "option", c.max_conns, conf_udp_flows(&c),
			 (unsigned long long)nofile_need(&c),
			 (unsigned long long)hard);
		return usage_error(err);
	}
	rc = serve(&c, err);
	return rc < 0 ? usage_error(err) : rc;
}

/* ---- env ------------------------------------------------------------------ */

static int env_flag(const char *flag, const char *value, void *arg)
{
	(void)value;
	if (strcmp(flag, "--cmdline"))
		return 0;
	*(bool *)arg = true;
	return 1;
}

static void fill_family(struct env_family *f, const struct ipaddr *addr,
			uint8_t plen, const struct ipaddr *gw)
{
	*f = (struct env_family){ .set = true, .addr = *addr, .plen = plen,
				  .gw = *gw, .dns = *gw, .has_dns = true };
}

static int fill_env(const struct gw_conf *c, struct env *e, char *err)
{
	const struct netif_conf *n = &c->net;
	char spec[CONF_PATH_MAX + 16];
	struct env_err ee;

	env_init(e);
	e->net = true;
	span_copy(span_str(PROTO_IFACE), e->iface, sizeof(e->iface));
	memcpy(e->mac, n->guest_mac, sizeof(e->mac));
	e->mtu = n->mtu;
	if (n->v4)
		fill_family(&e->ip4, &n->guest4, n->plen4, &n->gw4);
	if (n->v6)
		fill_family(&e->ip6, &n->guest6, n->plen6, &n->gw6);
	span_copy(span_str(PROTO_HOST_ALIAS), e->alias, sizeof(e->alias));
	conf_link_spec(c, spec, sizeof(spec));
	if (spec[0] && env_set(e, "MSB_LINK", spec, &ee) < 0) {
		snprintf(err, ERR_LEN, "%s: %s", ee.var, ee.reason);
		return -EINVAL;
	}
	return 0;
}

static int cmd_env(int argc, char **argv)
{
	static struct gw_conf c;
	bool cmdline = false;
	char err[ERR_LEN];
	uint8_t text[2048];
	struct env e;
	struct wr w = wr_init(text, sizeof(text));

	conf_init(&c);
	if (conf_flags(&c, argc, argv, env_flag, &cmdline, err,
		      sizeof(err)) < 0 || derive(&c, err) < 0 ||
	    fill_env(&c, &e, err) < 0)
		return usage_error(err);
	env_emit(&e, cmdline ? ' ' : '\n', &w);
	if (cmdline)
		wr_fmt(&w, " MSB_END=1");
	ASSERT(!w.bad);
	printf("%.*s\n", (int)wr_len(&w), (const char *)text);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- */

int main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "--help";

	if (!strcmp(cmd, "packet") && argc == 2)
		return gw_main();
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			cmd = "--help";
	if (!strcmp(cmd, "--help") || !strcmp(cmd, "-h")) {
		fputs(usage, stdout);
		return argc > 1 ? 0 : 2;
	}
	if (!strcmp(cmd, "--version") || !strcmp(cmd, "-V")) {
		printf("msb-gateway %s\njansson %s\n", MSB_VERSION,
		       jansson_version_str());
		return 0;
	}
	if (!strcmp(cmd, "run"))
		return cmd_run(argc - 1, argv + 1);
	if (!strcmp(cmd, "env"))
		return cmd_env(argc - 1, argv + 1);
	if (!strcmp(cmd, "check-host"))
		return host_check();
	fprintf(stderr, "msb-gateway: unknown command %s; see --help\n", cmd);
	return 2;
}
