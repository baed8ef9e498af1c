#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "init/sys.h"
#include "init/workload.h"
#include "proto/cmdline.h"

/* What programs read to find a bundle that replaces their own */
static const char *const bundle_vars[] = {
	"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
	"GIT_SSL_CAINFO", "PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO",
	"NIX_SSL_CERT_FILE",
};

/* What programs read to find certificates that are added to their own */
static const char *const extra_vars[] = { "NODE_EXTRA_CA_CERTS", "DENO_CERT" };

static char word_sh[] = "sh", word_c[] = "-c";
static char path_sh[] = "/bin/sh", path_script[] = WORKLOAD_FILE;
static char path_busybox[] = "/bin/busybox";

static void set(struct workload *w, enum workload_kind kind, char *a, char *b,
		char *c)
{
	w->kind = kind;
	w->words[0] = a;
	w->words[1] = b;
	w->words[2] = c;
	w->words[3] = NULL;
}

/** split() - Cut w->text at blanks into w->words; false if there is no word */
static bool split(struct workload *w)
{
	char *p = w->text;
	size_t n = 0;

	for (;;) {
		p += strspn(p, " \t");
		if (!*p || n == WORKLOAD_WORDS_MAX)
			break;
		w->words[n++] = p;
		p += strcspn(p, " \t");
		if (*p)
			*p++ = '\0';
	}
	if (*p)
		log_warn("workload: MSB_EXEC has more than %d words",
			 WORKLOAD_WORDS_MAX);
	w->words[n] = NULL;
	w->kind = WORKLOAD_WORDS;
	return n > 0;
}

/** from_exec() - MSB_EXEC; false if it is absent, blank or too long */
static bool from_exec(struct workload *w, const char *exec)
{
	struct span s = span_trim(span_str(exec));

	if (!s.len)
		return false;
	if (span_copy(s, w->text, sizeof(w->text)) < 0) {
		log_err("workload: MSB_EXEC is too long");
		return false;
	}
	if (!spawn_executable(path_sh))
		return split(w);
	set(w, WORKLOAD_EXEC, path_sh, word_c, w->text);
	return true;
}

void workload_select(struct workload *w, struct span cmdline, int argc,
		     char *const *argv, const char *exec)
{
	int n = cmdline_args(cmdline);

	w->argv = w->words;
	/* More words than arguments: this line is not that of our argv */
	if (n > 0 && n < argc) {
		w->kind = WORKLOAD_ARGS;
		w->argv = argv + (argc - n);
	} else if (from_exec(w, exec)) {
		return;
	} else if (spawn_executable(path_script)) {
		set(w, WORKLOAD_SCRIPT, path_script, NULL, NULL);
	} else if (spawn_executable(path_sh)) {
		set(w, WORKLOAD_SHELL, path_sh, NULL, NULL);
	} else if (spawn_executable(path_busybox)) {
		set(w, WORKLOAD_SHELL, path_busybox, word_sh, NULL);
	} else {
		set(w, WORKLOAD_NONE, NULL, NULL, NULL);
	}
}

const char *workload_ca_var(unsigned int i)
{
	size_t n = ARRAY_SIZE(bundle_vars);

	if (i < n)
		return bundle_vars[i];
	return i - n < ARRAY_SIZE(extra_vars) ? extra_vars[i - n] : NULL;
}

void workload_env(struct spawn_env *e, const struct watch *agent)
{
	const char *home = spawn_env_get(e, "HOME");
	struct stat st;

	spawn_env_set(e, "PATH", SPAWN_PATH, true);
	spawn_env_set(e, "TERM", "linux", true);
	if ((!home || strcmp(home, "/") == 0) && sys_stat("/root", &st) == 0 &&
	    S_ISDIR(st.st_mode))
		spawn_env_set(e, "HOME", "/root", false);
	spawn_env_set(e, "HOME", "/", true);

	for (size_t i = 0; agent->ca_bundle[0] && i < ARRAY_SIZE(bundle_vars);
	     i++)
		spawn_env_set(e, bundle_vars[i], agent->ca_bundle, true);
	for (size_t i = 0; agent->ca_file[0] && i < ARRAY_SIZE(extra_vars); i++)
		spawn_env_set(e, extra_vars[i], agent->ca_file, true);
}
