/* Hash tables of names: an identity -> its hash in the trace. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

const struct dc_name *dc_names_find(const struct dc_names *names, uint64_t identity)
{
	if (!names->slots)
		return NULL;
	for (uint64_t at = dc_mix(identity);; at++) {
		const struct dc_name *slot = &names->slots[at & names->mask];

		if (slot->identity == identity)
			return slot;
		if (!slot->identity)
			return NULL;
	}
}

static void insert(struct dc_names *names, const struct dc_name *name)
{
	uint64_t place = dc_mix(name->identity);

	while (names->slots[place & names->mask].identity &&
	       names->slots[place & names->mask].identity != name->identity)
		place++;
	names->used += !names->slots[place & names->mask].identity;
	names->slots[place & names->mask] = *name;
}

int dc_names_put(struct dc_names *names, const struct dc_name *name)
{
	if (!name->identity)
		return 0;
	if (names->used >= DC_NAMES) { /* those that are still in use will be missing, and told again */
		memset(names->slots, 0, (names->mask + 1) * sizeof(*names->slots));
		names->used = 0;
	}
	if (!names->slots || 2 * (names->used + 1) > names->mask) {
		struct dc_names bigger = {NULL, names->slots ? 2 * names->mask + 1 : 63, 0};

		bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
		if (!bigger.slots)
			return -1;
		for (uint64_t at = 0; names->slots && at <= names->mask; at++)
			if (names->slots[at].identity)
				insert(&bigger, &names->slots[at]);
		free(names->slots);
		*names = bigger;
	}
	insert(names, name);
	return 0;
}

void dc_names_clear(struct dc_names *names)
{
	free(names->slots);
	*names = (struct dc_names){NULL, 0, 0};
}
