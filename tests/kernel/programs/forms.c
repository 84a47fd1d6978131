/* Runs each function of a table in a process of its own, from given registers and memory, and writes down what it left:
 * registers, flags, vectors, memory, where it went and with which signal it ended. Usage: forms FILE. */

#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum {
	MEMORY = 0x10000000,
	MEMORY_BYTES = 0x4000,
	STACK = 0x20000000,
	STACK_BYTES = 0x10000,
	STACK_TOP = STACK + 0x8000,
	OWN_STACK = STACK + 0xf000,
	SIGNAL_STACK = 0x30000000,
	SIGNAL_BYTES = 0x10000,
	RECORD = 0x40000000,
	STATE = 0x40010000,
	TEMPLATE = 0x40020000,
	GENERAL = 16,
	SEEN_MEMORY = 0x800,
	SEEN_STACK = 0x100,
	AREA_BYTES = 0x100,
	VECTOR_BYTES = 0xb00,
	ENABLED = 0xff, /* x87, SSE, AVX, masks and AVX-512 */
	SECONDS = 20,
};

struct record {
	uint64_t form, state, status;
	uint64_t general[GENERAL]; /* at 0x18 */
	uint64_t flags;		   /* at 0x98 */
	uint64_t way;		   /* at 0xa0 */
	uint64_t signal, signal_code, signal_address;
	uint64_t signal_registers[23];
	uint8_t memory[SEEN_MEMORY];
	uint8_t stack[SEEN_STACK];
	uint8_t area[AREA_BYTES];
	uint8_t vectors[VECTOR_BYTES] __attribute__((aligned(64)));
};

struct state {
	uint64_t flags, target;
	uint64_t general[GENERAL]; /* at 0x10 */
};

struct form {
	void (*code)(void);
	uint64_t branches;
};

extern const struct form form_table[];
extern const uint64_t form_count;
extern void run_enter(void);
extern void exit_3(void), exit_4(void);
uint8_t form_area[AREA_BYTES] __attribute__((aligned(64)));

asm(".text\n"
    "run_enter:\n"
    "	mov $-1, %eax\n	mov $-1, %edx\n	xrstor64 0x40020000\n"
    "	mov 0x40010030, %rsp\n"
    "	pushq 0x40010000\n	popfq\n"
    "	mov 0x40010018, %rcx\n	mov 0x40010020, %rdx\n	mov 0x40010028, %rbx\n"
    "	mov 0x40010038, %rbp\n	mov 0x40010040, %rsi\n	mov 0x40010048, %rdi\n"
    "	mov 0x40010050, %r8\n	mov 0x40010058, %r9\n	mov 0x40010060, %r10\n	mov 0x40010068, %r11\n"
    "	mov 0x40010070, %r12\n	mov 0x40010078, %r13\n	mov 0x40010080, %r14\n	mov 0x40010088, %r15\n"
    "	mov 0x40010010, %rax\n"
    "	jmp *0x40010008\n"
    ".irp number, 1, 2, 3, 4\n"
    "	.globl exit_\\number\n"
    "exit_\\number:\n	movq $\\number, 0x400000a0\n	jmp exit_all\n"
    ".endr\n"
    "exit_all:\n"
    "	mov %rax, 0x40000018\n	mov %rcx, 0x40000020\n	mov %rdx, 0x40000028\n	mov %rbx, 0x40000030\n"
    "	mov %rsp, 0x40000038\n	mov %rbp, 0x40000040\n	mov %rsi, 0x40000048\n	mov %rdi, 0x40000050\n"
    "	mov %r8, 0x40000058\n	mov %r9, 0x40000060\n	mov %r10, 0x40000068\n	mov %r11, 0x40000070\n"
    "	mov %r12, 0x40000078\n	mov %r13, 0x40000080\n	mov %r14, 0x40000088\n	mov %r15, 0x40000090\n"
    "	mov $0x2000f000, %esp\n"
    "	pushfq\n	popq 0x40000098\n	pushq $2\n	popfq\n"
    "	mov $0xff, %eax\n	xor %edx, %edx\n	xsave64 0x40001000\n"
    "	call run_finish\n");

/* Nothing here may use the thread's storage: the instruction may have changed where it is. */
__attribute__((noreturn, used)) void run_finish(void)
{
	volatile struct record *record = (void *)RECORD;
	volatile uint8_t *memory = (void *)MEMORY, *stack = (void *)(STACK_TOP - SEEN_STACK / 2);
	for (int i = 0; i < SEEN_MEMORY; i++)
		record->memory[i] = memory[0x200 + i];
	for (int i = 0; i < SEEN_STACK; i++)
		record->stack[i] = stack[i];
	for (int i = 0; i < AREA_BYTES; i++)
		record->area[i] = ((volatile uint8_t *)form_area)[i];
	for (int i = 0; i < VECTOR_BYTES; i++)
		record->vectors[i] = ((volatile uint8_t *)RECORD + 0x1000)[i];
	for (;;)
		asm volatile("syscall" ::"a"(SYS_exit_group), "D"(0) : "rcx", "r11", "memory");
}

