/* SPDX-License-Identifier: Apache-2.0 */
/* Step 2: another user, no groups, no capabilities(7) and no way to any, limits, no dumps. */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"
#include "jail.h"

static int limit_failed(struct error *error, const char *name)
{
	return error_set(error, errno, "sandbox: limit %s: %s", name, strerror(errno));
}

static int set_limits(const struct jail_limits *limits, struct error *error)
{
	const struct rlimit none = {0, 0};
	struct rlimit files, locked;

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return limit_failed(error, "core size");
	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_MEMLOCK, &locked) < 0)
		return limit_failed(error, "query");
	files.rlim_max = min_u64(limits->open_files, files.rlim_max);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return limit_failed(error, "open files");
	if (!limits->locked_bytes)
		return 0;
	locked.rlim_cur = min_u64(limits->locked_bytes, locked.rlim_max);
	if (setrlimit(RLIMIT_MEMLOCK, &locked) < 0)
		return limit_failed(error, "locked memory");
	return 0;
}

static int drop_bounding_set(struct error *error)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_BOUNDS))
		return error_set(error, EPERM,
				 "sandbox: capability bounding set cannot be cleared; the program "
				 "needs CAP_SETPCAP: start it as root");
	return 0;
}

static int change_user(uid_t user, struct error *error)
{
	if (!user && geteuid() != 0)
		return 0;
	if (!user)
		user = JAIL_USER_BASE + (uid_t)getpid();
	if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
	    setresuid(user, user, user) < 0)
		return error_set(error, errno,
				 "sandbox: become user %u: %s; only root can, start it as root or "
				 "without a user id",
				 user, strerror(errno));
	return 0;
}

static int drop_capabilities(struct error *error)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT))
		return error_set(error, EPERM, "sandbox: capabilities cannot be given up");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, errno, "sandbox: no_new_privs: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(error, errno, "sandbox: not dumpable: %s", strerror(errno));
	return 0;
}

/* Without root the bounding set stays: with no new privileges there is no way to what is in it. */
int jail_give_up(struct error *error)
{
	const struct rlimit none = {0, 0};
	int ret;

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return limit_failed(error, "core size");
	ret = geteuid() ? 0 : drop_bounding_set(error);
	return ret == 0 ? drop_capabilities(error) : ret;
}

/*
 * The kernel forgets the parent-death signal when ids change (prctl(2), PR_SET_PDEATHSIG): it is
 * set again. A parent that died in between can no longer be told from one that lives, except by
 * its number.
 */
static int keep_parent(int signal, pid_t parent, struct error *error)
{
	if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0)
		return error_set(error, errno, "sandbox: parent death signal: %s", strerror(errno));
	if (signal && getppid() != parent)
		return error_set(error, ESRCH, "sandbox: the parent has died");
	return 0;
}

int jail_demote(uid_t user, const struct jail_limits *limits, struct error *error)
{
	pid_t parent = getppid();
	int signal = 0;
	int err;

	if (prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) < 0)
		return error_set(error, errno, "sandbox: parent death signal: %s", strerror(errno));
	err = set_limits(limits, error);
	if (!err)
		err = drop_bounding_set(error);
	if (!err)
		err = change_user(user, error);
	if (!err)
		err = drop_capabilities(error);
	if (!err)
		err = keep_parent(signal, parent, error);
	return err;
}
