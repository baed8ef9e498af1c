#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/inet.h"
#include "base/span.h"
#include "gateway/conf.h"
#include "gateway/host.h"
#include "gateway/monitor/monitor.h"

bool host_has_route(bool v6)
{
	const char *text = v6 ? "2001:db8::1" : "192.0.2.1";
	struct sockaddr_storage ss;
	struct ipaddr a;
	socklen_t len;
	bool ok;
	int fd;

	if (ipaddr_parse(span_str(text), &a) < 0)
		return false;
	len = ipaddr_to_sa(&a, 443, &ss);
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	ok = connect(fd, (const struct sockaddr *)&ss, len) == 0;
	close(fd);
	return ok;
}

int host_raise_nofile(uint64_t need, uint64_t *hard)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return -errno;
	*hard = r.rlim_max;
	if (r.rlim_max < need)
		return -EMFILE;
	r.rlim_cur = r.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &r) < 0 ? -errno : 0;
}

/* ---- check-host ----------------------------------------------------------- */

/* One line: a guest would miss it, or it only costs something */
static int say(bool ok, bool needed, const char *what, const char *remedy)
{
	printf("%-8s%s%s%s\n", ok ? "ok" : needed ? "MISSING" : "note", what,
	       ok ? "" : ": ", ok ? "" : remedy);
	return !ok && needed;
}

static bool can_socket(int domain, int type, int proto)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, proto);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool has_peek_off(int domain)
{
	int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0), zero = 0;
	bool ok;

	if (fd < 0)
		return false;
	ok = setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == 0;
	close(fd);
	return ok;
}

static bool has_resolver(void)
{
	struct mon_dns d;

	return monitor_resolv("/etc/resolv.conf", &d) == 0 && d.n;
}

int host_check(void)
{
	char text[128];
	struct rlimit r = { 0, 0 };
	int missing = 0;

	getrlimit(RLIMIT_NOFILE, &r);
	snprintf(text, sizeof(text), "%llu descriptors (hard limit)",
		 (unsigned long long)r.rlim_max);
	missing |= say(r.rlim_max >= 2 * CONF_CONNS_DEFAULT, true, text,
		       "--max-connections 4096 needs about 8192; raise "
		       "LimitNOFILE or ulimit -Hn");
	missing |= say(has_resolver(), true, "resolver in /etc/resolv.conf",
		       "guests get SERVFAIL; use --dns-nameserver");
	missing |= say(host_has_route(false), true, "IPv4 route",
		       "--ipv4 auto means off here; guests reach this host "
		       "alone with --ipv4 on");
	missing |= say(prctl(PR_GET_SECCOMP) >= 0, true, "seccomp",
		       "the kernel needs CONFIG_SECCOMP_FILTER");
	say(host_has_route(true), false, "IPv6 route",
	    "--ipv6 auto means off here; guests get no IPv6");
	say(can_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), false,
	    "ping sockets",
	    "guests can ping the gateway only; sysctl -w "
	    "net.ipv4.ping_group_range=\"0 2147483647\"");
	say(can_socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6), false,
	    "ping sockets, IPv6", "the same sysctl serves both families");
	say(has_peek_off(AF_INET), false, "SO_PEEK_OFF for TCP",
	    "bytes toward the guest are copied more often; Linux 6.9 has it");
	say(has_peek_off(AF_INET6), false, "SO_PEEK_OFF for TCP, IPv6",
	    "bytes toward the guest are copied more often; Linux 6.11 has it");
	say(access("/dev/vhost-vsock", F_OK) == 0, false, "vhost-vsock",
	    "--vsock with QEMU's vhost-vsock-device needs modprobe "
	    "vhost_vsock; --vhost-user and --uds do not");
	return missing;
}
