/* The two probe points by which a process says that it wants to be traced, or no longer, and which run it means. */
/* SPDX-License-Identifier: MIT */
#include "marks.h"

#include "datacrumbs.h"

/* Touched before each mark, so that the kernel side can read it without a page fault. */
static volatile char dc_client_run[DC_RUN_NAME_SIZE];

/* Variables with the name of a run, in the order in which a daemon looks for its own. */
static const char *const dc_client_run_variables[] = {
	DC_CLIENT_RUN_VARIABLE, "SLURM_JOB_ID", "FLUX_JOB_ID", "PBS_JOBID", "LSB_JOBID",
};

void dc_client_name_run(const char *name)
{
	size_t size;

	/* What is cut is longer than any run's name, so it is none. */
	for (size = 0; size + 1 < sizeof(dc_client_run) && name[size] != '\0'; size++)
		dc_client_run[size] = name[size];
	dc_client_run[size] = '\0';
}

void dc_client_name_run_from(char **environment)
{
	size_t index;
	char **entry;

	for (index = 0; index < sizeof(dc_client_run_variables) / sizeof(dc_client_run_variables[0]); index++) {
		for (entry = environment; *entry != NULL; entry++) {
			const char *value = dc_client_behind(*entry, dc_client_run_variables[index]);

			if (value != NULL && value[0] == '=' && value[1] != '\0') {
				dc_client_name_run(value + 1);
				return;
			}
		}
	}
}

const volatile char *dc_client_named_run(void)
{
	dc_client_run[sizeof(dc_client_run) - 1] = '\0';
	return dc_client_run[0] != '\0' ? dc_client_run : NULL;
}

/*
 * The daemon puts a uprobe on the first instruction of each. The stores differ, so that a linker that folds identical
 * code keeps two addresses, and are volatile, so that they stay.
 */
DC_CLIENT_EXPORT void datacrumbs_mark(const volatile char *run)
{
	volatile int mark = 1;

	(void)run;
	(void)mark;
	__asm__ volatile("" ::: "memory");
}

DC_CLIENT_EXPORT void datacrumbs_stop(void)
{
	volatile int mark = 2;

	(void)mark;
	__asm__ volatile("" ::: "memory");
}

DC_CLIENT_EXPORT void datacrumbs_start(void)
{
	datacrumbs_mark(dc_client_named_run());
	/* Not a jump to it: the call comes back here. */
	__asm__ volatile("" ::: "memory");
}
