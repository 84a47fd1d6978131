# One instruction a function. The first word of its name says what becomes of a probe on it: how the kernel executes
# it, or why it is refused, as `datacrumbs.elf.execution` has it.
	.text
.macro place verdict:req, instruction:vararg
	.globl \verdict\()_\@
	.type \verdict\()_\@, @function
\verdict\()_\@:
	\instruction
	.skip 16, 0x90
.endm

here:
# What the kernel emulates.
	place EMULATED, push %rax
	place EMULATED, push %rsp
	place EMULATED, push %r15
	place EMULATED, nop
	place EMULATED, .byte 0x66, 0x90
	place EMULATED, .byte 0x66, 0x0f, 0x1f, 0x44, 0, 0
	place EMULATED, .byte 0x0f, 0x1f, 0x44, 0, 0
	place EMULATED, jmp here
	place EMULATED, .byte 0xeb, 0x05
	place EMULATED, bnd jmp here
	place EMULATED, .byte 0x48, 0xe9, 5, 0, 0, 0
	place EMULATED, .byte 0x70, 0x05
	place EMULATED, .byte 0x7f, 0x05
	place EMULATED, jne here
	place EMULATED, bnd jg here
# What it single-steps.
	place STEPPED, .byte 0x66, 0x50
	place STEPPED, .byte 0x48, 0x50
	place STEPPED, push $5
	place STEPPED, push 8(%rsp)
	place STEPPED, push %fs
	place STEPPED, pop %rax
	place STEPPED, pop here(%rip)
	place STEPPED, pause
	place STEPPED, endbr64
	place STEPPED, endbr32
	place STEPPED, ret
	place STEPPED, repz ret
	place STEPPED, bnd ret
	place STEPPED, ret $16
	place STEPPED, jmp *%rax
	place STEPPED, jmp *here(%rip)
	place STEPPED, bnd jmp *here(%rip)
	place STEPPED, .byte 0xe3, 0x05
	place STEPPED, .byte 0xe2, 0x05
	place STEPPED, popf
	place STEPPED, sahf
	place STEPPED, sub $8, %rsp
	place STEPPED, mov %fs:0x28, %rax
	place STEPPED, movsb
	place STEPPED, lodsq
	place STEPPED, xchg %rax, (%rdi)
	place STEPPED, cmpxchg16b here(%rip)
	place STEPPED, mov here(%rip), %r14
	place STEPPED, movss here(%rip), %xmm1
	place STEPPED, lea here(%rip), %r9
	place STEPPED, crc32q %rsi, %rdi
	place STEPPED, pshufb %xmm1, %xmm0
	place STEPPED, pclmulqdq $0, %xmm1, %xmm0
	place STEPPED, fldt 8(%rsp)
	place STEPPED, rdtsc
	place STEPPED, xgetbv
	place STEPPED, mfence
	place STEPPED, rdfsbase %rax
	place STEPPED, vxorps %xmm0, %xmm0, %xmm0
	place STEPPED, vaddpd here(%rip), %ymm1, %ymm2
	place STEPPED, vmovups (%rdi), %ymm0
	place STEPPED, andn here(%rip), %rsi, %rdi
	place STEPPED, mulx here(%rip), %rax, %rdx
	place STEPPED, vfmadd231sd %xmm1, %xmm2, %xmm0
	place STEPPED, vaddps here(%rip), %zmm17, %zmm18
	place STEPPED, vpalignr $3, %ymm1, %ymm2, %ymm3
# Vector instructions of which the kernel reads the opcode as another instruction.
	place MISTAKEN, vpshufd $0x1b, %ymm0, %ymm0
	place MISTAKEN, vpshuflw $0x1b, %xmm0, %xmm0
	place MISTAKEN, vpsrlw $3, %xmm0, %xmm0
	place MISTAKEN, vpsrld $3, %xmm0, %xmm0
	place MISTAKEN, vpcmpeqb %ymm1, %ymm0, %ymm0
	place MISTAKEN, vpcmpeqd (%rdi), %ymm0, %ymm0
	place MISTAKEN, vzeroupper
	place MISTAKEN, vhaddpd %ymm1, %ymm0, %ymm0
	place MISTAKEN, vmovq %xmm0, %rax
	place MISTAKEN, vmovd %xmm0, %eax
	place MISTAKEN, vmovdqu %ymm0, (%rdi)
	place MISTAKEN, vmovdqa %xmm0, (%rdi)
	place MISTAKEN, vpbroadcastb %xmm0, %ymm0
	place MISTAKEN, vpsubsb %ymm1, %ymm0, %ymm0
	place MISTAKEN, vpsubsw %ymm1, %ymm0, %ymm0
	place MISTAKEN, vpor %ymm1, %ymm0, %ymm0
	place MISTAKEN, vpermt2d %zmm1, %zmm0, %zmm2
	place STEPPED, vpandnq (%rdi), %zmm17, %zmm18{%k1}
	place MISTAKEN, vporq %zmm1, %zmm0, %zmm16
	place MISTAKEN, vmovdqu64 %zmm16, (%rdi)
	place MISTAKEN, vcmpps $1, %ymm1, %ymm0, %ymm0
	place MISTAKEN, vcmpps $1, %zmm1, %zmm0, %k1
	place MISTAKEN, vfnmadd132ss %xmm1, %xmm0, %xmm0
	place MISTAKEN, kmovw %k1, %k2
	place MISTAKEN, vpgatherdd %ymm1, (%rax, %ymm2), %ymm0
	place MISTAKEN, vpmaskmovd %ymm0, %ymm1, (%rdi)
	place MISTAKEN, xchg %rax, %r8
	place MISTAKEN, xchg %eax, %r8d
