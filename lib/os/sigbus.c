/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one piece of global state that cannot be avoided: a signal handler has no context. Ranges are
 * published with release stores, so that the handler on any thread sees a whole range or none.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "sigbus.h"

#define MAX_RANGES 1024

static struct range {
	_Atomic uintptr_t start; /* 0: free */
	_Atomic uint64_t size;
} ranges[MAX_RANGES];

static _Atomic size_t used; /* no range at or above this index */
static _Atomic uint64_t replaced;
static uintptr_t page_size;

/* NULL: nobody guards it. */
static struct range *find(uintptr_t address)
{
	size_t count = atomic_load_explicit(&used, memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		uintptr_t start = atomic_load_explicit(&ranges[i].start, memory_order_acquire);

		if (start && address >= start && address - start < ranges[i].size)
			return &ranges[i];
	}
	return NULL;
}

static bool put_zeros(uintptr_t start, uint64_t size, int fixed)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	return mmap((void *)start, size, PROT_READ | PROT_WRITE, flags | fixed, -1, 0) !=
	       MAP_FAILED;
}

/*
 * A mapping of huge pages can only be replaced by whole ones: -EINVAL for less. Pages here and
 * there split the mapping up to the limit of a process (vm.max_map_count): then all of it goes, and
 * has to be unmapped first, since at the limit nothing more can be mapped.
 */
static bool replace_page(const struct range *range, uintptr_t address)
{
	const uintptr_t sizes[] = {page_size, 2 * MIB, GIB};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (put_zeros(address & ~(sizes[i] - 1), sizes[i], MAP_FIXED))
			return true;
		if (errno != EINVAL)
			break;
	}
	return !munmap((void *)range->start, range->size) &&
	       put_zeros(range->start, range->size, MAP_FIXED_NOREPLACE);
}

/*
 * Async-signal-safe: mmap, and raising the signal again with its default action. Memory that is
 * broken (BUS_MCEERR_AR) is not the peer's doing: going on would lose data silently.
 */
static void handle(int signal, siginfo_t *info, void *context)
{
	uintptr_t address = (uintptr_t)info->si_addr;
	const struct range *range = find(address);
	int saved = errno;

	(void)context;
	if (info->si_code == BUS_ADRERR && range && replace_page(range, address)) {
		atomic_fetch_add_explicit(&replaced, 1, memory_order_relaxed);
		errno = saved;
		return;
	}
	/* With the default action back, the access is done again and ends the program. */
	sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

int os_sigbus_install(void)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};

	page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int os_sigbus_guard(void *mapping, uint64_t size)
{
	for (size_t i = 0; i < MAX_RANGES; i++) {
		if (atomic_load_explicit(&ranges[i].start, memory_order_relaxed))
			continue;
		atomic_store_explicit(&ranges[i].size, size, memory_order_relaxed);
		atomic_store_explicit(&ranges[i].start, (uintptr_t)mapping, memory_order_release);
		if (i >= atomic_load_explicit(&used, memory_order_relaxed))
			atomic_store_explicit(&used, i + 1, memory_order_release);
		return 0;
	}
	return -ENOSPC;
}

void os_sigbus_release(void *mapping)
{
	for (size_t i = 0; i < MAX_RANGES; i++) {
		if (atomic_load_explicit(&ranges[i].start, memory_order_relaxed) ==
		    (uintptr_t)mapping)
			atomic_store_explicit(&ranges[i].start, 0, memory_order_release);
	}
}

uint64_t os_sigbus_count(void)
{
	return atomic_load_explicit(&replaced, memory_order_relaxed);
}
