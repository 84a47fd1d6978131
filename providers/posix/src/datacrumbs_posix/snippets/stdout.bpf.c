/* Functions that name no stream work on standard output: what descriptor 1 is. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_stdout_entry(struct dc_call *call)
{
	DC_SET_FILE_BY_DESCRIPTOR(call, 1);
}
