/* Of calls whose lines say how deep they were, the ones around them. */
/* SPDX-License-Identifier: MIT */
#include "arrange.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { DEPTHS = 64 };

/* Of a thread, the calls that the next one may be inside of. */
struct open_calls {
	int64_t last[DEPTHS];  /* row of the newest call of each depth, none deeper than the newest of all; -1 for none
				*/
	int64_t later[DEPTHS]; /* of the long calls that begin in this microsecond: their lines may come after those
				  inside */
	uint32_t deepest;
};

static int64_t enclosing(const struct calls *calls, const struct open_calls *open, uint32_t row)
{
	for (uint32_t depth = calls->rank[row]; depth--;) {
		int64_t before = open->last[depth], later = open->later[depth];

		if (before >= 0 && calls->end[before] >= calls->end[row])
			return before;
		if (later >= 0 && calls->order[later] > calls->order[row] && calls->end[later] >= calls->end[row])
			return later;
	}
	return -1;
}

/* Whether the line of a call comes after that of another one inside it. */
static int is_late(const struct calls *calls, uint32_t row, int64_t other)
{
	return other >= 0 && calls->begin[other] == calls->begin[row] && calls->end[other] > calls->begin[other] &&
	       calls->end[other] <= calls->end[row];
}

/* Calls of a thread that begin at once, in the order of the file. */
static void enclose_ties(const struct calls *calls, const struct place *ties, uint64_t count, struct open_calls *open,
			 int64_t *parents)
{
	for (uint64_t at = 0; count > 1 && at < count; at++)
		if (calls->rank[ties[at].row] < DEPTHS && calls->end[ties[at].row] > calls->begin[ties[at].row])
			open->later[calls->rank[ties[at].row]] = ties[at].row;
	for (uint64_t at = 0; at < count; at++) {
		uint32_t row = ties[at].row, depth = calls->rank[row];

		if (depth >= DEPTHS)
			continue;
		parents[row] = enclosing(calls, open, row);
		while (open->deepest > depth && !is_late(calls, row, open->last[open->deepest]))
			open->last[open->deepest--] = -1;
		open->last[depth] = row;
		if (open->deepest < depth)
			open->deepest = depth;
	}
	for (uint64_t at = 0; count > 1 && at < count; at++)
		if (calls->rank[ties[at].row] < DEPTHS)
			open->later[calls->rank[ties[at].row]] = -1;
}

/*
 * Of each call the row of the innermost one around it, by how deep each is; -1 for none, and for depths that are too
 * great, as of lines that do not say it. Threads are less than `threads`. -1 without memory.
 */
EXPORT int dc_enclose(uint64_t rows, const uint32_t *thread, uint32_t threads, const int64_t *begin, const int64_t *end,
		      const int64_t *order, const uint8_t *depth, int64_t *parents)
{
	const struct calls calls = {begin, end, order, depth};
	struct open_calls open = {.deepest = DEPTHS - 1};
	struct arranged arranged;
	uint8_t *alike = calloc(rows + 1, 1);
	const struct place *places;
	uint64_t next;

	/* Those that begin at once in the order of the file. */
	if (!alike || dc_arrange(&(struct calls){begin, begin, order, alike}, rows, thread, threads, &arranged)) {
		free(alike);
		return -1;
	}
	memset(open.later, -1, sizeof(open.later));
	places = arranged.places;
	for (uint64_t at = 0; at < rows; at = next) {
		for (next = at + 1;
		     next < rows && places[next].begin == places[at].begin && places[next].group == places[at].group;)
			next++;
		if (!at || places[at].group != places[at - 1].group)
			memset(open.last, -1, sizeof(open.last));
		enclose_ties(&calls, places + at, next - at, &open, parents);
	}
	dc_release(&arranged);
	free(alike);
	return 0;
}

/*
 * Sets bit 1 of each call that is inside another one of its group, and bit 2 of each that is inside one that is a
 * member as well. `parents` has rows, or -1; all calls are of one group, or members, where it is NULL.
 */
EXPORT void dc_within(uint64_t rows, const int64_t *parents, const int64_t *group, const uint8_t *member,
		      uint8_t *inside)
{
	for (uint64_t row = 0; row < rows; row++) {
		uint8_t bits = 0;

		for (int64_t around = parents[row]; around >= 0 && bits != 3; around = parents[around]) {
			if (group && group[around] != group[row])
				continue;
			bits |= !member || member[around] ? 3 : 1;
		}
		inside[row] = bits;
	}
}
