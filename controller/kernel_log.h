/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of a process that seccomp(2) has ended: its log has a line for each. */
#ifndef KARUTA_CONTROLLER_KERNEL_LOG_H
#define KARUTA_CONTROLLER_KERNEL_LOG_H

#include <stddef.h>
#include <sys/types.h>

#define KERNEL_LOG_SEEN 32u

struct kernel_log {
	int fd; /* -1: it may not be read */
	struct {
		pid_t pid;
		int call;
	} seen[KERNEL_LOG_SEEN]; /* a ring */
	unsigned next;
};

/* From now on. */
void kernel_log_open(struct kernel_log *log);
/* Did this process end by a call that was not on its list? The call's number, or -ENOENT: not that
 * the log said so until now; it may a moment later. */
int kernel_log_find(struct kernel_log *log, pid_t pid);
void kernel_log_close(struct kernel_log *log);
/* "41 (socket)" */
void kernel_log_name(int number, char *text, size_t size);

#endif
