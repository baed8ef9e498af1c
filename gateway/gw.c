#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/count.h"
#include "base/ev.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/conf.h"
#include "gateway/gw.h"
#include "gateway/isolate.h"
#include "gateway/links.h"
#include "gateway/monitor/monitor.h"
#include "gateway/relay/dns_fwd.h"
#include "gateway/relay/icmp_relay.h"
#include "gateway/relay/tcp_relay.h"
#include "gateway/relay/udp_relay.h"
#include "gateway/stack/radv.h"
#include "proto/ports.h"

#define CTL_FD		0
#define DNS_PORT	53
#define DIALS_PER_DEST	64	/* SYNs in flight: a black hole starves nobody */
#define PINGS_MAX	64
#define DNS_QUERIES_MAX	256
#define MISC_TIMERS	64

/**
 * struct gw - All of the packet process
 * @netif: ... @links: bottom up, in the order in which they are made
 */
struct gw {
	struct gw_conf conf;
	struct ev *ev;
	struct ev_src ctl;
	struct netif netif;
	struct icmp icmp;
	struct radv radv;
	struct udp udp;
	struct dial dial;
	struct icmp_relay *icmp_relay;
	struct dns_fwd *dns;
	struct udp_relay *udp_relay;
	struct tcp_relay *tcp_relay;
	struct links *links;
	struct links_cfg links_cfg;
	struct mon_dns dns_servers;
	bool stop;
};

/* ---- what the monitor says ------------------------------------------------ */

static void set_dns(struct gw *g, const struct mon_dns *m)
{
	struct dns_server s[DNS_SERVERS_MAX];
	unsigned int n = MIN(m->n, DNS_SERVERS_MAX);

	for (unsigned int i = 0; i < n; i++) {
		s[i].addr = m->server[i].addr;
		s[i].port = m->server[i].port;
	}
	if (g->dns)
		dns_fwd_set_servers(g->dns, s, n);
	g->dns_servers = *m;
}

static int message(struct gw *g, enum mon_type type, const void *p, size_t len)
{
	struct mon_dns dns;

	switch ((int)type) {
	case MON_TYPE_CONF:
		if (len != sizeof(g->conf))
			return -EBADMSG;
		memcpy(&g->conf, p, len);
		return 0;
	case MON_TYPE_TOKEN:
		if (len != sizeof(g->links_cfg.token))
			return -EBADMSG;
		if (g->links) {
			links_token_kept(g->links);
			return 0;
		}
		memcpy(g->links_cfg.token, p, len);
		g->links_cfg.has_token = true;
		return 0;
	case MON_TYPE_DNS:
		if (len != sizeof(dns))
			return -EBADMSG;
		memcpy(&dns, p, len);
		set_dns(g, &dns);
		return 0;
	case MON_TYPE_STOP:
		g->stop = true;
		return 0;
	default:
		return -EBADMSG;
	}
}

static int take_message(struct gw *g, enum mon_type *type)
{
	static uint8_t buf[MON_MAX];
	ssize_t n = mon_recv(CTL_FD, type, buf, sizeof(buf));

	return n < 0 ? (int)n : message(g, *type, buf, (size_t)n);
}

static void ctl_ready(struct ev_src *src, uint32_t events)
{
	struct gw *g = container_of(src, struct gw, ctl);
	enum mon_type type;
	int rc;

	(void)events;
	while ((rc = take_message(g, &type)) == 0)
		;
	if (rc != -EAGAIN) {	/* the monitor is gone: so are we */
		ev_del(g->ev, &g->ctl);
		g->stop = true;
	}
}

/*
 * The monitor has it in its hands, and in its file, before the guest hears it: it
 * sends it back then
 */
static int on_token(void *arg, const uint8_t token[static HELLO_TOKEN_LEN])
{
	(void)arg;
	return mon_send(CTL_FD, MON_TYPE_TOKEN, token, HELLO_TOKEN_LEN);
}

/* ---- the seams between stack and relays ----------------------------------- */

static void on_udp(void *arg, const struct udp_dgram *d)
{
	struct gw *g = arg;

	if (d->dport == DNS_PORT)
		dns_fwd_input(g->dns, d);
	else
		udp_relay_input(g->udp_relay, d);
}

