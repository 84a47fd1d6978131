/* Bytes handed to Open MPI's transfers: a count in one argument, and an MPI_Datatype in the next. */
/* SPDX-License-Identifier: GPL-2.0-only */

DC_PARAMETER(position, 2, 3);

/* The position is the count's. MPI_Datatype is the address of an object that begins with an opal_datatype_t: 16 bytes
 * of object header, 8 bytes of flags, then size_t size. The provider names this snippet only after it found that layout
 * in the library's own predefined types. */
static __always_inline void dc_mpi_openmpi_transfer_entry(struct dc_call *call, u32 position)
{
	u64 size = 0;
	s64 count = (s32)DC_ARGUMENT(call, position);
	DC_SET_FIELD(call, 0, count > 0 ? -1 : 0); /* unknown until the size is read */
	if (count > 0 && !DC_READ(&size, DC_ARGUMENT(call, position + 1) + 24))
		DC_SET_FIELD(call, 0, count * size);
}

/* A call that failed moved nothing that anyone could count on. */
static __always_inline void dc_mpi_openmpi_transfer_return(struct dc_call *call, u32 position)
{
	if (DC_RESULT(call) != 0)
		DC_SET_FIELD(call, 0, 0);
}
