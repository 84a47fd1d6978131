/* What differs between processors. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_MACHINE_H
#define DC_MACHINE_H

#include "reads.h"
#include <uapi/linux/ptrace.h>

#if defined(__TARGET_ARCH_x86) || defined(__x86_64__) || defined(bpf_target_x86)
#define DC_RETURN_POPS 8	   /* the return address */
#define DC_STACK_ARGUMENT_OFFSET 8 /* likewise, before the seventh argument */
#define DC_SYSTEM_CALL_ARGUMENTS(call, registers) \
	do { \
		void *read = (void *)(registers); \
		(call)->arguments[0] = DC_REGISTER(read, di); \
		(call)->arguments[1] = DC_REGISTER(read, si); \
		(call)->arguments[2] = DC_REGISTER(read, dx); \
		(call)->arguments[3] = DC_REGISTER(read, r10); \
		(call)->arguments[4] = DC_REGISTER(read, r8); \
		(call)->arguments[5] = DC_REGISTER(read, r9); \
	} while (0)
/* Those of a call of a 32-bit program. */
#define DC_COMPAT_ARGUMENTS(call, registers) \
	do { \
		void *read = (void *)(registers); \
		(call)->arguments[0] = (u32)DC_REGISTER(read, bx); \
		(call)->arguments[1] = (u32)DC_REGISTER(read, cx); \
		(call)->arguments[2] = (u32)DC_REGISTER(read, dx); \
		(call)->arguments[3] = (u32)DC_REGISTER(read, si); \
		(call)->arguments[4] = (u32)DC_REGISTER(read, di); \
		(call)->arguments[5] = (u32)DC_REGISTER(read, bp); \
	} while (0)
#define DC_REGISTER(registers, name) (*(u64 *)((registers) + offsetof(struct pt_regs, name)))
#define DC_CALL_INSTRUCTION 2 /* bytes of syscall, and of int */
#define DC_RESTART_CALL 219   /* restart_syscall; 0 of 32-bit programs */
/* A program that was executed leaves the number of execve, also where it was execveat; 11 and 358 are of 32-bit ones.
 */
#define DC_IS_EXECUTED(began, number) \
	(((number) == 59 || (number) == 11) && ((began) == 59 || (began) == 322 || (began) == 11 || (began) == 358))
#define DC_FORKS 56, 57, 58, 435, 512 + 2, 512 + 120, 512 + 190, 512 + 435 /* clone, fork, vfork, clone3 */
#define DC_USER_STACK(registers) DC_REGISTER(registers, sp)
#define DC_USER_PLACE(registers) DC_REGISTER(registers, ip)
#define DC_USER_CALL(registers) DC_REGISTER(registers, orig_ax)
#define DC_FIRST_ARGUMENT_OF_ENDED(call, registers) (call)->arguments[0]
#define DC_ROLLED_BACK(registers) DC_REGISTER(registers, orig_ax) /* result of a call that the kernel takes back */
#define DC_MMAP 9
#define DC_MAPPED_LENGTH(registers) DC_REGISTER(registers, si)
#define DC_MAPPED_RIGHTS(registers) DC_REGISTER(registers, dx)
#define DC_MAPPED_DESCRIPTOR(registers) DC_REGISTER(registers, r8)
#else
#define DC_RETURN_POPS 0
#define DC_STACK_ARGUMENT_OFFSET 0
/* x0 to x5 lead struct user_pt_regs. */
#define DC_SYSTEM_CALL_ARGUMENTS(call, registers) \
	bpf_probe_read_kernel((call)->arguments, sizeof((call)->arguments), (void *)(registers))
#define DC_CALL_INSTRUCTION 4
#define DC_RESTART_CALL 128 /* restart_syscall */
#define DC_IS_EXECUTED(began, number) 0
#define DC_FORKS 220, 435 /* clone, clone3 */
#define DC_REGISTER(registers, name) (*(u64 *)((registers) + offsetof(struct pt_regs, name)))
#define DC_USER_STACK(registers) DC_REGISTER(registers, sp)
#define DC_USER_PLACE(registers) DC_REGISTER(registers, pc)
#define DC_USER_CALL(registers) (*(u32 *)((registers) + offsetof(struct pt_regs, syscallno)))
/* The result is where the first argument was. */
#define DC_FIRST_ARGUMENT_OF_ENDED(call, registers) DC_REGISTER(registers, orig_x0)
#define DC_ROLLED_BACK(registers) DC_REGISTER(registers, orig_x0)
#define DC_MMAP 222
#define DC_MAPPED_LENGTH(registers) DC_REGISTER(registers, regs[1])
#define DC_MAPPED_RIGHTS(registers) DC_REGISTER(registers, regs[2])
#define DC_MAPPED_DESCRIPTOR(registers) DC_REGISTER(registers, regs[4])
#endif

#endif
