/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of cgroup v2 (cgroups(7)) and their files. Names have no '/' in them. What is made is
 * for its owner only: whoever can open a directory can lock it.
 */
#ifndef KARUTA_OS_CGROUP_H
#define KARUTA_OS_CGROUP_H

/* The directory where cgroup v2 is mounted; -ENODEV: nowhere. */
int os_cgroup_root(void);
/* A new one below `parent`, opened. */
int os_cgroup_make(int parent, const char *name);
int os_cgroup_open(int parent, const char *name);
/* Nothing may run in it any more. */
int os_cgroup_remove(int parent, const char *name);
/* One write of all of `text` to a file that is there. */
int os_cgroup_write(int cgroup, const char *file, const char *text);

/* Waits for who has it now; it ends when the descriptor and its copies are closed. */
int os_cgroup_lock(int cgroup);
/* -EWOULDBLOCK: somebody has it. */
int os_cgroup_try_lock(int cgroup);

#endif
