/* Texts and their numbers: a table by hash. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "words.h"

#include <stdlib.h>
#include <string.h>
#include <linux/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The author of a trace does not know it, and cannot choose texts that all collide. */
static uint64_t seed;

__attribute__((constructor)) static void choose_seed(void)
{
	/* C libraries before glibc 2.25 have no function for it. */
	if (syscall(SYS_getrandom, &seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uintptr_t)&seed; /* the machine has just started */
}

uint64_t dc_seed(void)
{
	return seed;
}

static uint64_t hash_of(const uint8_t *text, size_t size)
{
	uint64_t hash = seed ^ size * UINT64_C(0x9e3779b97f4a7c15), part;

	for (; size >= sizeof(part); text += sizeof(part), size -= sizeof(part)) {
		memcpy(&part, text, sizeof(part));
		hash = (hash ^ part) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	part = 0;
	memcpy(&part, text, size);
	hash = (hash ^ part) * UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 29;
}

static int is_text(const struct dc_words *words, uint32_t number, const uint8_t *text, size_t size)
{
	size_t start = words->starts[number - 1];

	return words->starts[number] - start == size + 1 && !memcmp(words->texts + start, text, size);
}

static int grow_table(struct dc_words *words)
{
	uint64_t mask = words->slots ? 2 * words->mask + 1 : 255;
	uint32_t *slots = calloc(mask + 1, sizeof(*slots)), *hashes;

	if (!slots)
		return -1;
	hashes = malloc((mask + 1) * sizeof(*hashes));
	if (!hashes) {
		free(slots);
		return -1;
	}
	for (uint64_t from = 0; words->slots && from <= words->mask; from++) {
		uint64_t at = words->hashes[from];

		if (!words->slots[from])
			continue;
		while (slots[at & mask])
			at++;
		slots[at & mask] = words->slots[from];
		hashes[at & mask] = words->hashes[from];
	}
	free(words->slots);
	free(words->hashes);
	words->slots = slots;
	words->hashes = hashes;
	words->mask = mask;
	return 0;
}

static int grow(void **place, size_t size)
{
	void *larger = realloc(*place, size);

	if (!larger)
		return -1;
	*place = larger;
	return 0;
}

/* Makes room for one more text. */
static int make_room(struct dc_words *words, size_t size)
{
	if (words->count >= UINT32_MAX / 4)
		return -1;
	if (2 * ((uint64_t)words->count + 1) > words->mask && grow_table(words))
		return -1;
	if (words->count + 2 > words->room_of_starts) {
		uint32_t room = words->room_of_starts ? 2 * words->room_of_starts : 256;

		if (grow((void **)&words->starts, room * sizeof(*words->starts)))
			return -1;
		words->room_of_starts = room;
		words->starts[words->count] = words->size;
	}
	if (words->size + size + 1 > words->room) {
		size_t room = 2 * (words->room + size + 1);

		if (grow((void **)&words->texts, room))
			return -1;
		words->room = room;
	}
	return 0;
}

uint32_t dc_words_number(struct dc_words *words, const uint8_t *text, size_t size)
{
	uint32_t hash = (uint32_t)hash_of(text, size);
	uint64_t at = hash;

	for (; words->slots && words->slots[at & words->mask]; at++) {
		uint32_t number = words->slots[at & words->mask];

		if (words->hashes[at & words->mask] == hash && is_text(words, number, text, size))
			return number;
	}
	if (make_room(words, size) || !words->slots)
		return 0;
	for (at = hash; words->slots[at & words->mask]; at++)
		;
	memcpy(words->texts + words->size, text, size);
	words->texts[words->size + size] = '\n';
	words->size += size + 1;
	words->starts[++words->count] = words->size;
	words->slots[at & words->mask] = words->count;
	words->hashes[at & words->mask] = hash;
	return words->count;
}

void dc_words_clear(struct dc_words *words)
{
	free(words->texts);
	free(words->starts);
	free(words->slots);
	free(words->hashes);
	memset(words, 0, sizeof(*words));
}
