#include <bearssl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/ca.h"
#include "base/util.h"

static const char *const ca_inputs[] = {
	"/.msb/tls/ca.pem",
	"/etc/msb/ca.pem",
};

#define CA_DEFAULT	"/etc/ssl/certs/ca-certificates.crt"

/* Debian and Alpine; Fedora; RHEL; openSUSE, old and new; BSD style; Arch */
static const char *const ca_bundles[] = {
	CA_DEFAULT,
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",
	"/var/lib/ca-certificates/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/etc/ca-certificates/extracted/tls-ca-bundle.pem",
};

/**
 * struct ca_parse - State while a file is read
 * @der:	The certificate being collected, @len of @cap bytes; owned
 * @take:	The block being read is a certificate
 * @open:	A block has begun and not ended
 */
struct ca_parse {
	uint8_t *der;
	size_t len, cap;
	bool take, open, overflow;
	unsigned int certs;
	struct wr *out;
	const char *why;
};

static void ca_on_data(void *arg, const void *src, size_t len)
{
	struct ca_parse *p = arg;

	if (!p->take)
		return;
	if (len > p->cap - p->len) {
		p->overflow = true;
		return;
	}
	memcpy(p->der + p->len, src, len);
	p->len += len;
}

/* One certificate is whole: check it, and write it out */
static int ca_on_cert(struct ca_parse *p)
{
	br_x509_decoder_context dc;
	size_t n;
	uint8_t *dst;

	br_x509_decoder_init(&dc, NULL, NULL);
	br_x509_decoder_push(&dc, p->der, p->len);
	if (p->overflow || br_x509_decoder_last_error(&dc)) {
		p->why = "a certificate in it does not decode";
		return -EBADMSG;
	}
	if (!br_x509_decoder_isCA(&dc)) {
		p->why = "a certificate in it is not that of a CA";
		return -EBADMSG;
	}
	if (++p->certs > CA_CERTS_MAX) {
		p->why = "it has too many certificates";
		return -EBADMSG;
	}
	/* br_pem_encode() adds a NUL behind what it counts */
	n = br_pem_encode(NULL, NULL, p->len, "CERTIFICATE", BR_PEM_LINE64);
	dst = malloc(n + 1);
	if (!dst)
		return -ENOMEM;
	n = br_pem_encode(dst, p->der, p->len, "CERTIFICATE", BR_PEM_LINE64);
	wr_bytes(p->out, dst, n);
	free(dst);
	return 0;
}

static int ca_on_event(struct ca_parse *p, br_pem_decoder_context *pem)
{
	const char *name;

	switch (br_pem_decoder_event(pem)) {
	case BR_PEM_BEGIN_OBJ:
		name = br_pem_decoder_name(pem);
		p->take = !strcmp(name, "CERTIFICATE") ||
			  !strcmp(name, "X509 CERTIFICATE");
		p->open = true;
		p->len = 0;
		br_pem_decoder_setdest(pem, ca_on_data, p);
		return 0;
	case BR_PEM_END_OBJ:
		p->open = false;
		return p->take ? ca_on_cert(p) : 0;
	case BR_PEM_ERROR:
		p->why = "it is not PEM";
		return -EBADMSG;
	default:
		return 0;
	}
}

/* The decoder does not know CR, as in files from Windows: it never sees one */
static int ca_feed(struct ca_parse *p, br_pem_decoder_context *pem,
		   struct span in)
{
	while (in.len) {
		struct span part = span_cut(&in, '\r', NULL);

		while (part.len) {
			size_t n = br_pem_decoder_push(pem, part.p, part.len);
			int rc = ca_on_event(p, pem);

			if (rc)
				return rc;
			part.p += n;
			part.len -= n;
		}
	}
	return 0;
}

int ca_check(struct span in, struct wr *out, const char **why)
{
	static const char key[] = "PRIVATE KEY", dashes[] = "-----";
	struct ca_parse p = { .cap = in.len, .out = out, .why = "" };
	br_pem_decoder_context pem;
	int rc = -EBADMSG;
	bool cut;

	*why = "";
	if (in.len && memmem(in.p, in.len, key, sizeof(key) - 1)) {
		*why = "it holds a private key";
		return rc;
	}
	p.der = malloc(in.len + 1);
	if (!p.der)
		return -ENOMEM;
	br_pem_decoder_init(&pem);
	rc = ca_feed(&p, &pem, in);
	cut = p.open && (in.len < sizeof(dashes) - 1 ||
			 memcmp(in.p + in.len - (sizeof(dashes) - 1), dashes,
				sizeof(dashes) - 1));
	if (!rc && !cut)	/* the last line may lack its newline */
		rc = ca_feed(&p, &pem, span_str("\n"));
	if (!rc && p.open) {
		p.why = "it is cut off";
		rc = -EBADMSG;
	} else if (!rc && !p.certs) {
		p.why = "it holds no certificate";
		rc = -EBADMSG;
	}
	free(p.der);
	*why = p.why;
	return rc ? rc : (int)p.certs;
}

