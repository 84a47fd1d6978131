/* Bytes asked for by the struct msghdr in argument 1: the sum of its first entries' lengths. */
/* SPDX-License-Identifier: GPL-2.0-only */

/* More entries than these are not added up: half a sum would look like a whole one. */
#define DC_POSIX_MESSAGE_ENTRIES 8

static __always_inline void dc_posix_message_entry(struct dc_call *call)
{
	struct {
		u64 entries; /* msg_iov */
		u32 count;   /* msg_iovlen: size_t in glibc, int in musl; the kernel allows 1024 */
	} header = {};
	u64 asked = 0;
	/* msg_iov and msg_iovlen follow msg_name and msg_namelen */
	if (DC_READ(&header.entries, DC_ARGUMENT(call, 1) + 16) || DC_READ(&header.count, DC_ARGUMENT(call, 1) + 24))
		return;
	if (header.count > DC_POSIX_MESSAGE_ENTRIES)
		return;
#pragma unroll
	for (u32 i = 0; i < DC_POSIX_MESSAGE_ENTRIES; i++) {
		u64 length = 0; /* iov_len follows iov_base */
		if (i < header.count && !DC_READ(&length, header.entries + 16 * i + 8))
			asked += length;
	}
	DC_SET_FIELD(call, 0, asked);
}
