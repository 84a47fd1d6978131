/* Texts and their numbers. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_WORDS_H
#define DC_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum { DC_LONGEST_WORD = 4096 };

/* One text after the other, each with a newline behind it; the first has the number 1. */
struct dc_words {
	uint8_t *texts;
	size_t size;
	size_t room;
	size_t *starts; /* of each text, and of the one that comes next */
	uint32_t count;
	uint32_t room_of_starts;
	uint32_t *slots; /* numbers, by hash */
	uint32_t *hashes;
	uint64_t mask;
};

/* The number of a text of up to DC_LONGEST_WORD bytes without newline, which is kept when it is new; 0 without memory.
 */
uint32_t dc_words_number(struct dc_words *words, const uint8_t *text, size_t size);
void dc_words_clear(struct dc_words *words);

/* Where hashes of what strangers wrote begin; another in each process. */
uint64_t dc_seed(void);

#endif