# Vector instructions that the kernel refuses.
	place UNKNOWN, vmovdqu (%rdi), %ymm0
	place UNKNOWN, vmovdqa64 (%rdi), %zmm0
	place UNKNOWN, vpunpcklbw %xmm1, %xmm0, %xmm0
	place MISTAKEN, vpminsw %xmm1, %xmm0, %xmm0
	place UNKNOWN, vpxor %xmm0, %xmm0, %xmm0
	place UNKNOWN, vpmaxsw %xmm1, %xmm0, %xmm0
	place UNKNOWN, vaddph %zmm1, %zmm0, %zmm0
	place UNKNOWN, vpcomb $1, %xmm1, %xmm2, %xmm3
	place UNKNOWN, blsfill %eax, %ecx
	place UNKNOWN, vfmaddps %xmm1, %xmm2, %xmm3, %xmm4
	place UNKNOWN, movntss %xmm2, here(%rip)
	place PREFIX, .byte 0xd5, 0x10, 0x50
	place PREFIX, .byte 0x48, 0xc5, 0xf8, 0x57, 0xc0
	place UNKNOWN, .byte 0x62, 0xf4, 0x7c, 0x18, 0x01, 0xc0
# Prefixes.
	place PREFIX, lock incl (%rdi)
	place PREFIX, notrack jmp *%rax
	place PREFIX, cs nopw 0(%rax, %rax, 1)
	place PREFIX, .byte 0x3e, 0x8b, 0x07
	place PREFIX, .byte 0x66, 0xe9, 5, 0
	place PREFIX, .byte 0x66, 0x75, 5
	place PREFIX, .byte 0x66, 0xc3
	place PREFIX, .byte 0xf3, 0x75, 5
	place PREFIX, .byte 0x66, 0x66, 0x90
	place PREFIX, xrelease movl $1, (%rdi)
# Calls, far and otherwise.
	place SHADOW, call here
	place SHADOW, call *%rax
	place SHADOW, call *here(%rip)
	place FAR, lcall *(%rax)
	place FAR, ljmp *(%rax)
	place FAR, lretl
	place FAR, lretl $8
	place FAR, mov %eax, %ss
	place FAR, pop %fs
	place FAR, lfs (%rdi), %eax
# Repeated strings.
	place REPEATED, rep movsb
	place REPEATED, rep stosq
	place REPEATED, repz cmpsb
	place REPEATED, repnz scasb
# Flags, transactions, the operating system.
	place FLAGS, pushf
	place FLAGS, pushfw
	place TRANSACTION, xbegin here
	place TRANSACTION, xabort $1
	place SYSTEM, xend
	place SYSTEM, syscall
	place SYSTEM, sysenter
	place SYSTEM, int $0x80
	place SYSTEM, int3
	place SYSTEM, .byte 0xf1
	place SYSTEM, iretq
	place SYSTEM, hlt
	place SYSTEM, cli
	place SYSTEM, sti
	place SYSTEM, in %dx, %al
	place SYSTEM, out %al, $5
	place SYSTEM, rep insb
	place SYSTEM, ud2
	place SYSTEM, sgdt (%rdi)
	place SYSTEM, smsw %eax
	place SYSTEM, vmcall
	place SYSTEM, wrmsr
	place SYSTEM, umonitor %rdi
	place SYSTEM, senduipi %rdi
	place SYSTEM, incsspq %rax
	place UNKNOWN, .byte 0x06
	place UNKNOWN, pavgusb %mm0, %mm1
	place UNKNOWN, ud1 %eax, %eax
