/* What programs open late: they call the first function at once, and the other when they are told to. */
#include <sys/sdt.h>

long late_first(long value)
{
	asm volatile("");
	return value + 1;
}

long late_then(long value)
{
	asm volatile("");
	DTRACE_PROBE1(late, then, value);
	return value + 1;
}
