/* SPDX-License-Identifier: Apache-2.0 */
/* Not on any list, among others: socket and bind; connect, but for a simulated TPM; execve; ptrace
 * and what reads or writes other processes; setns; what changes the kernel or its clock. */
#include <fcntl.h>
#include <linux/fs.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/base.h"
#include "syscalls.h"

#define IF_EQUAL(argument, number)                                                                 \
	{                                                                                          \
		{                                                                                  \
			.index = argument, .mask = UINT32_MAX, .value = (uint32_t)(number)         \
		}                                                                                  \
	}
#define IOCTL(request, why)                                                                        \
	{                                                                                          \
		SCMP_SYS(ioctl), why, IF_EQUAL(1, request)                                         \
	}
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#define PRCTL(option, why)                                                                         \
	{                                                                                          \
		SCMP_SYS(prctl), why, IF_EQUAL(0, option)                                          \
	}

const struct jail_syscall controller_syscalls[] = {
	/* The loop. */
	{SCMP_SYS(epoll_wait), "wait for callers, deaths and deadlines", {{0}}},
	{SCMP_SYS(epoll_pwait), "the same on machines that have no epoll_wait", {{0}}},
	{SCMP_SYS(epoll_ctl), "callers and programs that come and go", {{0}}},
	{SCMP_SYS(poll), "wait for a TPM's answer", {{0}}},
	{SCMP_SYS(ppoll), "the same on machines that have no poll", {{0}}},
	{SCMP_SYS(clock_gettime), "deadlines, where the vDSO does not tell", {{0}}},
	{SCMP_SYS(clock_nanosleep), "let the last of a console come", {{0}}},
	{SCMP_SYS(restart_syscall), "a wait goes on after a stop", {{0}}},
	/* Callers: what they connect to is open already. */
	{SCMP_SYS(accept4), "a caller", {{0}}},
	{SCMP_SYS(setsockopt), "callers that are gone are noticed", {{0}}},
	{SCMP_SYS(getsockopt), "who a local caller is", {{0}}},
	{SCMP_SYS(recvmsg), "requests of local callers, with a descriptor", {{0}}},
	{SCMP_SYS(recvfrom), "whether a program speaks where it must not", {{0}}},
	{SCMP_SYS(sendmsg), "descriptors for a hypervisor", {{0}}},
	{SCMP_SYS(sendto), "answers: on a connection, to no address", IF_EQUAL(5, 0)},
	{SCMP_SYS(shutdown), "a caller that is done", {{0}}},
	/* Files: the release, the state, the audit log, what specifications name. */
	{SCMP_SYS(openat), "open", {{0}}},
	{SCMP_SYS(read), "files, callers, signals", {{0}}},
	{SCMP_SYS(pread64), "programs that are measured", {{0}}},
	{SCMP_SYS(write), "files, callers, commands for programs", {{0}}},
	{SCMP_SYS(writev), "notes", {{0}}},
	{SCMP_SYS(pwrite64), "the audit log's head, sealed copies, overwriting", {{0}}},
	{SCMP_SYS(lseek), "files that are read through stdio", {{0}}},
	{SCMP_SYS(close), "close", {{0}}},
	{SCMP_SYS(fstat), "what kind of file it is, and how long", {{0}}},
	{SCMP_SYS(newfstatat), "the same, also by name", {{0}}},
	{SCMP_SYS(fstatfs), "the same, of its file system", {{0}}},
	{SCMP_SYS(access), "is it there?", {{0}}},
	{SCMP_SYS(readlink), "where the controller's own program lies", {{0}}},
	{SCMP_SYS(getcwd), "paths that are not absolute", {{0}}},
	{SCMP_SYS(getdents64), "which files the audit log and the evidence have", {{0}}},
	{SCMP_SYS(mkdir), "folders of the state", {{0}}},
	{SCMP_SYS(mkdirat), "the same, of evidence", {{0}}},
	{SCMP_SYS(rename), "files that are replaced as a whole", {{0}}},
	{SCMP_SYS(renameat), "the same", {{0}}},
	{SCMP_SYS(unlink), "the local socket, at the end", {{0}}},
	{SCMP_SYS(unlinkat), "the audit log's oldest file", {{0}}},
	{SCMP_SYS(ftruncate), "a volume that grows, half a line of the log", {{0}}},
	{SCMP_SYS(fsync), "what was written is on the disk", {{0}}},
	{SCMP_SYS(fdatasync), "the same", {{0}}},
	{SCMP_SYS(syncfs), "the same, before a snapshot", {{0}}},
	{SCMP_SYS(linkat), "a snapshot that is whole", {{0}}},
	{SCMP_SYS(renameat2), "the same, where there are no nameless files", {{0}}},
	{SCMP_SYS(flock), "one controller at a time in the state", {{0}}},
	{SCMP_SYS(fcntl), "descriptors: flags, numbers, seals; locks", {{0}}},
	{SCMP_SYS(umask), "modes of files", {{0}}},
	IOCTL(FICLONE, "a snapshot"),
	IOCTL(BLKGETSIZE64, "how long a disk is"),
	IOCTL(0x5401 /* TCGETS */, "is standard output a terminal?"),
	/* Programs: links, areas, and the start itself. */
	{SCMP_SYS(socketpair), "bus links and descriptor channels", IF_EQUAL(0, AF_UNIX)},
	{SCMP_SYS(pipe2), "command pipes", {{0}}},
	{SCMP_SYS(memfd_create), "shared areas, sealed copies, keys", {{0}}},
	{SCMP_SYS(mlock), "keys", {{0}}},
	{SCMP_SYS(clone), "a program", {{0}}},
	{SCMP_SYS(clone3), "a thread, of a snapshot", {{0}}},
	{SCMP_SYS(execveat), "what was measured: a descriptor", IF_EQUAL(4, AT_EMPTY_PATH)},
	{SCMP_SYS(pidfd_open), "when it ends", {{0}}},
	{SCMP_SYS(pidfd_send_signal), "its end", {{0}}},
	{SCMP_SYS(kill), "the same, before it can be watched", IF_EQUAL(1, SIGKILL)},
	{SCMP_SYS(waitid), "how it ended", {{0}}},
	{SCMP_SYS(wait4), "the same, of one that did not start", {{0}}},
	{SCMP_SYS(setsid), "a program is not of our terminal", {{0}}},
	{SCMP_SYS(dup2), "its descriptors", {{0}}},
	{SCMP_SYS(close_range), "and no others", {{0}}},
	PRCTL(PR_SET_CHILD_SUBREAPER, "another keeper"),
	PRCTL(PR_SET_PDEATHSIG, "a program does not outlive its controller"),
	PRCTL(PR_SET_MEMORY_MERGE, "none of its pages is shared with others"),
	PRCTL(PR_SCHED_CORE, "an instance with whole cores has their other threads too"),
	{SCMP_SYS(sched_setaffinity), "where its cgroup lets it run", {{0}}},
	/* Memory: none that is written can be run. */
	{SCMP_SYS(mmap), "memory", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(mmap), "libraries", {{2, PROT_WRITE, 0}}},
	{SCMP_SYS(mprotect), "what the loader has set up; stacks", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(munmap), "memory", {{0}}},
	{SCMP_SYS(mremap), "big allocations that grow", {{0}}},
	{SCMP_SYS(brk), "small allocations", {{0}}},
	{SCMP_SYS(madvise), "what no dump may have; memory that is given back", {{0}}},
	/* The process. */
	{SCMP_SYS(futex), "locks", {{0}}},
	{SCMP_SYS(getrandom), "nonces", {{0}}},
	{SCMP_SYS(getpid), "user ids of `run`; a child's parent", {{0}}},
	{SCMP_SYS(getppid), "is that still there?", {{0}}},
	{SCMP_SYS(getuid), "callers, owners", {{0}}},
	{SCMP_SYS(geteuid), "owners", {{0}}},
	{SCMP_SYS(getgid), "owners", {{0}}},
	{SCMP_SYS(getegid), "owners", {{0}}},
	{SCMP_SYS(uname), "as the C library does it", {{0}}},
	{SCMP_SYS(sysinfo), "as the C library does it, to sort", {{0}}},
	{SCMP_SYS(prlimit64), "limits of what is started", {{0}}},
	{SCMP_SYS(rt_sigaction), "a program starts with none of our signals", {{0}}},
	{SCMP_SYS(rt_sigprocmask), "the same", {{0}}},
	{SCMP_SYS(rt_sigreturn), "back from a signal", {{0}}},
	{SCMP_SYS(set_robust_list), "a thread, a process", {{0}}},
	{SCMP_SYS(rseq), "a thread, a process", {{0}}},
	{SCMP_SYS(exit), "a thread's end", {{0}}},
	{SCMP_SYS(exit_group), "the end", {{0}}},
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	/* A build that looks for its own leaks does so at the end, from another process. */
	{SCMP_SYS(ptrace), "sanitizer: leaks", {{0}}},
	{SCMP_SYS(open), "sanitizer", {{0}}},
	{SCMP_SYS(getdents), "sanitizer", {{0}}},
	{SCMP_SYS(sigaltstack), "sanitizer", {{0}}},
	{SCMP_SYS(sched_yield), "sanitizer", {{0}}},
	{SCMP_SYS(gettid), "sanitizer", {{0}}},
	{SCMP_SYS(mincore), "sanitizer", {{0}}},
	{SCMP_SYS(prctl), "sanitizer", {{0}}},
#endif
#endif
};
const size_t controller_syscall_count = ARRAY_LEN(controller_syscalls);

