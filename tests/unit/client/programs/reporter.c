/* Prints what a launcher must not change: arguments, signal dispositions and mask, descriptors, environment. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

int main(int count, char **arguments)
{
	sigset_t mask;
	int number;

	for (number = 0; number < count; number++)
		printf("argument %d %s\n", number, arguments[number]);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (number = 1; number < 32; number++) {
		struct sigaction action;

		if (sigaction(number, NULL, &action) == 0)
			printf("signal %d ignored %d blocked %d\n", number, action.sa_handler == SIG_IGN,
			       sigismember(&mask, number));
	}
	for (number = 0; number < 256; number++)
		if (fcntl(number, F_GETFD) >= 0)
			printf("descriptor %d\n", number);
	for (number = 0; environ[number] != NULL; number++)
		if (strncmp(environ[number], "LD_PRELOAD=", 11) != 0)
			printf("environment %s\n", environ[number]);
	return 23;
}
