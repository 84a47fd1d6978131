/* A handle that is made before the process is traced, which a line of its input says, and one that is made then. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

long thing_open(const char *path);
long thing_use(long handle, long tag);
int thing_close(long handle);

int main(void)
{
	char byte;
	long before = thing_open("before");
	if (write(1, ".", 1) != 1 || read(0, &byte, 1) != 1)
		return 2;
	long after = thing_open("after");
	thing_use(before, 41);
	thing_use(after, 43);
	if (!fork()) {
		thing_use(before, 47);
		thing_use(after, 53);
		_exit(0);
	}
	wait(NULL);
	return thing_close(before) || thing_close(after);
}
