#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdio.h>

/*
 * agent - the guest's network: set it up, then move its frames
 *
 * Started by PID 1, or by another init beside it; see main.c.  PID 1 hears of
 * it through the pipe in MSB_READY_FD, as lines KEY=VALUE:
 *
 *	IFACE MAC MTU IPV4 GW4 IPV6 GW6 LINK	what was configured
 *	CA_BUNDLE	file in which our CA was installed: for SSL_CERT_FILE
 *	CA_FILE		our CA alone: for NODE_EXTRA_CA_CERTS
 *	CA_JKS		trust store of Java with both: for JAVA_TOOL_OPTIONS
 *	T_START T_LINK T_ETH0 T_CONNECTED	CLOCK_BOOTTIME, in ns
 *	READY=1		the interface is up, names resolve, the CA is installed
 *	FAILED=reason	instead of READY: it is not; a NIC that comes later may
 *			change that, and then READY follows
 *	TOKEN=hex	from the gateway: give it back in MSB_TOKEN_FD (32 hex
 *			digits and a newline) when the agent is started again
 *
 * T_CONNECTED and TOKEN come when the gateway answers, before READY or after
 * it, so the pipe is to be read for as long as the agent lives.
 */

/** How "msb-init net" and "msb-init agent --once" end */
enum agent_exit {
	AGENT_EXIT_OK,		/* as it was asked for, or nothing was */
	AGENT_EXIT_FAILED,	/* not all of it, or the agent died */
	AGENT_EXIT_USAGE,
	AGENT_EXIT_VARIABLE,	/* one was refused: nothing was configured */
	AGENT_EXIT_DEVICE,	/* no such NIC, or no TAP to be had */
};

/**
 * agent_main() - "msb-init agent": configure, report, forward until SIGTERM
 *
 * Return: enum agent_exit: 0 at SIGTERM too
 */
int agent_main(int argc, char **argv);

/** agent_net_main() - "msb-init net": configure and leave; enum agent_exit */
int agent_net_main(int argc, char **argv);

/**
 * agent_probe_main() - "msb-init probe URL": fetch and say how it went
 *
 * Return: exit status, see enum probe_exit in probe.h
 */
int agent_probe_main(int argc, char **argv);

/**
 * agent_status_main() - "msb-init status": what was configured, what differs
 *			 from what was asked for, and why
 *
 * Return: exit status: 0 if all is as asked; 1 if something differs, or has
 *	   failed; 2 for wrong usage; 3 if no agent has reported; 4 if the
 *	   kernel cannot be asked
 */
int agent_status_main(int argc, char **argv);

/**
 * agent_ca_main() - "msb-init ca": show which trust stores have our CA
 *
 * Return: exit status: 0; 1 if --verify finds something missing; 2 for wrong
 *	   usage; 3 if no CA was given
 */
int agent_ca_main(int argc, char **argv);

/** agent_version_print() - Names and versions of the libraries, one a line */
void agent_version_print(FILE *f);

#endif /* AGENT_AGENT_H */
