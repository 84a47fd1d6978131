/* What the launcher's exit status means: as env(1) and nohup(1) have it, else as every DataCrumbs command has it. */
/* SPDX-License-Identifier: MIT */
#ifndef DATACRUMBS_EXIT_STATUS_H
#define DATACRUMBS_EXIT_STATUS_H

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_REFUSED = 3,
	EXIT_NOT_RUN = 125,
	EXIT_CANNOT_EXECUTE = 126,
	EXIT_NOT_FOUND = 127,
};

#endif
