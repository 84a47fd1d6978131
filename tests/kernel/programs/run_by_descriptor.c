/* run_by_descriptor WAY PROGRAM [LINK]: execute a program by a descriptor of it; `itself`: this one by /proc/self/exe
 * first; `after`: just after LINK, which leads to it, was open, so that the kernel opens it in the same memory. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **arguments)
{
	if (count < 3)
		return 2;
	if (!strcmp(arguments[1], "descriptor"))
		fexecve(open(arguments[2], O_RDONLY | O_CLOEXEC), arguments + 2, environ);
	else if (!strcmp(arguments[1], "itself"))
		execl("/proc/self/exe", arguments[0], "descriptor", arguments[2], NULL);
	else if (!strcmp(arguments[1], "after") && count > 3) {
		int other = open(arguments[3], O_RDONLY | O_CLOEXEC);
		int program = open(arguments[2], O_RDONLY | O_CLOEXEC);
		close(other);
		fexecve(program, arguments + 2, environ);
	} else if (!strcmp(arguments[1], "relative"))
		execl(arguments[2], arguments[2], NULL);
	perror("run_by_descriptor");
	return 1;
}
