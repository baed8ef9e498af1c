#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/conf.h"
#include "agent/file.h"
#include "base/fd.h"
#include "base/util.h"
#include "proto/cmdline.h"

#define CONF_FILE_MAX	(256 * 1024)	/* a command line or an environment */

enum {
	CONF_OPT_PID1 = 1,
	CONF_OPT_RUN_DIR,
	CONF_OPT_LOG_LEVEL,
	CONF_OPT_LINK,
	CONF_OPT_ONCE,
	CONF_OPT_DRY_RUN,
	CONF_OPT_HANDOFF,
	CONF_OPT_KEEP,
	CONF_OPT_NOTIFY_FD,
	CONF_OPT_HELP,
};

static void conf_usage(bool net, FILE *f)
{
	fputs(net ? "usage: msb-init net" : "usage: msb-init agent [--once]",
	      f);
	fputs(" [--dry-run] [--link SPEC] [--run-dir DIR]\n"
	      "                      [--log-level error|warn|info|debug]"
	      " [--notify-fd N]\n"
	      "Configures the network that MSB_NET, MSB_NET_IPV4 and"
	      " MSB_NET_IPV6 ask for", f);
	fputs(net ? ".\nExit status: 0 as it was asked for; 1 not all of it; 2"
	      " wrong usage; 3 a variable\n"
	      "was refused; 4 there is no such interface.\n" :
	      ",\nthen moves its frames until SIGTERM.\n"
	      "  --once           configure, and leave\n", f);
	fputs("  --dry-run        print the requests that would be sent, and send"
	      " none\n"
	      "  --link SPEC      nic, vsock:[CID:]PORT or unix:PATH, instead"
	      " of MSB_LINK\n"
	      "  --run-dir DIR    for the status file (" REPORT_RUN_DIR ")\n"
	      "  --log-level L    info if not given\n"
	      "  --keep           start it again when it dies, in a second"
	      " process\n"
	      "  --notify-fd N    write a newline there when the network is"
	      " ready\n"
	      "  --pid1           PID 1 started this: do not look into /proc"
	      " for variables\n"
	      "  --handoff        PID 1 will be another init: outlive its"
	      " SIGTERM\n", f);
}

/** conf_number() - A descriptor on the command line; false after a message */
static bool conf_number(const char *text, int *fd)
{
	uint64_t n;

	if (span_uint(span_str(text), 1 << 20, &n) == 0 &&
	    fd_cloexec((int)n, true) == 0) {
		*fd = (int)n;
		return true;
	}
	fprintf(stderr, "msb-init: --notify-fd: not an open descriptor: %s\n",
		text);
	return false;
}

int conf_args(struct conf *c, bool net, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "pid1", no_argument, NULL, CONF_OPT_PID1 },
		{ "run-dir", required_argument, NULL, CONF_OPT_RUN_DIR },
		{ "log-level", required_argument, NULL, CONF_OPT_LOG_LEVEL },
		{ "link", required_argument, NULL, CONF_OPT_LINK },
		{ "handoff", no_argument, NULL, CONF_OPT_HANDOFF },
		{ "keep", no_argument, NULL, CONF_OPT_KEEP },
		{ "notify-fd", required_argument, NULL, CONF_OPT_NOTIFY_FD },
		{ "once", no_argument, NULL, CONF_OPT_ONCE },
		{ "dry-run", no_argument, NULL, CONF_OPT_DRY_RUN },
		{ "help", no_argument, NULL, CONF_OPT_HELP },
		{ 0 },
	};
	int o;

	*c = (struct conf){ .root = "", .run_dir = REPORT_RUN_DIR, .once = net,
			    .level = LOG_LEVEL_INFO, .ready_fd = -1,
			    .notify_fd = -1 };
	env_init(&c->env);
	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case CONF_OPT_PID1:
			c->pid1 = true;
			break;
		case CONF_OPT_ONCE:
			c->once = true;
			break;
		case CONF_OPT_DRY_RUN:
			c->dry = true;
			break;
		case CONF_OPT_HANDOFF:
			c->handoff = true;
			break;
		case CONF_OPT_KEEP:
			c->keep = true;
			break;
		case CONF_OPT_NOTIFY_FD:
			if (!conf_number(optarg, &c->notify_fd))
				return -EINVAL;
			break;
		case CONF_OPT_RUN_DIR:
			c->run_dir = optarg;
			break;
		case CONF_OPT_LINK:
			c->link = optarg;
			break;
		case CONF_OPT_LOG_LEVEL:
			if (!log_parse_level(optarg, &c->level))
				break;
			fprintf(stderr, "msb-init: unknown log level: %s\n",
				optarg);
			return -EINVAL;
		case CONF_OPT_HELP:
			conf_usage(net, stdout);
			return -ECANCELED;
		default:
			conf_usage(net, stderr);
			return -EINVAL;
		}
	}
	if (optind != argc) {
		conf_usage(net, stderr);
		return -EINVAL;
	}
	return 0;
}

