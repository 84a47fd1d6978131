/* Calls with known numbers, for the tests of kernel functions. Statically linked: no other calls. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char page[4096];

/* 101 writes of 7 bytes, 53 reads of 3, 13 and 11 that the VFS refuses, 5 that do not reach it. */
static int results(const char *path)
{
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	int reader = open(path, O_RDONLY);
	if (file < 0 || reader < 0)
		return 1;
	for (int i = 0; i < 101; i++)
		if (write(file, page, 7) != 7)
			return 2;
	for (int i = 0; i < 53; i++)
		if (read(reader, page, 3) != 3)
			return 3;
	for (int i = 0; i < 13; i++)
		if (write(reader, page, 19) != -1)
			return 4;
	for (int i = 0; i < 11; i++)
		if (syscall(SYS_write, file, -4096L, 23) != -1)
			return 5;
	for (int i = 0; i < 5; i++)
		if (write(-1, page, 29) != -1)
			return 6;
	return 0;
}

static int pipes[2];

static void *one_read(void *unused)
{
	char byte;
	(void)unused;
	if (read(pipes[0], &byte, 1) != 1)
		abort();
	return NULL;
}

/* `count` threads, all inside a read of the same pipe at once, until standard input ends. */
static int blocked(int count)
{
	pthread_t threads[64];
	char byte;
	if (pipe(pipes) || count > 64)
		return 1;
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, one_read, NULL);
	while (read(0, &byte, 1) > 0)
		;
	for (int i = 0; i < count; i++)
		if (write(pipes[1], page, 1) != 1)
			return 2;
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* 17 pages to a file and to the disk; or read again, a page each time. */
static int pages(const char *path, int writing)
{
	int file = open(path, writing ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0644);
	if (file < 0)
		return 1;
	for (int i = 0; i < 17; i++)
		if ((writing ? write(file, page, sizeof(page)) : read(file, page, sizeof(page))) != sizeof(page))
			return 2;
	if (writing && fsync(file))
		return 3;
	return 0;
}

/* 31 reads of 4 KiB past the page cache, each a request of its own. */
static int direct(const char *path)
{
	void *buffer;
	int file = open(path, O_RDONLY | O_DIRECT);
	if (file < 0 || posix_memalign(&buffer, 4096, 4096))
		return 1;
	for (int i = 0; i < 31; i++)
		if (read(file, buffer, 4096) != 4096)
			return 2;
	return 0;
}

int main(int count, char **arguments)
{
	const char *mode = count > 2 ? arguments[1] : "";
	if (!strcmp(mode, "results"))
		return results(arguments[2]);
	if (!strcmp(mode, "blocked"))
		return blocked(atoi(arguments[2]));
	if (!strcmp(mode, "write"))
		return pages(arguments[2], 1);
	if (!strcmp(mode, "read"))
		return pages(arguments[2], 0);
	if (!strcmp(mode, "direct"))
		return direct(arguments[2]);
	return 64;
}