/**
 * ca_bundle_edit() - Put our block into one bundle, or take it out
 * @pem:	Certificates; empty to take them out
 * @must:	Make the bundle if it is missing
 *
 * Return: 0; -ENOENT if there is no such bundle; -errno
 */
static int ca_bundle_edit(const struct file_where *w, struct span pem,
			  bool must)
{
	char path[PATH_MAX], *old = NULL;
	uint8_t *text = NULL;
	size_t len = 0, cap;
	struct wr all;
	int rc;

	rc = file_path(w, path, sizeof(path));
	if (rc)
		return rc;
	rc = file_read(path, CA_BUNDLE_MAX, &old, &len);
	if (rc && !(rc == -ENOENT && must))
		return rc;
	cap = len + pem.len + 64;	/* the marks */
	text = malloc(cap);
	if (!text) {
		free(old);
		return -ENOMEM;
	}
	all = wr_init(text, cap);
	file_block((struct span){ (uint8_t *)old, len }, pem, &all);
	rc = all.bad ? -ENOBUFS :
	     file_put(w, (struct span){ text, wr_len(&all) }, true, NULL);
	free(text);
	free(old);
	return rc;
}

/*
 * Every bundle there is; the default one is made if there is none.  One under
 * two names has what it needs when the second comes.
 */
static int ca_edit_all(const struct file_where *where, struct span pem,
		       struct ca_result *res)
{
	struct file_where w = *where;
	int rc, first = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ca_bundles); i++) {
		w.path = ca_bundles[i];
		rc = ca_bundle_edit(&w, pem, false);
		if (rc == -ENOENT)
			continue;
		if (rc && !first)
			first = rc;
		if (!rc && pem.len && !res->bundle[0])
			(void)span_copy(span_str(w.path), res->bundle,
					sizeof(res->bundle));
	}
	if (res->bundle[0])
		return 0;
	if (first || !pem.len)
		return first;
	w.path = CA_DEFAULT;
	rc = ca_bundle_edit(&w, pem, true);
	if (!rc)
		(void)span_copy(span_str(CA_DEFAULT), res->bundle,
				sizeof(res->bundle));
	return rc;
}

/* The first of our files that is there */
static int ca_input(const struct file_where *where, struct ca_result *res,
		    char **pem, size_t *len)
{
	struct file_where w = *where;
	char path[PATH_MAX];
	int rc = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(ca_inputs) && rc == -ENOENT; i++) {
		w.path = ca_inputs[i];
		rc = file_path(&w, path, sizeof(path));
		if (!rc)
			rc = file_read(path, CA_MAX, pem, len);
		if (rc != -ENOENT)
			(void)span_copy(span_str(w.path), res->file,
					sizeof(res->file));
	}
	return rc;
}

int ca_install(const struct file_where *w, struct ca_result *res)
{
	/* DER in lines of 64, at worst as many small ones as are allowed */
	static uint8_t buf[2 * CA_MAX];
	struct wr out = wr_init(buf, sizeof(buf));
	char *pem = NULL;
	size_t len = 0;
	int rc;

	memset(res, 0, sizeof(*res));
	res->why = "";
	rc = ca_input(w, res, &pem, &len);
	if (rc == -ENOENT)
		return ca_edit_all(w, (struct span){ 0 }, res);
	if (rc)
		return rc;
	rc = ca_check((struct span){ (uint8_t *)pem, len }, &out, &res->why);
	free(pem);
	if (rc < 0)
		return rc;
	ASSERT(!out.bad);
	res->certs = (unsigned int)rc;
	return ca_edit_all(w, (struct span){ buf, wr_len(&out) }, res);
}

int ca_bundle(const struct file_where *where, char *buf, size_t size)
{
	struct file_where w = *where;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(ca_bundles); i++) {
		w.path = ca_bundles[i];
		if (!file_path(&w, buf, size) && !stat(buf, &st) &&
		    S_ISREG(st.st_mode))
			return 0;
	}
	return -ENOENT;
}
