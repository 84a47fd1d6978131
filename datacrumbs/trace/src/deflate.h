/* A deflate stream (RFC 1951) from literals and matches that someone else has found. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_DEFLATE_H
#define DC_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

enum {
	DC_BLOCK_TOKENS = 1 << 15, /* a block has codes of its own */
	DC_LITERALS = 286,
	DC_DISTANCES = 30,
	DC_END_OF_BLOCK = 256,
	DC_SHORTEST_MATCH = 3,
	DC_LONGEST_MATCH = 258,
	DC_WINDOW = 1 << 15,
	DC_TOKEN_BYTES = 6, /* the longest literal and length, distance, and the extra bits of both: 48 bits */
	DC_BLOCK_HEAD_BYTES = 512,
};

struct dc_deflate {
	uint8_t *out;
	size_t capacity;
	size_t used;
	uint64_t bits;
	unsigned int bit_count;
	unsigned int token_count;
	uint32_t literals[DC_LITERALS]; /* how often each symbol occurs in the block */
	uint32_t distances[DC_DISTANCES];
	uint32_t tokens[DC_BLOCK_TOKENS];
};

#define DC_MATCH (UINT32_C(1) << 31)

static inline unsigned int dc_log2(uint32_t value)
{
	return 31U - (unsigned int)__builtin_clz(value);
}

static inline unsigned int dc_length_symbol(unsigned int length)
{
	unsigned int rest = length - DC_SHORTEST_MATCH;

	if (length == DC_LONGEST_MATCH)
		return 285;
	if (rest < 8)
		return 257 + rest;
	return 257 + 4 * (dc_log2(rest) - 1) + ((rest >> (dc_log2(rest) - 2)) & 3);
}

static inline unsigned int dc_distance_symbol(unsigned int distance)
{
	unsigned int rest = distance - 1;

	if (rest < 4)
		return rest;
	return 2 * dc_log2(rest) + ((rest >> (dc_log2(rest) - 1)) & 1);
}

/* Both need room for a token: see dc_deflate_room. */
static inline void dc_deflate_literal(struct dc_deflate *deflate, uint8_t byte)
{
	deflate->tokens[deflate->token_count++] = byte;
	deflate->literals[byte]++;
}

static inline void dc_deflate_match(struct dc_deflate *deflate, unsigned int length, unsigned int distance)
{
	deflate->tokens[deflate->token_count++] = DC_MATCH | (length << 16) | (distance - 1);
	deflate->literals[dc_length_symbol(length)]++;
	deflate->distances[dc_distance_symbol(distance)]++;
}

/* Makes room for that many tokens; 0, or -1 when the output is full. */
int dc_deflate_room(struct dc_deflate *deflate, unsigned int tokens);

/* Begins a gzip member. */
void dc_deflate_begin(struct dc_deflate *deflate);

/* Ends it; its size, or -1 when the output is full. */
int64_t dc_deflate_finish(struct dc_deflate *deflate, uint32_t crc, uint32_t size);

#endif
