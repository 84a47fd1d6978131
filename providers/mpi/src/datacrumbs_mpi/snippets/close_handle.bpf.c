/* The handle, and so the file, behind the MPI_File * that MPI_File_close takes. */
/* SPDX-License-Identifier: GPL-2.0-only */

static __always_inline void dc_mpi_close_handle_entry(struct dc_call *call)
{
	u64 handle = 0;
	if (DC_READ(&handle, DC_ARGUMENT(call, 0)))
		return;
	DC_SET_FIELD(call, 0, handle);
	DC_SET_FILE_BY_HANDLE(call, handle);
	DC_FORGET_HANDLE(handle);
}
