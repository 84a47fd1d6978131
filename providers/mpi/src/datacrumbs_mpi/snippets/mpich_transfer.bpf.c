/* Bytes handed to MPICH's transfers: a count in one argument, and an MPI_Datatype in the next. */
/* SPDX-License-Identifier: GPL-2.0-only */

DC_PARAMETER(position, 2, 3);
DC_PARAMETER(wide, 0, 1);

/* The position is the count's, which is an MPI_Count when it is wide, else an int. MPI_Datatype is an int. Those of
 * basic types are 0x4c00SSNN, of which SS is the size in bytes. Others are numbers of objects out of reach from here:
 * they have no known size, so -1 is set, and no bytes are shown. */
static __always_inline void dc_mpi_mpich_transfer_entry(struct dc_call *call, u32 position, u32 wide)
{
	u32 datatype = DC_ARGUMENT(call, position + 1);
	s64 count = wide ? (s64)DC_ARGUMENT(call, position) : (s32)DC_ARGUMENT(call, position);
	s64 bytes = -1;
	if (count == 0)
		bytes = 0;
	else if (datatype >> 16 == 0x4c00)
		bytes = count * ((datatype >> 8) & 0xff);
	DC_SET_FIELD(call, 0, bytes);
}

/* A call that failed moved nothing that anyone could count on. */
static __always_inline void dc_mpi_mpich_transfer_return(struct dc_call *call, u32 position, u32 wide)
{
	if (DC_RESULT(call) != 0)
		DC_SET_FIELD(call, 0, 0);
}