static void on_room(void *arg)
{
	struct gw *g = arg;

	tcp_link_up(tcp_relay_stack(g->tcp_relay));
	udp_relay_room(g->udp_relay);
}

static void on_updown(void *arg, bool up)
{
	struct gw *g = arg;

	if (up && g->tcp_relay)
		on_room(g);
	if (g->radv.netif)
		radv_link(&g->radv, up);
}

/* ---- building it ---------------------------------------------------------- */

static void set_dial(struct gw *g)
{
	const struct netif_conf *n = &g->conf.net;

	g->dial = (struct dial){
		.policy = &g->conf.policy,
		.gw4 = n->gw4,
		.gw6 = n->gw6,
		.v4 = n->v4,
		.v6 = n->v6,
	};
}

static int make_relays(struct gw *g)
{
	const struct gw_conf *c = &g->conf;
	const struct udp_relay_cfg ucfg = {
		.max_flows = conf_udp_flows(c),
		.max_peers = 4 * conf_udp_flows(c),
		.endpoint_independent = c->udp_endpoint_independent,
	};
	const struct tcp_relay_cfg tcfg = {
		.max_flows = c->max_conns,
		.max_dials = DIALS_PER_DEST,
		.congestion = c->tcp_reno ? TCP_CONG_RENO : TCP_CONG_NONE,
		.no_peek_off = c->no_peek_off,
	};
	struct dns_fwd_cfg dcfg = {
		.timeout_ms = c->dns_timeout_ms,
		.max_queries = DNS_QUERIES_MAX,
		.alias = PROTO_HOST_ALIAS,
	};
	struct tcp_local dns_tcp = {
		.port = DNS_PORT,
		.ops = dns_fwd_tcp_ops(),
	};

	g->icmp_relay = icmp_relay_new(g->ev, &g->dial, PINGS_MAX);
	if (!g->icmp_relay)
		return -errno;
	icmp_init(&g->icmp, &g->netif, icmp_relay_ops(), g->icmp_relay);
	icmp_relay_bind(g->icmp_relay, &g->icmp);
	udp_init(&g->udp, &g->netif, on_udp, g);
	g->dns = dns_fwd_new(g->ev, &g->udp, &g->dial, &dcfg);
	if (!g->dns)
		return -errno;
	set_dns(g, &g->dns_servers);
	g->udp_relay = udp_relay_new(g->ev, &g->udp, &g->icmp, &g->dial, &ucfg);
	if (!g->udp_relay)
		return -errno;
	dns_tcp.arg = g->dns;
	g->tcp_relay = tcp_relay_new(g->ev, &g->netif, &g->icmp, &g->dial,
				     &tcfg, &dns_tcp, 1);
	return g->tcp_relay ? 0 : -errno;
}

static int build(struct gw *g)
{
	const struct gw_conf *c = &g->conf;
	int rc;

	g->ev = ev_new(2 * c->max_conns + conf_udp_flows(c) + DNS_QUERIES_MAX +
		       DNS_CONNS_MAX + PINGS_MAX + MISC_TIMERS);
	if (!g->ev)
		return -errno;
	rc = netif_init(&g->netif, &c->net, ev_timerq(g->ev));
	if (rc < 0)
		return rc;
	g->netif.arg = g;
	g->netif.room = on_room;
	g->netif.updown = on_updown;
	if (c->ra && c->net.v6)
		radv_init(&g->radv, &g->netif);
	set_dial(g);
	rc = make_relays(g);
	if (rc < 0)
		return rc;
	g->links_cfg.conf = c;
	g->links_cfg.netif = &g->netif;
	g->links_cfg.on_token = on_token;
	g->links_cfg.arg = g;
	g->links = links_new(g->ev, &g->links_cfg);
	if (!g->links)
		return -errno;
	return ev_add(g->ev, &g->ctl, EPOLLIN);
}

/* ---- running it ----------------------------------------------------------- */

