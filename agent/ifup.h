#ifndef AGENT_IFUP_H
#define AGENT_IFUP_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/nl.h"
#include "agent/report.h"
#include "proto/env.h"

/*
 * ifup - configure interfaces
 *
 * Every step looks first, and changes only what is not as it should be: a
 * second run leaves no trace, and addresses and routes no netlink event.  What
 * the kernel or the administrator added besides stays.  Errors go into the
 * report.
 */

#define IFUP_WAIT_MS	500	/* for a NIC whose driver is still probing */

/** ifup_lo() - Bring lo up, with 127.0.0.1/8 and ::1/128 */
void ifup_lo(struct nl *nl, struct report *r);

/**
 * ifup_find_nic() - Find the NIC that the environment describes
 * @e:		Interface name, MAC and link
 * @out:	Set on success
 *
 * By its MAC, else, if MSB_LINK is "nic", by its name; devices of ours (TAPs)
 * are no NICs.  Waits up to 500 ms if "nic" was asked for, or if there is a NIC
 * or a virtio-net device whose interface may yet come.
 *
 * Return: 0; -ENODEV; -errno of the dump
 */
int ifup_find_nic(struct nl *nl, const struct env *e, struct nl_link *out);

/** ifup_look_nic() - As ifup_find_nic(), of those that are there now */
int ifup_look_nic(struct nl *nl, const struct env *e, struct nl_link *out);

/**
 * ifup_iface() - Configure the interface, from MAC to default routes
 * @l:		The interface, as it was found
 * @e:		What it should be like
 *
 * Return: 0; -errno of the first step that failed, which the report names
 */
int ifup_iface(struct nl *nl, struct report *r, const struct nl_link *l,
	       const struct env *e);

/** ifup_by_name() - Look an interface up: 0; -ENODEV; -errno */
int ifup_by_name(struct nl *nl, const char *name, struct nl_link *out);

#endif /* AGENT_IFUP_H */
