/* Each rank writes its part of one file, in 1,009 pieces of 4 KiB for itself, or, with a second argument, in three
   large ones together with the others. */

#include <mpi.h>
#include <stdlib.h>

#define PIECE 4096
#define LARGE (1 << 20)

int main(int count, char **words)
{
	MPI_File file;
	char *data = calloc(1, LARGE);
	int rank, clean = count > 2;

	MPI_Init(&count, &words);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_File_open(MPI_COMM_WORLD, words[1], MPI_MODE_CREATE | MPI_MODE_WRONLY, MPI_INFO_NULL, &file);
	for (MPI_Offset turn = 0; turn < (clean ? 3 : 1009); turn++) {
		MPI_Offset place = (2 * turn + rank) * (clean ? LARGE : PIECE);

		if (clean)
			MPI_File_write_at_all(file, place, data, LARGE, MPI_BYTE, MPI_STATUS_IGNORE);
		else
			MPI_File_write_at(file, place, data, PIECE, MPI_BYTE, MPI_STATUS_IGNORE);
	}
	MPI_File_close(&file);
	free(data);
	return MPI_Finalize();
}
