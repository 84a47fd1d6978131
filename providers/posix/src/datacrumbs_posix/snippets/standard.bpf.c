/* Functions that name no stream work on standard input or output: what descriptor 0 or 1 is. */
/* SPDX-License-Identifier: GPL-2.0-only */

DC_PARAMETER(descriptor, 0, 1);

static __always_inline void dc_posix_standard_entry(struct dc_call *call, u32 descriptor)
{
	DC_SET_FILE_BY_DESCRIPTOR(call, descriptor);
}
