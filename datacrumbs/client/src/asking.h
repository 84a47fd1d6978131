/* What a process asks the runs of its user. */
/* SPDX-License-Identifier: MIT */
#ifndef DATACRUMBS_ASKING_H
#define DATACRUMBS_ASKING_H

#include <stdbool.h>

/* Whether a run records this process. With `named` it must be the run that this process means, if it means one. */
bool dc_client_is_recorded(bool named);

/*
 * Has a running process traced, by the run that this process means, and gives the exit status: when it is 0, the
 * process is traced. Messages begin with `program`.
 */
int dc_client_take(const char *program, const char *process);

#endif
