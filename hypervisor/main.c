/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-hypervisor: one instance on KVM, and nothing else. It knows no device: what the guest
 * finds on its PCI bus are cards, other processes behind vfio-user links.
 *
 * A reader's way: this file, then control.c (commands), vcpu.c (exits), bus.c and slot.c (cards),
 * x86/ (boot, ACPI tables, CPUID).
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "arch.h"
#include "control.h"
#include "handover.h"
#include "jail/jail.h"
#include "machine.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "syscalls.h"
#include "vcpu.h"
#include "vm.h"

/* Descriptors: what is inherited, vCPUs, and for each card a link, its vectors and doorbells. */
#define OPEN_FILES 16384u

static struct machine machine;

/* For another program, whose pages they are until then. */
static bool goes_on(void)
{
	return machine.options.take_over_fd >= 0;
}

static int map_pages(const struct options *options, struct error *error)
{
	void *page;

	if (os_map(options->status_fd, 0, STATUS_PAGE_SIZE, true, &page) < 0)
		return error_set(error, EINVAL, "--status-fd: not a shared page of %u bytes",
				 STATUS_PAGE_SIZE);
	machine.status = page;
	if (os_map(options->console_fd, 0, CONSOLE_SIZE, true, &page) < 0)
		return error_set(error, EINVAL, "--console-fd: not a shared ring of %u bytes",
				 CONSOLE_SIZE);
	machine.console = page;
	if (goes_on())
		return 0;
	status_init(machine.status, STATUS_HYPERVISOR);
	console_init(machine.console);
	return 0;
}

static int make_parts(struct error *error)
{
	int ret = interrupts_init(&machine.interrupts)
			  ?: serial_init(&machine.serial, machine.console)
			  ?: events_init(&machine.events);

	machine.wake_fd = ret ? -1 : os_eventfd();
	if (!ret && machine.wake_fd < 0)
		ret = machine.wake_fd;
	if (ret < 0)
		return error_set(error, -ret, "no eventfd: %s", strerror(-ret));
	machine.vm = -1;
	pthread_mutex_init(&machine.lock, NULL);
	pthread_cond_init(&machine.changed, NULL);
	return 0;
}

/* Above memory, as far as addresses go, but no more than 1 TiB. */
static int make_bus(struct error *error)
{
	uint64_t start = align_up(MEMORY_HIGH_BASE + machine.memory.high, GIB);
	uint64_t end = min_u64(UINT64_C(1) << machine.address_bits, start + 1024 * GIB);

	if (goes_on()) {
		start = machine.bus.window64;
		end = machine.bus.window64_end;
	} else if (end < start + GIB) {
		return error_set(
			error, ENOMEM,
			"memory: this host's processor has addresses of %u bits only; give "
			"the instance less",
			machine.address_bits);
	}
	bus_init(&machine.bus, &machine, start, end);
	return 0;
}

static int make_vcpus(struct error *error)
{
	machine.vcpus = calloc(machine.cpus, sizeof(*machine.vcpus));
	if (!machine.vcpus)
		return error_set(error, ENOMEM, "no memory");
	for (unsigned i = 0; i < machine.cpus; i++)
		machine.vcpus[i] = (struct vcpu){.machine = &machine, .index = i, .fd = -1};
	return vm_create(&machine, error);
}

static int learn(uint32_t *configure_id, struct error *error)
{
	return goes_on() ? handover_join(&machine, error)
			 : control_configure(&machine, configure_id, error);
}

static int make_processors(struct error *error)
{
	int ret = arch_prepare(&machine, error);

	if (!ret && goes_on() && arch_take_setup(&machine, &machine.peer.record) < 0)
		ret = error_set(error, EPROTO, "the processors that came make no sense");
	return ret;
}

/* Everything up to READY, in the order in which one step needs the other. */
static int prepare(uint32_t *configure_id, struct error *error)
{
	static const struct jail_limits limits = {.open_files = OPEN_FILES};
	const struct options *options = &machine.options;
	int ret;

	/* 1. Where we are seen: status page and console. */
	if ((ret = map_pages(options, error)) < 0)
		return ret;
	/* 2. Can this KVM do it at all? */
	if ((ret = arch_check(options->kvm_fd, error)) < 0)
		return ret;
	/* 3. What the controller wants, or another program has: memory, vCPUs, command line. */
	if ((ret = learn(configure_id, error)) < 0)
		return ret;
	/* 4. Nothing that is left to do needs a privilege or a file. */
	if ((ret = jail_isolate(error)) < 0 ||
	    (ret = jail_demote(options->user, &limits, error)) < 0)
		return ret;
	/* 5. The machine. */
	if ((ret = make_parts(error)) < 0 || (ret = make_processors(error)) < 0 ||
	    (ret = make_bus(error)) < 0 || (ret = make_vcpus(error)) < 0)
		return ret;
	/* 6. The kernel: a bad one is refused now. */
	if (!goes_on() && (ret = arch_load(&machine, error)) < 0)
		return ret;
	/* 7. Threads, parked; then the list of system calls, for all of them. */
	if ((ret = vcpu_start(&machine, error)) < 0)
		return ret;
	return jail_filter(hypervisor_syscalls, hypervisor_syscall_count, error);
}

/* As long as the guest is not ours, neither is the page, and there is nobody to tell but who reads
 * our last words. */
static int go_on(void)
{
	struct error error = {0};

	if (!handover_take_over(&machine, &error))
		return control_serve(&machine);
	fprintf(stderr, "karuta-hypervisor: %s\n", error.text);
	return 1;
}

int main(int argc, char **argv)
{
	struct error error = {0};
	uint32_t configure_id = 0;
	int ret;

	/* What is executed is a copy in memory, whose name says so. */
	prctl(PR_SET_NAME, program_invocation_short_name);
	/* One heap for all threads: each of them would take an arena of its own. */
	mallopt(M_ARENA_MAX, 1);
	ret = options_parse(&machine.options, argc, argv, &error);
	if (ret > 0)
		return 0;
	machine.peer.socket = -1;
	machine.peer.version = HANDOVER_VERSION;
	if (!ret)
		ret = prepare(&configure_id, &error);
	if (ret < 0) {
		fprintf(stderr, "karuta-hypervisor: %s\n", error.text);
		if (machine.status && !goes_on()) {
			status_set(machine.status, STATUS_FAILED, STATUS_REASON_NONE, error.text);
			if (configure_id)
				status_command_done(machine.status, configure_id, ret, error.text);
		}
		/* Without a page to say it on, it is the command line that is wrong. */
		return machine.status ? 1 : 2;
	}
	/* 8. In another's place, when it is its turn. */
	if (goes_on())
		return go_on();
	/* Or READY, and then what the controller and the guest want. */
	status_set(machine.status, STATUS_READY, STATUS_REASON_NONE, "");
	status_command_done(machine.status, configure_id, 0, "");
	return control_serve(&machine);
}
