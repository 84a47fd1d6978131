/* Writes to DIRECTORY/RANK a number of bytes that belongs to the rank, one by one: ranks VARIABLE DIRECTORY */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const int writes[] = {23, 41, 67};

int main(int count, char **arguments)
{
	const char *rank = getenv(arguments[1]);
	char path[4096];

	if (count != 3)
		return 2;
	snprintf(path, sizeof(path), "%s/%s", arguments[2], rank ? rank : "none");
	int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

	for (int i = 0; i < writes[rank ? atoi(rank) % 3 : 0]; i++)
		if (write(file, "x", 1) != 1)
			return 1;
	return 0;
}
