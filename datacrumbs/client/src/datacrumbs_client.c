/* libdatacrumbs_client.so: loading it, by LD_PRELOAD or as a needed library, marks the process. */
/* SPDX-License-Identifier: MIT */
#include "datacrumbs.h"

/*
 * No C library stands behind this one, so it loads into programs of any (glibc, musl).
 * There is no destructor that stops: what a program writes while it exits (buffered
 * output, above all) is part of its I/O, and the mark dies with the process.
 */
__attribute__((constructor)) static void dc_client_loaded(void)
{
	datacrumbs_start();
}
