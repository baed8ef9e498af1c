#include "proto/cmdline.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"

/**
 * struct word - One word as the kernel sees it
 * @name:	Before the first '=' that is not the first character, or all
 * @value:	After it, without its quotes
 * @has_value:	Whether there was such a '='
 */
struct word {
	struct span name, value;
	bool has_value;
};

/* isspace() of the kernel's lib/ctype.c: Latin-1, so 0xa0 is one of them */
static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0;
}

static void skip_spaces(struct span *s)
{
	while (s->len && is_space(s->p[0])) {
		s->p++;
		s->len--;
	}
}

/*
 * A quote at the start of a word or of its value is dropped, and with it the
 * last character of the word if that is a quote.  Any other quote stays.
 */
static bool next_word(struct span *rest, struct word *w)
{
	bool in_quote = false, cut = false;
	size_t i, equals = 0, end;
	const uint8_t *p;

	skip_spaces(rest);
	if (!rest->len)
		return false;
	if (rest->p[0] == '"') {
		in_quote = cut = true;
		rest->p++;
		rest->len--;
	}
	p = rest->p;
	for (i = 0; i < rest->len && (in_quote || !is_space(p[i])); i++) {
		if (!equals && p[i] == '=')
			equals = i;
		if (p[i] == '"')
			in_quote = !in_quote;
	}
	*w = (struct word){ .has_value = equals != 0 };
	if (equals) {
		w->value.p = p + equals + 1;
		if (equals + 1 < i && w->value.p[0] == '"') {
			w->value.p++;
			cut = true;
		}
	}
	end = cut && i && p[i - 1] == '"' ? i - 1 : i;
	if (equals && w->value.p < p + end)
		w->value.len = (size_t)(p + end - w->value.p);
	w->name = (struct span){ .p = p, .len = equals ? equals : end };
	rest->p += i;
	rest->len -= i;
	return true;
}

static bool is_dashes(const struct word *w)
{
	return !w->has_value && span_is(w->name, "--");
}

/* Append what fits and leaves room for a NUL */
static size_t put(char *buf, size_t size, size_t at, struct span s)
{
	size_t n = MIN(s.len, size - 1 - at);

	if (n)
		memcpy(buf + at, s.p, n);
	return at + n;
}

int cmdline_next(struct span *rest, char *buf, size_t size)
{
	struct word w;
	size_t n;

	if (!next_word(rest, &w))
		return 0;
	if (!size)
		return 1;
	n = put(buf, size, 0, w.name);
	if (w.has_value) {
		n = put(buf, size, n, span_str("="));
		n = put(buf, size, n, w.value);
	}
	buf[n] = '\0';
	return 1;
}

int cmdline_get(struct span line, const char *name, char *buf, size_t size)
{
	struct span found = { 0 };
	struct word w;
	bool any = false;

	while (next_word(&line, &w) && !is_dashes(&w)) {
		if (w.has_value && span_is(w.name, name)) {
			found = w.value;
			any = true;
		}
	}
	if (!any)
		return -ENOENT;
	if (found.len >= size)
		return -ENAMETOOLONG;
	buf[put(buf, size, 0, found)] = '\0';
	return 0;
}

int cmdline_args(struct span line)
{
	struct word w;
	int n = 0;

	do {
		if (!next_word(&line, &w))
			return -ENOENT;
	} while (!is_dashes(&w));
	/* The kernel parses the rest in the same way: a second one ends it */
	while (next_word(&line, &w) && !is_dashes(&w))
		n++;
	return n;
}

bool cmdline_cut(struct span line, char *name, size_t size)
{
	struct word w, last = { 0 };
	struct span rest = line;
	bool words = false;

	ASSERT(size);
	if (line.len < CMDLINE_SIZE - 1)
		return false;
	while (next_word(&rest, &w)) {
		words |= is_dashes(&w);
		last = w;
	}
	if (!words && last.has_value && span_is(last.name, "MSB_END") &&
	    span_is(last.value, "1"))
		return false;
	name[put(name, size, 0, words ? span_str("--") : last.name)] = '\0';
	return true;
}
