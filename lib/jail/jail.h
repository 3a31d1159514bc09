/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a program gives its privileges away, in named steps and in this order:
 *
 *   1. jail_isolate  own mount, network, IPC, UTS and cgroup namespaces; an empty, read-only root
 *   2. jail_demote   own user and group id, no groups, no capabilities (also none to gain), no new
 * privileges, no core dumps, limits
 *   3. jail_filter   the seccomp list, for all threads (TSYNC): what is not listed ends the process
 *
 * There is no weaker mode: a step that the kernel refuses is an error that names the step and the
 * remedy. A caller that is not root gets a user namespace in step 1 first.
 */
#ifndef KARUTA_JAIL_JAIL_H
#define KARUTA_JAIL_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* One argument of a system call that must have a certain value: (argument & mask) == value. */
struct jail_argument {
	unsigned index;
	uint64_t mask; /* 0: no condition, ends the list */
	uint64_t value;
};

/* A line of a program's allow-list: data beside its main.c. A call may stand on several lines. */
struct jail_syscall {
	int number; /* SCMP_SYS(...) */
	const char *reason;
	struct jail_argument arguments[3];
};

struct jail_limits {
	uint64_t open_files;
	uint64_t locked_bytes; /* RLIMIT_MEMLOCK: registered io_uring buffers count on older kernels
				*/
};

int jail_isolate(struct error *error);
/*
 * `user` is used as user and group id. 0: a program that root started takes an id of its own,
 * JAIL_USER_BASE + its pid; others keep theirs, and their groups: nobody but root may give them
 * away.
 */
#define JAIL_USER_BASE 0x6f000000u
int jail_demote(uid_t user, const struct jail_limits *limits, struct error *error);
int jail_filter(const struct jail_syscall *allow, size_t count, struct error *error);

/*
 * For a program that is called over the network and keeps files, and so cannot have an empty root:
 * in the place of the first two steps
 *
 *   jail_give_up  no capabilities, none to gain, no new privileges, no dumps; the user stays
 *   jail_files    what it can open, make or remove is beneath these, and nothing else; of this
 *                 thread, and those that it begins
 */
struct jail_place {
	const char *path;
	bool write; /* also make and remove; else read */
};

int jail_give_up(struct error *error);
int jail_files(const struct jail_place *places, size_t count, struct error *error);

#endif
