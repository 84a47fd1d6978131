/* Writes the rows of a dataset one by one, across 8 chunks of 256 KiB: with HDF5's own cache of 1 MiB each row reads
   them all again. With a second argument the cache holds them. */

#include <hdf5.h>
#include <string.h>

#define ROWS 37
#define COLUMNS 8192

static int row[COLUMNS];

int main(int count, char **words)
{
	hsize_t size[] = {64, COLUMNS}, chunk[] = {64, 1024}, part[] = {1, COLUMNS};
	hid_t space = H5Screate_simple(2, size, NULL), memory = H5Screate_simple(2, part, NULL);
	hid_t creation = H5Pcreate(H5P_DATASET_CREATE), access = H5Pcreate(H5P_DATASET_ACCESS);

	H5Pset_chunk(creation, 2, chunk);
	if (count > 2)
		H5Pset_chunk_cache(access, 521, 16 << 20, 0.75);
	hid_t file = H5Fcreate(words[1], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	hid_t data = H5Dcreate2(file, "data", H5T_NATIVE_INT, space, H5P_DEFAULT, creation, access);
	for (hsize_t turn = 0; turn < ROWS; turn++) {
		hsize_t place[] = {turn, 0};

		memset(row, (int)turn + 1, sizeof row);
		H5Sselect_hyperslab(space, H5S_SELECT_SET, place, NULL, part, NULL);
		if (H5Dwrite(data, H5T_NATIVE_INT, memory, space, H5P_DEFAULT, row) < 0)
			return 1;
	}
	return H5Dclose(data) < 0 || H5Fclose(file) < 0;
}
