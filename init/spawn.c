#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/rd.h"
#include "base/span.h"
#include "base/util.h"
#include "init/reap.h"
#include "init/spawn.h"
#include "init/sys.h"

#define OOM_FILE	"/proc/self/oom_score_adj"
#define HEAD_MAX	4096	/* ELF: PT_INTERP is on the first page */

void spawn_env_init(struct spawn_env *e, char *const *base)
{
	e->n = 0;
	e->used = 0;
	for (; *base && e->n < SPAWN_ENV_MAX; base++)
		e->v[e->n++] = *base;
	e->v[e->n] = NULL;
	if (*base)
		log_warn("spawn: more than %d variables", SPAWN_ENV_MAX);
}

/** env_slot() - Index of a variable; @e->n if it is not there */
static size_t env_slot(const struct spawn_env *e, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < e->n; i++)
		if (strncmp(e->v[i], name, len) == 0 && e->v[i][len] == '=')
			break;
	return i;
}

void spawn_env_unset(struct spawn_env *e, const char *name)
{
	size_t i = env_slot(e, name, strlen(name));

	if (i == e->n)
		return;
	memmove(&e->v[i], &e->v[i + 1], (e->n - i) * sizeof(e->v[0]));
	e->n--;
}

const char *spawn_env_get(const struct spawn_env *e, const char *name)
{
	size_t i = env_slot(e, name, strlen(name));

	return i < e->n ? e->v[i] + strlen(name) + 1 : NULL;
}

int spawn_env_set(struct spawn_env *e, const char *name, const char *value,
		  bool keep)
{
	size_t i = env_slot(e, name, strlen(name));
	size_t left = sizeof(e->text) - e->used;
	char *p = e->text + e->used;
	int n;

	if (i < e->n && keep)
		return 0;
	n = snprintf(p, left, "%s=%s", name, value);
	if (n < 0 || (size_t)n >= left || i == SPAWN_ENV_MAX) {
		log_warn("spawn: no room for the variable %s", name);
		return -ENOSPC;
	}
	e->used += (size_t)n + 1;
	e->v[i] = p;
	if (i == e->n)
		e->v[++e->n] = NULL;
	return 0;
}

int spawn_env_put(struct spawn_env *e, char *word)
{
	size_t i = env_slot(e, word, strcspn(word, "="));

	if (i == SPAWN_ENV_MAX) {
		log_warn("spawn: more than %d variables", SPAWN_ENV_MAX);
		return -ENOSPC;
	}
	e->v[i] = word;
	if (i == e->n)
		e->v[++e->n] = NULL;
	return 0;
}

bool spawn_executable(const char *path)
{
	struct stat st;

	return sys_stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       (st.st_mode & 0111);
}

int spawn_find(const char *name, const char *path, char *buf, size_t size)
{
	struct span dirs = span_str(path), dir;
	struct stat st;
	bool more = true, seen = false;
	int n;

	if (strchr(name, '/'))
		return span_copy(span_str(name), buf, size);
	while (more && *name) {
		dir = span_cut(&dirs, ':', &more);
		if (!dir.len)
			dir = span_str(".");
		n = snprintf(buf, size, "%.*s/%s", (int)MIN(dir.len, size),
			     (const char *)dir.p, name);
		if (n < 0 || (size_t)n >= size)
			return -ENAMETOOLONG;
		if (spawn_executable(buf))
			return 0;
		seen |= sys_stat(buf, &st) == 0;
	}
	return seen ? -EACCES : -ENOENT;
}

/** script_interp() - The word after "#!" */
static int script_interp(struct span text, char *buf, size_t size)
{
	struct span line, word;
	bool more;

	line = span_cut(&text, '\n', &more);
	line = span_trim((struct span){ line.p + 2, line.len - 2 });
	word = span_cut(&line, ' ', NULL);
	word = span_cut(&word, '\t', NULL);
	if (!more || !word.len || span_copy(word, buf, size) < 0)
		return -ENOENT;
	return 0;
}

