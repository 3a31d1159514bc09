/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM knows of a guest, for the program that goes on with it: read here, written into another
 * virtual machine of the same host there. While vCPUs stand still and no interrupt is connected.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arch.h"
#include "machine.h"
#include "os/clock.h"
#include "x86/cpu.h"

#define MSRS_MOST 1024u
#define MSRS_SIZE (sizeof(struct kvm_msrs) + MSRS_MOST * sizeof(struct kvm_msr_entry))

#define MSR_TSC		       0x10u
#define MSR_WALL_CLOCK	       0x11u
#define MSR_WALL_CLOCK_NEW     0x4b564d00u
#define MSR_HYPER_V	       0x40000000u
#define MSR_HYPER_V_END	       0x40001000u
#define MSR_MTRR_VARIABLE      0x200u
#define MSR_MTRR_VARIABLE_LAST 0x20fu

enum tag {
	TAG_CPUID = HANDOVER_ARCH,
	/* A vCPU, in the order in which one depends on the other: reading the first settles what
	 * the others say; the interrupt controller's mode is in SREGS; its timer's deadline is an
	 * MSR, in guest time. */
	TAG_MP_STATE,
	TAG_REGS,
	TAG_SREGS,
	TAG_XSAVE,
	TAG_XCRS,
	TAG_DEBUGREGS,
	TAG_LAPIC,
	TAG_TSC_OFFSET,
	TAG_MSRS,
	TAG_EVENTS,
	/* The machine. */
	TAG_PIC,
	TAG_PIC_SLAVE,
	TAG_IOAPIC,
	TAG_CLOCK,
};

/* ---- model specific registers ---- */

/* Not in KVM's list. */
static const uint32_t more_msrs[] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
	0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x2ff, /* MTRRs: fixed, default */
};

/* The time stamp is carried as an offset; to write a clock's place makes KVM write there; no guest
 * is offered Hyper-V's. */
static bool is_wanted(uint32_t index)
{
	return index != MSR_TSC && index != MSR_WALL_CLOCK && index != MSR_WALL_CLOCK_NEW &&
	       (index < MSR_HYPER_V || index >= MSR_HYPER_V_END);
}

static void want(struct kvm_msrs *msrs, uint32_t index)
{
	if (is_wanted(index) && msrs->nmsrs < MSRS_MOST)
		msrs->entries[msrs->nmsrs++].index = index;
}

int state_prepare(struct machine *machine, struct error *error)
{
	size_t size = sizeof(struct kvm_msr_list) + MSRS_MOST * sizeof(uint32_t);
	CLEANUP_FREE struct kvm_msr_list *list = calloc(1, size);
	struct kvm_msrs *msrs = calloc(1, MSRS_SIZE);

	machine->msrs = msrs;
	if (!list || !msrs)
		return error_set(error, ENOMEM, "no memory");
	list->nmsrs = MSRS_MOST;
	if (ioctl(machine->options.kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
		return error_set(error, errno, "KVM does not tell what registers it has: %s",
				 strerror(errno));
	for (uint32_t i = 0; i < list->nmsrs; i++)
		want(msrs, list->indices[i]);
	for (uint32_t i = MSR_MTRR_VARIABLE; i <= MSR_MTRR_VARIABLE_LAST; i++)
		want(msrs, i);
	for (size_t i = 0; i < ARRAY_LEN(more_msrs); i++)
		want(msrs, more_msrs[i]);
	return 0;
}

/* Those that this processor does not have are left out from then on. */
int state_read_msrs(const struct vcpu *vcpu)
{
	struct kvm_msrs *msrs = vcpu->machine->msrs;

	for (;;) {
		int done = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);

		if (done < 0)
			return -errno;
		if ((uint32_t)done >= msrs->nmsrs)
			return 0;
		msrs->nmsrs--;
		memmove(&msrs->entries[done], &msrs->entries[done + 1],
			(msrs->nmsrs - (uint32_t)done) * sizeof(*msrs->entries));
	}
}

/* One that cannot be written is no harm if it has that value anyway. */
static int compare_msr(const struct vcpu *vcpu, struct kvm_msr_entry wanted, struct error *error)
{
	_Alignas(struct kvm_msrs)
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
	struct kvm_msrs *msrs = (struct kvm_msrs *)room;

	msrs->nmsrs = 1;
	msrs->entries[0].index = wanted.index;
	if (ioctl(vcpu->fd, KVM_GET_MSRS, msrs) == 1 && msrs->entries[0].data == wanted.data)
		return 0;
	return error_set(error, EPROTO, "vCPU %u: register 0x%x does not take its value",
			 vcpu->index, wanted.index);
}

static int write_msrs(const struct vcpu *vcpu, struct kvm_msrs *msrs, struct error *error)
{
	int ret = 0;

	while (!ret && msrs->nmsrs) {
		int done = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);

		if (done < 0)
			return error_set(error, errno, "vCPU %u: registers: %s", vcpu->index,
					 strerror(errno));
		if ((uint32_t)done >= msrs->nmsrs)
			return 0;
		ret = compare_msr(vcpu, msrs->entries[done], error);
		msrs->nmsrs -= (uint32_t)done + 1;
		memmove(msrs->entries, &msrs->entries[done + 1],
			msrs->nmsrs * sizeof(*msrs->entries));
	}
	return ret;
}

