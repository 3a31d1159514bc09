/* SPDX-License-Identifier: Apache-2.0 */
/* A plane as it is installed, with a store that is filled before it starts. What fails ends the
 * program, and the plane with it. */
#ifndef KARUTA_TESTS_PLANE_RIG_H
#define KARUTA_TESTS_PLANE_RIG_H

#include "auth.h"
#include "doc.h"
#include "https_client.h"
#include "identity.h"

#define RIG_PLANE_CORE	0u
#define RIG_CLIENT_CORE 1u

struct rig {
	const char *program;
	char folder[256];
	char token[AUTH_TOKEN_SIZE]; /* an admin's */
	struct identity identity;    /* that the plane will have */
	struct store *store;	     /* NULL: the plane has it */
	SSL_CTX *tls;
	unsigned port;
	int pid;
	bool pinned; /* it has RIG_PLANE_CORE for itself */
};

/* The folder is made; the store is open. */
void rig_begin(struct rig *rig, const char *program, const char *folder);
/* Removes the folder. */
void rig_end(struct rig *rig);
/* Into the store; `doc` is dropped. All at the latest with rig_put_rest(). */
void rig_put(struct rig *rig, const char *kind, json_t *doc);
void rig_put_rest(struct rig *rig);
/* Closes the store; returns when it serves, after so many ms. */
double rig_start_plane(struct rig *rig);
/* kill -9 */
void rig_kill_plane(struct rig *rig);
void rig_open_client(struct rig *rig, struct https_client *client);
/* KiB: "VmRSS" or "VmHWM". */
unsigned long rig_memory(const struct rig *rig, const char *which);
/* ms on a processor, of the plane. */
double rig_processor_ms(const struct rig *rig);
/* A number of /metrics. */
unsigned long rig_metric(struct https_client *client, const char *name);

double rig_ms_since(uint64_t began);
__attribute__((noreturn, format(printf, 1, 2))) void rig_fail(const char *format, ...);
/* A line of JSON: {"case", MEMBERS}. */
__attribute__((format(printf, 2, 3))) void rig_report(const char *what, const char *format, ...);

#endif
