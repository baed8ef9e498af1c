#ifndef PROTO_ENV_H
#define PROTO_ENV_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/span.h"
#include "base/wr.h"

/*
 * env - MSB_* variables: what the host tells the guest on the command line
 *
 *	MSB_NET        iface=NAME,mac=AA:BB:CC:DD:EE:FF[,mtu=N]
 *	MSB_NET_IPV4   addr=A/P,gw=G[,dns=D]
 *	MSB_NET_IPV6   addr=A/P,gw=G[,dns=D]
 *	MSB_HOST_ALIAS name in /etc/hosts beside the gateway's addresses
 *	MSB_HOSTNAME   host name, at most 64 bytes
 *	MSB_LINK       nic | vsock:[CID:]PORT | unix:PATH
 *
 * Keys in any order, a repeat replaces, no blanks inside, an unknown or empty
 * part is an error; Unicode white space around a whole value is cut off.  A
 * value that is empty then, or not UTF-8, means that the variable is absent.
 * No key is ever added to the first three: what is new is a new variable.
 *
 * Beyond the grammar, what the kernel would take and then not work with is
 * refused: interface names that are no names, a MAC that is zero or a group's,
 * octets of more than two digits or with a sign, an MTU below 68, addresses
 * and gateways that are not unicast, an address that is its own gateway, and
 * IPv4 addresses written as IPv6 in MSB_NET_IPV6, which struct ipaddr could not
 * tell from real ones.  Names and paths are printable ASCII without quotes, so
 * each value can stand on a command line as it is.
 */
#define ENV_HOSTNAME_MAX	64	/* __NEW_UTS_LEN, linux/utsname.h */
#define ENV_VALUE_MAX		512
#define ENV_PATH_MAX		108	/* sun_path, with NUL */

struct env_family {
	bool set;
	struct ipaddr addr, gw, dns;
	uint8_t plen;
	bool has_dns;
};

enum env_link_kind {
	ENV_LINK_AUTO,	/* a NIC with our MAC within 500 ms, else vsock */
	ENV_LINK_NIC,
	ENV_LINK_VSOCK,
	ENV_LINK_UNIX,
};

struct env_link {
	enum env_link_kind kind;
	uint32_t cid, port;		/* ENV_LINK_VSOCK; CID 2 if not given */
	char path[ENV_PATH_MAX];	/* ENV_LINK_UNIX */
};

/**
 * struct env - All of it, parsed
 * @net:	MSB_NET is there: an interface is wanted
 */
struct env {
	bool net;
	char iface[IFNAMSIZ];
	uint8_t mac[6];
	uint16_t mtu;
	struct env_family ip4, ip6;
	char alias[256];
	char hostname[ENV_HOSTNAME_MAX + 1];
	struct env_link link;
};

/**
 * struct env_err - Why a variable was refused
 * @var:	Its name; static
 * @reason:	Text such as "invalid MTU: 70000"
 * @offset:	Of the offending part, in bytes from the start of the value
 */
struct env_err {
	const char *var;
	char reason[160];
	size_t offset;
};

/**
 * env_trim() - The value of a variable without white space of Unicode around it
 *
 * Return: borrowed from @s; empty, so that the variable is absent, if @s is not
 *	   UTF-8
 */
struct span env_trim(struct span s);

/** env_init() - The state with every variable absent */
void env_init(struct env *e);

/**
 * env_set() - Parse one variable into @e
 * @e:		Untouched if -EINVAL is returned; what @name set before is
 *		replaced, or taken back if it is absent now
 * @name:	Name such as "MSB_NET"
 * @value:	Its value
 * @err:	Set if -EINVAL is returned; may be NULL
 *
 * Return: 0; -ENOENT if @name is not one of ours; -EINVAL if refused
 */
int env_set(struct env *e, const char *name, const char *value,
	    struct env_err *err);

/**
 * env_check() - The checks that need more than one variable
 *
 * An MTU below 1280 with MSB_NET_IPV6, a family without MSB_NET.
 *
 * Return: 0; -EINVAL with @err set
 */
int env_check(const struct env *e, struct env_err *err);

/** env_name() - The variables env_set() knows, from index 0; NULL at the end */
const char *env_name(unsigned int i);

/**
 * env_emit() - Append NAME=VALUE for each variable that is set
 * @sep:	Between them: ' ' for a command line, '\n' for a file
 *
 * What env_emit() writes, env_set() reads back to the same struct env.  Test
 * @w->bad afterwards.
 */
void env_emit(const struct env *e, char sep, struct wr *w);

/**
 * env_onlink() - Whether the gateway lies outside the prefix, so that its route
 *		  needs RTNH_F_ONLINK
 *
 * An IPv6 link-local gateway does not: it is on every link.
 */
bool env_onlink(const struct env_family *f);

#endif /* PROTO_ENV_H */
