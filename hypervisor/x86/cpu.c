/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's x86 half: capabilities, CPUID, model specific registers, registers at the entry. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arch.h"
#include "machine.h"
#include "x86/cpu.h"
#include "x86/layout.h"

/* ---- what KVM must have ---- */

static const struct {
	int capability;
	const char *what;
} needed[] = {
	{KVM_CAP_IRQCHIP, "interrupt controllers in the kernel"},
	{KVM_CAP_USER_MEMORY, "guest memory"},
	{KVM_CAP_SET_TSS_ADDR, "a place for its own task state segment"},
	{KVM_CAP_EXT_CPUID, "processor identification"},
	{KVM_CAP_IRQ_ROUTING, "interrupt routing"},
	{KVM_CAP_IRQFD, "interrupts by eventfd (irqfd)"},
	{KVM_CAP_IOEVENTFD, "doorbells by eventfd (ioeventfd)"},
	{KVM_CAP_IMMEDIATE_EXIT, "a way to stop a vCPU without a race (immediate_exit)"},
	{KVM_CAP_MP_STATE, "the states of several vCPUs"},
};

int arch_check(int kvm, struct error *error)
{
	int version = ioctl(kvm, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return error_set(error, ENODEV, "--kvm-fd is not /dev/kvm; is KVM loaded?");
	if (version != KVM_API_VERSION)
		return error_set(error, ENODEV, "KVM: interface version %d, needed is %d", version,
				 KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
			return error_set(error, ENOTSUP,
					 "KVM of this host lacks %s; use a newer kernel",
					 needed[i].what);
	return 0;
}

/* ---- CPUID ---- */

#define LEAF_FEATURES	  1u
#define LEAF_CACHES	  4u
#define LEAF_PERFORMANCE  0xau
#define LEAF_TOPOLOGY	  0xbu
#define LEAF_TOPOLOGY_V2  0x1fu
#define LEAF_KVM	  0x40000001u
#define LEAF_ADDRESSES	  0x80000008u
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_AMD_SVM	  0x8000000au
#define LEAF_AMD_TOPOLOGY 0x8000001eu
#define LEAF_AMD_CACHES	  0x8000001du

/* Guests run no guests of their own: KVM's nested half is out of their reach. */
#define FEATURE_VMX	     (1u << 5)
#define FEATURE_SVM	     (1u << 2)
#define FEATURE_X2APIC	     (1u << 21)
#define FEATURE_TSC_DEADLINE (1u << 24)
#define FEATURE_HYPERVISOR   (1u << 31)
#define FEATURE_HTT	     (1u << 28)
/* Messages to more than 255 interrupt controllers: there are never so many. */
#define KVM_FEATURE_EXTENDED_DESTINATION (1u << 15)
/*
 * Asynchronous page faults: bits 4, 10 and 14. A guest's memory is there, so there is nothing to be
 * won, but KVM uses them as well when a page is locked for a moment, as it is while a card that
 * comes back touches it first. On AMD they have left guests hanging.
 */
#define KVM_FEATURES_ASYNC_FAULT (1u << 4 | 1u << 10 | 1u << 14)

static unsigned bits_for(unsigned count)
{
	return count > 1 ? 32u - (unsigned)__builtin_clz(count - 1) : 0;
}

/* One package, one thread a core: levels "thread" and "core" (Intel SDM, CPUID, leaf 0BH). */
static void set_topology(struct kvm_cpuid_entry2 *entry, unsigned cpus)
{
	bool is_core = entry->index == 1;

	entry->eax = entry->ebx = 0;
	if (entry->index == 0)
		entry->ebx = 1;
	if (is_core) {
		entry->eax = bits_for(cpus);
		entry->ebx = cpus;
	}
	entry->ecx = entry->index | (entry->index == 0 ? 1u << 8 : is_core ? 2u << 8 : 0);
}

/* What is the same for all vCPUs. */
static void adjust(struct kvm_cpuid_entry2 *entry, unsigned cpus, bool deadline)
{
	switch (entry->function) {
	case LEAF_FEATURES:
		entry->ecx &= ~FEATURE_VMX;
		entry->ecx |= FEATURE_X2APIC | FEATURE_HYPERVISOR;
		if (deadline)
			entry->ecx |= FEATURE_TSC_DEADLINE;
		entry->ebx = (entry->ebx & 0xff00ffffu) | cpus << 16;
		entry->edx &= ~FEATURE_HTT;
		if (cpus > 1)
			entry->edx |= FEATURE_HTT;
		break;
	case LEAF_CACHES:
		/* Caches up to the second level are a core's own, the third is shared by all. */
		entry->eax &= 0x3fffu;
		if ((entry->eax & 0x1f) == 0)
			break;
		entry->eax |= (cpus - 1) << 26;
		if ((entry->eax >> 5 & 7) >= 3)
			entry->eax |= (cpus - 1) << 14;
		break;
	case LEAF_AMD_FEATURES:
		entry->ecx &= ~FEATURE_SVM;
		break;
	case LEAF_PERFORMANCE:
	case LEAF_AMD_SVM:
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2:
		set_topology(entry, cpus);
		break;
	case LEAF_KVM:
		entry->eax &= ~(KVM_FEATURE_EXTENDED_DESTINATION | KVM_FEATURES_ASYNC_FAULT);
		break;
	case LEAF_ADDRESSES:
		entry->ecx = (entry->ecx & ~0xf0ffu) | (bits_for(cpus) << 12) | (cpus - 1);
		break;
	case LEAF_AMD_CACHES:
		entry->eax &= ~(0xfffu << 14);
		if ((entry->eax >> 5 & 7) >= 3)
			entry->eax |= (cpus - 1) << 14;
		break;
	default:
		break;
	}
}

/* What tells the vCPUs apart: its interrupt controller's number. */
static void set_number(struct kvm_cpuid_entry2 *entry, uint32_t number)
{
	switch (entry->function) {
	case LEAF_FEATURES:
		entry->ebx = (entry->ebx & 0x00ffffffu) | number << 24;
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2:
		entry->edx = number;
		break;
	case LEAF_AMD_TOPOLOGY:
		entry->eax = number;
		entry->ebx = number & 0xff;
		entry->ecx = 0;
		break;
	default:
		break;
	}
}

static bool has_leaf(const struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == leaf && cpuid->entries[i].index == index)
			return true;
	return false;
}

/* KVM names the "thread" level only; without "core" each vCPU would be a package of its own. */
static void add_core_level(struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	if (!has_leaf(cpuid, leaf, 0) || has_leaf(cpuid, leaf, 1) || cpuid->nent == CPUID_ENTRIES)
		return;
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
}

static unsigned address_bits(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == LEAF_ADDRESSES)
			return cpuid->entries[i].eax & 0xff;
	return 36;
}

