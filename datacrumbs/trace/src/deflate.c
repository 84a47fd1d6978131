/* Blocks of tokens to bits, each with Huffman codes made for it. */
/* SPDX-License-Identifier: MIT */
#include "deflate.h"

#include <string.h>

enum {
	LONGEST_CODE = 15,
	LONGEST_LENGTH_CODE = 7,
	LENGTH_SYMBOLS = 19,
	GZIP_HEAD = 10,
};

struct code {
	uint16_t bits;
	uint8_t length;
};

static void put(struct dc_deflate *deflate, uint64_t bits, unsigned int count)
{
	deflate->bits |= bits << deflate->bit_count;
	deflate->bit_count += count;
	memcpy(deflate->out + deflate->used, &deflate->bits, sizeof(deflate->bits));
	deflate->used += deflate->bit_count >> 3;
	deflate->bits >>= deflate->bit_count & ~7U;
	deflate->bit_count &= 7;
}

/* The depth of each of `used` leaves, whose weights come in ascending order, in a Huffman tree. */
static void tree_depths(const uint32_t *weights, unsigned int used, uint16_t *depths)
{
	uint32_t inner[DC_LITERALS];
	uint16_t parent[2 * DC_LITERALS] = {0};
	uint16_t inner_depth[DC_LITERALS];
	unsigned int leaf = 0, first = 0, made;

	for (made = 0; made + 1 < used; made++) {
		uint32_t sum = 0;

		for (int child = 0; child < 2; child++) {
			if (leaf < used && (first >= made || weights[leaf] <= inner[first])) {
				sum += weights[leaf];
				parent[leaf++] = (uint16_t)made;
			} else {
				sum += inner[first];
				parent[used + first++] = (uint16_t)made;
			}
		}
		inner[made] = sum;
	}
	if (made)
		inner_depth[made - 1] = 0;
	for (unsigned int node = made - 1; made && node-- > 0;)
		inner_depth[node] = (uint16_t)(inner_depth[parent[used + node]] + 1);
	for (unsigned int node = 0; node < used; node++)
		depths[node] = made ? (uint16_t)(inner_depth[parent[node]] + 1) : 1;
}

/* Code lengths of at most `limit` bits that use the code space fully. */
static void code_lengths(const uint32_t *weights, unsigned int symbols, unsigned int limit, struct code *codes)
{
	uint16_t order[DC_LITERALS] = {0}, depths[DC_LITERALS];
	uint32_t sorted[DC_LITERALS];
	unsigned int used = 0, of_length[LONGEST_CODE + 1] = {0};
	uint32_t space = 0;

	for (unsigned int symbol = 0; symbol < symbols; symbol++) {
		unsigned int place;

		codes[symbol].length = 0;
		if (!weights[symbol])
			continue;
		for (place = used++; place && sorted[place - 1] > weights[symbol]; place--) {
			sorted[place] = sorted[place - 1];
			order[place] = order[place - 1];
		}
		sorted[place] = weights[symbol];
		order[place] = (uint16_t)symbol;
	}
	tree_depths(sorted, used, depths);
	for (unsigned int leaf = 0; leaf < used; leaf++)
		of_length[depths[leaf] < limit ? depths[leaf] : limit]++;
	for (unsigned int length = 1; length <= limit; length++)
		space += of_length[length] << (limit - length);
	for (; space > UINT32_C(1) << limit; space--) {
		/* One of the longest codes goes below a shorter one, which grows by a bit. */
		unsigned int length = limit - 1;

		while (!of_length[length])
			length--;
		of_length[limit]--;
		of_length[length]--;
		of_length[length + 1] += 2;
	}
	for (unsigned int length = limit, leaf = 0; length; length--)
		for (unsigned int count = of_length[length]; count; count--)
			codes[order[leaf++]].length = (uint8_t)length;
}

static void assign_codes(struct code *codes, unsigned int symbols)
{
	unsigned int of_length[LONGEST_CODE + 2] = {0}, next[LONGEST_CODE + 2] = {0};

	for (unsigned int symbol = 0; symbol < symbols; symbol++)
		of_length[codes[symbol].length]++;
	of_length[0] = 0;
	for (unsigned int length = 1; length <= LONGEST_CODE; length++)
		next[length] = (next[length - 1] + of_length[length - 1]) << 1;
	for (unsigned int symbol = 0; symbol < symbols; symbol++) {
		unsigned int bits = next[codes[symbol].length]++, reversed = 0;

		for (unsigned int bit = 0; bit < codes[symbol].length; bit++)
			reversed |= ((bits >> bit) & 1) << (codes[symbol].length - 1U - bit);
		codes[symbol].bits = (uint16_t)reversed;
	}
}

/* The lengths of all codes, run-length coded: symbol in the low bits, the extra bits' content above. */
static unsigned int pack_lengths(const uint8_t *lengths, unsigned int count, uint16_t *packed)
{
	unsigned int made = 0;

	for (unsigned int at = 0; at < count;) {
		unsigned int run = 1;

		while (at + run < count && lengths[at + run] == lengths[at])
			run++;
		if (!lengths[at] && run >= 11) {
			run = run < 138 ? run : 138;
			packed[made++] = (uint16_t)(18 | (run - 11) << 8);
		} else if (!lengths[at] && run >= 3) {
			packed[made++] = (uint16_t)(17 | (run - 3) << 8);
		} else if (at && lengths[at - 1] == lengths[at] && run >= 3) {
			run = run < 6 ? run : 6;
			packed[made++] = (uint16_t)(16 | (run - 3) << 8);
		} else {
			run = 1;
			packed[made++] = lengths[at];
		}
		at += run;
	}
	return made;
}

