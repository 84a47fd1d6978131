/* A library with known behaviour, probed by the kernel tests. */
#include <setjmp.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, visibility("default")))

EXPORT long layer_add(long left, long right)
{
	asm volatile("");
	return left + right;
}

EXPORT long layer_recurse(long depth)
{
	asm volatile("");
	return depth <= 1 ? 1 : 1 + layer_recurse(depth - 1);
}

EXPORT long layer_nested(long value)
{
	return layer_add(value, 1) + layer_add(value, 2);
}

EXPORT void layer_leap(jmp_buf target)
{
	asm volatile("");
	longjmp(target, 1);
}

EXPORT int layer_call(int (*callback)(void *), void *argument)
{
	int result = callback(argument);
	asm volatile("");
	return result;
}

EXPORT int layer_wait(int descriptor)
{
	char byte;
	return read(descriptor, &byte, 1);
}

EXPORT int layer_fail(int descriptor)
{
	char byte;
	int result = read(descriptor, &byte, 1);
	asm volatile("");
	return result < 0 ? -1 : 0;
}