bool cpu_hides_nesting(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if ((entry->function == LEAF_FEATURES && entry->ecx & FEATURE_VMX) ||
		    (entry->function == LEAF_AMD_FEATURES && entry->ecx & FEATURE_SVM))
			return false;
	}
	return true;
}

int arch_prepare(struct machine *machine, struct error *error)
{
	size_t size = sizeof(struct kvm_cpuid2) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2);
	int kvm = machine->options.kvm_fd;
	int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	bool deadline = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

	machine->cpuid = calloc(1, size);
	if (!machine->cpuid)
		return error_set(error, ENOMEM, "no memory");
	machine->cpuid->nent = CPUID_ENTRIES;
	if (run_size < 0 || ioctl(kvm, KVM_GET_SUPPORTED_CPUID, machine->cpuid) < 0)
		return error_set(error, errno, "KVM does not tell what processors it offers: %s",
				 strerror(errno));
	machine->run_size = (size_t)run_size;
	add_core_level(machine->cpuid, LEAF_TOPOLOGY);
	add_core_level(machine->cpuid, LEAF_TOPOLOGY_V2);
	for (uint32_t i = 0; i < machine->cpuid->nent; i++)
		adjust(&machine->cpuid->entries[i], machine->cpus, deadline);
	machine->address_bits = address_bits(machine->cpuid);
	if (machine->address_bits < 36 || machine->address_bits > 52)
		machine->address_bits = 36;
	return state_prepare(machine, error);
}

/* ---- VM and vCPUs ---- */

