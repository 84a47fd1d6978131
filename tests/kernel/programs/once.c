/* once DIRECTORY: known numbers of calls and bytes through streams, descriptors and names. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCKS = 1009, PIECES = 10007, NAMES = 2003 };

int main(int count, char **arguments)
{
	static char block[4096];
	struct stat status;
	FILE *stream;
	int file;

	if (count != 2 || chdir(arguments[1]))
		return 1;
	stream = fopen("stream", "w");
	for (int number = 0; stream && number < BLOCKS; number++)
		if (fwrite(block, 1, sizeof(block), stream) != sizeof(block))
			return 1;
	if (!stream || fclose(stream))
		return 1;
	file = open("descriptor", O_WRONLY | O_CREAT, 0600);
	for (int number = 0; number < PIECES; number++)
		if (pwrite(file, block, 7, number) != 7)
			return 1;
	for (int number = 0; number < NAMES; number++)
		if (stat("descriptor", &status))
			return 1;
	return close(file);
}
