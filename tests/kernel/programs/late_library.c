/* What programs open late: they call the first function at once, and the other when they are told to. */
long late_first(long value)
{
	asm volatile("");
	return value + 1;
}

long late_then(long value)
{
	asm volatile("");
	return value + 1;
}
