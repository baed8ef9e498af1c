#ifndef INIT_USERSPEC_H
#define INIT_USERSPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "init/vlist.h"

/*
 * userspec - MSB_USER: USER, UID, USER:GROUP, UID:GID or a mix of these
 *
 * Blanks around each part do not count.  What is a number is no name.  Names
 * are looked up in text of the form of /etc/passwd and /etc/group, by readers
 * of our own: getpwnam() asks nscd over a socket and reads lines of any length,
 * neither of which PID 1 or its children should have to survive.
 */
#define USERSPEC_VAR		"MSB_USER"
#define USERSPEC_GROUPS_MAX	64
#define USERSPEC_NAME_MAX	64
#define USERSPEC_HOME_MAX	256

/**
 * struct userspec - Who is asked for
 * @group:	Empty if not given
 */
struct userspec {
	struct span user, group;
};

/**
 * struct userspec_ids - Who that is
 * @groups:	Supplementary groups, @ngroups of them; @gid is the first,
 *		unless the user has no name: then there are none
 * @more:	There are more of them than @groups holds
 * @name:	Login name, "" if it is in no passwd
 * @home:	Home directory, "" if it is in no passwd or has none
 */
struct userspec_ids {
	uid_t uid;
	gid_t gid;
	gid_t groups[USERSPEC_GROUPS_MAX];
	size_t ngroups;
	bool more;
	char name[USERSPEC_NAME_MAX], home[USERSPEC_HOME_MAX];
};

/**
 * userspec_parse() - Read the variable
 * @value:	May be NULL
 * @u:		Borrows from @value; set if 1 is returned
 *
 * Return: 1; 0 if it is absent; -EINVAL with @err set
 */
int userspec_parse(const char *value, struct userspec *u, struct env_err *err);

/**
 * userspec_resolve() - Look up who that is
 * @passwd, @group: Content of the files; empty if there are none
 * @ids:	Set on success
 *
 * Without a group it is that of passwd, or 0 for a number that is not there.
 *
 * Return: 0; -EINVAL with @err set
 */
int userspec_resolve(const struct userspec *u, struct span passwd,
		     struct span group, struct userspec_ids *ids,
		     struct env_err *err);

#endif /* INIT_USERSPEC_H */
