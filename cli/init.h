/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta init: a machine becomes the plane of a fleet and its first host. Each step looks first
 * whether it was done already, so that a second run does only what is missing.
 */
#ifndef KARUTA_CLI_INIT_H
#define KARUTA_CLI_INIT_H

#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "cli.h"
#include "config.h"
#include "progress.h"
#include "service.h"

#define INIT_PATH  256u
#define INIT_NAME  64u
#define INIT_NAMES 8u /* of the plane, beside those that it has anyway */

struct init {
	const struct invocation *call;
	/* Folders. */
	char plane[INIT_PATH], etc[INIT_PATH], files[INIT_PATH], state[INIT_PATH], audit[INIT_PATH];
	char logs[INIT_PATH], run[INIT_PATH], programs[INIT_PATH];
	/* Files. */
	char manifest[INIT_PATH], releases[INIT_PATH], authority[INIT_PATH], token[INIT_PATH];
	char plane_options[INIT_PATH], host_options[INIT_PATH];
	char plane_program[INIT_PATH], host_program[INIT_PATH];
	char certificate[INIT_PATH], key[INIT_PATH], host_authority[INIT_PATH];
	/* Addresses. */
	char listen[INIT_NAME], plane_host[INIT_NAME]; /* "0.0.0.0:4750"; "127.0.0.1" */
	char host_listen[INIT_NAME];
	unsigned plane_port, host_port;
	const char *names[INIT_NAMES];
	size_t name_count;
	char name[INIT_NAME]; /* of the host */
	bool tpm;
	bool release_is_new; /* to the plane */

	struct service plane_service, host_service;
	struct plane_config config; /* who we are to the plane */
	struct api *api;
	struct progress progress;
};

/* init_setup.c: from the command line and the machine. CLI_USAGE. */
int init_take(struct init *init, const struct invocation *call, struct error *error);
/* What cannot be mended here: -EPERM, -ENODEV, -ENOENT. */
int init_check(const struct init *init, struct error *error);
int init_make_folders(const struct init *init, struct error *error);
/* The installed release is one of the plane's from now on, beside those that hosts may run still.
 */
int init_keep_release(struct init *init, struct error *error);

/* init_host.c: enrols the host unless it is, has it served, and waits until the plane has it. */
int init_host(struct init *init, struct error *error);

/* Somebody listens at this port of 127.0.0.1. */
bool init_is_taken(const char *address, unsigned port);
/* One line of what was done. */
void init_say(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