/** elf_interp() - The content of PT_INTERP */
static int elf_interp(const void *head, size_t len, char *buf, size_t size)
{
	struct rd r = rd_init(head, len), ph;
	uint64_t off, n;
	uint16_t num;
	uint32_t type;

	rd_take(&r, offsetof(Elf64_Ehdr, e_phoff));
	off = rd_le64(&r);
	rd_take(&r, offsetof(Elf64_Ehdr, e_phnum) -
		    offsetof(Elf64_Ehdr, e_shoff));
	num = rd_le16(&r);
	if (r.bad || off > len)
		return -ENOENT;
	ph = rd_init((const uint8_t *)head + off, len - (size_t)off);
	while (num--) {
		r = rd_sub(&ph, sizeof(Elf64_Phdr));
		type = rd_le32(&r);
		rd_take(&r, offsetof(Elf64_Phdr, p_offset) - sizeof(type));
		off = rd_le64(&r);
		rd_take(&r, offsetof(Elf64_Phdr, p_filesz) -
			    offsetof(Elf64_Phdr, p_vaddr));
		n = rd_le64(&r);
		if (r.bad)
			break;
		if (type != PT_INTERP)
			continue;
		if (n < 2 || off > len || n > len - off)
			break;
		return span_copy((struct span){ (const uint8_t *)head + off,
						(size_t)n - 1 }, buf, size) ?
		       -ENOENT : 0;
	}
	return -ENOENT;
}

int spawn_interp(const void *head, size_t len, char *buf, size_t size)
{
	static const unsigned char ident[] = { ELFMAG0, ELFMAG1, ELFMAG2,
					       ELFMAG3, ELFCLASS64,
					       ELFDATA2LSB };

	if (len >= 2 && memcmp(head, "#!", 2) == 0)
		return script_interp((struct span){ head, len }, buf, size);
	if (len >= sizeof(ident) && memcmp(head, ident, sizeof(ident)) == 0)
		return elf_interp(head, len, buf, size);
	return -ENOENT;
}

