#ifndef INIT_PROFILE_H
#define INIT_PROFILE_H

#include <stdbool.h>

#include "proto/env.h"

/*
 * profile - MSB_SECURITY_PROFILE: "default", or "restricted"
 *
 * Restricted means that all mounts of the host are nosuid and nodev, that no
 * program that the workload starts gains a privilege, and that it has no
 * CAP_SYS_ADMIN, be it root or not.
 */
#define PROFILE_VAR	"MSB_SECURITY_PROFILE"

/**
 * profile_parse() - Read the variable
 * @value:	May be NULL, which is "default"
 * @restricted:	Set on success
 *
 * Return: 0; -EINVAL with @err set
 */
int profile_parse(const char *value, bool *restricted, struct env_err *err);

/** profile_read() - The same; what is not known is reported, and restricted */
bool profile_read(const char *value);

/**
 * profile_enter() - Restrict this process, and what it will become
 *
 * To be called while it is still root.
 *
 * Return: 0; -errno, reported
 */
int profile_enter(void);

#endif /* INIT_PROFILE_H */
