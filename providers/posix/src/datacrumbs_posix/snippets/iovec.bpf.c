/* Bytes asked for by the struct iovec array in argument 1 with as many entries as argument 2 says. */
/* SPDX-License-Identifier: GPL-2.0-only */

/* More entries than these are not added up: half a sum would look like a whole one. */
#define DC_POSIX_IOVEC_ENTRIES 8

static __always_inline void dc_posix_iovec_entry(struct dc_call *call)
{
	u64 entries = (u32)DC_ARGUMENT(call, 2);
	u64 address = DC_ARGUMENT(call, 1);
	u64 asked = 0;
	if (entries > DC_POSIX_IOVEC_ENTRIES)
		return;
#pragma unroll
	for (u32 i = 0; i < DC_POSIX_IOVEC_ENTRIES; i++) {
		u64 length = 0; /* iov_len follows iov_base */
		if (i < entries && !DC_READ(&length, address + 16 * i + 8))
			asked += length;
	}
	DC_SET_FIELD(call, 0, asked);
}
