/* The file of musl's FILE * in argument 2, when it was never seen being opened. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_musl_stream2_entry(struct dc_call *call)
{
	s32 descriptor = -1;
	if (DC_FILE_KNOWN(call))
		return;
	/* struct _IO_FILE's fd on 64-bit machines */
	if (!DC_READ(&descriptor, DC_ARGUMENT(call, 2) + 120) && descriptor >= 0)
		DC_SET_FILE_BY_DESCRIPTOR(call, descriptor);
}
