/* Rows of numbers, of which those that are alike have the same number. */
/* SPDX-License-Identifier: MIT */
#include "words.h"

#define EXPORT __attribute__((visibility("default")))

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

/* Columns of calls that are added up, of which all have as many rows. */
struct measured {
	const uint8_t *failed;
	const uint8_t *sized;
	const int64_t *own_bytes; /* negative where the bytes do not count */
	const uint8_t *opening;
	const uint8_t *waiting;
	const int64_t *duration;
	const int64_t *begin;
	const int64_t *end;
};

struct summed {
	int64_t calls;
	int64_t failed;
	int64_t sized;
	int64_t moved;
	int64_t movers;
	int64_t opened;
	int64_t waited;
	int64_t took;
	int64_t longest;
	int64_t begin;
	int64_t end;
};

static int64_t plus(int64_t one, int64_t other)
{
	return (int64_t)((uint64_t)one + (uint64_t)other); /* lines may say anything */
}

/* Adds up calls by the numbers that `dc_number_rows` gave them; `sums` has zeros for each number. */
EXPORT void dc_sum_rows(uint64_t rows, const uint32_t *numbers, const struct measured *calls, struct summed *sums)
{
	for (uint64_t row = 0; row < rows; row++) {
		struct summed *sum = &sums[numbers[row]];
		int64_t duration = calls->duration[row], moved = calls->own_bytes[row];

		if (!sum->calls || duration > sum->longest)
			sum->longest = duration;
		if (!sum->calls || calls->begin[row] < sum->begin)
			sum->begin = calls->begin[row];
		if (!sum->calls || calls->end[row] > sum->end)
			sum->end = calls->end[row];
		sum->calls++;
		sum->failed += calls->failed[row];
		sum->sized += calls->sized[row];
		sum->opened += calls->opening[row];
		sum->took = plus(sum->took, duration);
		if (calls->waiting[row])
			sum->waited = plus(sum->waited, duration);
		if (moved >= 0) {
			sum->moved = plus(sum->moved, moved);
			sum->movers++;
		}
	}
}