static void on_signal(int number, siginfo_t *information, void *context)
{
	volatile struct record *record = (void *)RECORD;
	ucontext_t *user = context;
	record->signal = number;
	record->signal_code = information->si_code;
	record->signal_address = (uint64_t)information->si_addr;
	for (int i = 0; i < 23; i++)
		record->signal_registers[i] = user->uc_mcontext.gregs[i];
	run_finish();
}

static void map(uint64_t address, size_t bytes, int flags)
{
	if (mmap((void *)address, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		_exit(3);
}

/* Numbers that are neither too large nor too small in any width. */
static void fill(void *to, size_t bytes, uint64_t first)
{
	for (size_t i = 0; i < bytes / 8; i++)
		((uint64_t *)to)[i] = 0x3ff1234540490fdbull + (first + i) * 0x0000100300010002ull;
}

static void make_template(void)
{
	uint8_t *template = (void *)TEMPLATE;
	unsigned a, offset, c, d, bytes;
	asm volatile("fninit; fld1; fldpi");
	asm volatile("xsave64 (%0)" ::"r"(template), "a"(ENABLED), "d"(0) : "memory");
	asm volatile("fninit");
	asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	uint64_t enabled = a & ENABLED;
	fill(template + 160, 256, 1);
	for (unsigned part = 2; part < 8; part++) {
		if (!(enabled >> part & 1) || !__get_cpuid_count(0xd, part, &bytes, &offset, &c, &d))
			continue;
		fill(template + offset, bytes, 100 * part);
	}
	memcpy(template + 512, &enabled, sizeof enabled);
}

/* 0: registers hold addresses; 1: small numbers; 2: all an address of code; 3: addresses of memory that holds such. */
static void make_state(const struct form *form, int which)
{
	struct state *state = (void *)STATE;
	fill((void *)MEMORY, MEMORY_BYTES, 7);
	fill((void *)STACK, STACK_BYTES, 9);
	fill(form_area, sizeof form_area, 11);
	state->flags = which == 1 ? 0x8c3 : 0x202;
	state->target = (uint64_t)form->code;
	for (int i = 0; i < GENERAL; i++)
		state->general[i] = which == 1 ? 3 + i : which == 2 ? (uint64_t)exit_4 : MEMORY + 0x400 + i * 0x40;
	state->general[4] = STACK_TOP;
	*(uint64_t *)STACK_TOP = (uint64_t)exit_3;
	for (int i = 0; which == 3 && i < MEMORY_BYTES / 8; i++)
		((uint64_t *)MEMORY)[i] = (uint64_t)exit_4;
	for (int i = 0; which == 3 && i < AREA_BYTES / 8; i++)
		((uint64_t *)form_area)[i] = (uint64_t)exit_4;
}

static void run(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t stack = {.ss_sp = (void *)SIGNAL_STACK, .ss_size = SIGNAL_BYTES};
	int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	sigaltstack(&stack, 0);
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaction(numbers[i], &action, 0);
	alarm(SECONDS);
	run_enter();
}

int main(int count, char **arguments)
{
	int out = count == 2 ? open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	if (out < 0)
		return 2;
	map(MEMORY, MEMORY_BYTES, MAP_PRIVATE);
	map(STACK, STACK_BYTES, MAP_PRIVATE);
	map(SIGNAL_STACK, SIGNAL_BYTES, MAP_PRIVATE);
	map(RECORD, 0x4000, MAP_SHARED);
	map(STATE, 0x1000, MAP_PRIVATE);
	map(TEMPLATE, 0x4000, MAP_PRIVATE);
	make_template();
	for (uint64_t form = 0; form < form_count; form++)
		for (int which = 0; which < (form_table[form].branches ? 4 : 2); which++) {
			struct record *record = (void *)RECORD;
			int status = 0;
			memset((void *)RECORD, 0, 0x4000);
			make_state(&form_table[form], which);
			pid_t child = fork();
			if (!child)
				run();
			if (child < 0 || waitpid(child, &status, 0) != child)
				return 4;
			record->form = form;
			record->state = which;
			record->status = status;
			if (write(out, record, sizeof *record) != sizeof *record)
				return 5;
		}
	return 0;
}
