#include <string.h>

#include "agent/ca_env.h"
#include "base/log.h"
#include "base/util.h"
#include "init/sys.h"
#include "init/workload.h"
#include "proto/cmdline.h"

#define WORKLOAD_JAVA_MAX	1024

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
	static const struct ca_env none = { "", "", "" };
	const char *value, *name = ca_env_name(i, &none, &value);

	/* Behind the others, the one that is composed */
	if (!name && i && ca_env_name(i - 1, &none, &value))
		name = CA_ENV_JAVA;
	return name;
}

static void ca_vars(struct spawn_env *e, const struct watch *agent)
{
	const struct ca_env ca = { agent->ca_bundle, agent->ca_file,
				   agent->ca_jks };
	enum ca_env_mode mode = CA_ENV_MODE_KEEP;
	char java[WORKLOAD_JAVA_MAX];
	const char *name, *value;

	/* The agent has warned of what is not understood */
	(void)ca_env_mode(spawn_env_get(e, "MSB_CA_ENV"), &mode);
	if (mode == CA_ENV_MODE_OFF)
		return;
	for (unsigned int i = 0; (name = ca_env_name(i, &ca, &value)); i++)
		if (value[0])
			spawn_env_set(e, name, value,
				      mode == CA_ENV_MODE_KEEP);
	if (ca_env_java(&ca, spawn_env_get(e, CA_ENV_JAVA), mode, java,
			sizeof(java)))
		spawn_env_set(e, CA_ENV_JAVA, java, false);
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

	ca_vars(e, agent);
}
