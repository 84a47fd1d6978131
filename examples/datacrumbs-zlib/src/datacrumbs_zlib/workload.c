/* Calls each function of zlib that the provider knows a prime number of times. workload.json says how often.
 * The prototypes are here because zlib's headers need not be installed: cc workload.c -l:libz.so.1
 */
/* SPDX-License-Identifier: MIT */
#include <stdio.h>

typedef void *gzFile;

gzFile gzopen(const char *path, const char *mode);
int gzwrite(gzFile file, const void *data, unsigned length);
int gzread(gzFile file, void *data, unsigned length);
int gzclose(gzFile file);
int compress2(unsigned char *to, unsigned long *room, const unsigned char *from, unsigned long length, int level);

enum { WRITES = 23, READS = 19, COMPRESSIONS = 13, MISSING = 7, BLOCK = 101 };

int main(int count, char **arguments)
{
	unsigned char data[BLOCK] = {0};
	unsigned char packed[4 * BLOCK];
	gzFile file;

	if (count != 2)
		return 2;
	file = gzopen(arguments[1], "wb");
	if (!file)
		return 1;
	for (int i = 0; i < WRITES; i++)
		if (gzwrite(file, data, BLOCK) != BLOCK)
			return 1;
	gzclose(file);

	file = gzopen(arguments[1], "rb");
	if (!file)
		return 1;
	for (int i = 0; i < READS; i++)
		if (gzread(file, data, BLOCK) != BLOCK)
			return 1;
	gzclose(file);

	for (int i = 0; i < MISSING; i++)
		if (gzopen("/nonexistent/file.gz", "rb"))
			return 1;

	for (int i = 0; i < COMPRESSIONS; i++) {
		unsigned long room = sizeof(packed);

		if (compress2(packed, &room, data, BLOCK, 1) != 0)
			return 1;
	}
	puts("done");
	return 0;
}
