#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/dns.h"

#define OPCODE_SHIFT	11
#define OPCODE_MASK	15
#define RCODE_MASK	15

#define OPT_DO		0x8000
#define OPT_PAYLOAD	1232	/* what we say we take: DNS flag day 2020 */
#define OPT_LEN		11

#define POINTER		0xc0	/* top bits of a label's length */
/*
 * Pointers to pointers cost time and say nothing: a name needs one for each
 * label at most.  64 KiB of them, gone through for each of 4096 records, took
 * 94 ms.
 */
#define POINTERS_MAX	(DNS_NAME_MAX / 2)

int dns_msg_parse(struct rd *r, struct dns_msg *out)
{
	struct dns_msg m;

	m.id = rd_u16(r);
	m.flags = rd_u16(r);
	m.opcode = m.flags >> OPCODE_SHIFT & OPCODE_MASK;
	m.rcode = m.flags & RCODE_MASK;
	for (size_t i = 0; i < ARRAY_SIZE(m.count); i++)
		m.count[i] = rd_u16(r);
	if (r->bad)
		return -EBADMSG;
	*out = m;
	return 0;
}

void dns_msg_emit(const struct dns_msg *m, struct wr *w)
{
	uint16_t flags = m->flags & (uint16_t)~(OPCODE_MASK << OPCODE_SHIFT |
						RCODE_MASK);

	wr_u16(w, m->id);
	wr_u16(w, (uint16_t)(flags | (m->opcode & OPCODE_MASK) << OPCODE_SHIFT |
			     (m->rcode & RCODE_MASK)));
	for (size_t i = 0; i < ARRAY_SIZE(m->count); i++)
		wr_u16(w, m->count[i]);
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static void put_char(uint8_t c, struct wr *w)
{
	if (c == '.' || c == '\\') {
		wr_u8(w, '\\');
		wr_u8(w, c);
	} else if (c > 0x20 && c < 0x7f) {
		wr_u8(w, lower(c));
	} else {
		wr_u8(w, '\\');
		wr_u8(w, (uint8_t)('0' + c / 100));
		wr_u8(w, (uint8_t)('0' + c / 10 % 10));
		wr_u8(w, (uint8_t)('0' + c % 10));
	}
}

/**
 * struct jumps - Where the pointers of one name have led
 * @limit:	The next one must go before this offset
 * @n:		How many there were
 * @after:	Behind the first of them
 */
struct jumps {
	size_t limit;
	unsigned int n;
	struct rd after;
};

/**
 * follow() - Go where a compression pointer points
 * @msg:	Whole message
 * @hi:		First byte of the pointer; the second is read from @cur
 */
static int follow(struct span msg, uint8_t hi, struct rd *cur, struct jumps *j)
{
	size_t to = (size_t)(hi & ~POINTER) << 8 | rd_u8(cur);

	if (cur->bad || to < DNS_HDR_LEN || to >= j->limit ||
	    j->n == POINTERS_MAX)
		return -EBADMSG;
	if (!j->n++)
		j->after = *cur;
	j->limit = to;
	*cur = rd_init(msg.p, msg.len);
	rd_take(cur, to);
	return 0;
}

/**
 * label_next() - One label, pointers followed
 *
 * Return: 1; 0 for the root label; -EBADMSG
 */
static int label_next(struct span msg, struct rd *cur, struct jumps *j,
		      struct span *label)
{
	for (;;) {
		uint8_t c = rd_u8(cur);

		if ((c & POINTER) == POINTER) {
			if (follow(msg, c, cur, j))
				return -EBADMSG;
			continue;
		}
		if (c & POINTER)	/* reserved, RFC 6891 5 */
			return -EBADMSG;
		label->len = c;
		label->p = rd_take(cur, c);
		if (cur->bad)
			return -EBADMSG;
		if (!c && !j->n)
			j->after = *cur;
		return c ? 1 : 0;
	}
}

int dns_name_parse(struct span msg, struct rd *r,
		   char text[static DNS_TEXT_MAX])
{
	struct jumps j = { .limit = (size_t)(r->p - msg.p) };
	struct rd cur = *r;
	size_t wire = 1;
	char buf[DNS_TEXT_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	struct span label;
	int rc;

	while ((rc = label_next(msg, &cur, &j, &label)) > 0) {
		wire += label.len + 1;
		if (wire > DNS_NAME_MAX)
			return -EBADMSG;
		if (wr_len(&w))
			wr_u8(&w, '.');
		for (size_t i = 0; i < label.len; i++)
			put_char(label.p[i], &w);
	}
	if (rc)
		return rc;
	if (!wr_len(&w))
		wr_u8(&w, '.');
	wr_u8(&w, '\0');
	ASSERT(!w.bad);		/* DNS_TEXT_MAX holds any name */
	memcpy(text, buf, wr_len(&w));
	*r = j.after;
	return 0;
}

/**
 * get_char() - One byte of a label in text form
 *
 * Return: characters used; 0 at the end of the label; -EINVAL
 */
static int get_char(const char *s, uint8_t *out)
{
	unsigned int v;

	if (!*s || *s == '.')
		return 0;
	if (*s != '\\') {
		*out = (uint8_t)*s;
		return 1;
	}
	if (!s[1])
		return -EINVAL;
	if (!digit(s[1])) {
		*out = (uint8_t)s[1];
		return 2;
	}
	if (!digit(s[2]) || !digit(s[3]))
		return -EINVAL;
	v = (unsigned int)((s[1] - '0') * 100 + (s[2] - '0') * 10 +
			   (s[3] - '0'));
	if (v > 255)
		return -EINVAL;
	*out = (uint8_t)v;
	return 4;
}

int dns_name_emit(const char *text, struct wr *w)
{
	uint8_t buf[DNS_NAME_MAX], label[DNS_LABEL_MAX];
	struct wr b = wr_init(buf, sizeof(buf));
	struct wr l = wr_init(label, sizeof(label));
	const char *s = text;
	uint8_t c = 0;
	int n;

	if (text[0] == '.' && !text[1])
		s++;
	while (*s) {
		l.p = l.start;
		while ((n = get_char(s, &c)) > 0) {
			wr_u8(&l, c);
			s += n;
		}
		if (n < 0 || l.bad || !wr_len(&l))
			return -EINVAL;
		wr_u8(&b, (uint8_t)wr_len(&l));
		wr_bytes(&b, label, wr_len(&l));
		if (*s == '.')
			s++;
	}
	if (s == text)
		return -EINVAL;
	wr_u8(&b, 0);
	if (b.bad)
		return -EINVAL;
	wr_bytes(w, buf, wr_len(&b));
	return 0;
}

bool dns_name_eq(const char *a, const char *b)
{
	while (*a && lower((uint8_t)*a) == lower((uint8_t)*b)) {
		a++;
		b++;
	}
	return *a == *b;
}

/**
 * question_parse() - Head and the one question
 * @r:		Left behind the question
 *
 * Return: 0; -EBADMSG without a head; -EINVAL if the question is malformed or
 *	   not the only one; @m is set then
 */
static int question_parse(struct span msg, struct rd *r, struct dns_msg *m,
			  struct dns_query *q)
{
	const uint8_t *start;

	if (dns_msg_parse(r, m))
		return -EBADMSG;
	if (m->count[0] != 1)
		return -EINVAL;
	start = r->p;
	if (dns_name_parse(msg, r, q->qname))
		return -EINVAL;
	q->qtype = rd_u16(r);
	q->qclass = rd_u16(r);
	if (r->bad)
		return -EINVAL;
	q->question.p = start;
	q->question.len = (size_t)(r->p - start);
	return 0;
}

static int query_additional(struct span msg, struct dns_query *q)
{
	struct dns_rrs it;
	struct dns_rr rr;
	int rc;

	rc = dns_rrs_init(&it, msg);
	if (rc)
		return rc;
	while ((rc = dns_rrs_next(&it, &rr)) > 0) {
		if (rr.type != DNS_TYPE_OPT)
			continue;
		if (q->edns || rr.section != DNS_SECTION_ADDITIONAL ||
		    strcmp(rr.name, "."))
			return -EINVAL;
		q->edns = true;
		q->payload = MAX(rr.class, DNS_UDP_MAX);
		q->version = (uint8_t)(rr.ttl_s >> 16);
		q->dnssec_ok = rr.ttl_s & OPT_DO;
	}
	return rc;
}

int dns_parse_query(struct span msg, struct dns_query *out)
{
	struct rd r = rd_init(msg.p, msg.len);
	struct dns_query q = { .payload = DNS_UDP_MAX };
	struct dns_msg m;
	int rc;

	rc = question_parse(msg, &r, &m, &q);
	if (rc == -EBADMSG || m.flags & DNS_F_QR)
		return -EBADMSG;
	if (rc == 0 && query_additional(msg, &q))
		rc = -EINVAL;
	if (rc)
		q = (struct dns_query){ .payload = DNS_UDP_MAX };
	q.id = m.id;
	q.flags = m.flags;
	q.opcode = m.opcode;
	q.rd = m.flags & DNS_F_RD;
	*out = q;
	return rc;
}

static bool addr_fits(const struct dns_query *q, const struct ipaddr *a)
{
	return a && q->question.len && q->qclass == DNS_CLASS_IN &&
	       q->qtype == (ipaddr_is4(a) ? DNS_TYPE_A : DNS_TYPE_AAAA);
}

int dns_emit_reply(const struct dns_query *q, int rcode, bool aa,
		   const struct ipaddr *addr, uint32_t ttl_s, struct wr *w)
{
	bool answer = addr_fits(q, addr);
	size_t start = wr_len(w);
	struct dns_msg m = {
		.id = q->id,
		.flags = (uint16_t)(DNS_F_QR | DNS_F_RA | (aa ? DNS_F_AA : 0) |
				    (q->flags & (DNS_F_RD | DNS_F_CD))),
		.opcode = q->opcode,
		.rcode = (uint8_t)(rcode & RCODE_MASK),
		.count = { q->question.len ? 1 : 0, answer, 0, q->edns },
	};

	ASSERT(rcode >= 0 && (rcode <= RCODE_MASK || q->edns));
	dns_msg_emit(&m, w);
	wr_span(w, q->question);
	if (answer) {
		size_t len = ipaddr_is4(addr) ? 4 : 16;

		wr_u16(w, POINTER << 8 | DNS_HDR_LEN);
		wr_u16(w, q->qtype);
		wr_u16(w, q->qclass);
		wr_u32(w, ttl_s);
		wr_u16(w, (uint16_t)len);
		wr_bytes(w, ipaddr_bytes(addr), len);
	}
	if (q->edns) {
		wr_u8(w, 0);
		wr_u16(w, DNS_TYPE_OPT);
		wr_u16(w, OPT_PAYLOAD);
		wr_u32(w, (uint32_t)(rcode >> 4) << 24 |
			  (q->dnssec_ok ? OPT_DO : 0));
		wr_u16(w, 0);
	}
	return w->bad ? -ENOSPC : (int)(wr_len(w) - start);
}

int dns_check_answer(struct span msg, const struct dns_query *q)
{
	struct rd r = rd_init(msg.p, msg.len);
	struct dns_query a;
	struct dns_msg m;

	if (question_parse(msg, &r, &m, &a))
		return -EBADMSG;
	if (m.id != q->id || !(m.flags & DNS_F_QR) || m.opcode != q->opcode ||
	    a.qtype != q->qtype || a.qclass != q->qclass ||
	    !dns_name_eq(a.qname, q->qname))
		return -ENOMSG;
	return 0;
}

/* The OPT record of an answer, empty if there is none that can be found */
static struct span find_opt(struct span msg)
{
	struct dns_rrs it;
	struct dns_rr rr;

	if (dns_rrs_init(&it, msg))
		return (struct span){ 0 };
	while (dns_rrs_next(&it, &rr) > 0)
		if (rr.type == DNS_TYPE_OPT && rr.raw.len >= OPT_LEN &&
		    rr.section == DNS_SECTION_ADDITIONAL && !rr.raw.p[0])
			return rr.raw;
	return (struct span){ 0 };
}

int dns_truncate(struct span msg, struct wr *w)
{
	struct rd r = rd_init(msg.p, msg.len);
	struct span opt = find_opt(msg);
	size_t start = wr_len(w);
	struct dns_query q;
	struct dns_msg m;

	if (question_parse(msg, &r, &m, &q))
		return -EBADMSG;
	m.flags |= DNS_F_TC;
	m.count[1] = m.count[2] = 0;
	m.count[3] = opt.len ? 1 : 0;
	dns_msg_emit(&m, w);
	wr_span(w, q.question);
	wr_span(w, opt);
	return w->bad ? -ENOSPC : (int)(wr_len(w) - start);
}

int dns_rrs_init(struct dns_rrs *it, struct span msg)
{
	struct rd r = rd_init(msg.p, msg.len);
	char name[DNS_TEXT_MAX];
	struct dns_msg m;

	if (dns_msg_parse(&r, &m))
		return -EBADMSG;
	for (unsigned int i = 0; i < m.count[0]; i++) {
		if (dns_name_parse(msg, &r, name))
			return -EBADMSG;
		rd_take(&r, 4);
	}
	if (r.bad)
		return -EBADMSG;
	it->msg = msg;
	it->rd = r;
	for (size_t i = 0; i < DNS_SECTION_NUM; i++)
		it->left[i] = m.count[i + 1];
	return 0;
}

int dns_rrs_next(struct dns_rrs *it, struct dns_rr *rr)
{
	const uint8_t *start = it->rd.p;
	struct rd *r = &it->rd;
	unsigned int s = 0;

	while (s < DNS_SECTION_NUM && !it->left[s])
		s++;
	if (s == DNS_SECTION_NUM)
		return 0;
	it->left[s]--;
	if (dns_name_parse(it->msg, r, rr->name))
		return -EBADMSG;
	rr->section = (enum dns_section)s;
	rr->type = rd_u16(r);
	rr->class = rd_u16(r);
	rr->ttl_s = rd_u32(r);
	if (rr->type != DNS_TYPE_OPT && rr->ttl_s >> 31)
		rr->ttl_s = 0;
	rr->rdata.len = rd_u16(r);
	rr->rdata.p = rd_take(r, rr->rdata.len);
	if (r->bad)
		return -EBADMSG;
	rr->raw.p = start;
	rr->raw.len = (size_t)(r->p - start);
	return 1;
}

int dns_rr_addr(const struct dns_rr *rr, struct ipaddr *out)
{
	struct ipaddr a;

	if (rr->class != DNS_CLASS_IN)
		return -ENOMSG;
	if (rr->type == DNS_TYPE_A && rr->rdata.len == 4) {
		*out = ipaddr_v4(rr->rdata.p);
		return 0;
	}
	if (rr->type != DNS_TYPE_AAAA || rr->rdata.len != 16)
		return -ENOMSG;
	a = ipaddr_v6(rr->rdata.p);
	if (ipaddr_is4(&a))
		return -ENOMSG;
	*out = a;
	return 0;
}

int dns_rr_target(const struct dns_rrs *it, const struct dns_rr *rr,
		  char text[static DNS_TEXT_MAX])
{
	struct rd r = rd_init(it->msg.p,
			      (size_t)(rr->rdata.p + rr->rdata.len -
				       it->msg.p));
	char name[DNS_TEXT_MAX];

	if (rr->type != DNS_TYPE_CNAME && rr->type != DNS_TYPE_NS &&
	    rr->type != DNS_TYPE_PTR)
		return -ENOMSG;
	rd_take(&r, (size_t)(rr->rdata.p - it->msg.p));
	if (dns_name_parse(it->msg, &r, name) || !rd_done(&r))
		return -EBADMSG;
	memcpy(text, name, strlen(name) + 1);
	return 0;
}
