/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/kvm.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "base/base.h"
#include "syscalls.h"

#define IOCTL(request, why)                                                                        \
	{                                                                                          \
		SCMP_SYS(ioctl), why,                                                              \
		{                                                                                  \
			{                                                                          \
				.index = 1, .mask = UINT32_MAX, .value = (uint32_t)(request)       \
			}                                                                          \
		}                                                                                  \
	}

const struct jail_syscall hypervisor_syscalls[] = {
	IOCTL(KVM_RUN, "run guest code"),
	IOCTL(KVM_IRQFD, "interrupts: connect a card's eventfd"),
	IOCTL(KVM_SET_GSI_ROUTING, "interrupts: the message that a vector sends"),
	IOCTL(KVM_IOEVENTFD, "doorbells: connect a card's eventfd"),
	IOCTL(KVM_KVMCLOCK_CTRL, "resume: the guest's clock stood still"),
	IOCTL(KVM_GET_REGS, "crash: where the guest was; update"),
	/* A guest's reset makes the VM anew. */
	IOCTL(KVM_CREATE_VM, "reset: a new VM"),
	IOCTL(KVM_CHECK_EXTENSION, "reset: can KVM keep writes to the serial port?"),
	IOCTL(KVM_SET_IDENTITY_MAP_ADDR, "reset: room for KVM's own page table"),
	IOCTL(KVM_SET_TSS_ADDR, "reset: room for KVM's own task state segment"),
	IOCTL(KVM_CREATE_IRQCHIP, "reset: interrupt controllers"),
	IOCTL(KVM_SET_USER_MEMORY_REGION, "reset: the guest's memory"),
	IOCTL(KVM_CREATE_VCPU, "reset: vCPUs"),
	IOCTL(KVM_SET_CPUID2, "reset: what a vCPU says it is"),
	IOCTL(KVM_SET_MSRS, "reset: as firmware leaves them; update"),
	IOCTL(KVM_GET_SREGS, "reset: registers at the kernel's entry; update"),
	IOCTL(KVM_SET_SREGS, "reset: registers at the kernel's entry; update"),
	IOCTL(KVM_SET_REGS, "reset: registers at the kernel's entry; update"),
	IOCTL(KVM_REGISTER_COALESCED_MMIO, "reset: KVM keeps writes to the serial port"),
	/* Handing a guest over, and taking it over. */
	IOCTL(KVM_GET_MSRS, "update: model specific registers; reset: which there are"),
	IOCTL(KVM_GET_MP_STATE, "update: does the vCPU run, or wait for its start?"),
	IOCTL(KVM_SET_MP_STATE, "update: the same"),
	IOCTL(KVM_GET_XSAVE, "update: floating point and vector registers"),
	IOCTL(KVM_SET_XSAVE, "update: floating point and vector registers"),
	IOCTL(KVM_GET_XCRS, "update: which of them are in use"),
	IOCTL(KVM_SET_XCRS, "update: which of them are in use"),
	IOCTL(KVM_GET_DEBUGREGS, "update: debug registers"),
	IOCTL(KVM_SET_DEBUGREGS, "update: debug registers"),
	IOCTL(KVM_GET_LAPIC, "update: a vCPU's interrupt controller"),
	IOCTL(KVM_SET_LAPIC, "update: a vCPU's interrupt controller"),
	IOCTL(KVM_GET_DEVICE_ATTR, "update: a vCPU's time stamp"),
	IOCTL(KVM_SET_DEVICE_ATTR, "update: a vCPU's time stamp"),
	IOCTL(KVM_GET_VCPU_EVENTS, "update: exceptions and interrupts under way"),
	IOCTL(KVM_SET_VCPU_EVENTS, "update: exceptions and interrupts under way"),
	IOCTL(KVM_GET_IRQCHIP, "update: the machine's interrupt controllers"),
	IOCTL(KVM_SET_IRQCHIP, "update: the machine's interrupt controllers"),
	IOCTL(KVM_GET_CLOCK, "update: the guest's clock"),
	IOCTL(KVM_SET_CLOCK, "update: the guest's clock"),

	{SCMP_SYS(fstat), "reset: size of kernel and initrd", {{0}}},
	{SCMP_SYS(newfstatat),
	 "the same, as newer C libraries do it: of a descriptor only",
	 {{.index = 3, .mask = UINT32_MAX, .value = 0x1000 /* AT_EMPTY_PATH */}}},
	{SCMP_SYS(pread64), "reset: kernel and initrd; what memory the host has left", {{0}}},
	{SCMP_SYS(read), "commands, eventfds", {{0}}},
	{SCMP_SYS(preadv2), "eventfds that a card has too", {{0}}},
	{SCMP_SYS(write), "eventfds", {{0}}},
	{SCMP_SYS(close), "a card that is detached", {{0}}},
	{SCMP_SYS(eventfd2), "interrupts of a card that is attached", {{0}}},
	{SCMP_SYS(sendmsg), "questions to cards", {{0}}},
	{SCMP_SYS(recvmsg), "answers of cards, bus links from the controller", {{0}}},
	{SCMP_SYS(poll), "wait for commands, for a card's answer until the deadline", {{0}}},
	{SCMP_SYS(clock_gettime), "deadlines, where the vDSO does not tell", {{0}}},
	{SCMP_SYS(futex), "locks, parked vCPUs", {{0}}},
	{SCMP_SYS(tgkill),
	 "interrupt a vCPU to stop it: with that signal only",
	 {{.index = 2, .mask = UINT32_MAX, .value = 10 /* SIGUSR1 */}}},
	{SCMP_SYS(getpid), "pthread_kill", {{0}}},
	{SCMP_SYS(rt_sigprocmask), "pthread_kill", {{0}}},
	{SCMP_SYS(rt_sigreturn), "back from that interruption", {{0}}},
	{SCMP_SYS(restart_syscall), "a wait that was interrupted", {{0}}},
	/* New memory never becomes executable. */
	{SCMP_SYS(mmap),
	 "memory; a new vCPU's shared page",
	 {{.index = 2, .mask = PROT_EXEC, .value = 0}}},
	{SCMP_SYS(fallocate),
	 "the guest's memory is reserved: nothing is taken out of it",
	 {{.index = 1, .mask = UINT32_MAX, .value = 0}}},
	{SCMP_SYS(madvise),
	 "the same, in huge pages",
	 {{.index = 2, .mask = UINT32_MAX, .value = MADV_POPULATE_WRITE}}},
	{SCMP_SYS(munmap), "memory", {{0}}},
	{SCMP_SYS(mremap), "memory", {{0}}},
	{SCMP_SYS(brk), "memory", {{0}}},
	{SCMP_SYS(exit_group), "the end", {{0}}},
};
const size_t hypervisor_syscall_count = ARRAY_LEN(hypervisor_syscalls);
