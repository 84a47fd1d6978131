/* libdatacrumbs_client.so: loading it, by LD_PRELOAD or as a needed library, marks the process. */
/* SPDX-License-Identifier: MIT */
#include <elf.h>

#include "datacrumbs.h"
#include "marks.h"
#include "roots.h"

#define DC_CLIENT_VARIABLE "LD_PRELOAD="
#define DC_CLIENT_FILE "libdatacrumbs_client."

/* Only glibc has it, and only glibc hands arguments and environment to constructors. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));

/* Other C libraries have set it by the time that constructors run. */
extern char **environ __attribute__((weak));

static bool dc_client_separates(char letter)
{
	return letter == ':' || letter == ' ' || letter == '\0';
}

/* Whether the entry from `entry` to `end` is this library, in whatever directory. */
static bool dc_client_is_own(const char *entry, const char *end)
{
	const char *name = end;
	const char *behind;

	while (name > entry && name[-1] != '/')
		name--;
	behind = dc_client_behind(name, DC_CLIENT_FILE);
	/* Distributions put something of their own before the end. */
	return behind != NULL && end - behind >= 2 && end[-2] == 's' && end[-1] == 'o' &&
	       (end - behind == 2 || end[-3] == '.');
}

/* Takes this library out of a list, where it is. */
static void dc_client_take_out(char *list)
{
	char *written = list;
	char *read = list;

	while (*read != '\0') {
		char *end = read;

		while (!dc_client_separates(*end))
			end++;
		if (end > read && !dc_client_is_own(read, end)) {
			if (written > list)
				*written++ = ':';
			while (read < end)
				*written++ = *read++;
		}
		read = *end == '\0' ? end : end + 1;
	}
	*written = '\0';
}

/*
 * An empty list stays: were the variable removed, the vector that follows the environment would no longer be
 * where programs without a C library (Go's) look for it.
 */
static void dc_client_leave_environment(char **environment)
{
	for (; *environment != NULL; environment++) {
		if (dc_client_behind(*environment, DC_CLIENT_VARIABLE) != NULL)
			dc_client_take_out(*environment + sizeof(DC_CLIENT_VARIABLE) - 1);
	}
}

/* The path that the kernel executed; empty when it does not say. */
static const char *dc_client_executed(char **environment)
{
	const Elf64_auxv_t *entry;

	while (*environment != NULL)
		environment++;
	for (entry = (const Elf64_auxv_t *)(environment + 1); entry->a_type != AT_NULL; entry++)
		if (entry->a_type == AT_EXECFN)
			return (const char *)entry->a_un.a_val; /* NOLINT(performance-no-int-to-ptr) */
	return "";
}

/*
 * This library needs no C library, so it loads into programs of any (glibc, musl).
 * There is no destructor that stops: what a program writes while it exits (buffered
 * output, above all) is part of its I/O, and the mark dies with the process.
 */
__attribute__((constructor)) static void dc_client_loaded(int count, char **arguments, char **environment)
{
	(void)count;
	(void)arguments;
	if (gnu_get_libc_version == NULL)
		environment = &environ != NULL ? environ : NULL;
	if (environment == NULL) {
		datacrumbs_start();
		return;
	}
	dc_client_name_run_from(environment);
	datacrumbs_start();
	if (gnu_get_libc_version != NULL && dc_client_changes_root(dc_client_executed(environment)))
		dc_client_leave_environment(environment);
}
