/* Handles of programs (FILE *, hid_t, MPI_File): the file of the call that made each, also in children. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_HANDLES_H
#define DC_HANDLES_H

#include "maps.h"

/* A child has the handles of its parent as they were at the fork, whatever the parent does later. Nothing is copied at
 * a fork: an entry says from which version of its process on it is valid, each fork begins a version, and what an entry
 * was before stays, as long as a child may ask. The child remembers what it found. */
#define DC_GENERATIONS 8 /* of ancestors that are asked */
#define DC_EARLIER 8	 /* what a handle was before, per ancestor */

static __always_inline void dc_make_owner(u32 process, u32 partial)
{
	u32 zero = 0;
	u64 *made = dc_owners_made.lookup(&zero);
	if (!made)
		return;
	struct dc_owner first = {.number = __sync_fetch_and_add(made, 1) + 1, .version = 1, .partial = partial};
	dc_owners.update(&process, &first);
}

static __always_inline struct dc_owner *dc_owner_of_handles(int make)
{
	u32 process = bpf_get_current_pid_tgid() >> 32;
	struct dc_owner *owner = dc_owners.lookup(&process);
	if (owner || !make)
		return owner;
	dc_make_owner(process, 0);
	return dc_owners.lookup(&process);
}

/* Count a call on a handle whose file is not known, where that may be since it was made too early. */
static __always_inline void dc_count_unknown_handle(void)
{
	struct dc_owner *owner = dc_owner_of_handles(0);
	if (owner && owner->partial)
		dc_total(DC_TOTAL_HANDLES_UNKNOWN);
}

/* A function of its own, as dc_resolve_request is: the handle's file becomes `identity`; 0 for none any more. */
int dc_change_handle(struct dc_handle_request *request)
{
	if (!request)
		return 0;
	struct dc_owner *owner = dc_owner_of_handles(request->identity != 0);
	if (!owner)
		return 0;
	struct dc_handle_key key = {.handle = request->handle, .owner = owner->number};
	struct dc_handle entry = {.identity = request->identity, .version = owner->version};
	struct dc_handle *before = dc_handles.lookup(&key);
	if (!before && !request->identity && !owner->inherits)
		return 0;
	if (before && before->version == owner->version) {
		entry.earlier = before->earlier;
	} else if (before) { /* a child may have it */
		struct dc_handle kept = *before;
		entry.earlier = key.version = kept.version + 1;
		if (dc_handles.update(&key, &kept))
			dc_total(DC_TOTAL_HANDLES_LOST);
		key.version = 0;
	}
	if (!entry.identity && !entry.earlier && !owner->inherits)
		dc_handles.delete(&key);
	else if (dc_handles.update(&key, &entry))
		dc_total(DC_TOTAL_HANDLES_LOST);
	return 0;
}

/* What a handle was in a process when it was of a version: found, or not, or no longer known (-1). */
static __always_inline int dc_earlier_handle(u64 handle, const struct dc_ancestor *ancestor, u64 *identity)
{
	struct dc_handle_key key = {.handle = handle, .owner = ancestor->owner};
	for (u32 i = 0; i < DC_EARLIER; i++) {
		struct dc_handle *entry = dc_handles.lookup(&key);
		if (!entry)
			return i ? -1 : 0;
		if (entry->version <= ancestor->version) {
			*identity = entry->identity;
			return 1;
		}
		key.version = entry->earlier;
		if (!key.version)
			return 0;
	}
	return -1;
}

/* Likewise: the file of a handle that a process has from one of its ancestors. */
int dc_inherit_handle(struct dc_handle_request *request)
{
	if (!request)
		return 0;
	u64 identity = 0;
	u32 number = request->owner;
	for (int i = 0; i < DC_GENERATIONS; i++) {
		struct dc_ancestor *ancestor = dc_ancestors.lookup(&number);
		if (!ancestor || dc_earlier_handle(request->handle, ancestor, &identity))
			break;
		number = ancestor->owner;
	}
	struct dc_handle_key key = {.handle = request->handle, .owner = request->owner};
	struct dc_handle entry = {.identity = identity};
	if (identity)
		dc_handles.update(&key, &entry);
	request->identity = identity;
	return 0;
}

#define DC_CALL_CHANGE_HANDLE ((int (*)(struct dc_handle_request *))DC_OWN_CHANGE_HANDLE)
#define DC_CALL_INHERIT_HANDLE ((int (*)(struct dc_handle_request *))DC_OWN_INHERIT_HANDLE)

static __always_inline void dc_bind_handle(u64 handle, u64 identity)
{
	struct dc_handle_request request = {.handle = handle, .identity = identity};
	DC_CALL_CHANGE_HANDLE(&request);
}

static __always_inline u64 dc_file_of_handle(u64 handle)
{
	struct dc_owner *owner = dc_owner_of_handles(0);
	if (!owner)
		return 0;
	struct dc_handle_key key = {.handle = handle, .owner = owner->number};
	struct dc_handle *entry = dc_handles.lookup(&key);
	if (entry)
		return entry->identity;
	if (!owner->inherits)
		return 0;
	struct dc_handle_request request = {.handle = handle, .owner = owner->number};
	DC_CALL_INHERIT_HANDLE(&request);
	return request.identity;
}

/* A child is born. */
static __always_inline void dc_hand_down(u32 child)
{
	struct dc_owner *owner = dc_owner_of_handles(0);
	u32 zero = 0;
	u64 *made = dc_owners_made.lookup(&zero);
	dc_owners.delete(&child); /* of a process that had this number before */
	if (!owner || !made)
		return;
	struct dc_ancestor ancestor = {.owner = owner->number, .version = owner->version};
	struct dc_owner heir = {.number = __sync_fetch_and_add(made, 1) + 1, .version = 1, .inherits = 1};
	heir.partial = owner->partial;
	owner->version = ancestor.version + 1;
	dc_ancestors.update(&heir.number, &ancestor);
	dc_owners.update(&child, &heir);
}

/* A process has no handles any more: it executes another program, or ends. */
static __always_inline void dc_drop_handles(void)
{
	u32 process = bpf_get_current_pid_tgid() >> 32;
	dc_owners.delete(&process);
}

#endif