static void put_head(struct dc_deflate *deflate, const struct code *literals, const struct code *distances, int last)
{
	static const uint8_t order[LENGTH_SYMBOLS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
	struct code codes[LENGTH_SYMBOLS];
	uint8_t lengths[DC_LITERALS + DC_DISTANCES];
	uint16_t packed[DC_LITERALS + DC_DISTANCES];
	uint32_t weights[LENGTH_SYMBOLS] = {0};
	unsigned int literal_count = DC_LITERALS, distance_count = DC_DISTANCES, code_count = LENGTH_SYMBOLS, made;

	while (literal_count > 257 && !literals[literal_count - 1].length)
		literal_count--;
	while (distance_count > 1 && !distances[distance_count - 1].length)
		distance_count--;
	for (unsigned int symbol = 0; symbol < literal_count; symbol++)
		lengths[symbol] = literals[symbol].length;
	for (unsigned int symbol = 0; symbol < distance_count; symbol++)
		lengths[literal_count + symbol] = distances[symbol].length;
	made = pack_lengths(lengths, literal_count + distance_count, packed);
	for (unsigned int at = 0; at < made; at++)
		weights[packed[at] & 31]++;
	code_lengths(weights, LENGTH_SYMBOLS, LONGEST_LENGTH_CODE, codes);
	assign_codes(codes, LENGTH_SYMBOLS);
	while (code_count > 4 && !codes[order[code_count - 1]].length)
		code_count--;
	put(deflate, (uint64_t)(last != 0) | 2 << 1, 3);
	put(deflate, (literal_count - 257) | (distance_count - 1) << 5 | (code_count - 4) << 10, 14);
	for (unsigned int at = 0; at < code_count; at++)
		put(deflate, codes[order[at]].length, 3);
	for (unsigned int at = 0; at < made; at++) {
		unsigned int symbol = packed[at] & 31;

		put(deflate, codes[symbol].bits, codes[symbol].length);
		if (symbol >= 16)
			put(deflate, packed[at] >> 8, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
	}
}

static void put_match(struct dc_deflate *deflate, const struct code *literals, const struct code *distances,
		      uint32_t token)
{
	unsigned int length = (token >> 16) & 0x1ff, distance = (token & 0x7fff) + 1;
	const struct code *code = &literals[dc_length_symbol(length)];
	unsigned int rest = length - DC_SHORTEST_MATCH, count = code->length, extra;
	uint64_t bits = code->bits;

	if (rest >= 8 && length != DC_LONGEST_MATCH) {
		extra = dc_log2(rest) - 2;
		bits |= (uint64_t)(rest & ((1U << extra) - 1)) << count;
		count += extra;
	}
	code = &distances[dc_distance_symbol(distance)];
	bits |= (uint64_t)code->bits << count;
	count += code->length;
	rest = distance - 1;
	if (rest >= 4) {
		extra = dc_log2(rest) - 1;
		bits |= (uint64_t)(rest & ((1U << extra) - 1)) << count;
		count += extra;
	}
	put(deflate, bits, count);
}

static int put_block(struct dc_deflate *deflate, int last)
{
	struct code literals[DC_LITERALS], distances[DC_DISTANCES];

	if (deflate->capacity - deflate->used < (size_t)deflate->token_count * DC_TOKEN_BYTES + DC_BLOCK_HEAD_BYTES)
		return -1;
	deflate->literals[DC_END_OF_BLOCK] = 1;
	code_lengths(deflate->literals, DC_LITERALS, LONGEST_CODE, literals);
	code_lengths(deflate->distances, DC_DISTANCES, LONGEST_CODE, distances);
	assign_codes(literals, DC_LITERALS);
	assign_codes(distances, DC_DISTANCES);
	put_head(deflate, literals, distances, last);
	for (unsigned int at = 0; at < deflate->token_count; at++) {
		uint32_t token = deflate->tokens[at];

		if (token & DC_MATCH)
			put_match(deflate, literals, distances, token);
		else
			put(deflate, literals[token].bits, literals[token].length);
	}
	put(deflate, literals[DC_END_OF_BLOCK].bits, literals[DC_END_OF_BLOCK].length);
	deflate->token_count = 0;
	memset(deflate->literals, 0, sizeof(deflate->literals));
	memset(deflate->distances, 0, sizeof(deflate->distances));
	return 0;
}

int dc_deflate_room(struct dc_deflate *deflate, unsigned int tokens)
{
	return deflate->token_count + tokens <= DC_BLOCK_TOKENS ? 0 : put_block(deflate, 0);
}

void dc_deflate_begin(struct dc_deflate *deflate)
{
	static const uint8_t head[GZIP_HEAD] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};

	memcpy(deflate->out, head, sizeof(head));
	deflate->used = sizeof(head);
	deflate->bits = 0;
	deflate->bit_count = 0;
	deflate->token_count = 0;
	memset(deflate->literals, 0, sizeof(deflate->literals));
	memset(deflate->distances, 0, sizeof(deflate->distances));
}

int64_t dc_deflate_finish(struct dc_deflate *deflate, uint32_t crc, uint32_t size)
{
	if (put_block(deflate, 1) < 0)
		return -1;
	put(deflate, 0, (8 - deflate->bit_count) & 7);
	memcpy(deflate->out + deflate->used, &crc, sizeof(crc));
	memcpy(deflate->out + deflate->used + sizeof(crc), &size, sizeof(size));
	deflate->used += sizeof(crc) + sizeof(size);
	return (int64_t)deflate->used;
}
