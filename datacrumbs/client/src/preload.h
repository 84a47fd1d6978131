/* The client library in the programs that the launcher executes. */
/* SPDX-License-Identifier: MIT */
#ifndef DATACRUMBS_PRELOAD_H
#define DATACRUMBS_PRELOAD_H

#include <stdbool.h>

#define DC_CLIENT_LIBRARY "libdatacrumbs_client.so"

/*
 * Has the client library loaded by what this process executes: `file`, which is what `command` was found to be. False
 * when the library is not where an installation has it.
 *
 * A failure here is no failure of the run: this process is marked, and what it starts is followed by the daemon without
 * the library as well. So nothing is said where the library is not (in a container, for instance) or where the loader
 * of what is executed would not find it or not take it, and would say so itself.
 */
bool dc_client_prepare_environment(const char *command, const char *file);

#endif
