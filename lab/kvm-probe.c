/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-kvm-probe: can the KVM of this machine run an ordinary 64-bit kernel, and at a usable
 * speed?
 *
 * That /dev/kvm opens proves little: a paravirtual KVM creates machines and runs real-mode code,
 * yet crawls or hangs in a stock kernel. So a small guest does what such a kernel does all the
 * time: it runs in long mode in the upper half of the address space, touches memory, switches page
 * tables, takes page faults and halts. The work is counted, and must be done before a deadline.
 *
 * Exit status: 0 good, 1 not usable. One line on standard output says why.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	MEM_SIZE = 4 << 20,
	CPUID_ENTRIES = 256,
	DEADLINE_S = 2, /* measured: below 0.1 s in an emulated host, over 5 s on kvm_pvm */
	WORDS_ROUNDS = 1000000,
	SWITCHES = 500,
	FAULTS = 500,
	HALTS = 500,
};

/* Guest physical layout. The guest sees it from 0 and from KERNEL_BASE. */
#define ADDR_PML4_A    0x1000u
#define ADDR_PML4_B    0x2000u
#define ADDR_PDPT_LOW  0x3000u
#define ADDR_PDPT_HIGH 0x4000u
#define ADDR_PD	       0x5000u
#define ADDR_GDT       0x6000u
#define ADDR_IDT       0x7000u
#define ADDR_CODE      0x8000u
#define ADDR_RESULT    0x9000u
#define ADDR_STACK     0x10000u
#define ADDR_DATA      0x100000u
#define KERNEL_BASE    0xffffffff80000000ull

#define PTE_PRESENT 0x1u
#define PTE_WRITE   0x2u
#define PTE_HUGE    0x80u

#define CR0_LONG_MODE  0x80050033u /* PG AM WP NE ET MP PE */
#define CR4_LONG_MODE  0x000006a0u /* OSXMMEXCPT OSFXSR PGE PAE */
#define EFER_LONG_MODE 0x00000500u /* LMA LME */

#define VECTOR_PAGE_FAULT 14

struct guest_result {
	uint64_t words;
	uint64_t switches;
	uint64_t faults;
	uint64_t halts;
};

/*
 * The guest. In: r8 = result, r9 = data, r10/r11 = the two page-table roots, r12..r14 = how often.
 * Position-independent; runs at KERNEL_BASE + ADDR_CODE. Each halt returns to us.
 */
extern const unsigned char guest_code[], guest_fault[], guest_end[];
__asm__(".pushsection .rodata\n"
	"guest_code:\n"
	/* memory: one word in each of 256 pages, in turn */
	"	xor	%eax, %eax\n"
	"1:	incq	(%r9,%rax)\n"
	"	incq	(%r8)\n"
	"	add	$4096, %eax\n"
	"	and	$0xfffff, %eax\n"
	"	dec	%r12\n"
	"	jnz	1b\n"
	/* page-table switches, each followed by an access */
	"2:	mov	%r10, %cr3\n"
	"	incq	(%r9)\n"
	"	mov	%r11, %cr3\n"
	"	incq	(%r9)\n"
	"	incq	8(%r8)\n"
	"	dec	%r13\n"
	"	jnz	2b\n"
	/* page faults: address 1 GiB is not mapped, the handler steps over the 3-byte load */
	"	mov	$0x40000000, %ebx\n"
	"3:	mov	(%rbx), %rcx\n"
	"	dec	%r14\n"
	"	jnz	3b\n"
	/* exits */
	"4:	incq	24(%r8)\n"
	"	hlt\n"
	"	jmp	4b\n"
	"guest_fault:\n"
	"	incq	16(%r8)\n"
	"	addq	$3, 8(%rsp)\n"
	"	add	$8, %rsp\n"
	"	iretq\n"
	"guest_end:\n"
	".popsection\n");

struct probe {
	int vcpu;
	unsigned char *mem;
	struct kvm_run *run;
	size_t run_size;
};

static _Noreturn void not_usable(const char *what, int err)
{
	if (err)
		printf("not usable: %s: %s\n", what, strerror(err));
	else
		printf("not usable: %s\n", what);
	fflush(stdout);
	_exit(1);
}

static _Noreturn void die_of_deadline(int sig)
{
	static const char text[] =
		"not usable: a 64-bit guest with paging hangs or crawls (a paravirtual KVM?)\n";

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

static int call(int fd, unsigned long request, void *arg, const char *what)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0)
		not_usable(what, errno);
	return ret;
}

static void put_u64(struct probe *p, uint32_t addr, uint64_t value)
{
	memcpy(p->mem + addr, &value, sizeof(value));
}

/* Two equal trees, so that a switch of the root changes nothing but the work it costs. */
static void write_page_tables(struct probe *p)
{
	const uint64_t flags = PTE_PRESENT | PTE_WRITE;

	for (uint32_t i = 0; i < MEM_SIZE >> 21; i++)
		put_u64(p, ADDR_PD + i * 8, ((uint64_t)i << 21) | flags | PTE_HUGE);
	put_u64(p, ADDR_PDPT_LOW, ADDR_PD | flags);
	put_u64(p, ADDR_PDPT_HIGH + 510 * 8, ADDR_PD | flags);
	for (uint32_t root = ADDR_PML4_A; root <= ADDR_PML4_B; root += 0x1000) {
		put_u64(p, root, ADDR_PDPT_LOW | flags);
		put_u64(p, root + 511 * 8, ADDR_PDPT_HIGH | flags);
	}
}

