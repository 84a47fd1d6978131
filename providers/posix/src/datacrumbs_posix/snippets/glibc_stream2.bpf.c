/* The file of glibc's FILE * in argument 2, when it was never seen being opened. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_glibc_stream2_entry(struct dc_call *call)
{
	s32 descriptor = -1;
	if (DC_FILE_KNOWN(call))
		return;
	/* struct _IO_FILE's _fileno on 64-bit machines */
	if (!DC_READ(&descriptor, DC_ARGUMENT(call, 2) + 112) && descriptor >= 0)
		DC_SET_FILE_BY_DESCRIPTOR(call, descriptor);
}
