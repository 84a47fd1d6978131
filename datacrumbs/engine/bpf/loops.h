/* Loops of many turns. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_LOOPS_H
#define DC_LOOPS_H

#include "layout.h"

/* DC_TURNS(turn, number) { ... }: with an int `turn` from 0 on, as often as `number` says, or until it is left. Where
 * the kernel can count the turns (Linux 6.4 and later), the verifier follows them until another one brings nothing new,
 * and not each of them, which takes most of the time of loading. What a turn leaves for the next one in a variable must
 * then be nothing that the verifier needs to know, such as an index: that is kept in memory, or made from `turn` by a
 * mask. */
#ifdef DC_WITH_TURNS
struct dc_turns {
	u64 state; /* struct bpf_iter_num */
};

static int (*dc_turns_new)(struct dc_turns *turns, int first, int end) = (void *)DC_BPF_ITER_NUM_NEW;
static int *(*dc_turns_next)(struct dc_turns *turns) = (void *)DC_BPF_ITER_NUM_NEXT;
static void (*dc_turns_destroy)(struct dc_turns *turns) = (void *)DC_BPF_ITER_NUM_DESTROY;

static __always_inline struct dc_turns *dc_begin_turns(struct dc_turns *turns, int number)
{
	dc_turns_new(turns, 0, number);
	return turns;
}

static __always_inline int dc_next_turn(struct dc_turns *turns)
{
	int *turn = dc_turns_next(turns);
	return turn ? *turn : -1;
}

static __always_inline void dc_end_turns(struct dc_turns *turns)
{
	dc_turns_destroy(turns);
}

#define DC_TURNS(turn, number) \
	for (struct dc_turns turns __attribute__((cleanup(dc_end_turns))), *counted = dc_begin_turns(&turns, number); \
	     (turn = dc_next_turn(counted)) >= 0;)
#else
#define DC_TURNS(turn, number) for (turn = 0; turn < (number); turn++)
#endif

#endif