int arch_vm_create(struct machine *machine)
{
	uint64_t identity = LAYOUT_KVM_PAGES;

	/* Needed on Intel only, harmless elsewhere. */
	if (ioctl(machine->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(machine->vm, KVM_SET_TSS_ADDR, (unsigned long)(identity + 4096)) < 0 ||
	    ioctl(machine->vm, KVM_CREATE_IRQCHIP, 0) < 0)
		return -errno;
	return 0;
}

/* As many as fit the ring's page (KVM_COALESCED_MMIO_MAX of the kernel). */
#define KEPT_ENTRIES                                                                               \
	((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* KVM keeps writes to the serial port's data register, if it can. */
void arch_vm_finish(struct machine *machine)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = PORT_SERIAL, .size = 1, .pio = 1};
	uint8_t *run = (uint8_t *)machine->vcpus[0].run;
	int page = ioctl(machine->options.kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (page <= 0 || (size_t)page * 4096 + 4096 > machine->run_size ||
	    ioctl(machine->options.kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0 ||
	    ioctl(machine->vm, KVM_REGISTER_COALESCED_MMIO, &zone) < 0)
		return;
	serial_use_kept(&machine->serial, (void *)(run + page * 4096), KEPT_ENTRIES, PORT_SERIAL);
}

static int set_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = vcpu->machine->cpuid;

	for (uint32_t i = 0; i < cpuid->nent; i++)
		set_number(&cpuid->entries[i], vcpu->index);
	return ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0 ? -errno : 0;
}

#define MSR_MISC_ENABLE	  0x1a0u
#define MSR_MTRR_DEFAULT  0x2ffu
#define FAST_STRINGS	  1u
#define MTRR_ON_WRITEBACK 0x806u

/* As firmware leaves them; what a processor does not have is refused, and then it does not matter.
 */
static void set_msr(int fd, uint32_t index, uint64_t value)
{
	/* struct kvm_msrs ends in an array: its head, then room for one entry. */
	_Alignas(struct kvm_msrs)
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
	struct kvm_msrs *msrs = (struct kvm_msrs *)room;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){.index = index, .data = value};
	ioctl(fd, KVM_SET_MSRS, msrs);
}

int arch_vcpu_create(struct vcpu *vcpu)
{
	int ret = set_cpuid(vcpu);

	if (ret < 0)
		return ret;
	set_msr(vcpu->fd, MSR_MISC_ENABLE, FAST_STRINGS);
	set_msr(vcpu->fd, MSR_MTRR_DEFAULT, MTRR_ON_WRITEBACK);
	/* Now, while nobody waits for it, it shows which there are. */
	return state_read_msrs(vcpu);
}

/* ---- registers at the entry ---- */

#define CR0_PE	  (1u << 0)
#define CR0_ET	  (1u << 4)
#define CR0_PG	  (1u << 31)
#define CR4_PAE	  (1u << 5)
#define EFER_LME  (1u << 8)
#define EFER_LMA  (1u << 10)
#define RFLAGS_1  2u
#define TYPE_CODE 11u /* execute, read, accessed */
#define TYPE_DATA 3u  /* read, write, accessed */
#define TYPE_TSS  11u /* 32 or 64 bits, busy */

/* The selectors that Linux's boot protocol names; PVH leaves them free. */
#define SELECTOR_CODE 0x10u
#define SELECTOR_DATA 0x18u
#define SELECTOR_TSS  0x20u

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){.limit = 0xffffffff,
				    .selector = selector,
				    .type = type,
				    .present = 1,
				    .db = 1,
				    .s = 1,
				    .g = 1};
}

/* A descriptor as the GDT has it (Intel SDM 3, 3.4.5). */
static uint64_t descriptor(const struct kvm_segment *segment)
{
	uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;
	uint64_t access =
		segment->type | (uint64_t)segment->s << 4 | (uint64_t)segment->present << 7;
	uint64_t flags =
		(uint64_t)segment->l << 1 | (uint64_t)segment->db << 2 | (uint64_t)segment->g << 3;

	return (limit & 0xffff) | access << 40 | (limit >> 16 & 0xf) << 48 | flags << 52;
}

static void set_segments(struct machine *machine, struct kvm_sregs *sregs, bool is_long)
{
	uint64_t *gdt = memory_at(&machine->memory, LAYOUT_GDT, 6 * sizeof(*gdt));
	struct kvm_segment data = flat(SELECTOR_DATA, TYPE_DATA);

	sregs->cs = flat(SELECTOR_CODE, TYPE_CODE);
	sregs->cs.l = is_long;
	sregs->cs.db = !is_long;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = (struct kvm_segment){
		.limit = 0x67, .selector = SELECTOR_TSS, .type = TYPE_TSS, .present = 1};
	memset(gdt, 0, 6 * sizeof(*gdt));
	gdt[SELECTOR_CODE / 8] = descriptor(&sregs->cs);
	gdt[SELECTOR_DATA / 8] = descriptor(&data);
	gdt[SELECTOR_TSS / 8] = descriptor(&sregs->tr);
	sregs->gdt.base = LAYOUT_GDT;
	sregs->gdt.limit = 6 * sizeof(*gdt) - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
}

/* 4 GiB in pages of 2 MiB. */
static void set_page_tables(struct machine *machine)
{
	uint64_t *tables = memory_at(&machine->memory, LAYOUT_PAGE_TABLES, 6 * 4096);
	const uint64_t present = 3, large = 0x83;

	memset(tables, 0, 6 * 4096);
	tables[0] = (LAYOUT_PAGE_TABLES + 4096) | present;
	for (uint64_t i = 0; i < 4; i++)
		tables[512 + i] = (LAYOUT_PAGE_TABLES + (2 + i) * 4096) | present;
	for (uint64_t i = 0; i < UINT64_C(4) * 512; i++)
		tables[1024 + i] = i << 21 | large;
}

int cpu_enter(struct machine *machine, enum cpu_entry kind, uint64_t entry)
{
	bool is_long = kind == CPU_ENTRY_LINUX;
	int fd = machine->vcpus[0].fd;
	struct kvm_regs regs = {.rip = entry, .rflags = RFLAGS_1};
	struct kvm_sregs sregs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	set_segments(machine, &sregs, is_long);
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr4 = 0;
	if (is_long) {
		set_page_tables(machine);
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = LAYOUT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
		regs.rsi = LAYOUT_ZERO_PAGE;
	} else {
		regs.rbx = LAYOUT_PVH_INFO;
	}
	return ioctl(fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0 ? -errno
											  : 0;
}
