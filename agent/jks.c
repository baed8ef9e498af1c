#include <bearssl.h>

#include "agent/jks.h"

#define JKS_MAGIC	0xfeedfeedu
#define JKS_VERSION	2
#define JKS_TRUSTED	2	/* kind of entry */
#define JKS_TYPE	"X.509"
#define JKS_ALIAS	"msb-"
#define JKS_SALT	"Mighty Aphrodite"

/* Strings have their length before them; ASCII is the same in any UTF-8 */
static void jks_str(struct wr *w, struct span a, struct span b)
{
	wr_u16(w, (uint16_t)(a.len + b.len));
	wr_span(w, a);
	wr_span(w, b);
}

/* What stands in every entry beside the certificate */
static size_t jks_entry_size(void)
{
	return 4 + 2 + span_str(JKS_ALIAS).len + ROOTS_ID_LEN + 8 + 2 +
	       span_str(JKS_TYPE).len + 4;
}

size_t jks_size(const struct roots *set)
{
	size_t n = 4 + 4 + 4 + br_sha1_SIZE;

	for (unsigned int i = 0; i < set->n; i++)
		n += jks_entry_size() + set->v[i].len;
	return n;
}

void jks_emit(const struct roots *set, struct wr *w)
{
	const size_t from = wr_len(w);
	uint8_t sum[br_sha1_SIZE];
	br_sha1_context sha;

	wr_u32(w, JKS_MAGIC);
	wr_u32(w, JKS_VERSION);
	wr_u32(w, set->n);
	for (unsigned int i = 0; i < set->n; i++) {
		const struct root *r = &set->v[i];

		wr_u32(w, JKS_TRUSTED);
		jks_str(w, span_str(JKS_ALIAS), span_str(r->id));
		wr_zero(w, 8);				/* its date */
		jks_str(w, span_str(JKS_TYPE), (struct span){ 0 });
		wr_u32(w, (uint32_t)r->len);
		wr_bytes(w, r->der, r->len);
	}
	br_sha1_init(&sha);
	for (const char *p = JKS_PASSWORD; *p; p++) {
		const uint8_t utf16[2] = { 0, (uint8_t)*p };

		br_sha1_update(&sha, utf16, sizeof(utf16));
	}
	br_sha1_update(&sha, JKS_SALT, sizeof(JKS_SALT) - 1);
	br_sha1_update(&sha, w->start + from, wr_len(w) - from);
	br_sha1_out(&sha, sum);
	wr_bytes(w, sum, sizeof(sum));
}
