/*
 * Which calls are inside others of their thread, from whole microseconds: the rules are those of report/nesting.py.
 */
/* SPDX-License-Identifier: MIT */
#include "arrange.h"

#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

enum { RANKS = 64 };

/* What is known of the calls of a group before the one that is looked at. */
struct covered {
	int64_t furthest; /* end */
	uint8_t rank;	  /* the highest layer of those that end there */
};

/* What is known of the long calls that begin in one microsecond. */
struct beside {
	int64_t first[RANKS]; /* the least order, by layer */
	uint64_t known;	      /* bits of the layers */
};

static void cover(struct covered *covered, int64_t end, uint8_t rank)
{
	if (end > covered->furthest)
		*covered = (struct covered){end, rank};
	else if (end == covered->furthest && rank < covered->rank)
		covered->rank = rank;
}

static int has_higher(uint64_t layers, uint8_t rank)
{
	return (layers & ((UINT64_C(1) << rank) - 1)) != 0;
}

/* Looks at calls that begin at once, of which `wanted` says which count; sets a bit of those that are inside others. */
static void look_at_ties(const struct calls *calls, const struct place *ties, uint64_t count, const uint8_t *wanted,
			 struct covered *covered, uint8_t *inside, uint8_t bit)
{
	const struct covered before = *covered;
	struct beside beside;
	uint64_t instants = 0;

	beside.known = 0;
	for (uint64_t at = 0; at < count; at++) {
		uint32_t row = ties[at].row;
		uint8_t rank = calls->rank[row];

		if (wanted && !wanted[row])
			continue;
		if (calls->end[row] == calls->begin[row]) {
			instants |= UINT64_C(1) << rank;
			continue;
		}
		if (covered->furthest >= calls->end[row])
			inside[row] |= bit;
		if (!(beside.known >> rank & 1) || calls->order[row] < beside.first[rank])
			beside.first[rank] = calls->order[row];
		beside.known |= UINT64_C(1) << rank;
		cover(covered, calls->end[row], rank);
	}
	for (uint64_t at = 0; instants && at < count; at++) {
		uint32_t row = ties[at].row;
		uint8_t rank = calls->rank[row];
		int64_t begin = calls->begin[row];

		if ((wanted && !wanted[row]) || calls->end[row] != begin)
			continue;
		if (before.furthest > begin || (before.furthest == begin && before.rank < rank) ||
		    has_higher(beside.known | instants, rank) ||
		    (beside.known >> rank & 1 && beside.first[rank] < calls->order[row]))
			inside[row] |= bit;
		cover(covered, begin, rank);
	}
}

static void look(const struct calls *calls, const struct place *places, uint64_t rows, const uint8_t *wanted,
		 uint8_t *inside, uint8_t bit)
{
	struct covered covered = {INT64_MIN, RANKS - 1};
	uint64_t next;

	for (uint64_t at = 0; at < rows; at = next) {
		for (next = at + 1;
		     next < rows && places[next].begin == places[at].begin && places[next].group == places[at].group;)
			next++;
		if (!at || places[at].group != places[at - 1].group)
			covered = (struct covered){INT64_MIN, RANKS - 1};
		look_at_ties(calls, places + at, next - at, wanted, &covered, inside, bit);
	}
}

/*
 * Sets bit 1 of each call that is inside another one of its group, and, of the calls that are wanted, bit 2 of each
 * that is inside another wanted one. Groups are less than `groups`. -1 without memory.
 */
EXPORT int dc_nest(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
		   const int64_t *order, const uint8_t *rank, const uint8_t *wanted, uint8_t *inside)
{
	const struct calls calls = {begin, end, order, rank};
	struct arranged arranged;

	if (dc_arrange(&calls, rows, group, groups, &arranged))
		return -1;
	look(&calls, arranged.places, rows, NULL, inside, 1);
	if (wanted)
		look(&calls, arranged.places, rows, wanted, inside, 2);
	dc_release(&arranged);
	return 0;
}

/*
 * Of calls in order, those that are inside others of their group, put into `target` with what they are inside of as
 * their group: the place among the outermost calls. How many.
 */
static uint64_t go_inside(const struct calls *calls, const struct place *places, uint64_t rows, const uint8_t *inside,
			  struct place *target, uint32_t *parent)
{
	uint64_t last = 0, longest = rows, count = 0;

	for (uint64_t at = 0; at < rows; at++) {
		uint32_t row = places[at].row;
		uint64_t owner;

		if (!inside[row]) {
			last = at;
			longest = calls->end[row] > calls->begin[row] ? at : longest;
			continue;
		}
		owner = longest < rows && places[longest].group == places[at].group &&
					calls->end[places[longest].row] >= calls->end[row]
				? longest
				: last;
		parent[row] = places[owner].row;
		target[count] = places[at];
		target[count++].group = (uint32_t)owner;
	}
	return count;
}

/*
 * Gives of each call the row of the one that it is directly inside of, or its own row; `inside` has room for a byte of
 * each. -1 without memory.
 */
EXPORT int dc_parents(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
		      const int64_t *order, const uint8_t *rank, uint8_t *inside, uint32_t *parent)
{
	const struct calls calls = {begin, end, order, rank};
	struct arranged arranged;

	if (dc_arrange(&calls, rows, group, groups, &arranged))
		return -1;
	for (uint64_t at = 0; at < rows; at++)
		parent[at] = (uint32_t)at;
	/* The calls that are inside no other, then those that are inside these alone, and so on. */
	while (rows) {
		uint64_t before = rows;
		struct place *sorted;

		for (uint64_t at = 0; at < rows; at++)
			inside[arranged.places[at].row] = 0;
		look(&calls, arranged.places, rows, NULL, inside, 1);
		rows = go_inside(&calls, arranged.places, rows, inside, arranged.other, parent);
		if (rows == before) /* what ends before it begins is inside anything, for ever */
			break;
		sorted = dc_sort_places(arranged.other, arranged.places, rows, 0, (uint32_t)before);
		if (sorted == arranged.other)
			arranged = (struct arranged){sorted, arranged.places};
	}
	dc_release(&arranged);
	return 0;
}
