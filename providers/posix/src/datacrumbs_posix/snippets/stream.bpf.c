/* The file of the FILE * in one argument, when it was never seen being opened. */
/* SPDX-License-Identifier: GPL-2.0-only */

DC_PARAMETER(position, 0, 5);
/* struct _IO_FILE on 64-bit machines: where its descriptor is (glibc's _fileno, 112; musl's fd, 120), and the bit of
 * its first word that streams in memory lack (glibc's _IO_IS_FILEBUF, 13), or 0 where there is none. */
DC_PARAMETER(descriptor_at, 112, 120);
DC_PARAMETER(file_bit, 0, 13);

static __always_inline void dc_posix_stream_entry(struct dc_call *call, u32 position, u32 descriptor_at, u32 file_bit)
{
	u64 stream = DC_ARGUMENT(call, position);
	s32 descriptor = -1;
	u32 flags = 0;
	if (DC_FILE_KNOWN(call))
		return;
	if (file_bit && DC_READ(&flags, stream))
		return;
	if ((!file_bit || flags & 1 << file_bit) && !DC_READ(&descriptor, stream + descriptor_at) && descriptor >= 0)
		DC_SET_FILE_BY_DESCRIPTOR(call, descriptor);
}
