#include "tests/unit/core_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gateway/relay/dns_priv.h"
#include "gateway/relay/udp_priv.h"
#include "gateway/stack/frag.h"
#include "gateway/stack/tcp_priv.h"

#define FLOWS		48	/* few, so that tables are full at times */
#define PINGS		16
#define QUERIES		32
#define TIMERS		(4 * FLOWS + QUERIES + DNS_CONNS_MAX + PINGS + 32)
#define SETTLE_TURNS	20000
#define DIAL_WAIT_MS	10000

/* --- a namespace ----------------------------------------------------------- */

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) ==
			     (ssize_t)strlen(text);

	fd_close(&fd);
	return ok;
}

static void map_ids(unsigned int uid, unsigned int gid)
{
	char text[64];

	snprintf(text, sizeof(text), "0 %u 1", uid);
	ASSERT(write_file("/proc/self/uid_map", text));
	ASSERT(write_file("/proc/self/setgroups", "deny"));
	snprintf(text, sizeof(text), "0 %u 1", gid);
	ASSERT(write_file("/proc/self/gid_map", text));
}

static void lo_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
	struct {		/* struct in6_ifreq of linux/ipv6.h */
		struct in6_addr addr;
		uint32_t plen;
		int ifindex;
		uint8_t pad[16];	/* valgrind takes it for an ifreq */
	} ifr6 = { .plen = 128, .ifindex = (int)if_nametoindex("lo") };
	const struct ipaddr far4 = core_addr(CORE_FAR4);
	const struct ipaddr far6 = core_addr(CORE_FAR6);
	int s4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int s6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ASSERT(s4 >= 0 && s6 >= 0);
	ifr.ifr_flags = IFF_UP;
	ASSERT(ioctl(s4, SIOCSIFFLAGS, &ifr) == 0);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo:1");
	memset(&ifr.ifr_ifru, 0, sizeof(ifr.ifr_ifru));
	sin->sin_family = AF_INET;
	memcpy(&sin->sin_addr, ipaddr_bytes(&far4), 4);
	ASSERT(ioctl(s4, SIOCSIFADDR, &ifr) == 0);
	sin->sin_addr.s_addr = UINT32_MAX;
	ASSERT(ioctl(s4, SIOCSIFNETMASK, &ifr) == 0);
	memcpy(&ifr6.addr, ipaddr_bytes(&far6), 16);
	ASSERT(ioctl(s6, SIOCSIFADDR, &ifr6) == 0);
	close(s4);
	close(s6);
}

bool core_namespace(void)
{
	const unsigned int uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		map_ids(uid, gid);
	else if (unshare(CLONE_NEWNET) < 0)
		return false;
	lo_up();
	/* As many of these as the kernel lets us; none is a condition */
	write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
	write_file("/proc/sys/net/ipv4/tcp_max_tw_buckets", "32");
	return true;
}

/* --- building -------------------------------------------------------------- */

struct ipaddr core_addr(const char *text)
{
	struct ipaddr a;

