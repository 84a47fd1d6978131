/* A tree of processes that grows until its input ends: each child makes 7 calls, and a grandchild makes 11. For each
 * child it says on its output: its number, its child's, and the time before it was forked and after it ended. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 3

static pid_t *grandchildren;
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static volatile int over;

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void times(int count)
{
	for (int i = 0; i < count; i++) {
		if (getppid() < 0)
			abort();
	}
}

static void child(pid_t *grandchild)
{
	times(7);
	pid_t made = fork();
	if (made == 0) {
		times(11);
		_exit(0);
	}
	*grandchild = made;
	waitpid(made, NULL, 0);
	_exit(0);
}

static void *grow(void *place)
{
	pid_t *grandchild = place;
	while (!over) {
		long long before = now();
		pid_t made = fork();
		if (made == 0)
			child(grandchild);
		waitpid(made, NULL, 0);
		long long after = now();
		char line[128];
		int size = snprintf(line, sizeof(line), "%d %d %lld %lld\n", made, *grandchild, before, after);
		pthread_mutex_lock(&output);
		if (write(1, line, size) != size)
			abort();
		pthread_mutex_unlock(&output);
	}
	return NULL;
}

int main(void)
{
	char byte;
	pthread_t all[THREADS];
	grandchildren = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&all[i], NULL, grow, &grandchildren[i]);
	while (read(0, &byte, 1) > 0)
		;
	over = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(all[i], NULL);
	return 0;
}
