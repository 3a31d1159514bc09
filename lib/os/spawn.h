/* SPDX-License-Identifier: Apache-2.0 */
/* Starting another program from an open descriptor, with exactly the descriptors that it is to
 * have. */
#ifndef KARUTA_OS_SPAWN_H
#define KARUTA_OS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct os_spawn_fd {
	int from; /* the caller's */
	int to;	  /* the number in the new program; 0, 1, 2 included */
};

/* Where a program runs; NULL: as the caller. */
struct os_spawn_place {
	int cgroup; /* directory of cgroup v2 that it is born into; -1: the caller's */
	/* Shares a core at the same time with this process's group only; OS_SPAWN_ALONE: a group of
	 * its own begins with it; 0: with anybody. Without effect where the kernel has no core
	 * scheduling, or no core has two threads. */
	pid_t core_group;
	bool any_cpu; /* of the cgroup's, whatever the caller was restricted to */
};

#define OS_SPAWN_ALONE (-1)

/*
 * fexecve(3) of `program` in a child that has the listed descriptors and no others (unlisted 0, 1,
 * 2 are /dev/null), an empty environment, default signals, its own session, and dies with SIGKILL
 * when `die_with_parent` and the caller's thread dies. Its pages are not merged with others' (KSM),
 * whatever holds for the caller's. Returns once the new program runs: 0 with
 * *pid and *pidfd (the caller's to close), or the child's -errno.
 */
int os_spawn(int program, char *const argv[], const struct os_spawn_fd *fds, size_t fd_count,
	     bool die_with_parent, const struct os_spawn_place *place, pid_t *pid, int *pidfd);

#endif
