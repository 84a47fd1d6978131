/* Arguments of processes: `arguments rewrite WORD...` writes others over its own, forks a process and executes a
 * program; `arguments storm NUMBER` executes NUMBER programs, each in a process of its own, which ends at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_for(pid_t child)
{
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		exit(1);
}

static void storm(int number)
{
	for (int i = 0; i < number; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", i);
		pid_t child = vfork();
		if (!child) {
			execl("/bin/true", "/bin/true", "child", text, (char *)NULL);
			_exit(1);
		}
		wait_for(child);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "storm")) {
		storm(atoi(argv[2]));
		return 0;
	}
	char *end = argv[argc - 1] + strlen(argv[argc - 1]);
	memset(argv[0], 'x', end - argv[0]);
	pid_t child = fork();
	if (!child)
		_exit(write(STDOUT_FILENO, "", 0) < 0);
	wait_for(child);
	execl("/bin/true", "/bin/true", "executed", (char *)NULL);
	return 1;
}
