/* How much time calls cover together: by thread and layer, by layer, and in all. */
/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* How much of an interval is behind `reached`, up to where those before it cover all. */
static int64_t fresh(int64_t begin, int64_t end, int64_t *reached)
{
	int64_t from = begin > *reached ? begin : *reached;

	if (end <= from)
		return 0;
	*reached = end;
	return end - from;
}

/*
 * Adds the times that calls cover and those before them do not. `sequence` has the rows by their beginning. Of layers,
 * fewer than `layers`, the first is the highest. `of_threads` has of each thread, and `of_all` at once, up to
 * where the calls of a layer and those below cover all, or of that layer alone; the last of `of_all` is of any call.
 * Times are added to `below`, of each thread for itself, and to `alone` likewise.
 */
EXPORT void dc_cover(uint64_t rows, const uint32_t *sequence, const int64_t *begin, const int64_t *end,
		     const uint32_t *thread, const uint32_t *layer, uint32_t layers, int64_t *of_threads,
		     int64_t *of_all, int64_t *below, int64_t *alone)
{
	for (uint64_t at = 0; at < rows; at++) {
		uint32_t row = sequence[at];
		int64_t *of_thread = of_threads + (uint64_t)thread[row] * layers;

		for (uint32_t above = 0; above <= layer[row]; above++)
			below[above] += fresh(begin[row], end[row], of_thread + above);
		alone[layer[row]] += fresh(begin[row], end[row], of_all + layer[row]);
		alone[layers] += fresh(begin[row], end[row], of_all + layers);
	}
}
