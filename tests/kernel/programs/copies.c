/* Calls that read one file and write another, in the directory that it is given. Sizes are primes and tell them apart.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

static char bytes[100003];

int main(int count, char **arguments)
{
	int first[2], second[2];
	loff_t at = 0;
	if (count < 2 || chdir(arguments[1]) || pipe(first) || pipe(second))
		return 2;
	int source = open("source", O_CREAT | O_RDWR, 0600);
	int copied = open("copied", O_CREAT | O_RDWR, 0600);
	int sent = open("sent", O_CREAT | O_RDWR, 0600);
	int spliced = open("spliced", O_CREAT | O_RDWR, 0600);
	if (write(source, bytes, sizeof(bytes)) != sizeof(bytes))
		return 3;
	if (copy_file_range(source, &at, copied, NULL, 90001, 0) != 90001)
		return 4;
	off_t begin = 0;
	if (sendfile(sent, source, &begin, 80021) != 80021)
		return 5;
	at = 0;
	if (splice(source, &at, first[1], NULL, 30011, 0) != 30011)
		return 6;
	if (tee(first[0], second[1], 20011, 0) != 20011)
		return 7;
	if (splice(first[0], NULL, spliced, NULL, 30011, 0) != 30011)
		return 8;
	return copy_file_range(source, &at, 9999, NULL, 101, 0) != -1;
}
