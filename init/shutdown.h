#ifndef INIT_SHUTDOWN_H
#define INIT_SHUTDOWN_H

#include <stdbool.h>

#include "base/span.h"

/** What ends the machine: MSB_POWEROFF */
enum shutdown_how {
	SHUTDOWN_POWEROFF,
	SHUTDOWN_REBOOT,	/* for VMMs without ACPI */
	SHUTDOWN_HALT,
	SHUTDOWN_HOW_NUM,
};

/**
 * shutdown_parse() - Read MSB_POWEROFF
 * @s:		"poweroff", "reboot" or "halt"; NULL and "" are poweroff
 *
 * Return: what it says; poweroff, with a warning, for anything else
 */
enum shutdown_how shutdown_parse(const char *s);

/** shutdown_pseudo() - Whether a file system of this type holds no data */
bool shutdown_pseudo(struct span type);

/**
 * shutdown_unmount() - Unmount what holds data, or make it read-only
 *
 * Newest first, and again until nothing changes: mounts may be stacked, or hide
 * one another.  To be called when all processes are gone, and between two
 * sync().  In a PID namespace this does nothing: read-only is a state of the
 * file system, not of the mount, and those are the host's.
 *
 * Return: how many are left that can still be written to, each reported
 */
int shutdown_unmount(void);

/**
 * shutdown_files() - Sync, shutdown_unmount(), and sync
 *
 * In a child: a file system whose other side is gone keeps who syncs it for
 * ever.  That one is given up after a minute, reported.
 */
void shutdown_files(void);

/**
 * shutdown_off() - End the machine
 *
 * Return: only if the kernel will not, neither as asked nor in any other way;
 *	   reported
 */
void shutdown_off(enum shutdown_how how);

#endif /* INIT_SHUTDOWN_H */
