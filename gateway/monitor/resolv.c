#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/span.h"
#include "gateway/monitor/monitor.h"

#define RESOLV_MAX	(64u * 1024)

/* "nameserver ADDRESS", blanks between; a zone (%eth0) makes it not ours */
static void line(struct span l, struct mon_dns *out)
{
	struct span word = span_trim(l);
	struct ipaddr a;
	size_t i;

	if (!span_starts(word, "nameserver") || word.len < 12 ||
	    (word.p[10] != ' ' && word.p[10] != '\t'))
		return;
	word.p += 11;
	word.len -= 11;
	word = span_trim(word);
	for (i = 0; i < word.len; i++)
		if (word.p[i] == ' ' || word.p[i] == '\t' ||
		    word.p[i] == '#' || word.p[i] == ';')
			break;
	word.len = i;
	if (out->n < MON_DNS_MAX && ipaddr_parse(word, &a) == 0) {
		out->server[out->n].addr = a;
		out->server[out->n++].port = 53;
	}
}

int monitor_resolv(const char *path, struct mon_dns *out)
{
	struct mon_dns d = { 0 };
	struct span rest;
	char *text;
	ssize_t n;
	bool more = true;

	text = malloc(RESOLV_MAX);
	if (!text)
		return -ENOMEM;
	n = fd_read_file(path, text, RESOLV_MAX);
	if (n < 0) {
		free(text);
		return (int)n;
	}
	rest = (struct span){ .p = (uint8_t *)text, .len = (size_t)n };
	while (more)
		line(span_cut(&rest, '\n', &more), &d);
	free(text);
	*out = d;
	return 0;
}
