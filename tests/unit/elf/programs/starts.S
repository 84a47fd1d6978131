# Functions whose probes may be moved, and functions whose probes must stay, each for one reason.
	.text
.macro function name:req
	.globl \name
	.type \name, @function
	.p2align 4
\name:
.endm

function stays_on_a_push
	push	%rbx
	pop	%rbx
	ret

function stays_on_a_jump
	jmp	1f
1:	ret

function moves_past_endbr  # 4
	endbr64
	push	%rbx
	pop	%rbx
	ret

function moves_past_arithmetic  # 4 + 2 + 3 + 3 + 7
	endbr64
	mov	%edi, %eax
	test	%rsi, %rsi
	xor	%r10d, %r10d
	lea	number(%rip), %r11
	je	1f
	inc	%eax
1:	ret

function moves_past_thread_storage  # 9
	mov	%fs:0x28, %rax
	push	%r12
	pop	%r12
	ret

function moves_past_own_data  # 7
	cmpb	$0, number(%rip)
	jne	1f
1:	ret

function moves_past_a_linkers_pointer  # 7 + 3
	mov	exported@GOTPCREL(%rip), %rax
	cmpb	$0, (%rax)
	je	1f
1:	ret

function moves_past_the_third_argument  # 2; where it is not captured
	xor	%edx, %edx
	push	%rbx
	pop	%rbx
	ret

function stays_for_the_stack_pointer
	sub	$8, %rsp
	push	%rbx
	pop	%rbx
	add	$8, %rsp
	ret

function stays_for_an_argument
	mov	%rsi, %rdi
	push	%rbx
	pop	%rbx
	ret

function stays_for_half_of_an_argument
	movb	$1, %dil
	push	%rbx
	pop	%rbx
	ret

function stays_for_written_memory
	movl	$1, number(%rip)
	push	%rbx
	pop	%rbx
	ret

function stays_for_memory_that_may_be_missing
	mov	(%rdi), %eax
	push	%rbx
	pop	%rbx
	ret

function stays_for_a_pointer_that_the_program_writes
	mov	pointer(%rip), %rax
	cmpb	$0, (%rax)
	je	1f
1:	ret

function stays_for_a_pointer_that_was_changed
	mov	exported@GOTPCREL(%rip), %rax
	add	%rdi, %rax
	cmpb	$0, (%rax)
	je	1f
1:	ret

function stays_for_exchange
	xchg	%rdi, %rax
	push	%rbx
	pop	%rbx
	ret

function stays_for_division
	mov	%edi, %eax
	div	%esi
	push	%rbx
	pop	%rbx
	ret

function stays_for_a_system_call
	mov	$39, %eax
	syscall
	jmp	1f
1:	ret

function stays_for_a_short_loop
	mov	%edi, %eax
.Lshort: nop
	dec	%eax
	jnz	.Lshort
	ret

function stays_for_a_long_loop
	mov	%edi, %eax
.Llong:	nop
	dec	%eax
	.skip	200, 0x90
	jnz	.Llong
	ret

function jumps_into_the_next
	test	%edi, %edi
	bnd jmp	.Lnext

function stays_for_a_jump_from_before
	mov	%edi, %eax
.Lnext:	push	%rbx
	pop	%rbx
	ret

function calls_into_another
	nop
	call	.Lcalled
	ret

function stays_for_a_call_from_elsewhere
	mov	%edi, %eax
.Lcalled: push	%rbx
	pop	%rbx
	ret

function stays_for_a_second_symbol
	mov	%edi, %eax
	.globl	second_symbol
second_symbol:
	push	%rbx
	pop	%rbx
	ret

function stays_for_a_table_of_branches
	mov	%edi, %eax
.Lcase:	push	%rbx
	pop	%rbx
	lea	table(%rip), %rdx
	movslq	(%rdx, %rax, 4), %rax
	add	%rdx, %rax
	notrack jmp *%rax
.Lother: ret

function stays_for_a_label_in_data
	mov	%edi, %eax
.Llabel: push	%rbx
	pop	%rbx
	lea	labels(%rip), %rdx
	jmp	*(%rdx, %rax, 8)

function stays_for_labels_as_values
	mov	%edi, %eax
.Lvalue: push	%rbx
	pop	%rbx
	lea	.Lfar(%rip), %rdx
	add	%rdx, %rax
	jmp	*%rax
.Lfar:	ret

function stays_for_an_address_that_is_taken
	mov	%edi, %eax
.Ltaken: push	%rbx
	pop	%rbx
	ret

function takes_an_address
	lea	.Ltaken(%rip), %rax
	ret

function stays_for_a_handler
	.cfi_startproc
	.cfi_personality 0x9b, routine
	.cfi_lsda 0x1b, .Lhandlers
	mov	%edi, %eax
.Lhandler: push	%rbx
	pop	%rbx
	ret
.Lended:
	.cfi_endproc

# The jump's bytes are there, but inside of another instruction (movabs).
function moves_though_data_looks_like_a_jump  # 2
	mov	%edi, %eax
.Lseen:	push	%rbx
	pop	%rbx
	movabs	$0x00000000f8eb0000, %rcx
	ret

	.section .gcc_except_table, "a", @progbits
.Lhandlers:
	.byte	0xff, 0xff, 0x01
	.uleb128 .Lsites_end - .Lsites
.Lsites:
	.uleb128 0
	.uleb128 .Lended - stays_for_a_handler
	.uleb128 .Lhandler - stays_for_a_handler
	.uleb128 0
.Lsites_end:

	.section .rodata
	.p2align 2
table:	.long	.Lother - table, .Lcase - table

	.section .data.rel.ro, "aw"
	.p2align 3
labels:	.quad	.Llabel
routine: .quad	number

	.data
	.globl	exported
	.type	exported, @object
exported: .long	0
number:	.long	0
	.p2align 3
pointer: .quad	number
	.section .note.GNU-stack, "", @progbits
