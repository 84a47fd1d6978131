/* One fault in the use of files at a time, or, with a third argument, the same work without it.

   Those that read take the file "data", of 23 MiB. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (1 << 20)
#define MANY 5003

static char buffer[2 * PIECE];
static char path[4096];
static int clean;

static void need(int holds)
{
	if (!holds) {
		perror(path);
		exit(1);
	}
}

static int opened(int flags)
{
	int fd = open(path, flags | O_CREAT, 0600);
	need(fd >= 0);
	return fd;
}

/* What reads of any kind should be: few, large and in order. */
static void whole(void)
{
	int fd = opened(O_RDONLY);
	while (read(fd, buffer, PIECE) > 0)
		;
	close(fd);
}

static void small_writes(void)
{
	int fd = opened(O_WRONLY | O_TRUNC);
	size_t size = clean ? PIECE : 64;
	for (int turn = 0; turn < (clean ? 11 : 4 * MANY); turn++)
		need(write(fd, buffer, size) == (ssize_t)size);
	close(fd);
}

static void small_reads(void)
{
	int fd = opened(O_RDONLY);
	for (int turn = 0; turn < 40009; turn++)
		need(read(fd, buffer, 512) == 512);
	close(fd);
}

static void random_reads(void)
{
	int fd = opened(O_RDONLY);
	for (int turn = MANY - 1; turn >= 0; turn--)
		need(pread(fd, buffer, 4096, turn * 4096L) == 4096);
	close(fd);
}

static void random_writes(void)
{
	int fd = opened(O_WRONLY | O_TRUNC);
	if (clean)
		need(write(fd, buffer, 2 * PIECE) == 2 * PIECE);
	for (int turn = MANY - 1; turn >= 0 && !clean; turn--)
		need(pwrite(fd, buffer, 2048, turn * 2048L) == 2048);
	close(fd);
}

static void metadata_storm(void)
{
	struct stat status;
	close(opened(O_WRONLY | O_TRUNC));
	for (int turn = 0; turn < (clean ? 101 : 10007); turn++)
		need(stat(path, &status) == 0);
}

static void reopened_files(void)
{
	for (int turn = 0; turn < MANY; turn++) {
		int fd = opened(O_RDONLY);
		need(pread(fd, buffer, 4096, turn * 4096L) == 4096);
		close(fd);
	}
}

static void sync_per_write(void)
{
	int fd = opened(O_WRONLY | O_TRUNC);
	for (int turn = 0; turn < 211; turn++) {
		need(write(fd, buffer, 8192) == 8192);
		if (!clean || turn == 210)
			need(fdatasync(fd) == 0);
	}
	close(fd);
}

static void redundant_reads(void)
{
	int fd = opened(O_RDONLY);
	for (int turn = 0; turn < MANY; turn++)
		need(pread(fd, buffer, 8192, turn % 101 * 8192L) == 8192);
	close(fd);
}

static void wasted_seeks(void)
{
	int fd = opened(O_RDONLY);
	for (int turn = 0; turn < MANY; turn++) {
		off_t place = turn * 4096L;
		need(lseek(fd, 0, SEEK_END) > 0 && lseek(fd, 0, SEEK_SET) == 0 && lseek(fd, place, SEEK_SET) == place);
		need(read(fd, buffer, 64) == 64);
	}
	close(fd);
}

static void repeated_failures(void)
{
	for (int turn = 0; turn < (clean ? 1 : 2 * MANY); turn++)
		need(open(path, O_RDONLY) < 0 && errno == ENOENT);
}

static void stdio_buffer(void)
{
	FILE *stream = fopen(path, "w");
	need(stream != NULL);
	if (clean)
		need(setvbuf(stream, buffer + PIECE, _IOFBF, PIECE) == 0);
	for (int turn = 0; turn < 8009; turn++)
		need(fwrite(buffer, 1000, 1, stream) == 1);
	fclose(stream);
}

/* A header that is no whole block moves all behind it. */
static void unaligned_requests(void)
{
	int fd = opened(O_WRONLY | O_TRUNC);
	size_t header = clean ? 8192 : 100;
	need(write(fd, buffer, header) == (ssize_t)header);
	for (int turn = 0; turn < 211; turn++)
		need(write(fd, buffer, 65536) == 65536);
	close(fd);
}

static const struct {
	const char *name;
	int reads;
	void (*work)(void);
} faults[] = {
	{"small-writes", 0, small_writes},     {"small-reads", 1, small_reads},
	{"random-reads", 1, random_reads},     {"random-writes", 0, random_writes},
	{"metadata-storm", 0, metadata_storm}, {"reopened-files", 1, reopened_files},
	{"sync-per-write", 0, sync_per_write}, {"redundant-reads", 1, redundant_reads},
	{"wasted-seeks", 1, wasted_seeks},     {"repeated-failures", 0, repeated_failures},
	{"stdio-buffer", 0, stdio_buffer},     {"unaligned-requests", 0, unaligned_requests},
};

int main(int count, char **words)
{
	if (count < 3)
		return 2;
	clean = count > 3;
	memset(buffer, 'x', sizeof buffer);
	for (size_t each = 0; each < sizeof faults / sizeof *faults; each++) {
		if (strcmp(faults[each].name, words[1]) == 0) {
			snprintf(path, sizeof path, "%s/%s", words[2], faults[each].reads ? "data" : words[1]);
			if (clean && faults[each].reads)
				whole();
			else
				faults[each].work();
			return 0;
		}
	}
	return 2;
}
