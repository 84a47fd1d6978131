/* What C programs do with their stacks: threads, signals, contexts, jumps, callbacks, children, files. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if CONTEXTS
#include <ucontext.h>
#endif

enum { THREADS = 3, STEPS = 7, STACK = 256 << 10 };

static jmp_buf place;
static volatile sig_atomic_t signals;
static pthread_key_t key;
static int destroyed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

long ackermann(long m, long n)
{
	if (m == 0)
		return n + 1;
	return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int ascending(const void *one, const void *other)
{
	return *(const int *)one - *(const int *)other;
}

void leap(int depth)
{
	if (depth == 0)
		longjmp(place, 23);
	leap(depth - 1);
}

void on_signal(int number)
{
	signals += number == SIGUSR1 ? 1 : 100;
}

void on_information(int number, siginfo_t *information, void *context)
{
	(void)context;
	signals += information->si_signo == number ? 10 : 100;
}

void forget(void *value)
{
	pthread_mutex_lock(&lock);
	destroyed += *(int *)value;
	pthread_mutex_unlock(&lock);
	free(value);
}

void *work(void *argument)
{
	int *mine = malloc(sizeof(*mine));
	long number = (long)argument;

	*mine = (int)number;
	pthread_setspecific(key, mine);
	raise(SIGUSR1);
	if (number % 2)
		pthread_exit((void *)ackermann(2, number));
	return (void *)ackermann(2, number);
}

void clean(void *count)
{
	(*(int *)count)++;
}

void *wait_for_ever(void *count)
{
	pthread_cleanup_push(clean, count);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return NULL;
}

void threads(void)
{
	pthread_t ids[THREADS], waiting;
	long sum = 0;
	int cleaned = 0;
	void *result;

	pthread_key_create(&key, forget);
	for (long index = 0; index < THREADS; index++)
		pthread_create(&ids[index], NULL, work, (void *)index);
	for (int index = 0; index < THREADS; index++) {
		pthread_join(ids[index], &result);
		sum += (long)result;
	}
	pthread_create(&waiting, NULL, wait_for_ever, &cleaned);
	pthread_cancel(waiting);
	pthread_join(waiting, &result);
	printf("threads %ld %d, %d %d\n", sum, destroyed, cleaned <= 1, result == PTHREAD_CANCELED);
}

#if CONTEXTS
static ucontext_t main_context, other;
static int stepped;

void steps(int by)
{
	for (int index = 0; index < STEPS; index++) {
		stepped += by;
		swapcontext(&other, &main_context);
	}
}

void contexts(void)
{
	char *stack = malloc(STACK);
	int rounds = 0;

	getcontext(&other);
	other.uc_stack.ss_sp = stack;
	other.uc_stack.ss_size = STACK;
	other.uc_link = &main_context;
	makecontext(&other, (void (*)(void))steps, 1, 3);
	for (; rounds <= STEPS; rounds++)
		swapcontext(&main_context, &other);
	printf("contexts %d %d\n", stepped, rounds);
	free(stack);
}
#else
void contexts(void)
{
}
#endif

void handlers(void)
{
	stack_t stack = {.ss_sp = malloc(STACK), .ss_size = STACK};
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGUSR1, &action, NULL);
	sigaltstack(&stack, NULL);
	action.sa_sigaction = on_information;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);
	for (int index = 0; index < STEPS; index++)
		raise(index % 2 ? SIGUSR1 : SIGUSR2);
	printf("signals %d\n", (int)signals);
}

void files(void)
{
	char line[64];
	FILE *stream = tmpfile();
	int count = 0;

	for (int index = 0; index < STEPS; index++)
		fprintf(stream, "line %d %.2f\n", index, index / 4.0);
	rewind(stream);
	while (fgets(line, sizeof(line), stream) != NULL)
		count += (int)strlen(line);
	fclose(stream);
	printf("files %d\n", count);
}

void children(void)
{
	int status, exited = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit((int)ackermann(1, 9));
	waitpid(child, &status, 0);
	exited += WEXITSTATUS(status);
	child = vfork();
	if (child == 0)
		_exit(5);
	waitpid(child, &status, 0);
	exited += WEXITSTATUS(status);
	child = fork();
	if (child == 0)
		abort();
	waitpid(child, &status, 0);
	printf("children %d %d %d\n", exited, WTERMSIG(status), system("exit 7") >> 8);
}

void at_end(void)
{
	printf("end %d\n", (int)signals);
}

int main(int count, char **arguments)
{
	int numbers[] = {5, 2, 11, 3, 7};
	volatile int jumps = 0;

	atexit(at_end);
	printf("%d %s\n", count, arguments[1]);
	qsort(numbers, 5, sizeof(int), ascending);
	printf("sorted %d %d %d\n", numbers[0], numbers[2], numbers[4]);
	while (setjmp(place) == 23 ? ++jumps < STEPS : jumps == 0)
		leap(jumps);
	printf("jumps %d, ackermann %ld\n", jumps, ackermann(2, 3));
	handlers();
	contexts();
	threads();
	files();
	children();
	return 3;
}
