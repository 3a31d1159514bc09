/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"
#include "syscalls.h"

int confine_memory(struct error *error)
{
	struct rlimit none = {0};

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return error_set(error, errno, "limits: %s", strerror(errno));
	return 0;
}

static bool is_behind_socket(const char *tpm)
{
	return tpm && strcmp(tpm, "device") != 0 && strncmp(tpm, "device:", strlen("device:")) != 0;
}

static int leave_network(struct error *error)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) == 0)
		return 0;
	return error_set(error, errno,
			 "a network of its own: %s; the controller needs CAP_SYS_ADMIN, and the "
			 "kernel CONFIG_NET_NS",
			 strerror(errno));
}

static int set_list(bool connects, struct error *error)
{
	const struct {
		const struct jail_syscall *lines;
		size_t count;
	} lists[] = {
		{controller_syscalls, controller_syscall_count},
		{launched_syscalls, launched_syscall_count},
		{socket_tpm_syscalls, connects ? socket_tpm_syscall_count : 0},
	};
	struct jail_syscall *all CLEANUP_FREE =
		calloc(controller_syscall_count + launched_syscall_count + socket_tpm_syscall_count,
		       sizeof(*all));
	size_t count = 0;

	if (!all)
		return error_set(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		memcpy(all + count, lists[i].lines, lists[i].count * sizeof(*all));
		count += lists[i].count;
	}
	return jail_filter(all, count, error);
}

int confine(const char *tpm, struct error *error)
{
	bool connects = is_behind_socket(tpm);
	int ret = connects ? 0 : leave_network(error);

	if (connects)
		fprintf(stderr,
			"karuta-controller: the TPM %s is behind a socket: connect(2) is allowed\n",
			tpm);
	return ret == 0 ? set_list(connects, error) : ret;
}