const struct jail_syscall launched_syscalls[] = {
	/* The loader. */
	{SCMP_SYS(arch_prctl), "thread-local memory", {{0}}},
	{SCMP_SYS(set_tid_address), "the first thread", {{0}}},
	/* The sandbox: lib/jail. Without root all of it needs the first line. */
	{SCMP_SYS(unshare), "namespaces of its own", {{0}}},
	{SCMP_SYS(mount), "an empty root", {{0}}},
	{SCMP_SYS(chdir), "an empty root", {{0}}},
	{SCMP_SYS(pivot_root), "an empty root", {{0}}},
	{SCMP_SYS(umount2), "an empty root", {{0}}},
	{SCMP_SYS(setgroups), "a user of its own", {{0}}},
	{SCMP_SYS(setresgid), "a user of its own", {{0}}},
	{SCMP_SYS(setresuid), "a user of its own", {{0}}},
	{SCMP_SYS(capget), "no capabilities", {{0}}},
	{SCMP_SYS(capset), "no capabilities", {{0}}},
	{SCMP_SYS(gettid), "no capabilities", {{0}}},
	PRCTL(PR_CAPBSET_READ, "no capabilities"),
	PRCTL(PR_CAPBSET_DROP, "no capabilities"),
	PRCTL(PR_CAP_AMBIENT, "no capabilities"),
	PRCTL(PR_GET_SECUREBITS, "no capabilities"),
	PRCTL(PR_GET_NO_NEW_PRIVS, "no new privileges"),
	PRCTL(PR_SET_NO_NEW_PRIVS, "no new privileges"),
	PRCTL(PR_SET_DUMPABLE, "no dumps"),
	PRCTL(PR_GET_DUMPABLE, "no dumps"),
	PRCTL(PR_GET_PDEATHSIG, "it does not outlive its controller"),
	PRCTL(PR_SET_NAME, "what ps(1) shows"),
	PRCTL(PR_SET_THP_DISABLE, "a card's memory is small"),
	{SCMP_SYS(seccomp), "its own list", {{0}}},
	/* The hypervisor. */
	{SCMP_SYS(ioctl), "KVM's requests", {{1, 0xff00, 0xae00}}},
	{SCMP_SYS(fallocate), "a guest's memory is reserved", {{0}}},
	{SCMP_SYS(eventfd2), "interrupts, doorbells", {{0}}},
	{SCMP_SYS(preadv2), "eventfds that a card has too", {{0}}},
	{SCMP_SYS(tgkill), "stop a vCPU", IF_EQUAL(2, SIGUSR1)},
	/* Cards. */
	{SCMP_SYS(epoll_create1), "the loop", {{0}}},
	{SCMP_SYS(signalfd4), "the end", {{0}}},
	{SCMP_SYS(mlock2), "keys", {{0}}},
	{SCMP_SYS(io_uring_setup), "the ring", {{0}}},
	{SCMP_SYS(io_uring_register), "what the ring may do", {{0}}},
	{SCMP_SYS(io_uring_enter), "reads and writes", {{0}}},
	{SCMP_SYS(preadv), "reads of a file in memory", {{0}}},
	{SCMP_SYS(pwritev), "writes of a file in memory", {{0}}},
	{SCMP_SYS(sched_getaffinity), "how many processors there are", {{0}}},
	{SCMP_SYS(sched_yield), "the kernel's threads want the core", {{0}}},
	{SCMP_SYS(timerfd_create), "limits, interrupts that are held back", {{0}}},
	{SCMP_SYS(timerfd_settime), "the same", {{0}}},
};
const size_t launched_syscall_count = ARRAY_LEN(launched_syscalls);

const struct jail_syscall socket_tpm_syscalls[] = {
	{SCMP_SYS(socket), "the TPM", {{0}}},
	{SCMP_SYS(connect), "the TPM", {{0}}},
};
const size_t socket_tpm_syscall_count = ARRAY_LEN(socket_tpm_syscalls);
