/* Handles that children have from their parents, and that are given back and used again. Each use has a number of its
 * own. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

long thing_open(const char *path);
long thing_make(void);
long thing_use(long handle, long tag);
int thing_hold(long handle);
int thing_release(long handle);
int thing_close(long handle);

static int gate[2];

/* A child that goes on when its parent has done the rest. */
static pid_t later(void)
{
	char byte;
	pid_t child = fork();
	if (!child && read(gate[0], &byte, 1) != 1)
		_exit(3);
	return child;
}

static void finish(int children)
{
	for (int i = 0; i < children; i++) {
		if (write(gate[1], "x", 1) != 1)
			exit(4);
	}
	while (wait(NULL) > 0)
		;
}

int main(int count, char **arguments)
{
	if (count > 1) {
		thing_open("other-program-1");
		return thing_use(2, 90) < 0; /* the other program's handle, which this one never opened */
	}
	if (pipe(gate))
		return 2;
	long first = thing_open("first"), second = thing_open("second");
	thing_use(first, 1);
	if (!later()) {
		thing_use(first, 2); /* its parent has closed it by now, and opened another in its place */
		thing_use(second, 3);
		if (!later()) {
			thing_use(first, 4);
			thing_use(second, 5); /* its own parent has closed that after the fork */
			_exit(0);
		}
		thing_close(second);
		thing_use(second, 6);
		finish(1);
		_exit(0);
	}
	thing_close(first);
	long third = thing_open("third"); /* the same number */
	thing_use(third, 7);
	for (int i = 0; i < 5; i++) { /* what it was before is further away with each fork */
		if (!later()) {
			thing_use(third, 10 + i);
			_exit(0);
		}
		thing_close(third);
		third = thing_open(i % 2 ? "odd" : "even");
		thing_use(third, 20 + i);
	}
	thing_close(third);
	thing_use(third, 30);
	long bare = thing_make(); /* the same number, without a file */
	thing_use(bare, 31);
	thing_hold(second);
	thing_release(second);
	thing_use(second, 32);
	thing_release(second);
	thing_use(second, 33);
	if (!fork()) {
		execl("/proc/self/exe", arguments[0], "again", NULL);
		_exit(5);
	}
	finish(6);
	return 0;
}
