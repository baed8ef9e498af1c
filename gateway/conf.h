#ifndef GATEWAY_CONF_H
#define GATEWAY_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/log.h"
#include "gateway/policy/rule.h"
#include "gateway/relay/dns_fwd.h"
#include "gateway/stack/netif.h"
#include "link/fault.h"

/*
 * conf - what the user asked for, from flags and from a JSON file
 *
 * Flags override the file.  conf_derive() then computes what follows from it:
 * the addresses of the slot, and which families are active.  The result is plain
 * data without pointers, so the monitor can hand it to the packet process as it
 * is; both are the same program.
 */

#define CONF_SLOT_MAX		65535
#define CONF_PATH_MAX		108	/* sun_path, with NUL */
#define CONF_CONNS_DEFAULT	4096
#define CONF_CONNS_MAX		65536
#define CONF_UDP_FLOWS_MIN	64
#define CONF_UDP_FLOWS_AUTO	16384	/* at most, unless they are asked for */
#define CONF_GUEST_CID		3	/* PROTO_CID_GUEST */

/** enum conf_way - How the guest's frames reach the gateway */
enum conf_way {
	CONF_WAY_NONE,
	CONF_WAY_VHOST_USER,	/* the built-in virtio-vsock device */
	CONF_WAY_UDS,		/* hybrid vsock: PATH_1024 */
	CONF_WAY_UNIX,		/* a plain Unix socket */
	CONF_WAY_VSOCK,		/* AF_VSOCK listener */
	CONF_WAY_TAP,		/* a TAP device, opened by whoever started us */
};

enum conf_family {
	CONF_FAMILY_AUTO,	/* on if the host has a route */
	CONF_FAMILY_ON,
	CONF_FAMILY_OFF,
	CONF_FAMILY_ADDR,	/* on, with the guest address given */
};

/**
 * struct gw_conf - Everything `run` and `env` need
 * @net:	Derived from slot, pools and families
 * @fd:		Descriptors in the packet process; -1 where there is none.
 *		link: the listener, or the TAP
 */
struct gw_conf {
	uint32_t magic, size;
	uint16_t slot;
	enum conf_way way;
	char path[CONF_PATH_MAX];
	char group[64];
	uint32_t vsock_port, cid;
	uint64_t guest_cid;
	enum conf_family family4, family6;
	struct ipaddr addr4, addr6, pool4, pool6;
	uint8_t pool4_plen, pool6_plen;
	bool mac_set;
	uint16_t mtu;
	struct netif_conf net;
	struct policy policy;
	char net_list[64];
	struct dns_server dns[DNS_SERVERS_MAX];
	uint32_t ndns;
	uint32_t dns_timeout_ms;
	uint32_t max_conns;
	uint32_t udp_flows;	/* 0: see conf_udp_flows() */
	bool udp_endpoint_independent;
	bool tcp_reno;
	bool ra;		/* router advertisements */
	bool no_isolation, no_peek_off, no_offload;
	bool fault_on;
	struct fault_cfg fault;
	char pcap[4096];
	char token_file[4096];
	char config[4096];
	enum log_level log_level;
	enum log_sink log_sink;
	int tap_fd;
	struct {
		int link, pcap;
	} fd;
};

/** conf_init() - Every default */
void conf_init(struct gw_conf *c);

/**
 * conf_flags() - Read the flags of a subcommand, and the file they name
 * @argc:	From the subcommand's own name on
 * @extra:	Called for a flag that is not of the common ones, with its value
 *		(NULL if none follows). Returns how many words it took: 1 or 2; 0
 *		if it does not know the flag
 * @err:	Says what is wrong with which flag, or key of the file
 *
 * Return: 0; -EINVAL with @err set
 */
int conf_flags(struct gw_conf *c, int argc, char **argv,
	      int (*extra)(const char *flag, const char *value, void *arg),
	      void *arg, char *err, size_t size);

/**
 * conf_load() - Read a JSON configuration
 * @text:	The document
 * @err:	Names the path of the offending key, such as "interface.mtu"
 *
 * Return: 0; -EINVAL with @err set
 */
int conf_load(struct gw_conf *c, const char *text, size_t len, char *err,
	      size_t size);

/**
 * conf_derive() - Compute addresses and policy
 * @have4:	The host has a route for IPv4: what CONF_FAMILY_AUTO means
 * @have6:	The same for IPv6
 *
 * Return: 0; -EINVAL with @err set: slot beyond the pool, MTU too small for
 *	   IPv6, an address whose gateway would not be usable
 */
int conf_derive(struct gw_conf *c, bool have4, bool have6, char *err,
		size_t size);

/** conf_udp_flows() - UDP flows at once: as asked for, or a fourth of TCP's */
uint32_t conf_udp_flows(const struct gw_conf *c);

/** conf_link_spec() - The MSB_LINK that leads here, "" if the default does */
void conf_link_spec(const struct gw_conf *c, char *buf, size_t size);

/**
 * conf_nameserver() - Parse "IP", "IP:PORT" or "[IPv6]:PORT"
 *
 * Return: 0; -EINVAL
 */
int conf_nameserver(const char *text, struct dns_server *out);

#endif /* GATEWAY_CONF_H */
