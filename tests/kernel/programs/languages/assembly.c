/* A program with a switch of stacks and other code in assembly, with and without unwind information. */
#include <stdio.h>
#include <stdlib.h>

enum { STACK = 64 << 10, ROUNDS = 11 };

struct place {
	void *stack;
};

void switch_stack(struct place *from, const struct place *to, long value);
void stack_begins(void);
long twice_jumped(long value);
long looks_at_caller(void);
extern char after_call[];

static struct place outside, inside;
static long sum;

void other_stack(void)
{
	for (long round = 0;; round++) {
		sum += round;
		switch_stack(&inside, &outside, round);
	}
}

long added(long value)
{
	return value + 7;
}

int main(int count, char **arguments)
{
	char *stack = malloc(STACK);
	void **top = (void **)(stack + STACK - 64);

	top[-1] = NULL;
	top[-2] = (void *)other_stack;
	top[-3] = (void *)stack_begins;
	inside.stack = &top[-9];
	printf("%d %s\n", count, arguments[1]);
	for (int round = 0; round < ROUNDS; round++)
		switch_stack(&outside, &inside, round);
	printf("%ld %ld %ld\n", sum, twice_jumped(5), looks_at_caller());
	return 3;
}

#ifdef DESCRIBED
#define STARTS ".cfi_startproc\n"
#define ENDS ".cfi_endproc\n"
#else
#define STARTS
#define ENDS
#endif

#define FUNCTION(name) ".globl " #name "\n.type " #name ", @function\n" #name ":\n" STARTS
#define END(name) ENDS ".size " #name ", . - " #name "\n"

__asm__(".text\n" FUNCTION(switch_stack) "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
					 "mov %rsp, (%rdi)\n mov (%rsi), %rsp\n"
					 "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n" END(
						 switch_stack)
	/* Reached by a return: what is on top of the stack is the function to run. */
	FUNCTION(stack_begins) "pop %rax\n call *%rax\n ud2\n" END(stack_begins)
		FUNCTION(twice_jumped) "inc %rdi\n jmp jumped_to\n" END(twice_jumped)
			FUNCTION(jumped_to) "jmp added\n" END(jumped_to)
	/* 1 when the instruction before its return address is a call of it. */
	FUNCTION(looks_at_caller) "mov (%rsp), %rdx\n xor %eax, %eax\n cmpb $0xe8, -5(%rdx)\n sete %al\n ret\n" END(
		looks_at_caller) ".section .note.GNU-stack,\"\",@progbits\n.text\n");
