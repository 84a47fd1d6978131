/*
 * spawn TIMES PROGRAM: start a program and wait for its end, again and again.
 *
 * Prints the nanoseconds of each turn.
 */
/* SPDX-License-Identifier: MIT */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

int main(int count, char **arguments)
{
	char *environment[] = {NULL};

	if (count != 3)
		return 2;
	for (int turn = atoi(arguments[1]); turn > 0; turn--) {
		long begin = now();
		int status;
		pid_t child;

		if (posix_spawn(&child, arguments[2], NULL, NULL, arguments + 2, environment) ||
		    waitpid(child, &status, 0) != child || status)
			return 1;
		printf("%ld ", now() - begin);
	}
	putchar('\n');
	return 0;
}
