/* Bytes printed to a descriptor, or to standard output: what descriptor 1 is. */
/* SPDX-License-Identifier: GPL-2.0-only */

DC_PARAMETER(standard, 0, 1);

static __always_inline void dc_posix_print_entry(struct dc_call *call, u32 standard)
{
	if (standard)
		DC_SET_FILE_BY_DESCRIPTOR(call, 1);
}

static __always_inline void dc_posix_print_return(struct dc_call *call, u32 standard)
{
	s32 printed = (s32)DC_RESULT(call);
	DC_SET_FIELD(call, 0, printed > 0 ? printed : 0);
}
