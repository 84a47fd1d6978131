/* Without a C library of its kind of machine: ends with 23, or with 24 when LD_PRELOAD is in its environment. */
#include <stdint.h>

__asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call begin\n");

void begin(char **stack)
{
	static const char name[] = "LD_PRELOAD=";
	char **variable = stack + 2 + (intptr_t)*stack;
	int status = 23;

	for (; *variable != 0; variable++) {
		int same = 0;

		while (name[same] != 0 && (*variable)[same] == name[same])
			same++;
		if (name[same] == 0)
			status = 24;
	}
	__asm__ volatile("int $0x80" : : "a"(1), "b"(status));
	__builtin_unreachable();
}
