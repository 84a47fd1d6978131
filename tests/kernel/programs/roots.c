/* Calls unlink() 23 times, where the library that marks processes is not: prints how its loader was asked for it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	const char *preload = getenv("LD_PRELOAD");

	for (int index = 0; index < 23; index++)
		(void)unlink("/nothing");
	return printf("%s\n", preload == NULL ? "none" : preload) < 0;
}
