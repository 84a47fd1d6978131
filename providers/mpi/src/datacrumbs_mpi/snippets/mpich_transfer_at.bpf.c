/* Bytes handed to MPICH's transfers of the form (fh, offset, buffer, count, datatype). */
/* SPDX-License-Identifier: GPL-2.0-only */

/* MPI_Datatype is an int. Those of basic types are 0x4c00SSNN, of which SS is the size in bytes.
 * Others are numbers of objects out of reach from here: they have no known size, so -1 is
 * set, and no bytes are told. */
static __always_inline void dc_mpi_mpich_transfer_at_entry(struct dc_call *call)
{
	u32 datatype = DC_ARGUMENT(call, 4);
	s64 count = (s32)DC_ARGUMENT(call, 3);
	s64 bytes = -1;
	if (count == 0)
		bytes = 0;
	else if (datatype >> 16 == 0x4c00)
		bytes = count * ((datatype >> 8) & 0xff);
	DC_SET_FIELD(call, 0, bytes);
}

/* A call that failed moved nothing that anyone could count on. */
static __always_inline void dc_mpi_mpich_transfer_at_return(struct dc_call *call)
{
	if (DC_RESULT(call) != 0)
		DC_SET_FIELD(call, 0, 0);
}
