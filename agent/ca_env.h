#ifndef AGENT_CA_ENV_H
#define AGENT_CA_ENV_H

#include <stdbool.h>

#include "base/span.h"
#include "base/wr.h"

/*
 * ca_env - variables by which programs find certificates
 *
 * Some name a bundle that replaces the program's own, so it must hold the
 * public roots too; some name certificates that are added.
 */

#define CA_ENV_PROFILE	"/etc/profile.d/msb-init-ca.sh"
#define CA_ENV_JAVA	"JAVA_TOOL_OPTIONS"
#define CA_ENV_JAVA_OPT	"-Djavax.net.ssl.trustStore="

/** What MSB_CA_ENV asks for */
enum ca_env_mode {
	CA_ENV_MODE_KEEP,	/* set what the image has not set; the default */
	CA_ENV_MODE_REPLACE,	/* set all */
	CA_ENV_MODE_OFF,	/* set none */
};

/**
 * struct ca_env - What the variables are set to; "" for nothing
 * @bundle:	Public roots and ours
 * @file:	Ours alone
 * @jks:	Trust store of Java
 */
struct ca_env {
	const char *bundle, *file, *jks;
};

/**
 * ca_env_mode() - Parse MSB_CA_ENV
 * @text:	keep, replace or off; NULL and "" are keep
 *
 * Return: 0; -EINVAL
 */
int ca_env_mode(const char *text, enum ca_env_mode *mode);

/**
 * ca_env_name() - The variable with this number
 * @value:	Set to what it should hold, "" for nothing
 *
 * Return: NULL behind the last one.  CA_ENV_JAVA is not among them.
 */
const char *ca_env_name(unsigned int i, const struct ca_env *e,
			const char **value);

/**
 * ca_env_java() - Value for CA_ENV_JAVA
 * @old:	Value so far, or NULL: options for other things stay
 *
 * Return: whether it is to be set to what was put into @buf
 */
bool ca_env_java(const struct ca_env *e, const char *old,
		 enum ca_env_mode mode, char *buf, size_t size);

/** ca_env_profile() - Append the script for login shells; test @w->bad */
void ca_env_profile(const struct ca_env *e, enum ca_env_mode mode,
		    struct wr *w);

#endif /* AGENT_CA_ENV_H */
