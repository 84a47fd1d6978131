/*
 * Which calls are inside others of their thread, from whole microseconds: the rules are those of report/nesting.py.
 */
/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { RANKS = 64, DIGIT = 11, SMALL = 24, DEPTHS = 64 };

/* A call in the order in which calls are looked at. */
struct place {
	uint64_t begin; /* after the first call */
	uint32_t group;
	uint32_t row;
};

struct calls {
	const int64_t *begin;
	const int64_t *end;
	const int64_t *order;
	const uint8_t *rank; /* from 0, the highest layer, to RANKS - 1; or how deep calls are */
};

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

static uint64_t mix(uint64_t value)
{
	value *= UINT64_C(0xff51afd7ed558ccd);
	return value ^ value >> 32;
}

static uint64_t hash_of(const uint64_t *const *columns, uint32_t count, uint64_t row)
{
	uint64_t hash = dc_seed();

	for (uint32_t column = 0; column < count; column++)
		hash = mix(hash ^ (columns[column][row] + UINT64_C(0x9e3779b97f4a7c15) * (column + 1)));
	return hash;
}

static int is_alike(const uint64_t *const *columns, uint64_t row, const uint64_t *const *others, uint64_t other,
		    uint32_t count)
{
	for (uint32_t column = 0; column < count; column++)
		if (columns[column][row] != others[column][other])
			return 0;
	return 1;
}

/*
 * Numbers rows that are alike in all columns alike, from 0 in the order of their first; `table` has a zero for each of
 * `mask` + 1 slots, which are more than rows that differ. The count of numbers.
 */
EXPORT uint32_t dc_number_rows(uint64_t rows, const uint64_t *const *columns, uint32_t count, uint32_t *numbers,
			       uint32_t *firsts, uint32_t *table, uint64_t mask)
{
	uint32_t next = 0;

	for (uint64_t row = 0; row < rows; row++) {
		uint64_t at;

		if (row && is_alike(columns, row, columns, row - 1, count)) {
			numbers[row] = numbers[row - 1];
			continue;
		}
		for (at = hash_of(columns, count, row);; at++) {
			uint32_t known = table[at & mask];

			if (!known) {
				firsts[next] = (uint32_t)row;
				table[at & mask] = ++next;
				numbers[row] = next - 1;
				break;
			}
			if (is_alike(columns, row, columns, firsts[known - 1], count)) {
				numbers[row] = known - 1;
				break;
			}
		}
	}
	return next;
}

/* Says of each row whether it is among others, which were numbered and all differ. */
EXPORT void dc_find_rows(uint64_t rows, const uint64_t *const *columns, uint32_t count, const uint64_t *const *others,
			 const uint32_t *table, uint64_t mask, uint8_t *found)
{
	for (uint64_t row = 0; row < rows; row++) {
		uint64_t at = hash_of(columns, count, row);

		while (table[at & mask] && !is_alike(columns, row, others, table[at & mask] - 1, count))
			at++;
		found[row] = table[at & mask] != 0;
	}
}

static void sort_step(const struct place *from, struct place *target, uint64_t rows, unsigned int shift, int by_group)
{
	uint64_t places[1 << DIGIT] = {0}, sum = 0;

	for (uint64_t at = 0; at < rows; at++)
		places[((by_group ? from[at].group : from[at].begin) >> shift) & ((1 << DIGIT) - 1)]++;
	for (unsigned int digit = 0; digit < 1 << DIGIT; digit++) {
		uint64_t here = places[digit];

		places[digit] = sum;
		sum += here;
	}
	for (uint64_t at = 0; at < rows; at++)
		target[places[((by_group ? from[at].group : from[at].begin) >> shift) & ((1 << DIGIT) - 1)]++] =
			from[at];
}

/* Sorts by group, then by beginning; where the result is. */
static struct place *sort(struct place *places, struct place *other, uint64_t rows, uint64_t longest, uint32_t groups)
{
	for (int by_group = 0; by_group < 2; by_group++) {
		uint64_t largest = by_group ? groups : longest;

		for (unsigned int shift = 0; shift < 64 && largest >> shift; shift += DIGIT) {
			struct place *sorted = other;

			sort_step(places, sorted, rows, shift, by_group);
			other = places;
			places = sorted;
		}
	}
	return places;
}