static int take_msrs(const struct vcpu *vcpu, const struct handover_record *record,
		     struct error *error)
{
	CLEANUP_FREE struct kvm_msrs *msrs = calloc(1, MSRS_SIZE);
	size_t length;
	const uint8_t *bytes = handover_find(record, TAG_MSRS, &length);

	if (!msrs)
		return error_set(error, ENOMEM, "no memory");
	if (!bytes || length % sizeof(*msrs->entries) ||
	    length > MSRS_MOST * sizeof(*msrs->entries))
		return error_set(error, EPROTO, "vCPU %u: no registers", vcpu->index);
	memcpy(msrs->entries, bytes, length);
	msrs->nmsrs = (uint32_t)(length / sizeof(*msrs->entries));
	return write_msrs(vcpu, msrs, error);
}

/* ---- a vCPU ---- */

static const struct {
	enum tag tag;
	size_t size;
	unsigned long get, set;
} parts[] = {
	{TAG_MP_STATE, sizeof(struct kvm_mp_state), KVM_GET_MP_STATE, KVM_SET_MP_STATE},
	{TAG_REGS, sizeof(struct kvm_regs), KVM_GET_REGS, KVM_SET_REGS},
	{TAG_SREGS, sizeof(struct kvm_sregs), KVM_GET_SREGS, KVM_SET_SREGS},
	/* Guests are not given what would need more room (AMX). */
	{TAG_XSAVE, sizeof(struct kvm_xsave), KVM_GET_XSAVE, KVM_SET_XSAVE},
	{TAG_XCRS, sizeof(struct kvm_xcrs), KVM_GET_XCRS, KVM_SET_XCRS},
	{TAG_DEBUGREGS, sizeof(struct kvm_debugregs), KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS},
	{TAG_LAPIC, sizeof(struct kvm_lapic_state), KVM_GET_LAPIC, KVM_SET_LAPIC},
	{TAG_TSC_OFFSET, sizeof(uint64_t), KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR},
	{TAG_MSRS, 0, 0, 0},
	{TAG_EVENTS, sizeof(struct kvm_vcpu_events), KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS},
};

union part {
	struct kvm_xsave xsave; /* the largest */
	struct kvm_xcrs xcrs;
	uint8_t bytes[sizeof(struct kvm_xsave)];
};

/* The offset to the host's time stamp: the guest's runs on as if nothing had been. */
static int carry(const struct vcpu *vcpu, size_t index, unsigned long request, union part *part)
{
	struct kvm_device_attr offset = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)part};
	void *argument = parts[index].tag == TAG_TSC_OFFSET ? (void *)&offset : part;

	/* A processor without XSAVE. */
	if (request == KVM_SET_XCRS && !part->xcrs.nr_xcrs)
		return 0;
	return ioctl(vcpu->fd, request, argument) < 0 ? -errno : 0;
}

int arch_save_vcpu(const struct vcpu *vcpu, struct handover_writer *writer)
{
	const struct kvm_msrs *msrs = vcpu->machine->msrs;
	union part part;
	int ret = 0;

	for (size_t i = 0; !ret && i < ARRAY_LEN(parts); i++) {
		if (parts[i].tag == TAG_MSRS) {
			ret = state_read_msrs(vcpu);
			handover_put(writer, TAG_MSRS, msrs->entries,
				     msrs->nmsrs * sizeof(*msrs->entries));
			continue;
		}
		memset(&part, 0, sizeof(part));
		ret = carry(vcpu, i, parts[i].get, &part);
		handover_put(writer, parts[i].tag, &part, parts[i].size);
	}
	return ret;
}

