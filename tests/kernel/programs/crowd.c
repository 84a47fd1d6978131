/* Many threads, many processes, or many calls, with a known number of lseek(): printed, with the longest time in
 * nanoseconds that passed from one to the next where one thread makes them all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 3, ALIVE = 50, SECOND = 1000000000, ROUND = 1000 };

static int file;
static pthread_barrier_t all_there;

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static void call(long count)
{
	while (count--)
		if (lseek(file, 0, SEEK_CUR) < 0)
			abort();
}

static void *one_of_many(void *unused)
{
	pthread_barrier_wait(&all_there);
	call(CALLS);
	pthread_barrier_wait(&all_there);
	return unused;
}

/* All are alive at once. */
static long threads(long count)
{
	pthread_t *all = malloc((size_t)count * sizeof(*all));
	pthread_attr_t small;

	pthread_barrier_init(&all_there, NULL, (unsigned int)count);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 1 << 16);
	for (long i = 0; i < count; i++)
		if (pthread_create(&all[i], &small, one_of_many, NULL))
			abort();
	for (long i = 0; i < count; i++)
		pthread_join(all[i], NULL);
	return count * CALLS;
}

static long processes(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			abort();
		if (!child) {
			call(CALLS);
			_exit(0);
		}
		if (i >= ALIVE)
			wait(NULL);
	}
	while (wait(NULL) > 0)
		;
	return count * CALLS;
}

/* Each process makes another one until there may be no more, for so long. */
static long bomb(long seconds)
{
	long *made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long end = now() + seconds * SECOND;
	pid_t first = getpid();

	while (now() < end) {
		pid_t child = fork();

		call(CALLS);
		__sync_fetch_and_add(made, CALLS);
		if (child < 0 && errno != EAGAIN)
			abort();
		if (child < 0)
			usleep(1000);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	while (wait(NULL) > 0)
		;
	if (getpid() != first)
		_exit(0);
	return *made;
}

static long steady(long milliseconds, long *longest)
{
	long end = now() + milliseconds * 1000000, made = 0, last = now();

	for (*longest = 0; last < end; made += ROUND) {
		long after;

		call(ROUND);
		after = now();
		if (after - last > *longest)
			*longest = after - last;
		last = after;
	}
	return made;
}

int main(int count, char **arguments)
{
	long number, made = 0, longest = 0;

	if (count != 3)
		return 2;
	number = strtol(arguments[2], NULL, 10);
	file = open("/dev/null", O_RDONLY);
	if (file < 0)
		return 1;
	if (!strcmp(arguments[1], "threads"))
		made = threads(number);
	else if (!strcmp(arguments[1], "processes"))
		made = processes(number);
	else if (!strcmp(arguments[1], "bomb"))
		made = bomb(number);
	else if (!strcmp(arguments[1], "steady"))
		made = steady(number, &longest);
	printf("%ld %ld\n", made, longest);
	return 0;
}
