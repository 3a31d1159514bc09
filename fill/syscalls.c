/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "base/base.h"
#include "fill.h"

const struct jail_syscall fill_syscalls[] = {
	{SCMP_SYS(pread64), "the image", {{0}}},
	{SCMP_SYS(pwrite64), "the volume", {{0}}},
	{SCMP_SYS(lseek), "where the image has data", {{0}}},
	{SCMP_SYS(fsync), "the volume is on the disk", {{0}}},
	{SCMP_SYS(write), "last words on standard error", {{0}}},
	{SCMP_SYS(munmap), "the C library gives memory back", {{0}}},
	{SCMP_SYS(brk), "small allocations", {{0}}},
	{SCMP_SYS(futex), "locks of the C library", {{0}}},
	{SCMP_SYS(exit_group), "the end", {{0}}},
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	{SCMP_SYS(mmap), "sanitizer", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(mprotect), "sanitizer", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(madvise), "sanitizer", {{0}}},
	{SCMP_SYS(sigaltstack), "sanitizer", {{0}}},
	{SCMP_SYS(gettid), "sanitizer", {{0}}},
	{SCMP_SYS(getpid), "sanitizer", {{0}}},
	{SCMP_SYS(sched_yield), "sanitizer", {{0}}},
	{SCMP_SYS(prctl), "sanitizer", {{0}}},
#endif
#endif
};

const size_t fill_syscall_count = ARRAY_LEN(fill_syscalls);
