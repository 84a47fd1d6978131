/* MPI-IO, of which a trace may have only what moves data. */
#include <mpi.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	static char bytes[1009];
	if (count < 2 || chdir(arguments[1]) || MPI_Init(NULL, NULL))
		return 2;
	for (int i = 0; i < 2; i++) {
		MPI_File file;
		if (MPI_File_open(MPI_COMM_SELF, i ? "second" : "first", MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL,
				  &file))
			return 3;
		for (int j = 0; j < (i ? 11 : 7); j++) {
			if (MPI_File_write(file, bytes, sizeof(bytes), MPI_BYTE, MPI_STATUS_IGNORE))
				return 4;
		}
		MPI_File_close(&file);
	}
	return MPI_Finalize();
}
