#ifndef AGENT_NL_H
#define AGENT_NL_H

#include <linux/netlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"

struct mnl_socket;

/**
 * struct nl - One NETLINK_ROUTE socket, and what the kernel last said
 * @why:	The kernel's own words for the last refusal (extended
 *		acknowledgement); "" if it had none
 */
struct nl {
	struct mnl_socket *sock;
	uint32_t seq;
	char why[128];
	_Alignas(struct nlmsghdr) uint8_t buf[16384];
};

/**
 * struct nl_link - A network interface
 * @kind:	"tun", "veth", ...; "" for hardware
 */
struct nl_link {
	unsigned int index, flags, mtu, type;
	char name[IFNAMSIZ], kind[16];
	uint8_t mac[6];
	bool has_mac;
};

/** struct nl_addr - An address of an interface */
struct nl_addr {
	unsigned int ifindex;
	struct ipaddr addr;
	uint8_t plen;
};

/** struct nl_route - A default route in the main table */
struct nl_route {
	unsigned int ifindex;
	struct ipaddr gw;
	bool onlink;
};

/**
 * nl_open() - Open the socket; each answer is waited for at most 2 s
 *
 * Return: 0; -errno
 */
int nl_open(struct nl *nl);

/** nl_close() - Close it; safe if it is not open */
void nl_close(struct nl *nl);

/**
 * nl_addr_msg() - Build RTM_NEWADDR
 * @buf:	Aligned for struct nlmsghdr; receives the message
 * @flags:	NLM_F_EXCL to refuse a second one, NLM_F_REPLACE to accept it
 *
 * IPv4 gets its broadcast address up to /30, IPv6 is added without duplicate
 * address detection.  The sequence number is the sender's matter.
 *
 * Return: 0; -ENODEV if the index is 0; -ENOBUFS if @size is too small
 */
int nl_addr_msg(void *buf, size_t size, const struct nl_addr *a,
		uint16_t flags);

/** nl_route_msg() - Build RTM_NEWROUTE, that replaces; returns as above */
int nl_route_msg(void *buf, size_t size, const struct nl_route *r);

/**
 * nl_addr_add() - Add an address
 *
 * Return: 0; -errno of nl_addr_msg(); the kernel's, such as -EEXIST or, where
 *	   IPv6 is disabled, -EACCES; -ETIMEDOUT
 */
int nl_addr_add(struct nl *nl, const struct nl_addr *a, uint16_t flags);

/** nl_route_set() - Add or replace a default route; returns as above */
int nl_route_set(struct nl *nl, const struct nl_route *r);

/** nl_addr_has() - 1 if the interface has this address; 0; -errno */
int nl_addr_has(struct nl *nl, const struct nl_addr *a);

/** nl_route_has() - 1 if there is this default route; 0; -errno */
int nl_route_has(struct nl *nl, const struct nl_route *r);

/** nl_is_local() - 1 if what is sent to @a is taken by this machine; 0; -errno */
int nl_is_local(struct nl *nl, const struct ipaddr *a);

/**
 * nl_links() - Call @fn for each interface, until it returns true
 *
 * Return: 1 if it did; 0; -errno
 */
int nl_links(struct nl *nl, bool (*fn)(const struct nl_link *l, void *arg),
	     void *arg);

/**
 * nl_wait_link() - Find an interface, or wait for one to appear
 * @match:	Called for each interface, as in nl_links()
 * @max_ms:	Longest wait; 0 only looks
 *
 * Return: 0; -ENODEV if the time was up; -errno
 */
int nl_wait_link(struct nl *nl, bool (*match)(const struct nl_link *l,
					      void *arg),
		 void *arg, unsigned int max_ms);

/**
 * nl_events_open() - A socket that tells of changes of interfaces
 *
 * Return: non-blocking descriptor, owned by the caller; -errno
 */
int nl_events_open(void);

/**
 * nl_events_read() - Take what has come, until there is no more
 * @fn:		Called for each change; @gone: the interface was deleted
 *
 * Return: 0; -ENOBUFS if some were lost: look at the interfaces themselves
 */
int nl_events_read(int fd,
		   void (*fn)(const struct nl_link *l, bool gone, void *arg),
		   void *arg);

#endif /* AGENT_NL_H */
