/* Bytes that deflate and inflate took from their input, read from the z_stream before and after. */
/* SPDX-License-Identifier: GPL-2.0-only */

/* zlib.h: z_stream begins with a pointer to the input and the number of bytes there. */
#define DC_ZLIB_AVAILABLE_IN 8

static __always_inline void dc_zlib_stream_entry(struct dc_call *call)
{
	u32 available = 0;

	if (DC_READ(&available, DC_ARGUMENT(call, 0) + DC_ZLIB_AVAILABLE_IN) == 0)
		DC_SET_FIELD(call, 0, available);
}

static __always_inline void dc_zlib_stream_return(struct dc_call *call)
{
	u32 left = 0;

	if (DC_READ(&left, DC_ARGUMENT(call, 0) + DC_ZLIB_AVAILABLE_IN) == 0)
		DC_SET_FIELD(call, 1, left);
}
