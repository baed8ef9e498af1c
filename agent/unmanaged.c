#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/unmanaged.h"
#include "base/inet.h"
#include "base/util.h"

#define TEXT_MAX	1024
#define CONF_MAX	(256 * 1024)
#define DHCPCD_CONF	"/etc/dhcpcd.conf"
#define CLOUD_DIR	"/etc/cloud/cloud.cfg.d"

#define HEAD		"# Made by msb-init: this interface is its own\n"

/*
 * %m is the MAC, %i the name of the interface.
 *
 * networkd counts an interface that it does not manage as none at all, and its
 * wait-online waits for one until it times out; but we are online.
 */
static const struct {
	const char *path, *text;
	const char *needs;	/* directory without which nobody reads it */
} files[] = {
	{ "/run/systemd/network/00-msb-init.link",
	  HEAD "[Match]\nMACAddress=%m\n\n[Link]\nName=%i\n", NULL },
	{ "/run/systemd/network/00-msb-init.network",
	  HEAD "[Match]\nMACAddress=%m\n\n[Link]\nUnmanaged=yes\n", NULL },
	{ "/run/systemd/system/systemd-networkd-wait-online.service.d/"
	  "00-msb-init.conf",
	  HEAD "[Unit]\nConditionPathExists=!/run/systemd/network/"
	  "00-msb-init.network\n", NULL },
	{ "/run/NetworkManager/conf.d/00-msb-init.conf",
	  HEAD "[main]\ndns=none\nsystemd-resolved=false\n\n"
	  "[device-msb-init]\nmatch-device=mac:%m;interface-name:=%i\nmanaged=0\n\n"
	  "[keyfile]\nunmanaged-devices+=mac:%m;interface-name:=%i\n", NULL },
	{ CLOUD_DIR "/99-msb-init.cfg",
	  HEAD "network:\n  config: disabled\n", CLOUD_DIR },
};

/** expand() - The text of a file */
static void expand(const char *text, const struct env *e, struct wr *w)
{
	char mac[MAC_STRLEN];

	for (; *text; text++) {
		if (*text != '%') {
			wr_u8(w, (uint8_t)*text);
			continue;
		}
		text++;
		wr_fmt(w, "%s", *text == 'm' ? mac_fmt(e->mac, mac) : e->iface);
	}
}

static bool is_there(const struct file_where *where, const char *path)
{
	struct file_where w = { where->root, where->run_dir, path };
	char full[PATH_MAX];
	struct stat st;

	return file_path(&w, full, sizeof(full)) == 0 && stat(full, &st) == 0;
}

void unmanaged_dhcpcd(const struct env *e, struct span old, struct wr *w)
{
	wr_fmt(w, FILE_MARK_BEGIN "\ndenyinterfaces %s\n" FILE_MARK_END "\n",
	       e->iface);
	file_block(old, span_str(NULL), w);
}

/** dhcpcd() - Put our block into its configuration, if it is there */
static int dhcpcd(const struct env *e, const struct file_where *where)
{
	struct file_where w = { where->root, where->run_dir, DHCPCD_CONF };
	char path[PATH_MAX], *old;
	uint8_t *text;
	struct wr out;
	size_t len, size;
	int rc = file_path(&w, path, sizeof(path));

	if (rc == 0)
		rc = file_read(path, CONF_MAX, &old, &len);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	size = len + TEXT_MAX;
	text = malloc(size);
	if (text) {
		out = wr_init(text, size);
		unmanaged_dhcpcd(e, (struct span){ (uint8_t *)old, len }, &out);
		rc = out.bad ? -ENOBUFS :
		     file_put(&w, (struct span){ text, wr_len(&out) }, true,
			      NULL);
	} else {
		rc = -ENOMEM;
	}
	free(text);
	free(old);
	return rc;
}

void unmanaged_write(const struct env *e, const struct file_where *where,
		     unmanaged_fn failed, void *arg)
{
	char text[TEXT_MAX];
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct file_where w = { where->root, where->run_dir,
					files[i].path };
		struct wr out = wr_init(text, sizeof(text));

		if (files[i].needs && !is_there(where, files[i].needs))
			continue;
		expand(files[i].text, e, &out);
		rc = out.bad ? -ENOBUFS :
		     file_put(&w, (struct span){ out.start, wr_len(&out) },
			      true, NULL);
		if (rc < 0)
			failed(arg, files[i].path, rc);
	}
	rc = dhcpcd(e, where);
	if (rc < 0)
		failed(arg, DHCPCD_CONF, rc);
}
