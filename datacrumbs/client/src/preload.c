/* LD_PRELOAD for what the launcher executes: see preload.h. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "marks.h"
#include "roots.h"

#define DC_CLIENT_LIBRARY_STEM "libdatacrumbs_client."
#define DC_CLIENT_LIBRARY_END ".so"
#define DC_CLIENT_PRELOAD "LD_PRELOAD"

/*
 * The directories, from that of this executable, in which an installation keeps the library:
 * a virtual environment, /usr/local and /usr, the last with a 64-bit directory of its own on some
 * systems. DATACRUMBS_LIBRARY_DIRECTORY is for packagers who put it elsewhere.
 */
static const char *const dc_client_places[] = {
#ifdef DATACRUMBS_LIBRARY_DIRECTORY
	DATACRUMBS_LIBRARY_DIRECTORY,
#endif
	"../lib/datacrumbs",
	"../lib64/datacrumbs",
};

/* Writes the directory of this executable, links resolved, to directory[PATH_MAX]. */
static bool dc_client_own_directory(char *directory)
{
	ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);
	char *slash;

	if (length > 0) {
		directory[length] = '\0';
	} else {
		/* No /proc in this chroot or container: the path that the kernel executed. */
		const char *executed = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */

		if (executed == NULL || realpath(executed, directory) == NULL)
			return false;
	}
	slash = strrchr(directory, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	return true;
}

/* What the library may be called in a directory where it has not its own name: distributions rename what they take for
 * modules of Python. */
static bool dc_client_other_name(const char *directory, char *name, size_t size)
{
	DIR *listed = opendir(directory);
	const struct dirent *entry;
	bool found = false;

	while (listed != NULL && !found && (entry = readdir(listed)) != NULL) {
		size_t length = strlen(entry->d_name);
		size_t end = sizeof(DC_CLIENT_LIBRARY_END) - 1;

		found = dc_client_behind(entry->d_name, DC_CLIENT_LIBRARY_STEM) != NULL && length > end &&
			length < size && strcmp(entry->d_name + length - end, DC_CLIENT_LIBRARY_END) == 0;
		if (found)
			(void)strcpy(name, entry->d_name); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy) */
	}
	if (listed != NULL)
		(void)closedir(listed);
	return found;
}

/* Writes the library's path, links resolved, to library[PATH_MAX]. */
static bool dc_client_find_library(char *library)
{
	char directory[PATH_MAX];
	char place[2 * PATH_MAX];
	char candidate[2 * PATH_MAX + NAME_MAX + 2];
	char name[NAME_MAX + 1];
	size_t index;
	bool is_renamed;

	if (!dc_client_own_directory(directory))
		return false;
	for (index = 0; index < sizeof(dc_client_places) / sizeof(dc_client_places[0]); index++) {
		const char *where = dc_client_places[index];

		if (where[0] == '/')
			(void)snprintf(place, sizeof(place), "%s", where);
		else
			(void)snprintf(place, sizeof(place), "%s/%s", directory, where);
		(void)snprintf(candidate, sizeof(candidate), "%s/%s", place, DC_CLIENT_LIBRARY);
		is_renamed = access(candidate, F_OK) != 0 && dc_client_other_name(place, name, sizeof(name));
		if (is_renamed)
			(void)snprintf(candidate, sizeof(candidate), "%s/%s", place, name);
		if (realpath(candidate, library) != NULL && access(library, R_OK) == 0)
			return true;
	}
	return false;
}

/* Whether `file` is a program of another kind of machine, whose loader would complain about the library. */
static bool dc_client_is_foreign(const char *file)
{
	Elf64_Ehdr own, its;
	int files[] = {open("/proc/self/exe", O_RDONLY | O_CLOEXEC), open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
	bool known = files[0] >= 0 && files[1] >= 0 && read(files[0], &own, sizeof(own)) == sizeof(own) &&
		     read(files[1], &its, sizeof(its)) == sizeof(its) && memcmp(its.e_ident, ELFMAG, SELFMAG) == 0;

	for (size_t index = 0; index < sizeof(files) / sizeof(files[0]); index++)
		if (files[index] >= 0)
			(void)close(files[index]);
	/* The machine is in the same place in files of 32 and of 64 bits. */
	return known && (its.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || its.e_machine != own.e_machine);
}

/* Whether `library` is one of the entries of `preload`, which blanks and colons separate. */
static bool dc_client_is_preloaded(const char *preload, const char *library)
{
	size_t length = strlen(library);

	while (*preload != '\0') {
		size_t entry = strcspn(preload, " :");

		if (entry == length && strncmp(preload, library, length) == 0)
			return true;
		preload += entry;
		preload += strspn(preload, " :");
	}
	return false;
}

/* Puts `library` before what LD_PRELOAD holds; false with errno when memory is short. */
static bool dc_client_preload(const char *library)
{
	const char *before = getenv(DC_CLIENT_PRELOAD);
	char *joined;
	bool done;

	if (before == NULL || *before == '\0')
		return setenv(DC_CLIENT_PRELOAD, library, 1) == 0;
	if (dc_client_is_preloaded(before, library))
		return true;
	if (asprintf(&joined, "%s:%s", library, before) < 0)
		return false;
	done = setenv(DC_CLIENT_PRELOAD, joined, 1) == 0;
	free(joined);
	return done;
}

bool dc_client_prepare_environment(const char *command, const char *file)
{
	char library[PATH_MAX];

	if (dc_client_changes_root(command) || dc_client_is_foreign(file))
		return true;
	if (!dc_client_find_library(library))
		return false;
	if (strpbrk(library, " :") != NULL)
		(void)fprintf(stderr,
			      "datacrumbs_wrap: LD_PRELOAD cannot hold a path with a blank or a "
			      "colon: %s; continuing without it\n",
			      library);
	else if (!dc_client_preload(library))
		(void)fprintf(stderr, "datacrumbs_wrap: LD_PRELOAD: %s; continuing without it\n", strerror(errno));
	return true;
}
