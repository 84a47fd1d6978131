/* Programs that return probes could break; each exits with 0 when nothing did. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK (1 << 18)

long cross_leaf(long);
long cross_call(long (*)(void *), void *);
long cross_jump(long);
long cross_again(long);
long cross_read(int, void *, long);

static jmp_buf back;
static sigjmp_buf signal_back;
static ucontext_t outside, inside;
static int ends[2], cleaned;
static volatile pid_t reader;

static long leap(void *unused)
{
	cross_leaf(1);
	longjmp(back, 1);
}

static int leaps(void)
{
	for (volatile int i = 0; i < 7; i++) {
		if (!setjmp(back))
			cross_call(leap, NULL);
		else
			cross_leaf(2);
	}
	return 0;
}

static int compare(const void *left, const void *right)
{
	cross_leaf(3);
	longjmp(back, 1);
}

static int sorts(void)
{
	int values[5] = {5, 4, 3, 2, 1};
	for (volatile int i = 0; i < 7; i++) {
		if (!setjmp(back))
			qsort(values, 5, sizeof(values[0]), compare);
	}
	return 0;
}

static int jumps(void)
{
	long sum = 0;
	for (int i = 0; i < 7; i++)
		sum += cross_jump(i) + cross_again(5);
	return sum != 7 * 2 + 21 + 7;
}

static long wait_inside(void *unused)
{
	cross_leaf(4);
	swapcontext(&inside, &outside);
	cross_leaf(5);
	return 9;
}

static void coroutine(void)
{
	if (cross_call(wait_inside, NULL) != 9)
		abort();
}

static int coroutines(char *stack)
{
	for (int i = 0; i < 5; i++) {
		getcontext(&inside);
		inside.uc_stack.ss_sp = stack;
		inside.uc_stack.ss_size = STACK;
		inside.uc_link = &outside;
		makecontext(&inside, coroutine, 0);
		swapcontext(&outside, &inside);
		cross_leaf(6);
		swapcontext(&outside, &inside);
		cross_leaf(7);
	}
	return 0;
}

static void handle(int number)
{
	char byte = 1;
	cross_leaf(8);
	if (write(ends[1], &byte, 1) != 1)
		abort();
}

/* Wait until the reader waits in its read; by system calls, since reads of the C library are counted. */
static void await_read(void)
{
	char path[64], text[256] = "";
	while (text[0] < '0' || text[0] > '9' || atol(text) != SYS_read) {
		usleep(1000);
		snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", reader);
		int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
		long length = syscall(SYS_read, file, text, sizeof(text) - 1);
		text[length < 0 ? 0 : length] = 0;
		syscall(SYS_close, file);
	}
}

static void *interrupted(void *stack)
{
	stack_t given = {.ss_sp = stack, .ss_size = STACK};
	sigaltstack(&given, NULL);
	reader = syscall(SYS_gettid);
	for (int i = 0; i < 5; i++) {
		char byte;
		if (cross_read(ends[0], &byte, 1) != 1)
			abort();
	}
	return NULL;
}

/* The handler's stack lies above or below that of the thread. */
static int signals(int above)
{
	char *area = mmap(NULL, 3 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK | SA_RESTART};
	pthread_attr_t attributes;
	pthread_t thread;
	sigaction(SIGUSR1, &action, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, area + STACK, STACK);
	if (pipe(ends) || pthread_create(&thread, &attributes, interrupted, above ? area + 2 * STACK : area))
		return 1;
	for (int i = 0; i < 5; i++) {
		await_read();
		pthread_kill(thread, SIGUSR1);
	}
	pthread_join(thread, NULL);
	return 0;
}

static long leave_handler_inside(void *unused)
{
	siglongjmp(signal_back, 1);
}

static void leave_handler(int number)
{
	cross_call(leave_handler_inside, NULL);
}

static int left_handlers(void)
{
	char *area = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t given = {.ss_sp = area, .ss_size = STACK};
	struct sigaction action = {.sa_handler = leave_handler, .sa_flags = SA_ONSTACK};
	sigaltstack(&given, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (volatile int i = 0; i < 5; i++) {
		if (!sigsetjmp(signal_back, 1))
			raise(SIGUSR1);
		cross_leaf(9);
	}
	return 0;
}

static int confined(int strict)
{
	struct sock_filter instructions[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = {4, instructions};
	int status;
	pid_t child = fork();
	if (child == 0) {
		long sum = 0;
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (strict ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)
			   : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
			_exit(9);
		for (int i = 0; i < 7; i++)
			sum += cross_leaf(i);
		syscall(strict ? SYS_exit : SYS_exit_group, sum != 28);
	}
	waitpid(child, &status, 0);
	return status != 0;
}

static void clean(void *unused)
{
	cleaned++;
}

static void *block(void *unused)
{
	char byte;
	pthread_cleanup_push(clean, NULL);
	reader = syscall(SYS_gettid);
	cross_read(ends[0], &byte, 1);
	pthread_cleanup_pop(0);
	return NULL;
}

static int cancels(void)
{
	if (pipe(ends))
		return 1;
	for (int i = 0; i < 5; i++) {
		pthread_t thread;
		void *result;
		reader = 0;
		pthread_create(&thread, NULL, block, NULL);
		await_read();
		pthread_cancel(thread);
		pthread_join(thread, &result);
		if (result != PTHREAD_CANCELED)
			return 2;
	}
	return cleaned != 5;
}

static long split(void *how)
{
	int status;
	pid_t child = how ? vfork() : fork();
	if (child == 0) {
		cross_leaf(10);
		_exit(0);
	}
	waitpid(child, &status, 0);
	return status;
}

static int splits(void *how)
{
	for (int i = 0; i < 5; i++) {
		if (cross_call(split, how))
			return 1;
	}
	return 0;
}

static int callers(void)
{
	for (int i = 0; i < 5; i++) {
		if (!dlsym(RTLD_NEXT, "cross_leaf"))
			return 1;
	}
	return 0;
}

int main(int count, char **arguments)
{
	static char far[STACK];
	char near[STACK];
	const char *what = count > 1 ? arguments[1] : "";
	if (!strcmp(what, "leaps"))
		return leaps();
	if (!strcmp(what, "sorts"))
		return sorts();
	if (!strcmp(what, "jumps"))
		return jumps();
	if (!strcmp(what, "far coroutines"))
		return coroutines(far);
	if (!strcmp(what, "near coroutines"))
		return coroutines(near);
	if (!strcmp(what, "signals above"))
		return signals(1);
	if (!strcmp(what, "signals below"))
		return signals(0);
	if (!strcmp(what, "left handlers"))
		return left_handlers();
	if (!strcmp(what, "strict"))
		return confined(1);
	if (!strcmp(what, "filter"))
		return confined(0);
	if (!strcmp(what, "cancels"))
		return cancels();
	if (!strcmp(what, "forks"))
		return splits(NULL);
	if (!strcmp(what, "vforks"))
		return splits(&ends);
	if (!strcmp(what, "callers"))
		return callers();
	return 99;
}
