/* Functions that name no stream work on standard input: what descriptor 0 is. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_stdin_entry(struct dc_call *call)
{
	DC_SET_FILE_BY_DESCRIPTOR(call, 0);
}
