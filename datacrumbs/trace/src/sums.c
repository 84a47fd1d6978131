/* Durations of calls in nanoseconds, added up by function: lines have whole microseconds. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdlib.h>

/* Eight buckets for each power of two; below 16 each number has its own. */
static uint32_t bucket_of(uint64_t value)
{
	uint32_t shift;

	if (value < DC_TIMES_A_POWER)
		return (uint32_t)value;
	shift = 60 - (uint32_t)__builtin_clzll(value);
	return shift * DC_TIMES_A_POWER + (uint32_t)(value >> shift);
}

/* Without memory for it, calls are missing in the sums: readers compare their number with that of the lines. */
void dc_sums_add(struct dc_lines *lines, const struct dc_record *call)
{
	struct dc_sums **place = &lines->sums[2 * (size_t)call->function + !!(call->flags & DC_NESTED)], *sums = *place;

	if ((call->flags & (DC_RETURNED | DC_POINT)) != DC_RETURNED)
		return;
	if (!sums) {
		sums = *place = calloc(1, sizeof(*sums));
		if (!sums)
			return;
		sums->shortest = UINT64_MAX;
	}
	sums->count++;
	sums->time += call->duration;
	if (call->duration < sums->shortest)
		sums->shortest = call->duration;
	if (call->duration > sums->longest)
		sums->longest = call->duration;
	sums->times[bucket_of(call->duration)]++;
}