int spawn_failed(const char *path, int rc)
{
	char head[HEAD_MAX], interp[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (rc != -ENOENT && rc != -ENOTDIR) {
		log_err("cannot run %s: %s", path, strerror(-rc));
		return SPAWN_NOT_EXECUTABLE;
	}
	if (sys_stat(path, &st) < 0) {
		log_err("cannot run %s: there is no such program", path);
		return SPAWN_NOT_FOUND;
	}
	n = sys_read_file(path, head, sizeof(head));
	if (n > 0 && spawn_interp(head, (size_t)n, interp, sizeof(interp)) == 0)
		log_err("cannot run %s: its interpreter %s is missing", path,
			interp);
	else
		log_err("cannot run %s: its interpreter is missing", path);
	return SPAWN_NOT_FOUND;
}

static const char *env_path(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return SPAWN_PATH;
}

int spawn_exec(char *const *argv, char *const *env)
{
	char path[PATH_MAX];
	int rc;

	log_shared_tty();
	sys_close_from(STDERR_FILENO + 1);
	sys_sigreset();
	rc = spawn_find(argv[0], env_path(env), path, sizeof(path));
	if (rc < 0)
		return spawn_failed(argv[0], rc);
	return spawn_failed(path, sys_execve(path, argv, env));
}

/** forward() - Pass SIGTERM on if the workload has moved to another group */
static void forward(pid_t pid)
{
	pid_t group = sys_getpgid(pid);

	if (group <= 0 || group == sys_getpgid(0))
		return;		/* gone, or it got the signal with us */
	sys_kill(-group, SIGTERM);
	sys_kill(-group, SIGCONT);
}

/** lead() - Lead the session of the workload @pid; returns its exit status */
static int lead(pid_t pid)
{
	int status = 0;
	pid_t got;

	log_shared_tty();
	sys_close_from(STDERR_FILENO + 1);
	for (;;) {
		int sig = sys_sigwait(SIGCHLD, SIGTERM);

		if (sig == SIGTERM)
			forward(pid);
		got = sys_wait(&status);
		if (got == pid || got == -ECHILD)
			break;
	}
	sys_drain(STDIN_FILENO);
	return reap_code(status);
}

int spawn_workload_child(const struct spawn_job *job)
{
	pid_t pid;

	sys_setsid();
	if (sys_ctty(STDIN_FILENO) == 0) {
		pid = sys_fork();
		if (pid > 0)
			return lead(pid);
		if (pid < 0)
			log_warn("workload: fork: %s", strerror(-pid));
	}
	if (become(job->who, job->env) < 0)
		return SPAWN_NOT_EXECUTABLE;
	return spawn_exec(job->argv, job->env->v);
}

pid_t spawn_workload(const struct spawn_job *job)
{
	pid_t pid = sys_fork();

	if (pid == 0)
		sys_exit(spawn_workload_child(job));
	return pid;
}

/** agent_child() - The part in the child; returns an exit status */
static int agent_child(const struct spawn_agent *a, char *const *env,
		       int ready, int token)
{
	/* systemd spares at its end what begins with '@' */
	static char name[] = "msb-init", spared[] = "@msb-init";
	static char verb[] = "agent", flag[] = "--pid1", more[] = "--handoff";
	char *const argv[] = { a->handoff ? spared : name, verb, flag,
			       a->handoff ? more : NULL, NULL };
	int null = sys_open("/dev/null", O_RDONLY);
	int rc;

	sys_setsid();
	sys_write_file(OOM_FILE, 0, "-1000");
	if (null >= 0)
		sys_dup2(null, STDIN_FILENO);
	rc = sys_dup2(ready, SPAWN_READY_FD);
	if (rc == 0 && token >= 0)
		rc = sys_dup2(token, SPAWN_TOKEN_FD);
	if (rc < 0) {
		log_err("agent: dup2: %s", strerror(-rc));
		return SPAWN_NOT_EXECUTABLE;
	}
	log_shared_tty();
	sys_close_from(token >= 0 ? SPAWN_TOKEN_FD + 1 : SPAWN_READY_FD + 1);
	sys_sigreset();
	rc = sys_execve("/proc/self/exe", argv, env);
	if (rc < 0 && a->self)
		rc = sys_execve(a->self, argv, env);
	return spawn_failed(a->self ? a->self : "/proc/self/exe", rc);
}

/**
 * token_pipe() - A pipe with the token in it
 * @fd:		Set to its reading end; -1 if there is no token
 *
 * 33 bytes fit into any pipe, so this never blocks.
 */
static int token_pipe(const struct watch *w, int *fd)
{
	char line[WATCH_TOKEN_LEN + 1];
	int p[2], rc;

	*fd = -1;
	if (!w->has_token)
		return 0;
	rc = sys_pipe(p);
	if (rc < 0)
		return rc;
	memcpy(line, w->token, WATCH_TOKEN_LEN);
	line[WATCH_TOKEN_LEN] = '\n';
	rc = fd_write_all(p[1], line, sizeof(line));
	secure_zero(line, sizeof(line));
	fd_close(&p[1]);
	if (rc < 0)
		fd_close(&p[0]);
	else
		*fd = p[0];
	return rc;
}

/** agent_env() - The agent's environment: @env and its descriptors */
static int agent_env(struct spawn_env *e, char *const *env, bool token)
{
	char num[12];
	int rc;

	spawn_env_init(e, env);
	snprintf(num, sizeof(num), "%d", SPAWN_READY_FD);
	rc = spawn_env_set(e, "MSB_READY_FD", num, false);
	if (rc < 0 || !token)
		return rc;
	snprintf(num, sizeof(num), "%d", SPAWN_TOKEN_FD);
	return spawn_env_set(e, "MSB_TOKEN_FD", num, false);
}

pid_t spawn_agent(const struct spawn_agent *a, int *ready)
{
	static struct spawn_env e;
	int p[2], token = -1;
	pid_t pid = sys_pipe(p);

	if (pid < 0)
		return pid;
	pid = agent_env(&e, a->env, a->watch->has_token);
	if (pid == 0)
		pid = token_pipe(a->watch, &token);
	if (pid == 0)
		pid = fd_nonblock(p[0]);
	if (pid < 0)
		goto out;
	pid = sys_fork();
	if (pid == 0)
		sys_exit(agent_child(a, e.v, p[1], token));
	if (pid > 0) {
		*ready = p[0];
		p[0] = -1;
	}
out:
	fd_close(&token);
	fd_close(&p[0]);
	fd_close(&p[1]);
	return pid;
}
