/* Programs that run others where the client library is likely not to be. */
/* SPDX-License-Identifier: MIT */
#ifndef DATACRUMBS_ROOTS_H
#define DATACRUMBS_ROOTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * They give another root directory to what they run. There the dynamic loader would not find the
 * library and say so on the program's stderr. What they run is traced nevertheless: a mark
 * passes on to all processes that a marked one starts.
 */
static const char *const dc_client_root_changers[] = {
	"apptainer", "arch-chroot", "buildah", "bwrap",	  "ch-run",  "chroot",	    "crun",
	"docker",    "enroot",	    "flatpak", "nerdctl", "nsenter", "podman",	    "pressure-vessel-wrap",
	"proot",     "runc",	    "sarus",   "schroot", "shifter", "singularity", "systemd-nspawn",
	"udocker",   "unshare",
};

static inline bool dc_client_same(const char *one, const char *other)
{
	while (*one != '\0' && *one == *other) {
		one++;
		other++;
	}
	return *one == *other;
}

/* Whether the last part of `path` is one of their names. No C library is needed. */
static inline bool dc_client_changes_root(const char *path)
{
	const char *name = path;
	size_t index;

	for (; *path != '\0'; path++)
		if (*path == '/')
			name = path + 1;
	for (index = 0; index < sizeof(dc_client_root_changers) / sizeof(dc_client_root_changers[0]); index++)
		if (dc_client_same(name, dc_client_root_changers[index]))
			return true;
	return false;
}

#endif