int arch_restore_vcpu(const struct vcpu *vcpu, const struct handover_record *record,
		      struct error *error)
{
	union part part;
	int ret = 0;

	for (size_t i = 0; !ret && i < ARRAY_LEN(parts); i++) {
		if (parts[i].tag == TAG_MSRS) {
			ret = take_msrs(vcpu, record, error);
			continue;
		}
		ret = handover_take(record, parts[i].tag, &part, parts[i].size);
		if (!ret)
			ret = carry(vcpu, i, parts[i].set, &part);
		if (ret)
			error_set(error, -ret, "vCPU %u: its state (%zu): %s", vcpu->index, i,
				  strerror(-ret));
	}
	return ret;
}

/* ---- the machine ---- */

static const struct {
	enum tag tag;
	uint32_t chip;
} chips[] = {
	{TAG_PIC, KVM_IRQCHIP_PIC_MASTER},
	{TAG_PIC_SLAVE, KVM_IRQCHIP_PIC_SLAVE},
	{TAG_IOAPIC, KVM_IRQCHIP_IOAPIC},
};

/* The guest's clock, and when it was read. */
struct clock_state {
	struct kvm_clock_data data;
	uint64_t at;
};

int arch_save_vm(const struct machine *machine, struct handover_writer *writer)
{
	struct clock_state clock = {0};

	for (size_t i = 0; i < ARRAY_LEN(chips); i++) {
		struct kvm_irqchip chip = {.chip_id = chips[i].chip};

		if (ioctl(machine->vm, KVM_GET_IRQCHIP, &chip) < 0)
			return -errno;
		handover_put(writer, chips[i].tag, &chip, sizeof(chip));
	}
	if (ioctl(machine->vm, KVM_GET_CLOCK, &clock.data) < 0)
		return -errno;
	clock.at = os_now();
	handover_put(writer, TAG_CLOCK, &clock, sizeof(clock));
	return 0;
}

/* KVM adds what has passed since by the host's own clock, if it has said when it was. */
static int set_clock(const struct machine *machine, struct clock_state *clock)
{
	clock->data.flags &= KVM_CLOCK_REALTIME;
	if (!clock->data.flags)
		clock->data.clock += os_now() - clock->at;
	return ioctl(machine->vm, KVM_SET_CLOCK, &clock->data) < 0 ? -errno : 0;
}

int arch_restore_vm(const struct machine *machine, const struct handover_record *record,
		    struct error *error)
{
	struct clock_state clock;
	int ret = 0;

	for (size_t i = 0; !ret && i < ARRAY_LEN(chips); i++) {
		struct kvm_irqchip chip;

		ret = handover_take(record, chips[i].tag, &chip, sizeof(chip));
		chip.chip_id = chips[i].chip;
		if (!ret && ioctl(machine->vm, KVM_SET_IRQCHIP, &chip) < 0)
			ret = -errno;
	}
	ret = ret ?: handover_take(record, TAG_CLOCK, &clock, sizeof(clock))
			     ?: set_clock(machine, &clock);
	return ret ? error_set(error, -ret, "interrupt controllers and clock: %s", strerror(-ret))
		   : 0;
}

/* ---- what its processors are ---- */

void arch_save_setup(const struct machine *machine, struct handover_writer *writer)
{
	handover_put(writer, TAG_CPUID, machine->cpuid->entries,
		     machine->cpuid->nent * sizeof(*machine->cpuid->entries));
}

int arch_take_setup(struct machine *machine, const struct handover_record *record)
{
	struct kvm_cpuid2 *cpuid = machine->cpuid;
	size_t length;
	const uint8_t *bytes = handover_find(record, TAG_CPUID, &length);

	if (!bytes || length % sizeof(*cpuid->entries) ||
	    length > CPUID_ENTRIES * sizeof(*cpuid->entries))
		return -EPROTO;
	memcpy(cpuid->entries, bytes, length);
	cpuid->nent = (uint32_t)(length / sizeof(*cpuid->entries));
	return cpu_hides_nesting(cpuid) ? 0 : -EPROTO;
}
