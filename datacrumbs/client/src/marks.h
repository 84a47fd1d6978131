/* Which run this process means when it marks itself. */
/* SPDX-License-Identifier: MIT */
#ifndef DATACRUMBS_MARKS_H
#define DATACRUMBS_MARKS_H

#include <stddef.h>

#include "../../model/contract.h"

#define DC_CLIENT_RUN_VARIABLE "DATACRUMBS_RUN_ID"

/* Mean this run from now on; any, where the name is empty. */
void dc_client_name_run(const char *name);

/* Mean the run that the environment names: DATACRUMBS_RUN_ID, else the scheduler's job. */
void dc_client_name_run_from(char **environment);

/* The name of the run that is meant, in memory that the kernel side can read; NULL for any. */
const volatile char *dc_client_named_run(void);

/*
 * A probe point. Compiled with a frame pointer its first instruction is `push` on x86-64, which the kernel emulates
 * without a single step. No copy of it is made for one caller.
 */
#if defined(__has_attribute)
#if __has_attribute(noipa)
#define DC_CLIENT_EXPORT __attribute__((visibility("default"), noinline, used, noipa))
#endif
#endif
#ifndef DC_CLIENT_EXPORT
#define DC_CLIENT_EXPORT __attribute__((visibility("default"), noinline, used))
#endif

/* The rest of `text` behind `start`; NULL when it begins otherwise. No C library is needed. */
static inline const char *dc_client_behind(const char *text, const char *start)
{
	for (; *start != '\0'; text++, start++)
		if (*text != *start)
			return NULL;
	return text;
}

#endif
