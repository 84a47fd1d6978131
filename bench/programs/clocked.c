/* clocked FILE COMMAND [ARGUMENT...]: run a command and write the seconds that it took to a file. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
	double begin = now();
	double seconds;
	FILE *file;
	pid_t child;
	int status;

	if (count < 3 || posix_spawnp(&child, arguments[2], NULL, NULL, arguments + 2, environ))
		return 127;
	if (waitpid(child, &status, 0) != child)
		return 127;
	seconds = now() - begin;
	file = fopen(arguments[1], "w");
	if (!file || fprintf(file, "%.9f\n", seconds) < 0 || fclose(file))
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
