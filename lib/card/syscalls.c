/* SPDX-License-Identifier: Apache-2.0 */
/* What every card may ask of the kernel once it serves. A card adds its own lines in its ops. */
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/base.h"
#include "frame.h"

const struct jail_syscall card_syscalls[] = {
	/* The loop. */
	{SCMP_SYS(epoll_wait), "wait for the bus, doorbells and the back end", {{0}}},
	{SCMP_SYS(epoll_pwait), "the same on machines that have no epoll_wait", {{0}}},
	{SCMP_SYS(epoll_ctl), "clients, back pressure: what to wait for changes", {{0}}},
	{SCMP_SYS(read), "drain doorbells and completion counters", {{0}}},
	{SCMP_SYS(write), "interrupts; last words on standard error", {{0}}},
	/* The bus. */
	{SCMP_SYS(accept4), "the next client of a listening socket", {{0}}},
	{SCMP_SYS(recvmsg), "requests with their descriptors", {{0}}},
	{SCMP_SYS(sendmsg), "replies; memory access by message", {{0}}},
	{SCMP_SYS(poll), "wait for the answer to a memory access by message", {{0}}},
	{SCMP_SYS(ppoll), "the same on machines that have no poll", {{0}}},
	{SCMP_SYS(fcntl),
	 "make a client's eventfd non-blocking: its flags ...",
	 {{1, UINT32_MAX, F_GETFL}}},
	{SCMP_SYS(fcntl), "... and the new ones", {{1, UINT32_MAX, F_SETFL}}},
	{SCMP_SYS(fcntl), "the state area's lock", {{1, UINT32_MAX, F_SETLK}}},
	{SCMP_SYS(fcntl), "the same, when another process has it", {{1, UINT32_MAX, F_SETLKW}}},
	{SCMP_SYS(close), "descriptors that a client sent, and a client that left", {{0}}},
	{SCMP_SYS(fstat), "is a memory window within its file, a descriptor an eventfd?", {{0}}},
	{SCMP_SYS(newfstatat),
	 "fstat as the C library makes it",
	 {{3, AT_EMPTY_PATH, AT_EMPTY_PATH}}},
	/* Memory: windows of the guest's, and the allocator's. Never any that can be run. */
	{SCMP_SYS(mmap), "guest memory; big allocations", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(munmap), "the same", {{0}}},
	{SCMP_SYS(mremap), "big allocations that grow", {{0}}},
	{SCMP_SYS(brk), "small allocations", {{0}}},
	{SCMP_SYS(madvise), "the allocator gives memory back", {{0}}},
	/* The process. */
	{SCMP_SYS(futex), "locks and once-only work of the C library", {{0}}},
	{SCMP_SYS(clock_gettime), "deadlines, where the vDSO has no clock", {{0}}},
	{SCMP_SYS(restart_syscall), "a wait with a deadline goes on after a stop", {{0}}},
	{SCMP_SYS(rt_sigreturn), "back from the SIGBUS guard", {{0}}},
	{SCMP_SYS(rt_sigaction),
	 "the guard lets a SIGBUS of our own end us",
	 {{0, UINT32_MAX, SIGBUS}}},
	{SCMP_SYS(exit_group), "the end", {{0}}},
};

const size_t card_syscall_count = ARRAY_LEN(card_syscalls);
