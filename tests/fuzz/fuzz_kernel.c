/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as a kernel file: it is refused, or loaded into the guest's memory and nowhere
 * else. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch.h"
#include "machine.h"
#include "os/fd.h"
#include "x86/acpi.h"
#include "x86/cpu.h"

#define MEMORY (24 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine = {.options = {.initrd_fd = -1}, .line = "console=ttyS0"};

void acpi_put(struct machine *of)
{
	(void)of;
}

int cpu_enter(struct machine *of, enum cpu_entry kind, uint64_t entry)
{
	if (kind == CPU_ENTRY_LINUX && !memory_at(&of->memory, entry, 1))
		abort();
	return 0;
}

static void check_map(void)
{
	if (machine.memory.fd > 0)
		return;
	if (memory_create(&machine.memory, MEMORY, NULL) < 0)
		abort();
	machine.options.kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};
	int ret;

	check_map();
	if (ftruncate(machine.options.kernel_fd, 0) < 0 ||
	    os_pwrite_all(machine.options.kernel_fd, data, size, 0) < 0)
		abort();
	ret = arch_load(&machine, &error);
	if (ret > 0 || (ret < 0 && !memchr(error.text, '\0', sizeof(error.text))) ||
	    (ret < 0 && !error.text[0]))
		abort();
	return 0;
}
