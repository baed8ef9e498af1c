#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/ioc.h"
#include "agent/plan.h"
#include "base/fd.h"
#include "base/inet.h"
#include "base/span.h"

#define IOC_SYSCTL	"/proc/sys/net/%s/conf/%s/%s"

static int ioc_name(struct ifreq *ifr, const char *ifname)
{
	memset(ifr, 0, sizeof(*ifr));
	return span_copy(span_str(ifname), ifr->ifr_name,
			 sizeof(ifr->ifr_name));
}

/** ioc_planned() - Put a request into words; whether to send it */
static bool ioc_planned(unsigned int request, const struct ifreq *ifr)
{
	const char *name = ifr->ifr_name;
	char mac[MAC_STRLEN];
	uint8_t b[6];

	switch (request) {
	case SIOCGIFFLAGS:
		return true;
	case SIOCSIFFLAGS:
		plan_set_flags(name, ifr->ifr_flags);
		return plan_do("ioctl SIOCSIFFLAGS %s %s", name,
			       ifr->ifr_flags & IFF_UP ? "up" : "down");
	case SIOCSIFHWADDR:
		memcpy(b, ifr->ifr_hwaddr.sa_data, sizeof(b));
		return plan_do("ioctl SIOCSIFHWADDR %s %s", name,
			       mac_fmt(b, mac));
	case SIOCSIFMTU:
		return plan_do("ioctl SIOCSIFMTU %s %d", name, ifr->ifr_mtu);
	case SIOCSIFNAME:
		plan_rename(name, ifr->ifr_newname);
		return plan_do("ioctl SIOCSIFNAME %s %s", name,
			       ifr->ifr_newname);
	default:
		return plan_do("ioctl %#x %s", request, name);
	}
}

/* Any socket does, and Unix ones exist even without CONFIG_INET */
static int ioc_do(unsigned int request, struct ifreq *ifr)
{
	int fd, rc = 0;

	if (!ioc_planned(request, ifr))
		return 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, (int)request, ifr))
		rc = -errno;
	close(fd);
	return rc;
}

int ioc_up(const char *ifname, bool up)
{
	struct ifreq ifr;
	int rc = ioc_name(&ifr, ifname);
	short flags;

	if (!rc && !plan_flags(ifname, &ifr.ifr_flags))
		rc = ioc_do(SIOCGIFFLAGS, &ifr);
	if (rc)
		return rc;
	flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	if (flags == ifr.ifr_flags)
		return 0;
	ifr.ifr_flags = flags;
	return ioc_do(SIOCSIFFLAGS, &ifr);
}

int ioc_mac(const char *ifname, const uint8_t mac[static 6])
{
	struct ifreq ifr;
	int rc = ioc_name(&ifr, ifname);

	if (rc)
		return rc;
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return ioc_do(SIOCSIFHWADDR, &ifr);
}

int ioc_mtu(const char *ifname, unsigned int mtu)
{
	struct ifreq ifr;
	int rc = ioc_name(&ifr, ifname);

	if (rc)
		return rc;
	ifr.ifr_mtu = (int)mtu;
	return ioc_do(SIOCSIFMTU, &ifr);
}

int ioc_rename(const char *ifname, const char *name)
{
	struct ifreq ifr;
	int rc = ioc_name(&ifr, ifname);

	if (!rc)
		rc = span_copy(span_str(name), ifr.ifr_newname,
			       sizeof(ifr.ifr_newname));
	return rc ? rc : ioc_do(SIOCSIFNAME, &ifr);
}

int ioc_sysctl(const char *family, const char *ifname, const char *key,
	       const char *value)
{
	char path[PATH_MAX], now[32], name[IF_NAMESIZE];
	int fd, rc;

	snprintf(path, sizeof(path), IOC_SYSCTL, family,
		 plan_conf(ifname, name), key);
	if (fd_read_file(path, now, sizeof(now)) >= 0 &&
	    span_is(span_trim(span_str(now)), value))
		return 0;
	snprintf(path, sizeof(path), IOC_SYSCTL, family, ifname, key);
	if (!plan_do("write %s %s", path, value))
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fd_write_all(fd, value, strlen(value));
	close(fd);
	return rc;
}
