/* Bytes printed to a descriptor. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_print_descriptor_return(struct dc_call *call)
{
	s32 printed = (s32)DC_RESULT(call);
	DC_SET_FIELD(call, 0, printed > 0 ? printed : 0);
}
