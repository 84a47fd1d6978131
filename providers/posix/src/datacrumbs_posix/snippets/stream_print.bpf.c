/* Bytes printed to the FILE * in argument 0, and its file when it was never seen being opened. */
/* SPDX-License-Identifier: GPL-2.0-only */

/* struct _IO_FILE on 64-bit machines: where its descriptor is (glibc's _fileno, 112; musl's fd, 120), and the bit of
 * its first word that streams in memory lack (glibc's _IO_IS_FILEBUF, 13), or 0 where there is none. */
DC_PARAMETER(descriptor_at, 112, 120);
DC_PARAMETER(file_bit, 0, 13);

static __always_inline void dc_posix_stream_print_entry(struct dc_call *call, u32 descriptor_at, u32 file_bit)
{
	u64 stream = DC_ARGUMENT(call, 0);
	s32 descriptor = -1;
	u32 flags = 0;
	if (DC_FILE_KNOWN(call))
		return;
	if (file_bit && DC_READ(&flags, stream))
		return;
	if ((!file_bit || flags & 1 << file_bit) && !DC_READ(&descriptor, stream + descriptor_at) && descriptor >= 0)
		DC_SET_FILE_BY_DESCRIPTOR(call, descriptor);
}

static __always_inline void dc_posix_stream_print_return(struct dc_call *call, u32 descriptor_at, u32 file_bit)
{
	s32 printed = (s32)DC_RESULT(call);
	DC_SET_FIELD(call, 0, printed > 0 ? printed : 0);
}
