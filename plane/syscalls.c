/* SPDX-License-Identifier: Apache-2.0 */
/* Not on the list, among others: execve; fork; bind and listen; sockets that are not TCP; ptrace
 * and what reads or writes other processes; what changes users, mounts, the kernel or its clock;
 * memory that can be run. What clone3 is asked for no filter can see: it is there for threads, and
 * what it begins has no more than this. */
#include "syscalls.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

/* Without the flags, which are above (socket(2)). */
#define STREAM(family, why)                                                                        \
	{                                                                                          \
		SCMP_SYS(socket), why,                                                             \
		{                                                                                  \
			{0, UINT32_MAX, family},                                                   \
			{                                                                          \
				1, 0xf, SOCK_STREAM                                                \
			}                                                                          \
		}                                                                                  \
	}

const struct jail_syscall plane_syscalls[] = {
	/* The loop. */
	{SCMP_SYS(epoll_wait), "wait for clients, hosts and deadlines", {{0}}},
	{SCMP_SYS(epoll_pwait), "the same on machines that have no epoll_wait", {{0}}},
	{SCMP_SYS(epoll_ctl), "connections that come and go", {{0}}},
	{SCMP_SYS(epoll_create1), "those of a server that is opened again", {{0}}},
	{SCMP_SYS(poll), "wait for one connection", {{0}}},
	{SCMP_SYS(ppoll), "the same on machines that have no poll", {{0}}},
	{SCMP_SYS(eventfd2), "a caller that has something to do", {{0}}},
	{SCMP_SYS(clock_gettime), "deadlines, where the vDSO does not tell", {{0}}},
	{SCMP_SYS(gettimeofday), "times, where the vDSO does not tell", {{0}}},
	{SCMP_SYS(time), "times, where the vDSO does not tell", {{0}}},
	{SCMP_SYS(clock_nanosleep), "a database that is busy", {{0}}},
	{SCMP_SYS(nanosleep), "the same", {{0}}},
	{SCMP_SYS(restart_syscall), "a wait goes on after a stop", {{0}}},
	/* Clients, and hosts that are called. */
	{SCMP_SYS(accept4), "a client", {{0}}},
	{SCMP_SYS(accept), "the same", {{0}}},
	STREAM(AF_INET, "a host is called"),
	STREAM(AF_INET6, "a host is called"),
	{SCMP_SYS(connect), "a host is called", {{0}}},
	{SCMP_SYS(getsockopt), "whether it is there", {{0}}},
	{SCMP_SYS(setsockopt), "connections that are gone are noticed", {{0}}},
	{SCMP_SYS(getsockname), "its own port", {{0}}},
	{SCMP_SYS(getpeername), "who a client is", {{0}}},
	{SCMP_SYS(recvfrom), "requests, answers", {{0}}},
	{SCMP_SYS(recvmsg), "the same", {{0}}},
	{SCMP_SYS(sendto), "the same: on a connection, to no address", {{5, UINT64_MAX, 0}}},
	{SCMP_SYS(sendmsg), "the same", {{0}}},
	{SCMP_SYS(shutdown), "a connection that is done", {{0}}},
	/* Files, all of them in its folder. */
	{SCMP_SYS(openat), "open", {{0}}},
	{SCMP_SYS(open), "the same", {{0}}},
	{SCMP_SYS(read), "files, connections, signals", {{0}}},
	{SCMP_SYS(readv), "the same", {{0}}},
	{SCMP_SYS(pread64), "the database", {{0}}},
	{SCMP_SYS(write), "files, connections, notes", {{0}}},
	{SCMP_SYS(writev), "the same", {{0}}},
	{SCMP_SYS(pwrite64), "the database", {{0}}},
	{SCMP_SYS(lseek), "files that are read through stdio; holes", {{0}}},
	{SCMP_SYS(close), "close", {{0}}},
	{SCMP_SYS(fstat), "what kind of file it is, and how long", {{0}}},
	{SCMP_SYS(stat), "the same", {{0}}},
	{SCMP_SYS(lstat), "the same", {{0}}},
	{SCMP_SYS(newfstatat), "the same", {{0}}},
	{SCMP_SYS(statx), "the same", {{0}}},
	{SCMP_SYS(fstatfs), "how much room there is", {{0}}},
	{SCMP_SYS(statfs), "the same", {{0}}},
	{SCMP_SYS(access), "is it there?", {{0}}},
	{SCMP_SYS(faccessat), "the same", {{0}}},
	{SCMP_SYS(faccessat2), "the same", {{0}}},
	{SCMP_SYS(readlink), "where the database is", {{0}}},
	{SCMP_SYS(getcwd), "paths that are not absolute", {{0}}},
	{SCMP_SYS(getdents64), "which files there are", {{0}}},
	{SCMP_SYS(mkdirat), "a folder", {{0}}},
	{SCMP_SYS(mkdir), "the same", {{0}}},
	{SCMP_SYS(rename), "files that are replaced as a whole", {{0}}},
	{SCMP_SYS(renameat), "the same", {{0}}},
	{SCMP_SYS(renameat2), "files that change places", {{0}}},
	{SCMP_SYS(linkat), "a file that has its name when it is whole", {{0}}},
	{SCMP_SYS(unlink), "what is not needed any more", {{0}}},
	{SCMP_SYS(unlinkat), "the same", {{0}}},
	{SCMP_SYS(rmdir), "the same", {{0}}},
	{SCMP_SYS(ftruncate), "the database's log", {{0}}},
	{SCMP_SYS(fallocate), "files with room, or with holes", {{0}}},
	{SCMP_SYS(fchmod), "who may read a file", {{0}}},
	{SCMP_SYS(fchown), "the same: the database's log is whose the database is", {{0}}},
	{SCMP_SYS(fsync), "what was written is on the disk", {{0}}},
	{SCMP_SYS(fdatasync), "the same", {{0}}},
	{SCMP_SYS(flock), "one plane at a time", {{0}}},
	{SCMP_SYS(fcntl), "the same; flags and numbers of descriptors", {{0}}},
	{SCMP_SYS(umask), "modes of files", {{0}}},
	{SCMP_SYS(ioctl), "is standard output a terminal?", {{1, UINT32_MAX, 0x5401 /* TCGETS */}}},
	{SCMP_SYS(ioctl), "is there more to be read?", {{1, UINT32_MAX, 0x541b /* FIONREAD */}}},
	/* Memory: none that can be run. */
	{SCMP_SYS(mmap), "memory", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(mprotect), "guard pages", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(munmap), "memory", {{0}}},
	{SCMP_SYS(mremap), "big allocations that grow", {{0}}},
	{SCMP_SYS(brk), "small allocations", {{0}}},
	{SCMP_SYS(madvise), "what no dump may have; memory that is given back", {{0}}},
	{SCMP_SYS(mlock), "keys", {{0}}},
	{SCMP_SYS(mlock2), "keys", {{0}}},
	{SCMP_SYS(munlock), "keys", {{0}}},
	/* The process. */
	{SCMP_SYS(futex), "locks", {{0}}},
	{SCMP_SYS(clone3), "the thread that reads images", {{0}}},
	{SCMP_SYS(clone),
	 "the same on machines that have no clone3",
	 {{0, CLONE_THREAD, CLONE_THREAD}}},
	{SCMP_SYS(set_robust_list), "a thread", {{0}}},
	{SCMP_SYS(rseq), "a thread", {{0}}},
	{SCMP_SYS(getrandom), "keys, nonces, identifiers", {{0}}},
	{SCMP_SYS(getpid), "whether it has forked: OpenSSL, SQLite", {{0}}},
	{SCMP_SYS(gettid), "as the C library does it", {{0}}},
	{SCMP_SYS(getuid), "owners", {{0}}},
	{SCMP_SYS(geteuid), "owners", {{0}}},
	{SCMP_SYS(getgid), "owners", {{0}}},
	{SCMP_SYS(getegid), "owners", {{0}}},
	{SCMP_SYS(uname), "as the C library does it", {{0}}},
	{SCMP_SYS(sysinfo), "as the C library does it, to sort", {{0}}},
	{SCMP_SYS(getrusage), "how long something took", {{0}}},
	{SCMP_SYS(sched_yield), "locks", {{0}}},
	{SCMP_SYS(prlimit64), "how many descriptors there may be", {{2, UINT64_MAX, 0}}},
	{SCMP_SYS(rt_sigaction), "as the C library ends", {{0}}},
	{SCMP_SYS(rt_sigprocmask), "the same", {{0}}},
	{SCMP_SYS(rt_sigreturn), "back from a signal", {{0}}},
	{SCMP_SYS(exit), "the end", {{0}}},
	{SCMP_SYS(exit_group), "the end", {{0}}},
#ifdef SANITIZED
	{SCMP_SYS(sigaltstack), "sanitizer", {{0}}},
	{SCMP_SYS(sched_getaffinity), "sanitizer: the stack of a thread", {{0}}},
#endif
};
const size_t plane_syscall_count = ARRAY_LEN(plane_syscalls);

#ifdef SANITIZED
/* Who looks for leaks at the end needs a process more, which is on no list. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif
