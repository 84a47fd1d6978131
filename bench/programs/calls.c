/*
 * calls OPERATION BATCHES CALLS PLACE [CHILDREN]: what one call takes, as the program itself sees it.
 *
 * Operations: `write` (64 bytes to PLACE), `pread` (4 KiB of PLACE), or `LIBRARY:FUNCTION`, which is loaded and called.
 * Prints one line: the nanoseconds of a call in each batch. CHILDREN idle processes, forked before, live meanwhile.
 */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, BATCHES = 1000 };

typedef long function(long);

static char buffer[PAGE];

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static function *loaded(char *operation)
{
	char *colon = strrchr(operation, ':');
	void *library;
	function *found;

	if (!colon)
		fail(operation);
	*colon = 0;
	library = dlopen(operation, RTLD_NOW);
	found = library ? (function *)dlsym(library, colon + 1) : NULL;
	if (!found)
		fail(operation);
	return found;
}

static void leave_children(int count)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		fail("pipe");
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			fail("fork");
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (write(ready[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		if (read(ready[0], &byte, 1) != 1)
			fail("read");
	}
	close(ready[0]);
	close(ready[1]);
}

int main(int count, char **arguments)
{
	long nanoseconds[BATCHES];
	function *called = NULL;
	long batches, calls;
	int descriptor, is_write;

	if (count < 5)
		return 2;
	is_write = !strcmp(arguments[1], "write");
	batches = strtol(arguments[2], NULL, 10);
	calls = strtol(arguments[3], NULL, 10);
	if (batches > BATCHES || batches < 1 || calls < 1)
		return 2;
	if (!is_write && strcmp(arguments[1], "pread"))
		called = loaded(arguments[1]);
	descriptor = open(arguments[4], O_RDWR | O_CLOEXEC);
	if (descriptor < 0)
		fail(arguments[4]);
	if (count > 5)
		leave_children((int)strtol(arguments[5], NULL, 10));
	for (long batch = 0; batch < batches; batch++) {
		long begin = now();

		if (is_write)
			for (long i = 0; i < calls; i++) {
				if (write(descriptor, buffer, 64) != 64)
					fail("write");
			}
		else if (called)
			for (long i = 0; i < calls; i++)
				called(i);
		else
			for (long i = 0; i < calls; i++) {
				if (pread(descriptor, buffer, PAGE, 0) != PAGE)
					fail("pread");
			}
		nanoseconds[batch] = now() - begin;
	}
	for (long batch = 0; batch < batches; batch++)
		printf("%.1f%c", (double)nanoseconds[batch] / (double)calls, batch + 1 < batches ? ' ' : '\n');
	return 0; /* the children's parent ends, and they with it */
}
