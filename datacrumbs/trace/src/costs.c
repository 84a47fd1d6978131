/* What a call takes, bare and traced: calls in a loop, and functions to put probes on. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#define DC_EXPORT __attribute__((visibility("default")))

/*
 * Each function begins with an instruction that the kernel emulates under a probe, or single-steps, whatever the
 * compiler makes of other functions.
 */
#define DC_FUNCTION(name, code) \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", %function\n" #name ":\n.cfi_startproc\n" code \
		"ret\n.cfi_endproc\n.size " #name ", . - " #name "\n"); \
	void name(void);

#if defined(__x86_64__)
#define DC_EMULATED "nop\n"
#define DC_STEPPED "test %rdi, %rdi\n"
#elif defined(__aarch64__)
#define DC_EMULATED "b 1f\n1:\n"
#define DC_STEPPED "add x0, x0, #0\n"
#endif

enum { DC_COST_NO_FILE, DC_COST_FILE, DC_COST_FUNCTIONS };

#ifdef DC_EMULATED
DC_FUNCTION(dc_cost_emulated, DC_EMULATED)
DC_FUNCTION(dc_cost_stepped, DC_STEPPED)
DC_FUNCTION(dc_cost_emulated_entry, DC_EMULATED)
DC_FUNCTION(dc_cost_stepped_entry, DC_STEPPED)
static void (*const dc_cost_functions[])(void) = {
	dc_cost_emulated,
	dc_cost_stepped,
	dc_cost_emulated_entry,
	dc_cost_stepped_entry,
};
enum { DC_COST_COUNT = sizeof(dc_cost_functions) / sizeof(*dc_cost_functions) };
#else
static void (*const *const dc_cost_functions)(void) = NULL;
enum { DC_COST_COUNT = 0 };
#endif

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/*
 * Times of rounds of equal calls: `way` is getppid(2), write(2) of one byte to `descriptor`, or a function. Gives 0, or
 * -1 where there is no such function on this machine.
 */
DC_EXPORT int dc_costs_measure(uint32_t way, int descriptor, uint32_t calls, uint32_t rounds, uint64_t *nanoseconds)
{
	void (*volatile function)(void) = NULL;
	static const char byte = 0;

	if (way >= DC_COST_FUNCTIONS) {
		if (way - DC_COST_FUNCTIONS >= DC_COST_COUNT)
			return -1;
		function = dc_cost_functions[way - DC_COST_FUNCTIONS];
	}
	for (uint32_t round = 0; round < rounds; round++) {
		uint64_t begin = now();

		for (uint32_t call = 0; call < calls; call++) {
			if (way == DC_COST_NO_FILE)
				(void)syscall(SYS_getppid);
			else if (way == DC_COST_FILE)
				(void)!syscall(SYS_write, descriptor, &byte, 1);
			else
				function();
		}
		nanoseconds[round] = now() - begin;
	}
	return 0;
}
