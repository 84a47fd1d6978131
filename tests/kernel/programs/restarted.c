/* A thread that is in a call while another one stops tracing and starts it again. What it does meanwhile nothing sees.
 * Arguments: the client library, and what the thread does in between:
 *   stays    nothing: it is in the one call all the time;
 *   same     it ends the call and begins another one of the same kind, in which it is when tracing starts;
 *   other    likewise, one that is not probed;
 *   handled  likewise, and a signal's handler interrupts either call at the moment of the stop and of the start. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7
#define PATIENCE 60 /* seconds for each wait */

static int pipes[2][2];
static volatile pid_t thread;
static volatile int step, handling, let_go;
static const char *way;

static int is(const char *name)
{
	return !strcmp(way, name);
}

static void wait_while(int (*waits)(long), long what)
{
	time_t begin = time(NULL);
	while (waits(what)) {
		if (time(NULL) > begin + PATIENCE)
			_exit(5);
		usleep(100);
	}
}

static int is_held(long number)
{
	return let_go < number;
}

static int is_not_handling(long number)
{
	return handling < number;
}

static void handle(int signal)
{
	(void)signal;
	handling++;
	wait_while(is_held, handling);
}

static void read_byte(int which)
{
	char byte;
	if (syscall(SYS_read, pipes[which][0], &byte, 1) != 1)
		_exit(3);
	step++;
}

static void *work(void *unused)
{
	thread = syscall(SYS_gettid);
	for (int which = 0; which < (is("stays") ? 1 : 2) * ROUNDS; which++) {
		struct pollfd entry = {.fd = pipes[1][0], .events = POLLIN};
		if (is("other") && which % 2) /* until the byte is there, so that read does not wait */
			syscall(SYS_ppoll, &entry, 1, NULL, NULL, 0);
		read_byte(which % 2 && !is("stays"));
	}
	return unused;
}

static int wanted_step;

static int is_not_in(long number)
{
	char path[64], text[128];
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)thread);
	FILE *file = thread && step == wanted_step ? fopen(path, "r") : NULL;
	int inside = file && fgets(text, sizeof(text), file) && text[0] != 'r' && atol(text) == number;
	if (file)
		fclose(file);
	return !inside;
}

static void wait_for(long number, int at)
{
	wanted_step = at;
	wait_while(is_not_in, number);
}

static void interrupt(pthread_t made)
{
	int before = handling;
	pthread_kill(made, SIGUSR1);
	wait_while(is_not_handling, before + 1);
}

static void give(int which)
{
	if (write(pipes[which][1], "x", 1) != 1)
		_exit(6);
}

int main(int count, char **arguments)
{
	pthread_t made;
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
	void *library = count > 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
	void (*start)(void) = library ? (void (*)(void))dlsym(library, "datacrumbs_start") : NULL;
	void (*stop)(void) = library ? (void (*)(void))dlsym(library, "datacrumbs_stop") : NULL;
	if (!start || !stop || pipe(pipes[0]) || pipe(pipes[1]) || sigaction(SIGUSR1, &action, NULL))
		return 2;
	way = arguments[2];
	if (pthread_create(&made, NULL, work, NULL))
		return 2;
	for (int round = 0; round < ROUNDS; round++) {
		int steps = is("stays") ? round : 2 * round;
		wait_for(SYS_read, steps);
		if (is("handled"))
			interrupt(made);
		stop();
		let_go = handling;
		if (!is("stays")) {
			give(0);
			wait_for(is("other") ? SYS_ppoll : SYS_read, steps + 1);
		}
		if (is("handled"))
			interrupt(made);
		start();
		let_go = handling;
		give(!is("stays"));
	}
	pthread_join(made, NULL);
	return 0;
}
