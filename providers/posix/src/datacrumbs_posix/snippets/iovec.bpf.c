/* Bytes asked for by the struct iovec array in argument 1 with as many entries as argument 2 says. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_posix_iovec_entry(struct dc_call *call)
{
	DC_SET_FIELD(call, 0, DC_ADD_LENGTHS(DC_ARGUMENT(call, 1), DC_ARGUMENT(call, 2)));
}
