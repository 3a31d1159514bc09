/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory there is to be had, in bytes, for who would rather know than have the kernel end
 * a process to make room. UINT64_MAX: the kernel does not tell, or there is no limit.
 */
#ifndef KARUTA_OS_ROOM_H
#define KARUTA_OS_ROOM_H

#include <stdint.h>

/* That stays whoever takes memory, so that the host's kernel ends nobody to make room. */
#define OS_ROOM_SPARE (UINT64_C(32) << 20)

/* For os_room_of_host(); in a sandbox, too, if it was opened before. */
int os_room_open(void);
/* MemAvailable of proc(5): what takes nothing away from anybody. */
uint64_t os_room_of_host(int room);
/* What the narrowest of the cgroups (v2) leaves that this process is in. */
uint64_t os_room_of_cgroups(void);
/* The same of those on the way from `root` to `path` below it, which begins with '/'. What they
 * have in the page cache can be given back. */
uint64_t os_room_below(int root, const char *path);

#endif
