/* Preloaded into slurmd: /proc/self/cgroup shows the line of version 2 alone, as on a host without version 1. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int only_v2(void)
{
	char line[4096];
	int shown = memfd_create("cgroup", 0);
	FILE *lines = fopen("/proc/thread-self/cgroup", "r");

	while (lines != NULL && fgets(line, sizeof(line), lines) != NULL)
		if (strncmp(line, "0::", 3) == 0)
			(void)!write(shown, line, strlen(line));
	if (lines != NULL)
		(void)fclose(lines);
	(void)lseek(shown, 0, SEEK_SET);
	return shown;
}

#define OPENING(name) \
	int name(const char *path, int flags, ...) \
	{ \
		static int (*real)(const char *, int, ...); \
		va_list rest; \
		int mode; \
\
		va_start(rest, flags); \
		mode = va_arg(rest, int); \
		va_end(rest); \
		if (strcmp(path, "/proc/self/cgroup") == 0) \
			return only_v2(); \
		if (real == NULL) \
			real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
		return real(path, flags, mode); \
	}

OPENING(open)
OPENING(open64)
