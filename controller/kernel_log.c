/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"

#define LINE_MAX_SIZE 8192 /* Linux, CONSOLE_EXT_LOG_MAX */
#define LINES_MAX     4096 /* in a row: a kernel that writes faster than this is not waited for */

void kernel_log_open(struct kernel_log *log)
{
	*log = (struct kernel_log){.fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
	if (log->fd >= 0 && lseek(log->fd, 0, SEEK_END) < 0)
		os_close(&log->fd);
}

void kernel_log_close(struct kernel_log *log)
{
	os_close(&log->fd);
}

/* " name=123" */
static long number_of(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* "6,2723,26129781514,-;audit: type=1326 audit(...): ... pid=15134 comm=... syscall=34 ...". The
 * name of the program, which it may choose, comes in quotation marks or as digits: audit(8) writes
 * nothing in it that could be taken for a member. */
static void take_line(struct kernel_log *log, const char *line)
{
	if (!strstr(line, ";audit: type=1326 "))
		return;
	log->seen[log->next].pid = (pid_t)number_of(line, " pid=");
	log->seen[log->next].call = (int)number_of(line, " syscall=");
	log->next = (log->next + 1) % KERNEL_LOG_SEEN;
}

static void read_on(struct kernel_log *log)
{
	char line[LINE_MAX_SIZE + 1];

	for (int i = 0; i < LINES_MAX; i++) {
		ssize_t got = read(log->fd, line, LINE_MAX_SIZE);

		/* Lines that were lost: the next read goes on after them. */
		if (got < 0 && errno == EPIPE)
			continue;
		if (got <= 0)
			return;
		line[got] = '\0';
		take_line(log, line);
	}
}

int kernel_log_find(struct kernel_log *log, pid_t pid)
{
	if (log->fd < 0)
		return -ENOENT;
	read_on(log);
	for (unsigned i = 1; i <= KERNEL_LOG_SEEN; i++) {
		unsigned at = (log->next + KERNEL_LOG_SEEN - i) % KERNEL_LOG_SEEN;

		if (log->seen[at].pid == pid && log->seen[at].call >= 0)
			return log->seen[at].call;
	}
	return -ENOENT;
}

void kernel_log_name(int number, char *text, size_t size)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

	snprintf(text, size, "%d (%s)", number, name ? name : "unknown");
	free(name);
}
