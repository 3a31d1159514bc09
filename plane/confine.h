/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the plane gives away what it does not need. It holds the fleet's authority and talks to
 * whoever connects: who gets hold of it through a request has its folder and its connections, and
 * no other file, program or privilege.
 *
 *	1. confine_memory  first of all: no dumps, nobody who traces; a descriptor for each
 *			   connection
 *	2. confine_user    before anything is made: started by root, it becomes who has its folder
 *	3. confine	   when it listens: no capabilities and none to gain, no file but its
 *			   folder's, the list of system calls (syscalls.h)
 */
#ifndef KARUTA_PLANE_CONFINE_H
#define KARUTA_PLANE_CONFINE_H

#include "base/error.h"

int confine_memory(struct error *error);
/* Root's own folder, or none yet: it stays root. */
int confine_user(const char *folder, struct error *error);
int confine(const char *folder, struct error *error);

#endif
