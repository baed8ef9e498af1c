#ifndef AGENT_IOC_H
#define AGENT_IOC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * ioc - what is set by ioctl() on an interface, or by a file below /proc/sys
 *
 * All return 0 or -errno.
 */

/** ioc_up() - Bring an interface up or take it down */
int ioc_up(const char *ifname, bool up);

/** ioc_mac() - Set the address; while the interface is down */
int ioc_mac(const char *ifname, const uint8_t mac[static 6]);

/** ioc_mtu() - Set the MTU */
int ioc_mtu(const char *ifname, unsigned int mtu);

/** ioc_rename() - Give an interface that is down another name */
int ioc_rename(const char *ifname, const char *name);

/**
 * ioc_sysctl() - Write a value, unless it is there already
 * @family:	"ipv4" or "ipv6": the file is net/@family/conf/@ifname/@key
 * @ifname:	Interface
 */
int ioc_sysctl(const char *family, const char *ifname, const char *key,
	       const char *value);

#endif /* AGENT_IOC_H */
