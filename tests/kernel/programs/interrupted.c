/* Calls that signals interrupt, each at a moment when it surely waits: a child watches its parent's state before it
 * does the next thing. Prints what each call returned, as "name result errno". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 60 /* seconds for each wait of the child */

static volatile int *handled; /* shared: how many handlers began */
static int bytes[2], others[2], null;
static sigjmp_buf out;
static volatile int leaves, nests;

static void handle(int signal)
{
	int error = errno;
	char byte;
	++*handled;
	if (write(null, "thirteen chars", 13) != 13)
		_exit(3);
	if (nests && signal == SIGUSR1 && read(others[0], &byte, 1) != 1)
		_exit(4);
	errno = error;
	if (leaves)
		siglongjmp(out, 1);
}

/* What the kernel says of the parent: its state, and the call in which it is. */
static char look(pid_t parent, long *call)
{
	char path[64], text[256] = "", *end;
	snprintf(path, sizeof(path), "/proc/%d/syscall", parent);
	FILE *file = fopen(path, "r");
	*call = file && fgets(text, sizeof(text), file) && text[0] != 'r' ? atol(text) : -1;
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/proc/%d/stat", parent);
	file = fopen(path, "r");
	if (!file || !fgets(text, sizeof(text), file) || !(end = strrchr(text, ')')))
		_exit(5);
	fclose(file);
	return end[2];
}

static void wait_for(pid_t parent, char state, int handlers)
{
	time_t begin = time(NULL);
	long call;
	/* Of a call that a stop interrupted, some kernels have no number any more. */
	while (look(parent, &call) != state || (state == 'S' && call < 0) || *handled < handlers) {
		if (time(NULL) > begin + PATIENCE) {
			kill(parent, SIGKILL);
			_exit(6);
		}
		usleep(100);
	}
}

/* Each letter of the script is done when the parent waits: u, v signals; s stops and continues; w, o a byte. */
static pid_t disturb(const char *script)
{
	pid_t parent = getpid(), child = fork();
	if (child)
		return child;
	for (int handlers = *handled; *script; script++) {
		wait_for(parent, 'S', handlers);
		handlers += *script == 'u' || *script == 'v';
		if (*script == 'u' || *script == 'v')
			kill(parent, *script == 'u' ? SIGUSR1 : SIGUSR2);
		if ((*script == 'w' || *script == 'o') && write(*script == 'w' ? bytes[1] : others[1], "x", 1) != 1)
			_exit(7);
		if (*script == 's') {
			kill(parent, SIGSTOP);
			wait_for(parent, 'T', handlers);
			kill(parent, SIGCONT);
		}
	}
	_exit(0);
}

static void catch_signals(int flags)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
}

static void told(const char *name, long result, pid_t child)
{
	int error = result < 0 ? errno : 0, status = 0;
	while (child && waitpid(child, &status, 0) < 0)
		;
	if (status)
		exit(8);
	printf("%s %ld %d\n", name, result, error);
}

static void read_byte(int flags, const char *script)
{
	char byte;
	catch_signals(flags);
	pid_t child = disturb(script);
	told("read", read(bytes[0], &byte, 1), child);
}

static void poll_byte(int flags, const char *script)
{
	struct pollfd entry = {.fd = bytes[0], .events = POLLIN};
	char byte;
	catch_signals(flags);
	pid_t child = disturb(script);
	int result = poll(&entry, 1, 1000 * PATIENCE);
	told("poll", result, child);
	if (result > 0)
		told("read", read(bytes[0], &byte, 1), 0);
}

static void wait_for_signal(const char *script)
{
	catch_signals(SA_RESTART);
	pid_t child = disturb(script);
	told("ppoll", ppoll(NULL, 0, NULL, NULL), child);
}

static void sleep_long(const char *script)
{
	struct timespec time = {.tv_sec = PATIENCE};
	catch_signals(SA_RESTART);
	pid_t child = disturb(script);
	int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	errno = error;
	told("clock_nanosleep", error ? -1 : 0, child);
}

/* The handler does not return to the read. */
static void leave_read(void)
{
	char byte;
	catch_signals(SA_RESTART);
	pid_t child = disturb("u");
	leaves = 1;
	if (!sigsetjmp(out, 1))
		told("never", read(bytes[0], &byte, 1), child);
	leaves = 0;
	while (waitpid(child, NULL, 0) < 0)
		;
}

/* The handler of a signal that interrupts a read reads itself, and is interrupted as well. */
static void read_in_handler(void)
{
	nests = 1;
	read_byte(SA_RESTART, "uvow");
	nests = 0;
}

static void on_another_stack(void)
{
	static char memory[1 << 16];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)}, none = {.ss_flags = SS_DISABLE};
	sigaltstack(&stack, NULL);
	read_byte(SA_RESTART | SA_ONSTACK, "uvw");
	sigaltstack(&none, NULL);
}

int main(int count, char **arguments)
{
	int rounds = count > 1 ? atoi(arguments[1]) : 1;
	handled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	null = open("/dev/null", O_WRONLY);
	if (pipe(bytes) || pipe(others))
		return 2;
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (int round = 0; round < rounds; round++) {
		read_byte(0, "u");
		read_byte(SA_RESTART, "w");
		read_byte(SA_RESTART, "uw");
		read_byte(SA_RESTART, "uvuw");
		read_byte(0, "sw");
		read_byte(SA_RESTART, "susw");
		poll_byte(0, "sw");
		poll_byte(SA_RESTART, "su");
		wait_for_signal("u");
		wait_for_signal("ssu");
		sleep_long("u");
		sleep_long("su");
		leave_read();
		read_byte(SA_RESTART, "uw");
		on_another_stack();
		read_in_handler();
	}
	printf("process %d 0\nhandled %d 0\n", getpid(), *handled);
	fflush(stdout);
	return 0;
}
