/* Pairs of USDT probes that are switched on by counters: one each, one for both; a beginning at two places. */
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
#include <stdio.h>
#include <time.h>

#define COUNTER(name) __extension__ unsigned short crumbs_##name##_semaphore __attribute__((used, section(".probes")))
COUNTER(apart__start);
COUNTER(apart__done);
COUNTER(shared__entry);
extern __typeof__(crumbs_shared__entry_semaphore) crumbs_shared__return_semaphore
	__attribute__((alias("crumbs_shared__entry_semaphore")));
COUNTER(forms__entry);
COUNTER(forms__return);
COUNTER(gated);
COUNTER(deep__entry);
COUNTER(deep__return);

__attribute__((noinline)) void apart(int number, const char *name)
{
	if (crumbs_apart__start_semaphore)
		DTRACE_PROBE2(crumbs, apart__start, number, name);
	nanosleep(&(struct timespec){.tv_nsec = 3000}, NULL);
	if (crumbs_apart__done_semaphore)
		DTRACE_PROBE1(crumbs, apart__done, number);
}

__attribute__((noinline)) void shared(long number)
{
	if (crumbs_shared__entry_semaphore)
		DTRACE_PROBE1(crumbs, shared__entry, number);
	if (crumbs_shared__return_semaphore)
		DTRACE_PROBE1(crumbs, shared__return, number);
}

/* One beginning at two places, with its arguments elsewhere and of other sizes. */
__attribute__((noinline)) void forms(int left, unsigned long wide)
{
	if (crumbs_forms__entry_semaphore) {
		if (left % 2)
			DTRACE_PROBE2(crumbs, forms__entry, left, wide);
		else
			DTRACE_PROBE2(crumbs, forms__entry, (short)-left, (unsigned char)left);
	}
	if (left)
		forms(left - 1, wide + 1);
	if (crumbs_forms__return_semaphore)
		DTRACE_PROBE(crumbs, forms__return);
}

/* Takes as many milliseconds as calls are below it, and one for itself. */
__attribute__((noinline)) void deep(int level)
{
	if (crumbs_deep__entry_semaphore)
		DTRACE_PROBE1(crumbs, deep__entry, level);
	if (level < 39)
		deep(level + 1);
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	if (crumbs_deep__return_semaphore)
		DTRACE_PROBE(crumbs, deep__return);
}

int main(void)
{
	char name[] = "name"; /* in memory: a probe reads no page that the program did not touch */
	int gated = 0;
	for (int i = 0; i < 101; i++) {
		apart(i, name);
		if (crumbs_gated_semaphore) {
			gated++;
			DTRACE_PROBE1(crumbs, gated, (short)-i);
		}
	}
	for (long i = 0; i < 23; i++)
		shared(i * 123456789012);
	for (int i = 0; i < 3; i++)
		forms(6, 1UL << 40);
	for (int i = 0; i < 3; i++)
		deep(0);
	printf("%d\n", gated);
	return 0;
}
