/* Calls in order, digit by digit. */
/* SPDX-License-Identifier: MIT */
#include "arrange.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { DIGIT = 11, SMALL = 24 };

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

struct place *dc_sort_places(struct place *places, struct place *other, uint64_t rows, uint64_t longest,
			     uint32_t groups)
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

void dc_release(struct arranged *arranged)
{
	free(arranged->places);
	free(arranged->other);
}

int dc_order_by_begin(const int64_t *begins, uint64_t rows, const uint32_t *group, uint32_t groups,
		      struct arranged *arranged)
{
	int64_t first = rows ? begins[0] : 0;
	uint64_t longest = 0;
	struct place *sorted;

	arranged->places = malloc((rows + 1) * sizeof(struct place));
	arranged->other = malloc((rows + 1) * sizeof(struct place));
	if (!arranged->places || !arranged->other) {
		dc_release(arranged);
		return -1;
	}
	for (uint64_t row = 0; row < rows; row++)
		if (begins[row] < first)
			first = begins[row];
	for (uint64_t row = 0; row < rows; row++) {
		uint64_t begin = (uint64_t)begins[row] - (uint64_t)first;

		arranged->places[row] = (struct place){begin, group[row], (uint32_t)row};
		if (begin > longest)
			longest = begin;
	}
	if (groups && longest < UINT64_MAX / groups - 1) { /* one number for both takes fewer steps */
		for (uint64_t row = 0; row < rows; row++)
			arranged->places[row].begin += group[row] * (longest + 1);
		longest = groups * (longest + 1);
		groups = 0;
	}
	sorted = dc_sort_places(arranged->places, arranged->other, rows, longest, groups);
	if (sorted != arranged->places)
		*arranged = (struct arranged){sorted, arranged->places};
	return 0;
}

int dc_arrange(const struct calls *calls, uint64_t rows, const uint32_t *group, uint32_t groups,
	       struct arranged *arranged)
{
	struct place *sorted;
	uint64_t next;

	if (dc_order_by_begin(calls->begin, rows, group, groups, arranged))
		return -1;
	sorted = arranged->places;
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
 * Puts the rows of calls in order: by group, less than `groups`, and by beginning; then by the others, unless `end` is
 * NULL. -1 without memory.
 */
EXPORT int dc_sequence(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
		       const int64_t *order, const uint8_t *rank, uint32_t *sequence)
{
	const struct calls calls = {begin, end, order, rank};
	struct arranged arranged;

	if (end ? dc_arrange(&calls, rows, group, groups, &arranged)
		: dc_order_by_begin(begin, rows, group, groups, &arranged))
		return -1;
	for (uint64_t at = 0; at < rows; at++)
		sequence[at] = arranged.places[at].row;
	dc_release(&arranged);
	return 0;
}
