/* Vectors of more entries than fit any small table, and streams that have no file. Reads standard input, a file. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static char bytes[2048];
static struct iovec entries[IOV_MAX + 1];

/* Entries of 1, 2, 3, ... bytes. */
static size_t fill(int count)
{
	size_t sum = 0;
	for (int i = 0; i < count; i++) {
		entries[i] = (struct iovec){bytes, 1 + i};
		sum += 1 + i;
	}
	return sum;
}

static ssize_t drop(void *cookie, const char *text, size_t size)
{
	(void)cookie;
	(void)text;
	return size;
}

static int vectors(void)
{
	static const int counts[] = {1, 7, 8, 9, 11, 255, 256, 257, 523, 1021, 1024};
	int pair[2], null = open("/dev/null", O_WRONLY);
	for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		if (writev(null, entries, counts[i]) != (ssize_t)fill(counts[i]))
			return 3;
	}
	if (writev(null, entries, IOV_MAX + 1) != -1 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 4;
	struct msghdr message = {.msg_iov = entries, .msg_iovlen = 13};
	return sendmsg(pair[0], &message, 0) == (ssize_t)fill(13) ? 0 : 5;
}

static int streams(void)
{
	static char room[4096];
	char *text, junk[64];
	size_t size;
	for (int i = 0; i < 103; i++) {
		FILE *file = fopen("/dev/null", "w");
		fputs("a file\n", file);
		fclose(file); /* the memory stream may have the same address */
		FILE *memory = open_memstream(&text, &size);
		fprintf(memory, "line %d of something built in memory\n", i);
		fflush(memory);
		fclose(memory);
		free(text);
		memory = fmemopen(room, sizeof(room), "w+");
		fputs("memory\n", memory);
		rewind(memory);
		if (!fgets(junk, sizeof(junk), memory))
			return 6;
		fclose(memory);
		memory = fopencookie(NULL, "w", (cookie_io_functions_t){.write = drop});
		fwrite(bytes, 1, 7, memory);
		fclose(memory);
	}
	return fgets(junk, sizeof(junk), stdin) ? 0 : 7;
}

int main(void)
{
	fill(IOV_MAX + 1);
	int failed = vectors();
	return failed ? failed : streams();
}