static void turns(struct gw *g)
{
	bool more = false;
	int rc = 0;

	while (!g->stop && rc == 0) {
		rc = ev_turn(g->ev, more ? 0 : -1);
		more = tcp_relay_flush(g->tcp_relay);
		netif_flush(&g->netif);
	}
	if (rc < 0)
		log_err("event loop: %s", strerror(-rc));
}

static void say_count(const struct count *c, void *arg)
{
	uint64_t *sum = arg;

	if (!c->n)
		return;
	if (!strncmp(c->name, "drop_", 5))
		*sum += c->n;
	log_debug("%s: %llu", c->name, (unsigned long long)c->n);
}

static void say_moved(struct gw *g)
{
	struct tcp_relay_stats t;
	struct udp_relay_stats u;
	uint64_t dropped = 0;
	char text[512];
	int n;

	tcp_relay_stats(g->tcp_relay, &t);
	udp_relay_stats(g->udp_relay, &u);
	count_each(say_count, &dropped);
	n = snprintf(text, sizeof(text),
		     "moved: tcp %llu flows, %llu bytes up, %llu bytes down, "
		     "%llu denied, %llu refused; udp %llu datagrams up, %llu "
		     "down, %llu denied; %llu drops",
		     (unsigned long long)t.flows,
		     (unsigned long long)t.up_bytes,
		     (unsigned long long)t.down_bytes,
		     (unsigned long long)t.denied,
		     (unsigned long long)t.refused,
		     (unsigned long long)u.up_dgrams,
		     (unsigned long long)u.down_dgrams,
		     (unsigned long long)u.denied,
		     (unsigned long long)dropped);
	mon_send(CTL_FD, MON_TYPE_MOVED, text, (size_t)n);
}

static void teardown(struct gw *g)
{
	if (g->tcp_relay)
		tcp_relay_free(g->tcp_relay);
	if (g->udp_relay)
		udp_relay_free(g->udp_relay);
	if (g->dns)
		dns_fwd_free(g->dns);
	if (g->icmp_relay)
		icmp_relay_free(g->icmp_relay);
	if (g->radv.netif)
		radv_done(&g->radv);
	netif_flush(&g->netif);		/* the resets of the flows */
	if (g->links)
		links_free(g->links);
	netif_done(&g->netif);
	ev_free(g->ev);
}

/* The monitor sends CONF, perhaps TOKEN, and DNS before anything else */
static int receive_conf(struct gw *g)
{
	enum mon_type type = MON_TYPE_NUM;
	int rc = take_message(g, &type);

	if (rc == 0 && (type != MON_TYPE_CONF ||
			g->conf.size != sizeof(g->conf)))
		return -EBADMSG;
	while (rc == 0 && type != MON_TYPE_DNS)
		rc = take_message(g, &type);
	return rc < 0 ? rc : fd_nonblock(CTL_FD);
}

int gw_main(void)
{
	static struct gw gw;
	struct gw *g = &gw;
	int rc;

	signal(SIGPIPE, SIG_IGN);	/* a VMM may give us a pipe to signal by */
	signal(SIGXFSZ, SIG_IGN);	/* a capture that hits the user's limit */
	prctl(PR_SET_NAME, "msb-gateway");	/* not "exe", of /proc/self */
	g->ctl = (struct ev_src){ .fd = CTL_FD, .ready = ctl_ready };
	rc = receive_conf(g);
	if (rc < 0) {
		log_err("no configuration: the monitor starts this process, "
			"not a user (%s)", strerror(-rc));
		return 1;
	}
	log_init(STDERR_FILENO, "msb-gateway", g->conf.log_sink,
		 g->conf.log_level);
	if (!g->conf.no_isolation)
		rc = isolate_early(MAX(g->conf.fd.link, g->conf.fd.pcap));
	if (rc == 0) {
		rc = build(g);
		if (rc < 0)
			log_err("cannot start: %s", strerror(-rc));
	}
	if (rc == 0 && !g->conf.no_isolation)
		rc = isolate_late();
	if (rc == 0)
		rc = mon_send(CTL_FD, MON_TYPE_READY, NULL, 0);
	if (rc < 0)
		return 1;
	turns(g);
	say_moved(g);
	teardown(g);
	return 0;
}
