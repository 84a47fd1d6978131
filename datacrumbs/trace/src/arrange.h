/* Calls in the order of their groups and beginnings. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_ARRANGE_H
#define DC_ARRANGE_H

#include <stdint.h>

/* A call in the order in which calls are looked at. */
struct place {
	uint64_t begin; /* after the first call; perhaps with the group: alike where both are */
	uint32_t group;
	uint32_t row;
};

struct calls {
	const int64_t *begin;
	const int64_t *end;
	const int64_t *order;
	const uint8_t *rank; /* from 0, the highest layer, to RANKS - 1; or how deep calls are */
};

/* Calls in the order in which they are looked at, and room for as many. */
struct arranged {
	struct place *places;
	struct place *other;
};

/*
 * Puts calls in order: by group, less than `groups`, and by beginning, else as they stand. What it gives must be
 * released. -1 without memory.
 */
int dc_order_by_begin(const int64_t *begin, uint64_t rows, const uint32_t *group, uint32_t groups,
		      struct arranged *arranged);

/* Likewise; of those that begin at once, the longer, then the higher layer, then the first comes first. */
int dc_arrange(const struct calls *calls, uint64_t rows, const uint32_t *group, uint32_t groups,
	       struct arranged *arranged);
void dc_release(struct arranged *arranged);

/* Sorts places by group, then by beginning, up to `longest`; where the result is, of the two. */
struct place *dc_sort_places(struct place *places, struct place *other, uint64_t rows, uint64_t longest,
			     uint32_t groups);

#endif
