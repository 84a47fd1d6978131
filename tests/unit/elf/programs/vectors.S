# Functions that begin with vector instructions, as compilers make them.
	.text
.macro function name:req
	.globl \name
	.type \name, @function
	.p2align 4
\name:
.endm

function moves_to_a_return  # taken for a jump
	vpshufd	$0x1b, %ymm0, %ymm0
	ret

function stores  # taken for a jump; writes memory, so that it cannot be passed
	vmovdqu	%ymm0, (%rdi)
	ret

function adds  # may be probed
	vaddpd	%ymm0, %ymm1, %ymm0
	ret

function moves_to_a_push  # taken for a call
	vpsubsb	%ymm1, %ymm0, %ymm0
	push	%rbx
	pop	%rbx
	ret

function moves_to_a_step  # refused by the kernel
	vpxor	%xmm0, %xmm0, %xmm0
	sub	$8, %rsp
	add	$8, %rsp
	ret

function stays_for_a_jump_from_behind  # taken for a jump
	vpor	%ymm1, %ymm0, %ymm0
.Lagain:
	sub	$1, %rdi
	jnz	.Lagain
	ret
