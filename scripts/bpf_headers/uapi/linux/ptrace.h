/* The registers of x86, and how bcc's programs ask for them; see bcc.h. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_PTRACE_OUTLINE_H
#define DC_PTRACE_OUTLINE_H

#include "../../bcc.h"

struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#define PT_REGS_PARM1(context) ((context)->di)
#define PT_REGS_PARM2(context) ((context)->si)
#define PT_REGS_PARM3(context) ((context)->dx)
#define PT_REGS_PARM4(context) ((context)->cx)
#define PT_REGS_PARM5(context) ((context)->r8)
#define PT_REGS_PARM6(context) ((context)->r9)
#define PT_REGS_RC(context) ((context)->ax)
#define PT_REGS_SP(context) ((context)->sp)

#endif
