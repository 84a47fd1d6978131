/* USDT probes with operands of all kinds: registers, memory, constants. */
#include <sys/sdt.h>

static long table[7];

__attribute__((noinline)) long work(long left)
{
	long result;
	DTRACE_PROBE2(crumbs, work__entry, left, table[left % 7]);
	result = left <= 1 ? left : work(left - 1) + 1;
	DTRACE_PROBE1(crumbs, work__return, result);
	return result;
}

static const long primes[7] = {2, 3, 5, 7, 11, 13, 17};

int main(void)
{
	for (int i = 0; i < 7; i++)
		table[i] = primes[i];
	for (int i = 0; i < 13; i++)
		DTRACE_PROBE2(crumbs, tick, 23, i);
	for (int i = 0; i < 3; i++)
		work(5);
	return 0;
}
