/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "arch.h"
#include "machine.h"
#include "os/fd.h"
#include "vm.h"

static int set_memory(int vm, uint32_t slot, uint64_t address, uint64_t size, const void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = address,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int give_memory(struct machine *machine)
{
	const struct memory *memory = &machine->memory;
	int ret = set_memory(machine->vm, 0, 0, memory->low, memory->host);

	if (ret < 0 || !memory->high)
		return ret;
	return set_memory(machine->vm, 1, MEMORY_HIGH_BASE, memory->high,
			  memory->host + memory->low);
}

static int create_vcpu(struct machine *machine, unsigned index)
{
	struct vcpu *vcpu = &machine->vcpus[index];
	void *run;
	int fd = ioctl(machine->vm, KVM_CREATE_VCPU, index);

	if (fd < 0)
		return -errno;
	run = mmap(NULL, machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED) {
		int ret = -errno;

		os_close(&fd);
		return ret;
	}
	vcpu->fd = fd;
	vcpu->run = run;
	return arch_vcpu_create(vcpu);
}

static int connect_lines(struct machine *machine)
{
	struct interrupts *interrupts = &machine->interrupts;

	return interrupts_start(interrupts, machine->vm)
		       ?: interrupts_connect(interrupts, GSI_SERIAL, machine->serial.fd)
		       ?: interrupts_connect(interrupts, GSI_EVENTS, machine->events.fd);
}

static int create(struct machine *machine)
{
	int ret = arch_vm_create(machine);

	if (!ret)
		ret = give_memory(machine);
	for (unsigned i = 0; !ret && i < machine->cpus; i++)
		ret = create_vcpu(machine, i);
	if (ret < 0)
		return ret;
	arch_vm_finish(machine);
	return connect_lines(machine);
}

int vm_create(struct machine *machine, struct error *error)
{
	int ret;

	machine->vm = ioctl(machine->options.kvm_fd, KVM_CREATE_VM, 0);
	if (machine->vm < 0)
		return error_set(error, errno, "KVM: no virtual machine: %s", strerror(errno));
	ret = create(machine);
	if (ret < 0) {
		vm_destroy(machine);
		return error_set(error, -ret, "KVM: no virtual machine with %u vCPUs: %s",
				 machine->cpus, strerror(-ret));
	}
	return 0;
}

void vm_destroy(struct machine *machine)
{
	serial_reset(&machine->serial);
	for (unsigned i = 0; i < machine->cpus; i++) {
		struct vcpu *vcpu = &machine->vcpus[i];

		if (vcpu->run)
			munmap(vcpu->run, machine->run_size);
		vcpu->run = NULL;
		vcpu->exit_is_left = false;
		os_close(&vcpu->fd);
	}
	os_close(&machine->vm);
}
