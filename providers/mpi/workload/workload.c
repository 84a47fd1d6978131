/* Calls each MPI file function an exactly known number of times: a prime per function and rank.
 *
 * Every rank does the same, so totals are these numbers times the ranks. Those are in workload.json
 * (Open MPI, 2 ranks) and workload-mpich.json (MPICH, 2 ranks). The file is made beside the program and
 * removed at the end. */
/* SPDX-License-Identifier: MIT */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int rank;

static void check(int code, const char *call)
{
	if (code == MPI_SUCCESS)
		return;
	fprintf(stderr, "rank %d: %s: error %d\n", rank, call, code);
	exit(1);
}

static void check_failure(int code, const char *call)
{
	if (code != MPI_SUCCESS)
		return;
	fprintf(stderr, "rank %d: %s: succeeded, and must fail\n", rank, call);
	exit(1);
}

#define TIMES(number, call) \
	for (int turn = 0; turn < (number); turn++) \
	check(call, #call)

#define FAILS(number, call) \
	for (int turn = 0; turn < (number); turn++) \
	check_failure(call, #call)

/* Start, then wait: each adds one MPI_Wait. */
#define STARTS(number, call) \
	for (int turn = 0; turn < (number); turn++) { \
		check(call, #call); \
		check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait"); \
	}

#define PAIRS(number, begin, end) \
	for (int turn = 0; turn < (number); turn++) { \
		check(begin, #begin); \
		check(end, #end); \
	}

static char bytes[4096];
static int numbers[1024];
static double reals[512];

static void individual(MPI_File file)
{
	MPI_Request request;

	TIMES(2, MPI_File_set_size(file, 1 << 20));
	TIMES(3, MPI_File_preallocate(file, 1 << 20));
	TIMES(5, MPI_File_seek(file, 0, MPI_SEEK_SET));
	TIMES(7, MPI_File_write(file, bytes, 11, MPI_CHAR, MPI_STATUS_IGNORE));
	TIMES(11, MPI_File_write_at(file, 64, numbers, 13, MPI_INT, MPI_STATUS_IGNORE));
	STARTS(13, MPI_File_iwrite(file, reals, 17, MPI_DOUBLE, &request));
	STARTS(17, MPI_File_iwrite_at(file, 128, bytes, 19, MPI_BYTE, &request));
	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	TIMES(19, MPI_File_read(file, numbers, 23, MPI_INT, MPI_STATUS_IGNORE));
	TIMES(23, MPI_File_read_at(file, 32, reals, 29, MPI_DOUBLE, MPI_STATUS_IGNORE));
	STARTS(29, MPI_File_iread(file, bytes, 31, MPI_CHAR, &request));
	STARTS(31, MPI_File_iread_at(file, 16, numbers, 37, MPI_INT, &request));
	FAILS(2, MPI_File_read(file, numbers, -1, MPI_INT, MPI_STATUS_IGNORE));
	FAILS(3, MPI_File_write_at(file, 64, numbers, -13, MPI_INT, MPI_STATUS_IGNORE));
}

static void collective(MPI_File file)
{
	MPI_Request request;

	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	TIMES(37, MPI_File_write_all(file, numbers, 3, MPI_INT, MPI_STATUS_IGNORE));
	TIMES(41, MPI_File_write_at_all(file, 8, numbers, 5, MPI_INT, MPI_STATUS_IGNORE));
	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	TIMES(43, MPI_File_read_all(file, reals, 7, MPI_DOUBLE, MPI_STATUS_IGNORE));
	TIMES(47, MPI_File_read_at_all(file, 24, reals, 2, MPI_DOUBLE, MPI_STATUS_IGNORE));
	STARTS(3, MPI_File_iwrite_all(file, bytes, 41, MPI_BYTE, &request));
	STARTS(5, MPI_File_iwrite_at_all(file, 48, bytes, 43, MPI_BYTE, &request));
	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	STARTS(7, MPI_File_iread_all(file, bytes, 47, MPI_BYTE, &request));
	STARTS(11, MPI_File_iread_at_all(file, 56, bytes, 53, MPI_BYTE, &request));
	PAIRS(2, MPI_File_write_all_begin(file, numbers, 59, MPI_INT),
	      MPI_File_write_all_end(file, numbers, MPI_STATUS_IGNORE));
	PAIRS(3, MPI_File_write_at_all_begin(file, 0, numbers, 61, MPI_INT),
	      MPI_File_write_at_all_end(file, numbers, MPI_STATUS_IGNORE));
	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	PAIRS(5, MPI_File_read_all_begin(file, numbers, 67, MPI_INT),
	      MPI_File_read_all_end(file, numbers, MPI_STATUS_IGNORE));
	PAIRS(7, MPI_File_read_at_all_begin(file, 0, numbers, 71, MPI_INT),
	      MPI_File_read_at_all_end(file, numbers, MPI_STATUS_IGNORE));
}

static void shared(MPI_File file)
{
	MPI_Request request;

	TIMES(2, MPI_File_seek_shared(file, 0, MPI_SEEK_SET));
	TIMES(13, MPI_File_write_shared(file, numbers, 2, MPI_INT, MPI_STATUS_IGNORE));
	STARTS(17, MPI_File_iwrite_shared(file, numbers, 3, MPI_INT, &request));
	TIMES(19, MPI_File_write_ordered(file, bytes, 5, MPI_CHAR, MPI_STATUS_IGNORE));
	PAIRS(2, MPI_File_write_ordered_begin(file, bytes, 7, MPI_CHAR),
	      MPI_File_write_ordered_end(file, bytes, MPI_STATUS_IGNORE));
	TIMES(1, MPI_File_seek_shared(file, 0, MPI_SEEK_SET));
	TIMES(23, MPI_File_read_shared(file, bytes, 3, MPI_CHAR, MPI_STATUS_IGNORE));
	STARTS(29, MPI_File_iread_shared(file, bytes, 2, MPI_CHAR, &request));
	TIMES(31, MPI_File_read_ordered(file, bytes, 11, MPI_CHAR, MPI_STATUS_IGNORE));
	PAIRS(3, MPI_File_read_ordered_begin(file, bytes, 13, MPI_CHAR),
	      MPI_File_read_ordered_end(file, bytes, MPI_STATUS_IGNORE));
}

static void describe(MPI_File file)
{
	MPI_Offset offset;
	MPI_Datatype etype, filetype;
	MPI_Group group;
	MPI_Info info;
	MPI_Aint extent;
	char representation[MPI_MAX_DATAREP_STRING];
	int value;

	TIMES(37, MPI_File_get_size(file, &offset));
	TIMES(41, MPI_File_get_position(file, &offset));
	TIMES(5, MPI_File_get_position_shared(file, &offset));
	TIMES(43, MPI_File_get_byte_offset(file, 3, &offset));
	TIMES(47, MPI_File_get_type_extent(file, MPI_INT, &extent));
	TIMES(53, MPI_File_get_amode(file, &value));
	TIMES(59, MPI_File_get_atomicity(file, &value));
	TIMES(3, MPI_File_set_atomicity(file, 0));
	TIMES(11, MPI_File_sync(file));
	TIMES(13, MPI_File_set_view(file, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	TIMES(17, MPI_File_get_view(file, &offset, &etype, &filetype, representation));
	for (int turn = 0; turn < 7; turn++) {
		check(MPI_File_get_group(file, &group), "MPI_File_get_group");
		check(MPI_Group_free(&group), "MPI_Group_free");
	}
	for (int turn = 0; turn < 5; turn++) {
		check(MPI_File_get_info(file, &info), "MPI_File_get_info");
		check(MPI_File_set_info(file, info), "MPI_File_set_info");
		check(MPI_Info_free(&info), "MPI_Info_free");
	}
}

#ifdef MPICH
static void big_counts(MPI_File file)
{
	MPI_Count many = 7;

	TIMES(2, MPI_File_write_at_c(file, 0, numbers, many, MPI_INT, MPI_STATUS_IGNORE));
	TIMES(3, MPI_File_read_at_c(file, 0, numbers, many, MPI_INT, MPI_STATUS_IGNORE));
	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	TIMES(5, MPI_File_write_c(file, reals, many, MPI_DOUBLE, MPI_STATUS_IGNORE));
	TIMES(1, MPI_File_seek(file, 0, MPI_SEEK_SET));
	TIMES(7, MPI_File_read_c(file, reals, many, MPI_DOUBLE, MPI_STATUS_IGNORE));
	TIMES(11, MPI_File_write_at_all_c(file, 0, bytes, many, MPI_CHAR, MPI_STATUS_IGNORE));
}
#endif

int main(int count, char **arguments)
{
	char path[4096], missing[4096];
	MPI_Comm ranks;
	MPI_File file;

	MPI_Init(&count, &arguments);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	snprintf(path, sizeof(path), "%s.data", arguments[0]);
	snprintf(missing, sizeof(missing), "%s.missing", arguments[0]);

	for (int turn = 0; turn < 3; turn++) {
		/* Its own each time: in Open MPI 4.1 a broadcast of one open can arrive in the next one, which then
		 * hangs. */
		check(MPI_Comm_dup(MPI_COMM_WORLD, &ranks), "MPI_Comm_dup");
		check(MPI_File_open(ranks, path, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file),
		      "MPI_File_open");
		if (turn == 0)
			individual(file);
		if (turn == 1)
			collective(file);
		if (turn == 2) {
			shared(file);
			describe(file);
#ifdef MPICH
			big_counts(file);
#endif
		}
		check(MPI_File_close(&file), "MPI_File_close");
		check(MPI_Comm_free(&ranks), "MPI_Comm_free");
	}
	/* Each rank for itself: Open MPI can deadlock when one rank of a collective open fails before the others. */
	FAILS(2, MPI_File_open(MPI_COMM_SELF, missing, MPI_MODE_RDONLY, MPI_INFO_NULL, &file));
	FAILS(5, MPI_File_delete(missing, MPI_INFO_NULL));
	TIMES(23, MPI_Barrier(MPI_COMM_WORLD));
	if (rank == 0)
		remove(path);
	return MPI_Finalize();
}
