/* The file of glibc's FILE * in argument 4, when it was never seen being opened. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_glibc_stream4_entry(struct dc_call *call)
{
	u64 stream = DC_ARGUMENT(call, 4);
	s32 descriptor = -1;
	u32 flags = 0;
	if (DC_FILE_KNOWN(call))
		return;
	/* struct _IO_FILE's _flags, _IO_IS_FILEBUF of which tells streams in memory apart, and _fileno on 64-bit
	 * machines */
	if (!DC_READ(&flags, stream) && flags & 0x2000 && !DC_READ(&descriptor, stream + 112) && descriptor >= 0)
		DC_SET_FILE_BY_DESCRIPTOR(call, descriptor);
}
