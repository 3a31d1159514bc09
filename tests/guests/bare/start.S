/* SPDX-License-Identifier: Apache-2.0 */
/* PVH entry: 32-bit protected mode, paging off, EBX = start info. On to 64 bits, and to C. */
	.section .note.Xen, "a", @note
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	movl $stack_end, %esp
	movl %ebx, %esi			/* start info; the loader's EBX does not survive below */

	/* 8 GiB, identical, in pages of 2 MiB. */
	movl $pdpt + 3, pml4
	movl $8, %ecx
	movl $pd + 3, %eax
	movl $pdpt, %edi
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b
	movl $4096, %ecx
	movl $0x83, %eax
	xorl %edx, %edx
	movl $pd, %edi
2:	movl %eax, (%edi)
	movl %edx, 4(%edi)
	addl $0x200000, %eax
	adcl $0, %edx
	addl $8, %edi
	loop 2b

	movl $pml4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x620, %eax		/* PAE, SSE */
	movl %eax, %cr4
	movl $0xc0000080, %ecx		/* EFER: long mode */
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $long_mode

	.code64
long_mode:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %esi, %edi
	call guest_main
3:	hlt
	jmp 3b

	/* Other processors: the SIPI page holds a copy of this; real mode at 0x8000. */
	.code16
	.globl other_start, other_end
other_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	lock incl 0x8800		/* so many have started */
4:	hlt
	jmp 4b
other_end:

	.code64
	.globl interrupt_entry
interrupt_entry:
	lock incl interrupt_count
	pushq %rax
	movl $0xfee000b0, %eax		/* end of interrupt */
	movl $0, (%rax)
	popq %rax
	iretq

	.data
	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.bss
	.balign 4096
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 8 * 4096
	.skip 16384
stack_end:
