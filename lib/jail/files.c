/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock(7): which files there are for a program that has a root to look at. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "jail.h"
#include "os/fd.h"

/* Of <linux/landlock.h>; those that came later, by the version that has them. */
#define READ_FILE     (UINT64_C(1) << 2)
#define READ_FOLDER   (UINT64_C(1) << 3)
#define ALL_OF_FIRST  ((UINT64_C(1) << 13) - 1)
#define REFER	      (UINT64_C(1) << 13) /* 2: rename to another folder */
#define TRUNCATE      (UINT64_C(1) << 14) /* 3 */
#define DEVICE_IOCTL  (UINT64_C(1) << 15) /* 5 */
#define ONLY_OF_FILES (UINT64_C(3) | READ_FILE | TRUNCATE | DEVICE_IOCTL)

static int failed(struct error *error, const char *what)
{
	return error_set(error, errno,
			 "sandbox: files: %s: %s; the kernel needs CONFIG_SECURITY_LANDLOCK, and "
			 "landlock among the modules of lsm=",
			 what, strerror(errno));
}

/* What the kernel can forbid. 0: nothing. */
static uint64_t known_rights(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (version < 1)
		return 0;
	return ALL_OF_FIRST | (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0) |
	       (version >= 5 ? DEVICE_IOCTL : 0);
}

static int allow(int rules, const struct jail_place *place, uint64_t known, struct error *error)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = place->write ? known : READ_FILE | READ_FOLDER,
		.parent_fd = open(place->path, O_PATH | O_CLOEXEC)};
	int file CLEANUP_CLOSE = beneath.parent_fd;
	struct stat status;

	if (file < 0 || fstat(file, &status) < 0)
		return failed(error, place->path);
	if (!S_ISDIR(status.st_mode))
		beneath.allowed_access &= ONLY_OF_FILES;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0
		       ? failed(error, place->path)
		       : 0;
}

int jail_files(const struct jail_place *places, size_t count, struct error *error)
{
	const struct landlock_ruleset_attr attributes = {.handled_access_fs = known_rights()};
	int rules CLEANUP_CLOSE =
		(int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	int ret = 0;

	if (!attributes.handled_access_fs || rules < 0)
		return failed(error, "a list of them");
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = allow(rules, &places[i], attributes.handled_access_fs, error);
	if (ret < 0)
		return ret;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return failed(error, "the list");
	return 0;
}
