/* USDT probes with operands of each form of x86-64; the notes are written by hand, as compilers write them. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLACE(name, arguments) \
	"990: nop\n" \
	".pushsection .note.stapsdt,\"\",\"note\"\n" \
	".balign 4\n" \
	".4byte 992f-991f, 994f-993f, 3\n" \
	"991: .asciz \"stapsdt\"\n" \
	"992: .balign 4\n" \
	"993: .8byte 990b, 0, 0\n" \
	".asciz \"crumbs\"\n" \
	".asciz \"" name "\"\n" \
	".asciz \"" arguments "\"\n" \
	"994: .balign 4\n" \
	".popsection\n"

#define AT(name, arguments) \
	__asm__ volatile(PLACE(name, arguments) \
			 : \
			 : "a"(0x8899aabbccddeeff), "b"(-2L), "d"(table), "S"(last + page - 1), "r"(three))

static int64_t table[5] = {2, -3, 5, 0x1122334455667788, -11};

int main(void)
{
	long page = sysconf(_SC_PAGESIZE);
	unsigned char *last = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(last + page, page);
	last[page - 1] = 0xfd;
	register long three __asm__("r8") = 3;
	for (int i = 0; i < 7; i++) {
		AT("wide", "8@%%rax -8@%%rax 4@%%eax -4@%%eax 2@%%ax -2@%%ax");
		AT("narrow", "1@%%al -1@%%al 1@%%ah -1@%%ah -8@%%rbx 4@%%ebx");
		AT("memory", "8@24(%%rdx) -4@16+8(%%rdx) -8@-16(%%rdx,%%r8,8) 2@(%%rdx,%%r8,8) 1@(%%rsi) -1@(%%rsi)");
		AT("constants",
		   "-4@$-5 8@$18446744073709551615 -8@$-9223372036854775808 1@$-1 8@$123456789012 2@$65535");
		AT("partly", "8@table(%%rip) -4@%%r8d 8f@%%xmm0 8@%%r8 8@%%r8 8@%%r8 8@%%r8 8@%%r8");
	}
	return 0;
}
