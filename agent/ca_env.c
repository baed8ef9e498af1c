#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/ca_env.h"
#include "base/util.h"

static const struct {
	const char *name;
	bool added;		/* to what the program has */
} ca_env_vars[] = {
	{ "SSL_CERT_FILE", false },
	{ "CURL_CA_BUNDLE", false },
	{ "REQUESTS_CA_BUNDLE", false },
	{ "GIT_SSL_CAINFO", false },
	{ "PIP_CERT", false },
	{ "AWS_CA_BUNDLE", false },
	{ "CARGO_HTTP_CAINFO", false },
	{ "NIX_SSL_CERT_FILE", false },
	{ "NODE_EXTRA_CA_CERTS", true },
	{ "DENO_CERT", true },
};

int ca_env_mode(const char *text, enum ca_env_mode *mode)
{
	if (!text || !text[0] || !strcmp(text, "keep"))
		*mode = CA_ENV_MODE_KEEP;
	else if (!strcmp(text, "replace"))
		*mode = CA_ENV_MODE_REPLACE;
	else if (!strcmp(text, "off"))
		*mode = CA_ENV_MODE_OFF;
	else
		return -EINVAL;
	return 0;
}

const char *ca_env_name(unsigned int i, const struct ca_env *e,
			const char **value)
{
	if (i >= ARRAY_SIZE(ca_env_vars))
		return NULL;
	*value = ca_env_vars[i].added ? e->file : e->bundle;
	return ca_env_vars[i].name;
}

bool ca_env_java(const struct ca_env *e, const char *old,
		 enum ca_env_mode mode, char *buf, size_t size)
{
	int n;

	if (!e->jks[0] || mode == CA_ENV_MODE_OFF)
		return false;
	/* The last option counts, so replacing is adding */
	if (old && mode == CA_ENV_MODE_KEEP && strstr(old, CA_ENV_JAVA_OPT))
		return false;
	n = snprintf(buf, size, "%s%s%s%s", old ? old : "",
		     old && old[0] ? " " : "", CA_ENV_JAVA_OPT, e->jks);
	return n > 0 && (size_t)n < size;
}

/* In quotes for a shell: a quote itself ends them, is escaped, begins anew */
static void ca_env_quote(const char *s, struct wr *w)
{
	wr_u8(w, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			wr_fmt(w, "'\\''");
		else
			wr_u8(w, (uint8_t)*s);
	}
	wr_u8(w, '\'');
}

static void ca_env_line(const char *name, const char *value, bool keep,
			struct wr *w)
{
	if (keep)
		wr_fmt(w, "[ -n \"${%s-}\" ] || ", name);
	wr_fmt(w, "export %s=", name);
	ca_env_quote(value, w);
	wr_u8(w, '\n');
}

void ca_env_profile(const struct ca_env *e, enum ca_env_mode mode, struct wr *w)
{
	const bool keep = mode == CA_ENV_MODE_KEEP;
	const char *name, *value;

	if (mode == CA_ENV_MODE_OFF)
		return;
	wr_fmt(w, "# Written by msb-init: where the sandbox's CA certificates"
	       " are\n");
	for (unsigned int i = 0; (name = ca_env_name(i, e, &value)); i++)
		if (value[0])
			ca_env_line(name, value, keep, w);
	if (!e->jks[0])
		return;
	wr_fmt(w, "case \"${%s-}\" in\n*%s%s) ;;\n*) export %s=\"${%s:+$%s }\"",
	       CA_ENV_JAVA, CA_ENV_JAVA_OPT, keep ? "*" : e->jks, CA_ENV_JAVA,
	       CA_ENV_JAVA, CA_ENV_JAVA);
	wr_fmt(w, CA_ENV_JAVA_OPT);
	ca_env_quote(e->jks, w);
	wr_fmt(w, " ;;\nesac\n");
}
