/* Functions that are called, and code that is reached in other ways, as the unwind information says it. */
	.text

	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro end name
	.size \name, . - \name
	.endm

function is_called
	.cfi_startproc
	push %rbx
	.cfi_adjust_cfa_offset 8
	pop %rbx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
end is_called

function has_no_caller
	.cfi_startproc
	.cfi_undefined rip
	nop
	hlt
	.cfi_endproc
end has_no_caller

	.cfi_startproc
	.cfi_signal_frame
	nop
function follows_a_signal
	mov $15, %eax
	syscall
	.cfi_endproc
end follows_a_signal

function has_arguments_above
	.cfi_startproc
	.cfi_adjust_cfa_offset 16
	add $16, %rsp
	.cfi_adjust_cfa_offset -16
	ret
	.cfi_endproc
end has_arguments_above

function is_part_of_another
	.cfi_startproc
	.cfi_def_cfa rbp, 16
	ret
	.cfi_endproc
end is_part_of_another

function has_an_expression
	.cfi_startproc
	.cfi_escape 0x0f, 3, 0x77, 8, 0x06
	ret
	.cfi_endproc
end has_an_expression

function keeps_its_return_in_a_register
	.cfi_startproc
	.cfi_register rip, rdi
	jmp *%rdi
	.cfi_endproc
end keeps_its_return_in_a_register

function is_not_described
	ret
end is_not_described

	.section .note.GNU-stack, "", @progbits
