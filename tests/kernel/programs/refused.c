/* Calls that a filter of seccomp refuses, in each of its ways. Works in the directory that it is given. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)
#define SAY(action) BPF_STMT(BPF_RET | BPF_K, action)
#define REFUSED_LENGTH 101
#define TRAPPED_LENGTH 103

static volatile int trapped;

static void handle(int signal)
{
	(void)signal;
	trapped++;
}

static int filter(void)
{
	struct sock_filter steps[] = {
		LOAD(nr),
		UNLESS(SYS_unlinkat, 1),
		SAY(SECCOMP_RET_ERRNO | EPERM),
		UNLESS(SYS_getppid, 1),
		SAY(SECCOMP_RET_ERRNO | 0),
		UNLESS(SYS_renameat2, 1),
		SAY(SECCOMP_RET_TRAP),
		UNLESS(SYS_mkdirat, 1),
		SAY(SECCOMP_RET_KILL_PROCESS),
		UNLESS(SYS_read, 5),
		LOAD(args[2]),
		UNLESS(REFUSED_LENGTH, 1),
		SAY(SECCOMP_RET_ERRNO | EIO),
		UNLESS(TRAPPED_LENGTH, 1),
		SAY(SECCOMP_RET_TRAP),
		SAY(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(steps) / sizeof(*steps), .filter = steps};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int count, char **arguments)
{
	char bytes[128];
	struct sigaction action = {.sa_handler = handle};
	int status, killed = 0;
	if (count < 2 || chdir(arguments[1]))
		return 2;
	int file = open("file", O_CREAT | O_RDWR, 0600);
	sigaction(SIGSYS, &action, NULL);
	if (filter())
		return 3;
	for (int i = 0; i < 13; i++) {
		if (syscall(SYS_unlinkat, AT_FDCWD, "kept", 0) != -1 || errno != EPERM)
			return 4;
	}
	for (int i = 0; i < 11; i++) {
		if (syscall(SYS_getppid))
			return 5;
	}
	for (int i = 0; i < 7; i++) {
		if (read(file, bytes, REFUSED_LENGTH) != -1 || errno != EIO || read(file, bytes, 1))
			return 6;
	}
	for (int i = 0; i < 5; i++)
		syscall(SYS_renameat2, AT_FDCWD, "kept", AT_FDCWD, "other", 0);
	for (int i = 0; i < 3; i++)
		syscall(SYS_read, file, bytes, TRAPPED_LENGTH);
	if (trapped != 5 + 3)
		return 7;
	for (int i = 0; i < 3; i++) {
		pid_t child = fork();
		if (!child)
			_exit(syscall(SYS_mkdirat, AT_FDCWD, "never", 0700));
		if (waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
			killed++;
	}
	return killed == 3 ? 0 : 8;
}
