/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "syscalls.h"

int confine_memory(struct error *error)
{
	struct rlimit files;

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return error_set(error, errno, "limits: %s", strerror(errno));
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return error_set(error, errno, "limits: %s", strerror(errno));
	return 0;
}

int confine_user(const char *folder, struct error *error)
{
	struct stat status;

	if (geteuid() != 0 || stat(folder, &status) < 0 || !status.st_uid)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(status.st_gid, status.st_gid, status.st_gid) < 0 ||
	    setresuid(status.st_uid, status.st_uid, status.st_uid) < 0)
		return error_set(error, errno, "become user %u, who has %s: %s", status.st_uid,
				 folder, strerror(errno));
	/* Another user can be dumped again. */
	return prctl(PR_SET_DUMPABLE, 0) < 0
		       ? error_set(error, errno, "limits: %s", strerror(errno))
		       : 0;
}

int confine(const char *folder, struct error *error)
{
	const struct jail_place places[] = {{folder, true}, {"/dev/urandom", false}};
	int ret = jail_give_up(error);

	if (ret == 0)
		ret = jail_files(places, ARRAY_LEN(places), error);
	return ret == 0 ? jail_filter(plane_syscalls, plane_syscall_count, error) : ret;
}
