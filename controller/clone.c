/* SPDX-License-Identifier: Apache-2.0 */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "os/fd.h"

static void *share(void *context)
{
	struct clone *clone = context;

	clone->result = ioctl(clone->to, FICLONE, clone->from) < 0 ? -errno : 0;
	os_close(&clone->from);
	os_close(&clone->to);
	atomic_store(&clone->ended, true);
	return NULL;
}

int clone_begin(struct clone *clone, int from, int to)
{
	CLEANUP_CLOSE int target = to;
	CLEANUP_CLOSE int source = fcntl(from, F_DUPFD_CLOEXEC, 3);
	int ret;

	if (source < 0)
		return -errno;
	if (clone_runs(clone))
		return -EBUSY;
	clone_free(clone);
	clone->from = source;
	clone->to = target;
	atomic_store(&clone->ended, false);
	ret = -pthread_create(&clone->thread, NULL, share, clone);
	if (ret < 0)
		return ret;
	clone->begun = true;
	os_steal_fd(&source);
	os_steal_fd(&target);
	return 0;
}

bool clone_runs(const struct clone *clone)
{
	return clone->begun && !atomic_load(&clone->ended);
}

void clone_free(struct clone *clone)
{
	if (clone->begun)
		pthread_join(clone->thread, NULL);
	clone->begun = false;
}
