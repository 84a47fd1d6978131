/* Two processes on one processor. One sleeps 101 times for a moment, while the other computes: the timer's interrupt,
 * which wakes it, comes in the middle of that. Then the other one itself wakes it 13 times. Prints its process id. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLEEPS 101
#define WAKES 13
#define PATIENCE 60 /* seconds for each wait */

static volatile int *slept, *woken;
static int bytes[2];

static void sleep_and_read(void)
{
	char byte;
	for (; *slept < SLEEPS; ++*slept)
		nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
	for (; *woken < WAKES; ++*woken) {
		if (read(bytes[0], &byte, 1) != 1)
			_exit(3);
	}
	_exit(0);
}

static int waits_in_read(pid_t process)
{
	char path[64], text[128];
	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)process);
	FILE *file = fopen(path, "r");
	int waits = file && fgets(text, sizeof(text), file) && text[0] != 'r' && atol(text) == SYS_read;
	if (file)
		fclose(file);
	return waits;
}

int main(void)
{
	time_t begin = time(NULL);
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	slept = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	woken = slept + 1;
	if (sched_setaffinity(0, sizeof(one), &one) || pipe(bytes))
		return 2;
	pid_t other = fork();
	if (!other)
		sleep_and_read();
	while (*slept < SLEEPS && time(NULL) < begin + PATIENCE)
		;
	for (int wakes = 0; wakes < WAKES; wakes++) {
		while ((*woken < wakes || !waits_in_read(other)) && time(NULL) < begin + 2 * PATIENCE)
			usleep(100);
		if (write(bytes[1], "x", 1) != 1)
			return 4;
	}
	int status;
	if (waitpid(other, &status, 0) != other || status || *slept < SLEEPS)
		return 5;
	printf("%d\n", (int)other);
	return 0;
}
