#include "agent/json.h"

void json_str(struct wr *w, const char *s)
{
	wr_u8(w, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			wr_fmt(w, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			wr_fmt(w, "\\u%04x", c);
		else if (c > 0x7f)
			wr_fmt(w, "\\ufffd");
		else
			wr_u8(w, c);
	}
	wr_u8(w, '"');
}

void json_key(struct wr *w, bool *first, const char *key)
{
	if (!*first)
		wr_u8(w, ',');
	*first = false;
	json_str(w, key);
	wr_u8(w, ':');
}