	ASSERT(ipaddr_parse(span_str(text), &a) == 0);
	return a;
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	ASSERT(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void on_udp(void *arg, const struct udp_dgram *d)
{
	struct core *c = arg;

	if (d->dport == DNS_PORT)
		dns_fwd_input(c->dns, d);
	else
		udp_relay_input(c->udp_relay, d);
}

static void on_room(void *arg)
{
	struct core *c = arg;

	tcp_link_up(tcp_relay_stack(c->tcp_relay));
	udp_relay_room(c->udp_relay);
}

static void make_netif(struct core *c)
{
	const struct netif_conf nc = {
		.mtu = 1500, .v4 = true, .v6 = true, .plen4 = 30, .plen6 = 64,
		.nud = c->conf.nud,
		.gw4 = core_addr(CORE_GW4), .guest4 = core_addr(CORE_GUEST4),
		.gw6 = core_addr(CORE_GW6), .guest6 = core_addr(CORE_GUEST6),
		.mac = { 2, 0x6d, 0x73, 0, 0, 1 },
		.guest_mac = { 2, 0x6d, 0x73, 0, 0, 2 },
	};

	c->ev = ev_new(TIMERS);
	ASSERT(c->ev);
	c->tq = ev_timerq(c->ev);
	ASSERT(netif_init(&c->netif, &nc, c->tq) == 0);
	c->netif.arg = c;
	c->netif.room = on_room;
	c->dial = (struct dial){ .policy = &c->policy, .gw4 = nc.gw4,
				 .gw6 = nc.gw6, .v4 = true, .v6 = true };
	c->policy = (struct policy){
		.egress_default = true, .nrules = 2, .ngw = 2,
		.gw = { nc.gw4, nc.gw6 },
		.rule = {
			{ .dest = POLICY_DEST_CIDR, .plen = 32,
			  .net = core_addr(CORE_DENIED4), .port_hi = 65535 },
			{ .dest = POLICY_DEST_CIDR, .plen = 128,
			  .net = core_addr(CORE_DENIED6), .port_hi = 65535 },
		},
	};
}

static void make_relays(struct core *c)
{
	const struct udp_relay_cfg ucfg = {
		.max_flows = FLOWS, .max_peers = 2 * FLOWS,
		.endpoint_independent = c->conf.endpoint_independent,
	};
	const struct tcp_relay_cfg tcfg = {
		.max_flows = FLOWS, .max_dials = FLOWS / 2,
		.congestion = c->conf.reno ? TCP_CONG_RENO : TCP_CONG_NONE,
		.no_peek_off = c->conf.no_peek_off,
	};
	const struct dns_fwd_cfg dcfg = {
		.server = { { core_addr("127.0.0.1"), DNS_PORT },
			    { core_addr("::1"), DNS_PORT } },
		.nservers = 2, .timeout_ms = 500, .max_queries = QUERIES,
		.alias = "host.microvm.internal",
	};
	struct tcp_local local = { .port = DNS_PORT,
				   .ops = dns_fwd_tcp_ops() };

	c->icmp_relay = icmp_relay_new(c->ev, &c->dial, PINGS);
	ASSERT(c->icmp_relay);
	icmp_init(&c->icmp, &c->netif, icmp_relay_ops(), c->icmp_relay);
	icmp_relay_bind(c->icmp_relay, &c->icmp);
	udp_init(&c->udp, &c->netif, on_udp, c);
	c->dns = dns_fwd_new(c->ev, &c->udp, &c->dial, &dcfg);
	c->udp_relay = udp_relay_new(c->ev, &c->udp, &c->icmp, &c->dial,
				     &ucfg);
	ASSERT(c->dns && c->udp_relay);
	local.arg = c->dns;
	c->tcp_relay = tcp_relay_new(c->ev, &c->netif, &c->icmp, &c->dial,
				     &tcfg, &local, 1);
	ASSERT(c->tcp_relay);
}

void core_open(struct core *c, const struct core_conf *conf)
{
	memset(c, 0, sizeof(*c));
	c->conf = *conf;
	c->fds_before = count_fds();
	make_netif(c);
	make_relays(c);
	memlink_init(&c->mem, conf->features, conf->peer, c);
	netif_attach(&c->netif, &c->mem.link);
	if (conf->ra) {
		radv_init(&c->radv, &c->netif);
		radv_link(&c->radv, true);
	}
	c->fds_idle = count_fds();
	core_host_open(&c->host);
}

/* --- running --------------------------------------------------------------- */

static void flush(struct core *c)
{
	unsigned int turns = 0;

	while (tcp_flush(tcp_relay_stack(c->tcp_relay)))
		ASSERT(turns++ < 10000);
	netif_flush(&c->netif);
}

static void turn(struct core *c)
{
	ASSERT(ev_turn(c->ev, 0) == 0);
	flush(c);
}

void core_turn(struct core *c)
{
	turn(c);
	core_host_turn(&c->host, c->conf.roll);
}

void core_sleep(struct core *c, uint64_t ns)
{
	timerq_run(c->tq, timerq_now(c->tq) + ns);
	flush(c);
}

/* --- afterwards ------------------------------------------------------------ */

static void check_tcp(struct core *c)
{
	struct tcp_stack *ts = tcp_relay_stack(c->tcp_relay);
	struct tcp_relay_stats st;

	tcp_relay_stats(c->tcp_relay, &st);
	ASSERT(st.active == 0);
	ASSERT(tcp_count(ts) == 0);
	ASSERT(ts->dirty.n + ts->dead.n + ts->time_wait.n == 0);
	ASSERT(tcp_ooo_used(ts->ooo) == 0);
}

static void check_udp(struct core *c)
{
	struct udp_relay_stats st;

	udp_relay_stats(c->udp_relay, &st);
	ASSERT(st.active == 0);
	ASSERT(c->udp_relay->flows.slab.used == 0 && c->udp_relay->peers.used == 0);
	ASSERT(c->udp_relay->by_guest.n == 0 && c->udp_relay->by_peer.n == 0);
	ASSERT(!c->udp_relay->stalled && !c->udp_relay->up.f);
	ASSERT(c->dns->jobs.used == 0 && c->dns->conns.used == 0);
}

/* Only what is being waited for, one deadline after the other */
static void let_time_pass(struct core *c)
{
	unsigned int turns = 0;

	do {
		ASSERT(turns++ < SETTLE_TURNS);
		turn(c);
		if (c->tq->n)
			core_sleep(c, MAX(timerq_next(c->tq),
					  timerq_now(c->tq) + 1) -
				      timerq_now(c->tq));
		turn(c);
	} while (c->tq->n);
}

/* Nobody answered a dial: it ends when the host's kernel asks once more */
static void let_dials_end(struct core *c)
{
	struct tcp_relay_stats st;

	for (unsigned int i = 0; i < DIAL_WAIT_MS / 20; i++) {
		tcp_relay_stats(c->tcp_relay, &st);
		if (!st.active)
			return;
		ASSERT(ev_turn(c->ev, 20) == 0);
		flush(c);
	}
}

void core_settle(struct core *c)
{
	c->mem.refuse = false;
	link_drained(&c->mem.link);
	core_host_close(&c->host);
	if (c->conf.ra)
		radv_link(&c->radv, false);
	let_time_pass(c);
	let_dials_end(c);
	let_time_pass(c);
	check_tcp(c);
	check_udp(c);
	/* of pings and fragments, too: each flow and set has a timer */
	ASSERT(count_fds() == c->fds_idle);
}

void core_close(struct core *c)
{
	tcp_relay_free(c->tcp_relay);
	udp_relay_free(c->udp_relay);
	dns_fwd_free(c->dns);
	icmp_relay_free(c->icmp_relay);
	if (c->conf.ra)
		radv_done(&c->radv);
	netif_detach(&c->netif);
	netif_done(&c->netif);
	ASSERT(c->tq->n == 0);
	ev_free(c->ev);
	ASSERT(count_fds() == c->fds_before);
}
