/* Bytes asked for by the struct msghdr in argument 1: the sum of its entries' lengths. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_message_entry(struct dc_call *call)
{
	u64 entries = 0; /* msg_iov */
	u32 count = 0;	 /* msg_iovlen: size_t in glibc, int in musl; the kernel allows 1024 */
	DC_SET_FIELD(call, 0, -1);
	/* msg_iov and msg_iovlen follow msg_name and msg_namelen */
	if (!DC_READ(&entries, DC_ARGUMENT(call, 1) + 16) && !DC_READ(&count, DC_ARGUMENT(call, 1) + 24))
		DC_SET_FIELD(call, 0, DC_ADD_LENGTHS(entries, count));
}
