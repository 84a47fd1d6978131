/* The two probe points by which a process says that it wants to be traced, or no longer. */
/* SPDX-License-Identifier: MIT */
#include "datacrumbs.h"

#define DC_CLIENT_EXPORT __attribute__((visibility("default"), noinline, used))

/*
 * The daemon puts a uprobe on the first instruction of each. Compiled with a frame pointer that is
 * `push` on x86-64, which the kernel emulates without a single step. The stores differ, so that
 * a linker that folds identical code keeps two addresses, and are volatile, so that they stay.
 */
DC_CLIENT_EXPORT void datacrumbs_start(void)
{
	volatile int mark = 1;

	(void)mark;
	__asm__ volatile("" ::: "memory");
}

DC_CLIENT_EXPORT void datacrumbs_stop(void)
{
	volatile int mark = 2;

	(void)mark;
	__asm__ volatile("" ::: "memory");
}
