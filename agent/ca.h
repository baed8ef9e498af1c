#ifndef AGENT_CA_H
#define AGENT_CA_H

#include <limits.h>

#include "agent/file.h"

/*
 * ca - make the guest trust the gateway's certificate authority
 *
 * The host puts it into a file; it is decoded and checked, and what was decoded
 * goes into a marked block of every bundle that the image has.  Without the
 * file, a block of an earlier boot is taken out again.
 */

#define CA_MAX		(64 * 1024)	/* of the file with our CA */
#define CA_CERTS_MAX	64
#define CA_BUNDLE_MAX	(16 * 1024 * 1024)

/**
 * struct ca_result - What came of it
 * @file:	File the CA was taken from; "" if there is none
 * @bundle:	First bundle it was put into; "" if none
 * @certs:	Number of certificates
 * @why:	Why it was refused; static, "" if it was not
 */
struct ca_result {
	char file[PATH_MAX], bundle[PATH_MAX];
	unsigned int certs;
	const char *why;
};

/**
 * ca_check() - Check a file of CA certificates, and write them anew
 * @in:		PEM; CRLF is accepted, text around the certificates dropped
 * @out:	Gets each certificate as PEM; test @out->bad
 * @why:	Set to a static text if it is refused
 *
 * Refused: a private key anywhere, a certificate that does not decode or is no
 * CA's, a block that does not end, a file without a certificate, more than
 * CA_CERTS_MAX of them.
 *
 * Return: number of certificates; -EBADMSG; -ENOMEM
 */
int ca_check(struct span in, struct wr *out, const char **why);

/**
 * ca_install() - Do all of it
 * @w:		@w->path is ignored
 * @res:	Set in any case
 *
 * Return: 0, also if there is nothing to install; -EBADMSG if the CA was
 *	   refused; -errno of reading it or of writing the first bundle
 */
int ca_install(const struct file_where *w, struct ca_result *res);

/**
 * ca_bundle() - The bundle that programs here use by default
 *
 * Return: 0; -ENOENT if the image has none
 */
int ca_bundle(const struct file_where *w, char *buf, size_t size);

#endif /* AGENT_CA_H */
