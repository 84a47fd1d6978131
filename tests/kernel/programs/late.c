/* Opens a library late, calls it, waits for a line, and calls it again: late LIBRARY BEFORE AFTER */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;

static void calls(const char *name, long count)
{
	long (*function)(long) = (long (*)(long))dlsym(library, name);
	long sum = 0;
	for (long i = 0; i < count; i++)
		sum += function(0);
	printf("%ld\n", sum);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	library = argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	calls("late_first", atol(argv[2]));
	getchar();
	calls("late_then", atol(argv[3]));
	return 0;
}
