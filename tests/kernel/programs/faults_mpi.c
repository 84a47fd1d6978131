/* Each rank writes its part of one file, in 1,009 pieces of 4 KiB for itself. With "clean" it does so in three large
   ones together with the others; with "uneven" rank 0 writes 97 large ones and the others one. */

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 4096
#define LARGE (1 << 20)

int main(int count, char **words)
{
	MPI_File file;
	char *data = calloc(1, LARGE);
	int rank, clean = count > 2 && strcmp(words[2], "clean") == 0, uneven = count > 2 && !clean;
	int size = count > 2 ? LARGE : PIECE, turns = clean ? 3 : 1009;

	MPI_Init(&count, &words);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	if (uneven)
		turns = rank ? 1 : 97;
	MPI_File_open(MPI_COMM_WORLD, words[1], MPI_MODE_CREATE | MPI_MODE_WRONLY, MPI_INFO_NULL, &file);
	for (MPI_Offset turn = 0; turn < turns; turn++) {
		MPI_Offset place = (2 * turn + rank) * size;

		if (clean)
			MPI_File_write_at_all(file, place, data, size, MPI_BYTE, MPI_STATUS_IGNORE);
		else
			MPI_File_write_at(file, place, data, size, MPI_BYTE, MPI_STATUS_IGNORE);
	}
	MPI_File_close(&file);
	free(data);
	return MPI_Finalize();
}
