/* SPDX-License-Identifier: Apache-2.0 */
/* Step 1: namespaces(7) of its own and, by pivot_root(2), a root that is empty and read-only. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "jail.h"

/* A directory that every host has; the new root is mounted over it for a moment. */
#define SCAFFOLD "/proc"

struct namespace
{
	int flag;
	const char *name;
	const char *remedy;
};

static const struct namespace namespaces[] = {
	{CLONE_NEWNS, "mount", "the program needs CAP_SYS_ADMIN: start it as root"},
	{CLONE_NEWNET, "network", "the kernel needs CONFIG_NET_NS, user.max_net_namespaces > 0"},
	{CLONE_NEWIPC, "IPC", "the kernel needs CONFIG_IPC_NS, user.max_ipc_namespaces > 0"},
	{CLONE_NEWUTS, "UTS", "the kernel needs CONFIG_UTS_NS, user.max_uts_namespaces > 0"},
	{CLONE_NEWCGROUP, "cgroup",
	 "the kernel needs CONFIG_CGROUPS, user.max_cgroup_namespaces > 0"},
};

static int write_file(const char *path, const char *text, struct error *error)
{
	int fd CLEANUP_CLOSE = open(path, O_WRONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		err = -errno;
	else
		err = os_write_all(fd, text, strlen(text));
	if (err)
		return error_set(error, -err,
				 "sandbox: user namespace: %s: %s; /proc must be mounted", path,
				 strerror(-err));
	return 0;
}

/* The present user and group keep their numbers; no other exists in the new namespace. */
static int map_ids(uid_t user, gid_t group, struct error *error)
{
	char users[64], groups[64];
	int err;

	snprintf(users, sizeof(users), "%u %u 1\n", user, user);
	snprintf(groups, sizeof(groups), "%u %u 1\n", group, group);
	err = write_file("/proc/self/setgroups", "deny", error);
	if (!err)
		err = write_file("/proc/self/uid_map", users, error);
	if (!err)
		err = write_file("/proc/self/gid_map", groups, error);
	return err;
}

/* Without root: the right to all that follows is had in a user namespace only. */
static int enter_user_namespace(struct error *error)
{
	uid_t user = geteuid();
	gid_t group = getegid();
	int dumpable = prctl(PR_GET_DUMPABLE);
	int err;

	if (unshare(CLONE_NEWUSER) < 0)
		return error_set(error, errno,
				 "sandbox: user namespace: %s; start it as root, or allow user "
				 "namespaces (sysctl user.max_user_namespaces, "
				 "kernel.unprivileged_userns_clone)",
				 strerror(errno));
	/* The files in /proc/self are not the owner's while the process is not dumpable. */
	prctl(PR_SET_DUMPABLE, 1);
	err = map_ids(user, group, error);
	prctl(PR_SET_DUMPABLE, dumpable == 1);
	return err;
}

static int enter_namespaces(struct error *error)
{
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		if (unshare(namespaces[i].flag) < 0)
			return error_set(error, errno, "sandbox: %s namespace: %s; %s",
					 namespaces[i].name, strerror(errno), namespaces[i].remedy);
	}
	return 0;
}

static int root_failed(struct error *error, const char *step)
{
	return error_set(error, errno,
			 "sandbox: empty root: %s: %s; the program's root must be a mounted file "
			 "system (neither a chroot nor the initial RAM disk) with a directory %s",
			 step, strerror(errno), SCAFFOLD);
}

static int enter_empty_root(struct error *error)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return root_failed(error, "make mounts private");
	if (mount("empty", SCAFFOLD, "tmpfs", flags, "size=4k,nr_inodes=1,mode=0555") < 0)
		return root_failed(error, "mount tmpfs");
	if (chdir(SCAFFOLD) < 0)
		return root_failed(error, "enter tmpfs");
	/* pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return root_failed(error, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		return root_failed(error, "detach the old root");
	if (chdir("/") < 0)
		return root_failed(error, "enter the new root");
	return 0;
}

int jail_isolate(struct error *error)
{
	int err = 0;

	if (geteuid())
		err = enter_user_namespace(error);
	if (!err)
		err = enter_namespaces(error);
	if (!err)
		err = enter_empty_root(error);
	return err;
}
