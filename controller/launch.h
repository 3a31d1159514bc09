/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a program of the host. What is executed is the very copy that was measured
 * (programs.h). It gets the descriptors that were listed for it and nothing else; arguments name
 * them by their number in the new program.
 */
#ifndef KARUTA_CONTROLLER_LAUNCH_H
#define KARUTA_CONTROLLER_LAUNCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "os/spawn.h"
#include "trust/manifest.h"

#define LAUNCH_ARGUMENTS   40u
#define LAUNCH_DESCRIPTORS 12u

struct launch {
	const char *program; /* the file's name */
	int file;	     /* sealed; -1 until it was measured */
	char *arguments[LAUNCH_ARGUMENTS + 1];
	size_t argument_count;
	struct os_spawn_fd fds[LAUNCH_DESCRIPTORS]; /* `from` stays the caller's */
	size_t fd_count;
	struct os_spawn_place place; /* cgroups.h; its cgroup is the launch's */
	int failed;		     /* first -errno of the calls that add; told by launch_run() */
};

/* Starts with a measured program, which stays the caller's. */
int launch_begin(struct launch *launch, const char *program, int file, struct error *error);
/* Measures the installed program first. */
int launch_open(struct launch *launch, const char *program, enum manifest_role role,
		struct error *error);
__attribute__((format(printf, 3, 4))) void launch_option(struct launch *launch, const char *option,
							 const char *format, ...);
/* The program will have `fd` under the number that is returned. */
int launch_give(struct launch *launch, int fd);
/* The same, with an option that tells the number. */
void launch_give_option(struct launch *launch, const char *option, int fd);
/* As the new program's standard error. */
void launch_give_words(struct launch *launch, int fd);
/* Each instance has so many user and group ids that nobody else has. */
#define LAUNCH_USERS_PER_INSTANCE 64u
/* The first of them, for a controller that has one instance: by its process. */
uint32_t launch_users_of_process(void);
/* Own user and group for one program of the instance, when the controller is root. */
void launch_user(struct launch *launch, uint32_t users, unsigned index);

/* With a keeper, the program outlives this controller. */
int launch_run(struct launch *launch, pid_t *pid, int *pidfd, struct error *error);
void launch_free(struct launch *launch);

#endif