/* 64-bit code and data segments; one interrupt gate (Intel SDM 3A, 6.14.1). */
static void write_descriptors(struct probe *p)
{
	const uint64_t handler = KERNEL_BASE + ADDR_CODE + (uint64_t)(guest_fault - guest_code);
	const uint32_t gate = ADDR_IDT + VECTOR_PAGE_FAULT * 16;

	put_u64(p, ADDR_GDT + 8, 0x00af9b000000ffffull);
	put_u64(p, ADDR_GDT + 16, 0x00cf93000000ffffull);
	put_u64(p, gate,
		(handler & 0xffff) | (8ull << 16) | (0x8eull << 40) |
			((handler >> 16 & 0xffff) << 48));
	put_u64(p, gate + 8, handler >> 32);
}

static void set_segments(struct kvm_sregs *s)
{
	const struct kvm_segment code = {.selector = 8,
					 .type = 11,
					 .present = 1,
					 .s = 1,
					 .l = 1,
					 .g = 1,
					 .limit = 0xffffffff};
	const struct kvm_segment data = {.selector = 16,
					 .type = 3,
					 .present = 1,
					 .s = 1,
					 .db = 1,
					 .g = 1,
					 .limit = 0xffffffff};

	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->gdt = (struct kvm_dtable){.base = KERNEL_BASE + ADDR_GDT, .limit = 23};
	s->idt = (struct kvm_dtable){.base = KERNEL_BASE + ADDR_IDT, .limit = 256 * 16 - 1};
}

static void set_registers(struct probe *p)
{
	struct kvm_regs regs = {
		.rip = KERNEL_BASE + ADDR_CODE,
		.rsp = KERNEL_BASE + ADDR_STACK,
		.rflags = 2,
		.r8 = KERNEL_BASE + ADDR_RESULT,
		.r9 = KERNEL_BASE + ADDR_DATA,
		.r10 = ADDR_PML4_A,
		.r11 = ADDR_PML4_B,
		.r12 = WORDS_ROUNDS,
		.r13 = SWITCHES,
		.r14 = FAULTS,
	};
	struct kvm_sregs sregs;

	call(p->vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	set_segments(&sregs);
	sregs.cr0 = CR0_LONG_MODE;
	sregs.cr3 = ADDR_PML4_A;
	sregs.cr4 = CR4_LONG_MODE;
	sregs.efer = EFER_LONG_MODE;
	call(p->vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS (long mode)");
	call(p->vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

static void make_memory(struct probe *p, int vm)
{
	struct kvm_userspace_memory_region region = {.memory_size = MEM_SIZE};

	p->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->mem == MAP_FAILED)
		not_usable("guest memory", errno);
	region.userspace_addr = (uintptr_t)p->mem;
	call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

/* A vCPU that was told of no long mode may be refused one. */
static void set_cpuid(struct probe *p, int kvm)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		not_usable("memory", ENOMEM);
	cpuid->nent = CPUID_ENTRIES;
	call(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, "KVM_GET_SUPPORTED_CPUID");
	call(p->vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
	free(cpuid);
}

static void make_vcpu(struct probe *p, int kvm, int vm)
{
	p->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (p->vcpu < 0)
		not_usable("KVM_CREATE_VCPU", errno);
	p->run_size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE");
	p->run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	if (p->run == MAP_FAILED)
		not_usable("vCPU page", errno);
	set_cpuid(p, kvm);
}

static void make_guest(struct probe *p)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm;

	if (kvm < 0)
		not_usable("/dev/kvm", errno);
	if (call(kvm, KVM_GET_API_VERSION, NULL, "KVM_GET_API_VERSION") != KVM_API_VERSION)
		not_usable("KVM API version is not 12", 0);
	vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	make_memory(p, vm);
	make_vcpu(p, kvm, vm);
	write_page_tables(p);
	write_descriptors(p);
	memcpy(p->mem + ADDR_CODE, guest_code, (size_t)(guest_end - guest_code));
	set_registers(p);
}

static void run_guest(struct probe *p)
{
	char text[80];

	for (int halts = 0; halts < HALTS; halts++) {
		if (ioctl(p->vcpu, KVM_RUN, NULL) < 0)
			not_usable("KVM_RUN", errno);
		if (p->run->exit_reason == KVM_EXIT_HLT)
			continue;
		snprintf(text, sizeof(text), "64-bit guest stopped with KVM exit reason %u",
			 p->run->exit_reason);
		not_usable(text, 0);
	}
}

static bool result_is_right(const struct probe *p)
{
	struct guest_result r;

	memcpy(&r, p->mem + ADDR_RESULT, sizeof(r));
	return r.words == WORDS_ROUNDS && r.switches == SWITCHES && r.faults == FAULTS &&
	       r.halts == HALTS;
}

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int main(void)
{
	struct probe p = {.vcpu = -1};
	long start, took;

	signal(SIGALRM, die_of_deadline);
	alarm(DEADLINE_S);
	make_guest(&p);
	start = now_us();
	run_guest(&p);
	took = now_us() - start;
	if (!result_is_right(&p))
		not_usable("the 64-bit guest computed a wrong result", 0);
	printf("good: 64-bit guest with paging, %d page-table switches and %d exits in %ld.%03ld "
	       "ms\n",
	       SWITCHES * 2, HALTS, took / 1000, took % 1000);
	return 0;
}
