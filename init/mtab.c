#include <errno.h>
#include <stdint.h>

#include "init/mtab.h"

bool mtab_parse(struct span line, struct mtab *m)
{
	m->source = span_cut(&line, ' ', NULL);
	m->target = span_cut(&line, ' ', NULL);
	m->type = span_cut(&line, ' ', NULL);
	m->options = span_cut(&line, ' ', NULL);
	return m->target.len && m->type.len;
}

bool mtab_last(struct span *text, struct span *line)
{
	size_t start;

	while (text->len && text->p[text->len - 1] == '\n')
		text->len--;
	if (!text->len)
		return false;
	start = text->len;
	while (start > 0 && text->p[start - 1] != '\n')
		start--;
	*line = (struct span){ text->p + start, text->len - start };
	text->len = start;
	return true;
}

static bool octal(uint8_t c, char max)
{
	return c >= '0' && c <= max;
}

int mtab_path(struct span s, char *buf, size_t size)
{
	size_t n = 0;

	while (s.len && n + 1 < size) {
		uint8_t c = s.p[0];
		size_t used = 1;

		if (s.len >= 4 && c == '\\' && octal(s.p[1], '3') &&
		    octal(s.p[2], '7') && octal(s.p[3], '7')) {
			c = (uint8_t)((s.p[1] - '0') << 6 |
				      (s.p[2] - '0') << 3 | (s.p[3] - '0'));
			used = 4;
		}
		if (!c) {
			buf[0] = '\0';
			return -EINVAL;
		}
		buf[n++] = (char)c;
		s.p += used;
		s.len -= used;
	}
	buf[s.len ? 0 : n] = '\0';
	return s.len ? -ENAMETOOLONG : 0;
}

bool mtab_has(const struct mtab *m, const char *option)
{
	struct span rest = m->options;

	while (rest.len)
		if (span_is(span_cut(&rest, ',', NULL), option))
			return true;
	return false;
}
