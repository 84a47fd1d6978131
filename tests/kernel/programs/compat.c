/* Calls as 32-bit programs make them, and native ones between: their numbers mean other calls there. Static and at a
 * fixed address, so that its pointers fit into 32 bits. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static char path[] = "/tmp/datacrumbs-no-such-file", buffer[64];

static long call32(long number, long first, long second, long third)
{
	long result;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

enum { READ = 3, WRITE = 4, OPEN = 5, LLSEEK = 140, GETPPID = 64 };

int main(void)
{
	int null = open("/dev/null", O_RDWR);
	for (int i = 0; i < 101; i++)
		if (call32(WRITE, null, (long)buffer, 29) != 29)
			return 2;
	for (int i = 0; i < 103; i++)
		if (call32(READ, null, (long)buffer, 31) != 0)
			return 3;
	for (int i = 0; i < 53; i++)
		if (call32(OPEN, (long)path, O_RDONLY, 0) != -2)
			return 4;
	for (int i = 0; i < 59; i++)
		call32(GETPPID, 0, 0, 0);
	for (int i = 0; i < 61; i++)
		call32(LLSEEK, null, 0, 0);
	for (int i = 0; i < 107; i++)
		if (syscall(SYS_write, null, buffer, 37) != 37)
			return 5;
	return 0;
}
