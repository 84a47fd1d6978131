/* Ways in which a program's threads and processes live and die; calls are counted by primes.
 * Every traced call of interest is layer_*() or a read/write on the descriptor that the test knows. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef WITHOUT_LAYER
long layer_add(long, long);
long layer_recurse(long);
long layer_nested(long);
void layer_leap(jmp_buf);
int layer_call(int (*)(void *), void *);
int layer_wait(int);
int layer_fail(int);
#endif

extern char **environ;

static void times(int count)
{
	for (int i = 0; i < count; i++) {
		if (getppid() < 0)
			abort();
	}
}

static void *seven(void *unused)
{
	times(7);
	return unused;
}

static int threads(void)
{
	pthread_t all[23];
	for (int i = 0; i < 23; i++)
		pthread_create(&all[i], NULL, seven, NULL);
	for (int i = 0; i < 23; i++)
		pthread_join(all[i], NULL);
	return 0;
}

static int forks(void)
{
	times(3);
	for (int i = 0; i < 5; i++) {
		if (fork() == 0) {
			times(7);
			if (fork() == 0) {
				times(11);
				_exit(0);
			}
			wait(NULL);
			_exit(0);
		}
		wait(NULL);
	}
	return 0;
}

static int vforks(const char *self)
{
	for (int i = 0; i < 5; i++) {
		pid_t child = vfork();
		if (child == 0) {
			execl(self, self, "times", "7", NULL);
			_exit(127);
		}
		waitpid(child, NULL, 0);
	}
	return 0;
}

static int spawns(const char *self)
{
	char *arguments[] = {(char *)self, "times", "11", NULL};
	for (int i = 0; i < 5; i++) {
		pid_t child;
		if (posix_spawn(&child, self, NULL, NULL, arguments, environ))
			return 1;
		waitpid(child, NULL, 0);
	}
	return 0;
}

static int chain(const char *self, int left)
{
	char text[12];
	times(7);
	if (left == 0)
		return 0;
	snprintf(text, sizeof(text), "%d", left - 1);
	execl(self, self, "chain", text, NULL);
	return 1;
}

static int short_lives(int count)
{
	for (int i = 0; i < count; i++) {
		if (fork() == 0) {
			times(2);
			_exit(0);
		}
		wait(NULL);
	}
	return 0;
}

static void ignore(int signal)
{
	(void)signal;
}

/* Wait until a process sleeps, as one does that reads from an empty pipe. */
static void await_sleep(pid_t process)
{
	char path[64], state = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", process);
	while (state != 'S') {
		usleep(10000);
		FILE *file = fopen(path, "r");
		if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
			state = 0;
		if (file)
			fclose(file);
	}
}

/* A read that a signal interrupts 5 times (EINTR each), when it has lasted 20 ms. */
static int interrupted(void)
{
	int pipes[2], status;
	char byte;
	struct sigaction action = {.sa_handler = ignore};
	if (pipe(pipes))
		return 1;
	sigaction(SIGALRM, &action, NULL);
	pid_t child = fork();
	for (int i = 0; i < 5 && !child; i++) {
		await_sleep(getppid());
		usleep(20000);
		kill(getppid(), SIGALRM);
	}
	if (!child)
		_exit(0);
	for (int i = 0; i < 5; i++)
		if (read(pipes[0], &byte, 1) != -1 || errno != EINTR)
			return 2;
	return waitpid(child, &status, 0) != child || status;
}

#ifndef WITHOUT_LAYER
static int recursion(void)
{
	for (int i = 0; i < 3; i++)
		if (layer_recurse(17) != 17)
			return 1;
	if (layer_recurse(67) != 67) /* deeper than the engine follows */
		return 2;
	for (int i = 0; i < 5; i++)
		layer_nested(i);
	return 0;
}

static int leaps(void)
{
	jmp_buf target;
	for (volatile int i = 0; i < 7; i++)
		if (setjmp(target) == 0)
			layer_leap(target);
	for (int i = 0; i < 5; i++)
		if (layer_add(i, 1) != i + 1)
			return 1;
	return 0;
}

static int callback(void *argument)
{
	return (int)layer_add(*(int *)argument, 1);
}

static int callbacks(void)
{
	int value = 41;
	for (int i = 0; i < 5; i++)
		if (layer_call(callback, &value) != 42)
			return 1;
	return 0;
}

/* Killed while inside layer_wait() and the read() in it. */
static int killed(void)
{
	int pipes[2];
	if (pipe(pipes))
		return 1;
	for (int i = 0; i < 5; i++) {
		pid_t child = fork();
		if (child == 0) {
			layer_wait(pipes[0]);
			_exit(0);
		}
		await_sleep(child);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return 0;
}

static int failing(void)
{
	for (int i = 0; i < 5; i++)
		layer_fail(-1);
	for (int i = 0; i < 3; i++)
		layer_fail(open("/", O_RDONLY));
	return 0;
}
#endif

int main(int count, char **arguments)
{
	const char *mode = count > 1 ? arguments[1] : "";
	int number = count > 2 ? atoi(arguments[2]) : 0;
	if (!strcmp(mode, "times"))
		return times(number), 0;
	if (!strcmp(mode, "threads"))
		return threads();
	if (!strcmp(mode, "forks"))
		return forks();
	if (!strcmp(mode, "vforks"))
		return vforks(arguments[0]);
	if (!strcmp(mode, "spawns"))
		return spawns(arguments[0]);
	if (!strcmp(mode, "chain"))
		return chain(arguments[0], number);
	if (!strcmp(mode, "short"))
		return short_lives(number);
	if (!strcmp(mode, "interrupted"))
		return interrupted();
#ifndef WITHOUT_LAYER
	if (!strcmp(mode, "recursion"))
		return recursion();
	if (!strcmp(mode, "leaps"))
		return leaps();
	if (!strcmp(mode, "callbacks"))
		return callbacks();
	if (!strcmp(mode, "killed"))
		return killed();
	if (!strcmp(mode, "failing"))
		return failing();
#endif
	return 64;
}
