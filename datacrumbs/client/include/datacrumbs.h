/* Mark the calling process for tracing: for programs that choose themselves when. */
/* SPDX-License-Identifier: MIT */
#ifndef DATACRUMBS_H
#define DATACRUMBS_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Both are probe points: the DataCrumbs daemon, when it runs, sees the call and traces the
 * process, with the children that it forks from then on, or stops doing so. Without a daemon
 * they do nothing. They take about a microsecond, cannot fail, and touch neither memory nor errno.
 * Link with -ldatacrumbs_client; loading that library calls datacrumbs_start once.
 */
void datacrumbs_start(void);
void datacrumbs_stop(void);

#ifdef __cplusplus
}
#endif

#endif
