/* A library whose calls are crossed by jumps, exceptions and changes of stacks. */
#include <unistd.h>

#define EXPORT __attribute__((noinline, visibility("default")))

EXPORT long cross_leaf(long value)
{
	asm volatile("");
	return value + 1;
}

EXPORT long cross_call(long (*callback)(void *), void *argument)
{
	long result = callback(argument);
	asm volatile("");
	return result;
}

EXPORT long cross_jump(long value)
{
	asm volatile("");
	return cross_leaf(value + 1);
}

/* Jumps to its own start; the compiler would make a loop of it. */
asm(".globl cross_again\n"
    ".type cross_again, @function\n"
    "cross_again: push %rbx\n"
    "pop %rbx\n"
    "mov $1, %eax\n"
    "dec %rdi\n"
    "jnz cross_again@PLT\n"
    "ret\n");

EXPORT long cross_read(int descriptor, void *to, long size)
{
	long result = read(descriptor, to, size);
	asm volatile("");
	return result;
}
