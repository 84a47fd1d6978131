/* Writes the same bytes in every rank; with a third argument, the memory of this one comes late, as data from a slow
   device would: a write waits for each page of it. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGES 53
#define PAGE 4096L

static int faults;

static void need(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

static void *answer(void *unused)
{
	struct timespec late = {0, 20000000};
	for (;;) {
		struct uffd_msg message;
		need(read(faults, &message, sizeof message) == sizeof message, "read");
		nanosleep(&late, NULL);
		struct uffdio_zeropage page = {{message.arg.pagefault.address & ~(PAGE - 1), PAGE}, 0, 0};
		need(ioctl(faults, UFFDIO_ZEROPAGE, &page) == 0, "UFFDIO_ZEROPAGE");
	}
	return unused;
}

static void be_late(char *memory)
{
	struct uffdio_api api = {UFFD_API, 0, 0};
	struct uffdio_register range = {{(unsigned long)memory, PAGES * PAGE}, UFFDIO_REGISTER_MODE_MISSING, 0};
	pthread_t thread;
	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	need(faults >= 0 && ioctl(faults, UFFDIO_API, &api) == 0, "userfaultfd");
	need(ioctl(faults, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
	need(pthread_create(&thread, NULL, answer, NULL) == 0, "pthread_create");
}

int main(int count, char **words)
{
	char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(memory != MAP_FAILED && count > 1, "mmap");
	if (count > 2)
		be_late(memory);
	int fd = open(words[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	need(fd >= 0, words[1]);
	for (long turn = 0; turn < PAGES; turn++)
		need(write(fd, memory + turn * PAGE, PAGE) == PAGE, "write");
	return close(fd);
}