static int conf_hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int conf_token(struct span text, uint8_t token[static HELLO_TOKEN_LEN])
{
	uint8_t out[HELLO_TOKEN_LEN];

	if (text.len && text.p[text.len - 1] == '\n')
		text.len--;
	if (text.len != 2 * sizeof(out))
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(out); i++) {
		int hi = conf_hex(text.p[2 * i]);
		int lo = conf_hex(text.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EBADMSG;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(token, out, sizeof(out));
	return 0;
}

int conf_environ(struct span all, const char *name, char *buf, size_t size)
{
	size_t n = strlen(name);

	while (all.len) {
		struct span one = span_cut(&all, '\0', NULL);

		if (one.len > n && one.p[n] == '=' && span_starts(one, name))
			return span_copy((struct span){ one.p + n + 1,
							one.len - n - 1 },
					 buf, size);
	}
	return -ENOENT;
}

/* A descriptor that PID 1 left us, named by a variable; -1 if there is none */
static int conf_fd(const char *name)
{
	const char *text = getenv(name);
	uint64_t fd;

	if (!text || span_uint(span_str(text), 1 << 20, &fd) ||
	    fd_cloexec((int)fd, true))
		return -1;
	unsetenv(name);		/* it means nothing to our children */
	return (int)fd;
}

static void conf_read_token(struct conf *c)
{
	char text[2 * HELLO_TOKEN_LEN + 2];
	size_t have = 0;
	int fd = conf_fd("MSB_TOKEN_FD");
	ssize_t n;

	if (fd < 0)
		return;
	while (have < sizeof(text) &&
	       (n = read(fd, text + have, sizeof(text) - have)) != 0) {
		if (n > 0)
			have += (size_t)n;
		else if (errno != EINTR)
			break;
	}
	close(fd);
	if (have && conf_token((struct span){ (uint8_t *)text, have },
			       c->token))
		log_warn("MSB_TOKEN_FD: not 32 hex digits and a newline");
	secure_zero(text, sizeof(text));
}

/* Variables without which there is still a network to set up */
static bool conf_is_minor(const char *name)
{
	return !strcmp(name, "MSB_HOSTNAME") || !strcmp(name, "MSB_HOST_ALIAS");
}

static void conf_refuse(struct conf *c, struct report *r,
			const struct env_err *err)
{
	if (conf_is_minor(err->var)) {
		report_warn(r, "%s: %s (at offset %zu)", err->var, err->reason,
			    err->offset);
		return;
	}
	c->bad_net = true;
	report_fail(r, "%s: %s (at offset %zu)", err->var, err->reason,
		    err->offset);
}

static void conf_set(struct conf *c, struct report *r, const char *name,
		     const char *value)
{
	struct env_err err;

	if (env_set(&c->env, name, value, &err) == -EINVAL)
		conf_refuse(c, r, &err);
}

/**
 * struct conf_src - Where variables come from
 * @get:	As getenv() into a buffer: 0; -ENOENT; -ENAMETOOLONG
 */
struct conf_src {
	int (*get)(const struct conf_src *s, const char *name, char *buf,
		   size_t size);
	struct span text;
};

static int conf_get_own(const struct conf_src *s, const char *name, char *buf,
			size_t size)
{
	const char *value = getenv(name);

	(void)s;
	return value ? span_copy(span_str(value), buf, size) : -ENOENT;
}

static int conf_get_cmdline(const struct conf_src *s, const char *name,
			    char *buf, size_t size)
{
	return cmdline_get(s->text, name, buf, size);
}

static int conf_get_environ(const struct conf_src *s, const char *name,
			    char *buf, size_t size)
{
	return conf_environ(s->text, name, buf, size);
}

/* The variables about CA certificates; whether there is any */
static bool conf_ca_from(struct conf *c, const struct conf_src *s)
{
	char mode[16];
	bool any = true;

	switch (s->get(s, "MSB_CA", c->ca, sizeof(c->ca))) {
	case 0:
		break;
	case -ENOENT:
		any = false;
		break;
	default:
		log_warn("MSB_CA: too long");
		c->ca[0] = '\0';
	}
	switch (s->get(s, "MSB_CA_ENV", mode, sizeof(mode))) {
	case 0:
		any = true;
		if (!ca_env_mode(mode, &c->ca_env))
			break;
		/* fall through */
	default:
		log_warn("MSB_CA_ENV: keep, replace or off");
		break;
	case -ENOENT:
		break;
	}
	return any;
}

/* Set every variable that the source has; whether there was any */
static bool conf_from(struct conf *c, const struct conf_src *s,
		      struct report *r)
{
	char value[CONF_URL_MAX];
	const char *name;
	bool any = false;
	int rc;

	for (unsigned int i = 0; (name = env_name(i)); i++) {
		rc = s->get(s, name, value, sizeof(value));
		if (rc == -ENOENT)
			continue;
		any = true;
		if (c->link && !strcmp(name, "MSB_LINK"))
			continue;
		if (rc) {
			struct env_err err = { .var = name,
					       .reason = "value too long" };

			conf_refuse(c, r, &err);
			continue;
		}
		conf_set(c, r, name, value);
	}
	if (!s->get(s, "MSB_VERBOSE", value, sizeof(value)))
		c->verbose = !strcmp(value, "1");
	rc = s->get(s, "MSB_NET_PROBE", value, sizeof(value));
	if (!rc)
		(void)span_copy(span_trim(span_str(value)), c->probe,
				sizeof(c->probe));
	else if (rc != -ENOENT)
		report_warn(r, "MSB_NET_PROBE: longer than %zu bytes: nothing is"
			    " probed", sizeof(value) - 1);
	return conf_ca_from(c, s) || any || !rc;
}

static void conf_cut(struct conf *c, struct report *r, const char *name)
{
	c->bad_net = true;
	report_fail(r, "%.40s: the kernel's command line is full (%d bytes) and"
		    " may have been cut off there, so there is no network:"
		    " shorten the line, and end it with " CMDLINE_END, name,
		    CMDLINE_SIZE - 1);
}

/* As PID 1 does it for the agent that it starts, see init/cut.h */
static void conf_check_cut(struct conf *c, struct report *r, struct span line)
{
	char name[64];

	line = span_trim(line);
	if (cmdline_cut(line, name, sizeof(name)) &&
	    (span_starts(span_str(name), "MSB_") ||
	     cmdline_get(line, "MSB_END", name, 1) == -ENOENT))
		conf_cut(c, r, name);
}

/* Another init started us and kept its variables to itself; @r: NULL for CA */
static void conf_from_proc(struct conf *c, struct report *r)
{
	static const struct {
		const char *path;
		int (*get)(const struct conf_src *s, const char *name,
			   char *buf, size_t size);
	} files[] = {
		{ "/proc/cmdline", conf_get_cmdline },
		{ "/proc/1/environ", conf_get_environ },
	};
	bool found = false;

	for (size_t i = 0; !found && i < ARRAY_SIZE(files); i++) {
		struct conf_src s = { .get = files[i].get };
		char *text;
		size_t len;

		if (file_read(files[i].path, CONF_FILE_MAX, &text, &len))
			continue;
		s.text = (struct span){ (uint8_t *)text, len };
		found = r ? conf_from(c, &s, r) : conf_ca_from(c, &s);
		if (r && found && files[i].get == conf_get_cmdline)
			conf_check_cut(c, r, s.text);
		free(text);
	}
}

void conf_ca(struct conf *c)
{
	const struct conf_src own = { .get = conf_get_own };

	if (!conf_ca_from(c, &own))
		conf_from_proc(c, NULL);
}

void conf_env(struct conf *c, struct report *r)
{
	const struct conf_src own = { .get = conf_get_own };
	const char *cut = getenv("MSB_CUT");
	struct env_err err;

	c->ready_fd = conf_fd("MSB_READY_FD");
	conf_read_token(c);
	if (!conf_from(c, &own, r) && !c->pid1)
		conf_from_proc(c, r);
	if (c->pid1 && cut)
		conf_cut(c, r, cut);
	if (c->link)
		conf_set(c, r, "MSB_LINK", c->link);
	if (!c->bad_net && env_check(&c->env, &err))
		conf_refuse(c, r, &err);
}
