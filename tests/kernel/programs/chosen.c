/* HDF5 and streams, of which a trace may have only what moves data: also in a child, after each was closed there. */
#include <hdf5.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int numbers[100];

static int move(hid_t dataset, int writes, int reads)
{
	for (int i = 0; i < writes; i++) {
		if (H5Dwrite(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) < 0)
			return 3;
	}
	for (int i = 0; i < reads; i++) {
		if (H5Dread(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) < 0)
			return 4;
	}
	return 0;
}

int main(int count, char **arguments)
{
	hsize_t size = 100;
	int status;
	if (count < 2 || chdir(arguments[1]))
		return 2;
	FILE *stream = fopen("stream", "w");
	hid_t file = H5Fcreate("first.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	hid_t space = H5Screate_simple(1, &size, NULL);
	hid_t dataset = H5Dcreate2(file, "/x", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	if (fwrite(numbers, 1, 101, stream) != 101 || fflush(stream) || move(dataset, 7, 0))
		return 5;
	if (!fork()) {
		if (fwrite(numbers, 1, 103, stream) != 103 || fflush(stream))
			_exit(6);
		_exit(move(dataset, 0, 11));
	}
	if (wait(&status) < 0 || status)
		return 7;
	if (H5Idec_ref(dataset) || H5Fclose(file) < 0 || fclose(stream))
		return 8;
	file = H5Fcreate("second.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	dataset = H5Dcreate2(file, "/y", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	if (move(dataset, 13, 5) || H5Dclose(dataset) < 0 || H5Fclose(file) < 0)
		return 9;
	return 0;
}
