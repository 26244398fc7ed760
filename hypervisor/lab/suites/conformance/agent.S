# A guest that does what it is told: the smallest kernel that can make hypercalls and I/O for scripts in dom0. It has one
# page of orders (a mailbox), executes one at a time, and sleeps in Xen between them. PVH entry, 64-bit, no interrupts.
# The layout is tests/Conformance/Program/Machines/XenAgent.cs's.

    .set MAILBOX,    0x180000
    .set SHARED,     0x181000           # dom0 puts the shared info page here
    .set TABLES,     0x110000           # PML4, PDPT, four page directories: 4 GiB, one to one
    .set HYPERCALLS, 0x118000
    .set STACK,      0x120000
    .set IDT,        0x121000

    .set ORDER, 0                       # u64: number of the order; differs from DONE when there is one
    .set DONE,  8                       # u64
    .set KIND,  16                      # u64: 0 hypercall, 1 IN, 2 OUT, 3 load, 4 store
    .set OP,    24                      # u64: hypercall number, port or address
    .set A0,    32                      # u64[3]: arguments, or the value
    .set WIDTH, 56                      # u64: bytes of an access
    .set RESULT, 64                     # u64: rax
    .set FAULT, 72                      # u64: vector + 1 of the exception that ended the order
    .set PORT,  80                      # u64: event channel to sleep on; 0 to yield
    .set ALIVE, 88                      # u64: 1 once it listens

    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18                      # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .align 4
    .long start

    .text
    .code32
    .globl start
start:
    cli
    cld
    mov $TABLES, %edi
    mov $(6 * 4096 / 4), %ecx
    xor %eax, %eax
    rep stosl
    movl $(TABLES + 0x1000 + 3), TABLES
    mov $(TABLES + 0x2000 + 3), %eax
    mov $(TABLES + 0x1000), %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    mov $0x83, %eax                     # present, writable, 2 MiB
    mov $(TABLES + 0x2000), %edi
    mov $2048, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b

    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $TABLES, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $STACK, %esp

    # An exception ends the order it happened in.
    mov $IDT, %edi
    mov $vectors, %ebx
    mov $32, %ecx
1:  mov %ebx, %eax
    mov %ax, (%rdi)
    movw $8, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    shr $16, %eax
    mov %ax, 6(%rdi)
    movq $0, 8(%rdi)
    add $16, %rdi
    add $8, %rbx
    loop 1b
    lidt idt_pointer

    mov $0x40000000, %ebp               # Xen's leaves may be higher up, below another hypervisor's
1:  mov %ebp, %eax
    cpuid
    cmp $0x566e6558, %ebx               # "XenV"
    je 2f
    add $0x100, %ebp
    cmp $0x40010000, %ebp
    jb 1b
    ud2
2:  lea 2(%rbp), %eax
    cpuid
    mov %ebx, %ecx
    mov $HYPERCALLS, %eax
    xor %edx, %edx
    wrmsr

    mov $MAILBOX, %r15d
    movq $1, ALIVE(%r15)
wait:
    mov ORDER(%r15), %rax
    cmp DONE(%r15), %rax
    jne work
    mov PORT(%r15), %rcx
    test %rcx, %rcx
    jnz sleep
    xor %edi, %edi                      # SCHEDOP_yield
    xor %esi, %esi
    call *sched
    jmp wait
sleep:
    mov $SHARED, %ebx
    lock btr %rcx, 2048(%rbx)           # evtchn_pending
    mov ORDER(%r15), %rax               # an order that came before its event was taken back
    cmp DONE(%r15), %rax
    jne work
    mov %ecx, poll_port
    mov $3, %edi                        # SCHEDOP_poll
    mov $poll, %esi
    call *sched
    jmp wait

work:
    mov $STACK, %esp
    movq $0, FAULT(%r15)
    mov KIND(%r15), %rbx
    mov OP(%r15), %rcx
    mov %rcx, %rdx
    mov A0(%r15), %rax
    mov WIDTH(%r15), %r8
    cmp $1, %rbx
    je port_in
    cmp $2, %rbx
    je port_out
    cmp $3, %rbx
    je load
    cmp $4, %rbx
    je store

    mov A0(%r15), %rdi
    mov A0+8(%r15), %rsi
    mov A0+16(%r15), %rdx
    mov %rcx, %rax
    shl $5, %rax
    add $HYPERCALLS, %rax
    call *%rax
    jmp finish

port_in:
    xor %eax, %eax
    cmp $2, %r8
    jb 1f
    je 2f
    in %dx, %eax
    jmp finish
1:  in %dx, %al
    jmp finish
2:  in %dx, %ax
    jmp finish

port_out:
    cmp $2, %r8
    jb 1f
    je 2f
    out %eax, %dx
    jmp finish
1:  out %al, %dx
    jmp finish
2:  out %ax, %dx
    jmp finish

load:
    cmp $2, %r8
    jb 1f
    je 2f
    cmp $4, %r8
    je 4f
    mov (%rdx), %rax
    jmp finish
1:  movzbl (%rdx), %eax
    jmp finish
2:  movzwl (%rdx), %eax
    jmp finish
4:  mov (%rdx), %eax
    jmp finish

store:
    cmp $2, %r8
    jb 1f
    je 2f
    cmp $4, %r8
    je 4f
    mov %rax, (%rdx)
    jmp finish
1:  mov %al, (%rdx)
    jmp finish
2:  mov %ax, (%rdx)
    jmp finish
4:  mov %eax, (%rdx)

finish:
    mov %rax, RESULT(%r15)
    mfence
    mov ORDER(%r15), %rax
    mov %rax, DONE(%r15)
    jmp wait

fault:
    pop %rax
    mov $MAILBOX, %r15d
    inc %rax
    mov %rax, FAULT(%r15)
    mov $STACK, %esp
    mov $-1, %rax
    jmp finish

    .align 8
vectors:
    .set vector, 0
    .rept 32
    .align 8
    pushq $vector
    jmp fault
    .set vector, vector + 1
    .endr

    .align 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            # 64-bit code
    .quad 0x00cf93000000ffff            # data
gdt_pointer:
    .word . - gdt - 1
    .long gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad IDT
    .align 8
sched:
    .quad HYPERCALLS + 29 * 32
poll:                                   # struct sched_poll
    .quad poll_port
    .long 1, 0
    .quad 0
poll_port:
    .long 0
