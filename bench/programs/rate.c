/*
 * rate THREADS CALLS_A_SECOND SECONDS FILE: make system calls at a rate, in ticks of a millisecond.
 *
 * Each thread opens the file for itself: on one descriptor they would wait for each other in the kernel.
 * A thread that is late makes up for it at once. Prints the calls made and the seconds that they took.
 */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TICK = 1000000, THREADS = 64 };

static long begin, length, calls_a_tick;
static const char *path;

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void *make_calls(void *result)
{
	long *made = result;
	long due = begin;
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		abort();
	while (due < begin + length && now() < begin + length + 100 * TICK) {
		struct timespec until;

		for (long i = 0; i < calls_a_tick; i++)
			if (lseek(file, 0, SEEK_CUR) < 0)
				abort();
		*made += calls_a_tick;
		due += TICK;
		until = (struct timespec){due / 1000000000L, due % 1000000000L};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t threads[THREADS];
	long made[THREADS] = {0};
	long number, total = 0;

	if (count != 5)
		return 2;
	number = strtol(arguments[1], NULL, 10);
	length = (long)(strtod(arguments[3], NULL) * 1e9);
	if (number < 1 || number > THREADS || length < TICK)
		return 2;
	calls_a_tick = strtol(arguments[2], NULL, 10) / 1000 / number;
	path = arguments[4];
	begin = now();
	for (long i = 0; i < number; i++)
		if (pthread_create(&threads[i], NULL, make_calls, &made[i]))
			return 1;
	for (long i = 0; i < number; i++)
		pthread_join(threads[i], NULL);
	for (long i = 0; i < number; i++)
		total += made[i];
	printf("%ld %.6f\n", total, (double)(now() - begin) / 1e9);
	return 0;
}
