#ifndef AGENT_CA_H
#define AGENT_CA_H

#include <limits.h>

#include "agent/ca_env.h"
#include "agent/file.h"
#include "agent/roots.h"

/*
 * ca - make the guest trust the gateway's certificate authority
 *
 * The host puts certificates into files, or QEMU hands them over (fw_cfg); they
 * are checked (roots.h), and go into every trust store that the image has
 * (ca_stores.h, ca_java.h).  Without them, what an earlier boot put there is
 * taken out again.
 */

#define CA_MAX		(64 * 1024)	/* of a file with our CA */
#define CA_HOST_MAX	(1024 * 1024)	/* of the file with the host's */
#define CA_CERTS_MAX	64		/* in such a file */
#define CA_HOST_CERTS_MAX 512
#define CA_FILE_NAME	"ca.pem"	/* in the run directory: all of ours */
#define CA_SAVED_NAME	"ca-bundle.pem"	/* where no bundle can be written */
#define CA_JKS_NAME	"cacerts.jks"

/** struct ca_given - Certificates that are no file, such as the guest API's */
struct ca_given {
	const char *name;
	struct span pem;
};

/**
 * struct ca_conf - What to install, and how
 * @files:	More files, absolute, parted by commas: MSB_CA; "" for none
 * @given:	@given_n more; borrowed
 * @now:	Seconds since 1970
 * @clock_set:	@now is right, see struct roots_in
 * @mode:	For the script of login shells
 * @say:	Called with a line for each thing that people should know
 */
struct ca_conf {
	const char *files;
	const struct ca_given *given;
	size_t given_n;
	int64_t now;
	bool clock_set;
	enum ca_env_mode mode;
	void (*say)(void *arg, const char *text);
	void *arg;
};

/**
 * struct ca_result - What came of it
 * @certs:	Certificates that are trusted now
 * @refused:	Certificates and sources that were not taken
 * @unjudged:	Certificates that BearSSL could not judge
 * @sources:	Sources that gave at least one
 * @source:	The first of those, "" if there is none
 * @bundle:	Bundle that holds the image's roots and ours; "" if none
 * @file:	File that holds ours alone; "" if none
 * @jks:	Trust store of Java; "" if there is no Java in the image
 * @note:	What is not covered; "" if all is
 */
struct ca_result {
	unsigned int certs, refused, unjudged, sources;
	char source[PATH_MAX], bundle[PATH_MAX], file[PATH_MAX], jks[PATH_MAX];
	char note[160];
};

/**
 * ca_load() - Read and check all that was given
 * @set:	To be freed by the caller, in any case
 * @res:	Zeroed, then @source, @sources and @refused are set
 *
 * Return: 0, also if there is nothing; -EBADMSG if something was given, and
 *	   nothing of it is good; -ENOMEM; -errno of reading, likewise
 */
int ca_load(const struct file_where *w, const struct ca_conf *conf,
	    struct roots *set, struct ca_result *res);

/**
 * ca_install() - Do all of it
 * @w:		@w->path is ignored
 * @res:	Set in any case
 *
 * When something was given and nothing of it is good, what is installed stays.
 *
 * Return: 0, also if there is nothing to install; as of ca_load(); -errno of
 *	   writing, if no bundle could be written at all
 */
int ca_install(const struct file_where *w, const struct ca_conf *conf,
	       struct ca_result *res);

/**
 * ca_bundle() - The bundle that programs here use by default
 *
 * Return: 0; -ENOENT if the image has none
 */
int ca_bundle(const struct file_where *w, char *buf, size_t size);

#endif /* AGENT_CA_H */
