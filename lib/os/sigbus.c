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

static bool is_guarded(uintptr_t address)
{
	size_t count = atomic_load_explicit(&used, memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		uintptr_t start = atomic_load_explicit(&ranges[i].start, memory_order_acquire);

		if (start && address >= start && address - start < ranges[i].size)
			return true;
	}
	return false;
}

/* A mapping of huge pages can only be replaced by whole ones: -EINVAL for less. */
static bool replace_page(uintptr_t address)
{
	const uintptr_t sizes[] = {page_size, 2 * MIB, GIB};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		void *page = (void *)(address & ~(sizes[i] - 1));

		if (mmap(page, sizes[i], PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
			return true;
		if (errno != EINVAL)
			return false;
	}
	return false;
}

/*
 * Async-signal-safe: mmap, and raising the signal again with its default action. Memory that is
 * broken (BUS_MCEERR_AR) is not the peer's doing: going on would lose data silently.
 */
static void handle(int signal, siginfo_t *info, void *context)
{
	uintptr_t address = (uintptr_t)info->si_addr;
	int saved = errno;

	(void)context;
	if (info->si_code == BUS_ADRERR && is_guarded(address) && replace_page(address)) {
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
