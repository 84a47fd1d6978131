/* A child that is born in a control group which its parent is not in. Makes 7 calls in the parent, 13 in the child. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void times(int count)
{
	for (int i = 0; i < count; i++) {
		if (getppid() < 0)
			abort();
	}
}

int main(int count, char **arguments)
{
	int status, group = count > 1 ? open(arguments[1], O_RDONLY | O_DIRECTORY) : -1;
	struct clone_args wanted = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = group};
	if (group < 0)
		return 2;
	long child = syscall(SYS_clone3, &wanted, sizeof(wanted));
	if (child < 0)
		return 3;
	times(child ? 7 : 13);
	if (!child)
		_exit(0);
	return waitpid(child, &status, 0) != child || status;
}