/* Whether the first of two calls that begin at once comes before the other: the longer, the higher layer, the first. */
static int is_before(const struct calls *calls, uint32_t first, uint32_t second)
{
	if (calls->end[first] != calls->end[second])
		return calls->end[first] > calls->end[second];
	if (calls->rank[first] != calls->rank[second])
		return calls->rank[first] < calls->rank[second];
	return calls->order[first] < calls->order[second];
}

static void sort_few(const struct calls *calls, struct place *ties, uint64_t count)
{
	for (uint64_t at = 1; at < count; at++) {
		struct place moved = ties[at];
		uint64_t target = at;

		for (; target && is_before(calls, moved.row, ties[target - 1].row); target--)
			ties[target] = ties[target - 1];
		ties[target] = moved;
	}
}

/* Sorts calls that begin at once; `other` has room for as many. */
/* NOLINTNEXTLINE(misc-no-recursion): of halves, so not deep */
static void sort_ties(const struct calls *calls, struct place *ties, struct place *other, uint64_t count)
{
	uint64_t half = count / 2, left = 0, right = half;

	if (count <= SMALL) {
		sort_few(calls, ties, count);
		return;
	}
	sort_ties(calls, ties, other, half);
	sort_ties(calls, ties + half, other, count - half);
	memcpy(other, ties, count * sizeof(*ties));
	for (uint64_t at = 0; at < count; at++) {
		if (right == count || (left < half && !is_before(calls, other[right].row, other[left].row)))
			ties[at] = other[left++];
		else
			ties[at] = other[right++];
	}
}

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

/* Calls in the order in which they are looked at, and room for as many. */
struct arranged {
	struct place *places;
	struct place *other;
};

static void release(struct arranged *arranged)
{
	free(arranged->places);
	free(arranged->other);
}

/* Puts calls in order: by group, less than `groups`, by beginning, the longer first; -1 without memory. */
static int arrange(const struct calls *calls, uint64_t rows, const uint32_t *group, uint32_t groups,
		   struct arranged *arranged)
{
	int64_t first = rows ? calls->begin[0] : 0;
	uint64_t longest = 0, next;
	struct place *sorted;

	arranged->places = malloc((rows + 1) * sizeof(struct place));
	arranged->other = malloc((rows + 1) * sizeof(struct place));
	if (!arranged->places || !arranged->other) {
		release(arranged);
		return -1;
	}
	for (uint64_t row = 0; row < rows; row++)
		if (calls->begin[row] < first)
			first = calls->begin[row];
	for (uint64_t row = 0; row < rows; row++) {
		uint64_t begin = (uint64_t)calls->begin[row] - (uint64_t)first;

		arranged->places[row] = (struct place){begin, group[row], (uint32_t)row};
		if (begin > longest)
			longest = begin;
	}
	sorted = sort(arranged->places, arranged->other, rows, longest, groups);
	if (sorted != arranged->places)
		*arranged = (struct arranged){sorted, arranged->places};
	for (uint64_t at = 0; at < rows; at = next) {
		for (next = at + 1;
		     next < rows && sorted[next].begin == sorted[at].begin && sorted[next].group == sorted[at].group;)
			next++;
		if (next - at > 1)
			sort_ties(calls, sorted + at, arranged->other + at, next - at);
	}
	return 0;
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

	if (arrange(&calls, rows, group, groups, &arranged))
		return -1;
	look(&calls, arranged.places, rows, NULL, inside, 1);
	if (wanted)
		look(&calls, arranged.places, rows, wanted, inside, 2);
	release(&arranged);
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
 * Gives the order of calls by group, beginning and length, and of each call the row of the one that it is directly
 * inside of, or its own row; `inside` has room for a byte of each. -1 without memory.
 */
EXPORT int dc_parents(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
		      const int64_t *order, const uint8_t *rank, uint8_t *inside, uint32_t *sequence, uint32_t *parent)
{
	const struct calls calls = {begin, end, order, rank};
	struct arranged arranged;

	if (arrange(&calls, rows, group, groups, &arranged))
		return -1;
	for (uint64_t at = 0; at < rows; at++) {
		sequence[at] = arranged.places[at].row;
		parent[at] = (uint32_t)at;
	}
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
		sorted = sort(arranged.other, arranged.places, rows, 0, (uint32_t)before);
		if (sorted == arranged.other)
			arranged = (struct arranged){sorted, arranged.places};
	}
	release(&arranged);
	return 0;
}

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
	if (!alike || arrange(&(struct calls){begin, begin, order, alike}, rows, thread, threads, &arranged)) {
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
	release(&arranged);
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
