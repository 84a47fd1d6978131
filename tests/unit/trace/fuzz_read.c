/* Lines of calls and metadata, changed at random, through the library that reads them, and random calls through
 * nesting. */
/* SPDX-License-Identifier: MIT */
#include "../../model/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dc_reader *dc_reader_new(void);
void dc_reader_free(struct dc_reader *reader);
int dc_reader_read(struct dc_reader *reader, const uint8_t *text, uint64_t size, struct dc_columns *columns);
uint64_t dc_reader_texts(const struct dc_reader *reader, int of_files, uint32_t from, const uint8_t **place);
struct dc_file_names *dc_file_names_new(void);
void dc_file_names_free(struct dc_file_names *names);
int dc_file_names_take(struct dc_file_names *names, const uint8_t *text, uint64_t size, uint8_t *found,
		       uint64_t *found_size, uint8_t *others, uint64_t *others_size);
uint32_t dc_number_rows(uint64_t rows, const uint64_t *const *columns, uint32_t count, uint32_t *numbers,
			uint32_t *firsts, uint32_t *table, uint64_t mask);
void dc_sum_rows(uint64_t rows, const uint32_t *numbers, const void *calls, void *sums);
int dc_nest(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
	    const int64_t *order, const uint8_t *rank, const uint8_t *wanted, uint8_t *inside);
int dc_parents(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
	       const int64_t *order, const uint8_t *rank, uint8_t *inside, uint32_t *parent);
int dc_sequence(uint64_t rows, const uint32_t *group, uint32_t groups, const int64_t *begin, const int64_t *end,
		const int64_t *order, const uint8_t *rank, uint32_t *sequence);

enum { TEXTS = 4000, LINES = 7, LONGEST = 4096, NESTS = 200, CALLS = 211 };

static const char *const SEEDS[] = {
	"{\"id\":1,\"name\":\"read\",\"cat\":\"POSIX\",\"pid\":5,\"tid\":6,\"ts\":1000,\"dur\":7,\"ph\":\"X\",\"args\":"
	"{"
	"\"hhash\":\"a\",\"fhash\":\"f1\",\"ret\":100,\"errno\":2,\"bytes\":-1,\"count\":18446744073709551615,"
	"\"symbol\":\"read\",\"fd\":3,\"rwbs\":1,\"to_hash\":\"f2\",\"depth\":3}}\n",
	"{\"name\":\"w\",\"cat\":\"\",\"ph\":\"X\",\"pid\":0,\"tid\":0,\"ts\":0}\n",
	"{\"name\":\"FH\",\"cat\":\"dftracer\",\"ph\":\"M\",\"pid\":0,\"tid\":0,\"args\":{\"name\":\"a\\\"b\","
	"\"value\":\"f1\"}}\n",
	"[\n",
	"]\n",
	"\n",
};
static const char CHARACTERS[] = "{}[]\",:\\0123456789-+.eXMphargstid\n\x7f\x80";
static uint64_t state;

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 5;
}

static size_t make(uint8_t *text)
{
	size_t size = 0;

	for (uint64_t lines = 1 + number() % LINES; lines; lines--) {
		const char *seed = SEEDS[number() % (sizeof(SEEDS) / sizeof(*SEEDS))];
		size_t begin = size, length = strlen(seed);

		memcpy(text + size, seed, length);
		size += length;
		for (uint64_t changes = number() % 4; changes; changes--) {
			size_t at = begin + number() % length;

			if (number() & 1)
				text[at] = (uint8_t)CHARACTERS[number() % (sizeof(CHARACTERS) - 1)];
			else if (at + 9 < size)
				memmove(text + at, text + at + 5, 4);
		}
	}
	text[size - 1] = '\n';
	return size;
}

static void take_names(struct dc_file_names *names, const uint8_t *text, size_t size)
{
	uint8_t *found = malloc(size), *others = malloc(size);
	uint64_t sizes[2];

	if (dc_file_names_take(names, text, size, found, &sizes[0], others, &sizes[1]) || sizes[0] + sizes[1] > size ||
	    (sizes[0] && found[sizes[0] - 1] != '\n'))
		abort();
	free(found);
	free(others);
}

static void read_texts(void)
{
	struct dc_file_names *names = dc_file_names_new();
	struct dc_reader *reader = dc_reader_new();
	uint8_t made[LONGEST];

	for (int turn = 0; turn < TEXTS; turn++) {
		size_t size = make(made), room = size / 50 + 1;
		uint8_t *text = malloc(size); /* what is read beyond it is found */
		struct dc_columns columns = {.room = room, .others_room = size};
		const uint8_t *texts = NULL;

		columns.details = turn & 1 ? malloc(DC_MOST_DETAILS * room * sizeof(int64_t)) : NULL;
		memcpy(text, made, size);
		columns.others = malloc(size);
		columns.begin = malloc(room * sizeof(int64_t));
		columns.duration = malloc(room * sizeof(int64_t));
		columns.result = malloc(room * sizeof(int64_t));
		columns.bytes = malloc(room * sizeof(int64_t));
		columns.process = malloc(room * sizeof(int32_t));
		columns.thread = malloc(room * sizeof(int32_t));
		columns.errno_ = malloc(room * sizeof(int32_t));
		columns.depth = malloc(room * sizeof(int32_t));
		columns.function = malloc(room * sizeof(uint32_t));
		columns.file = malloc(room * sizeof(uint32_t));
		columns.second_file = malloc(room * sizeof(uint32_t));
		if (dc_reader_read(reader, text, size, &columns) || columns.rows > room || columns.other_size > size)
			abort();
		if (size > 1 && text[size - 2] != '\n' && dc_reader_read(reader, text, size - 1, &columns) != -1)
			abort();
		for (uint64_t row = 0; row < columns.rows; row++)
			if (!columns.function[row] || columns.process[row] < 0)
				abort();
		take_names(names, text, size);
		size = dc_reader_texts(reader, turn & 1, 1, &texts);
		if (size && texts[size - 1] != '\n')
			abort();
		free(text);
		free(columns.others);
		free(columns.begin);
		free(columns.duration);
		free(columns.result);
		free(columns.bytes);
		free(columns.process);
		free(columns.thread);
		free(columns.errno_);
		free(columns.depth);
		free(columns.function);
		free(columns.file);
		free(columns.second_file);
		free(columns.details);
	}
	dc_reader_free(reader);
	dc_file_names_free(names);
}

static void sum(uint64_t rows, const uint32_t *groups, uint32_t count, const uint8_t *flags, const int64_t *begin,
		const int64_t *end)
{
	enum { SUMS = 11, LONGEST_CALL = 8 };
	const void *measures[] = {flags, flags, begin, flags, flags, end, begin, end};
	int64_t sums[CALLS][SUMS] = {{0}}, calls = 0;

	dc_sum_rows(rows, groups, measures, sums);
	for (uint32_t group = 0; group < count; group++)
		calls += sums[group][0];
	for (uint64_t row = 0; row < rows; row++)
		if (sums[groups[row]][LONGEST_CALL] < end[row])
			abort();
	if (calls != (int64_t)rows)
		abort();
}

static void nest(void)
{
	uint64_t rows = number() % (CALLS + 1), keys[2][CALLS];
	const uint64_t *columns[] = {keys[0], keys[1]};
	uint32_t groups[CALLS], firsts[CALLS], sequence[CALLS], parent[CALLS], table[1024] = {0}, count;
	int64_t begin[CALLS], end[CALLS], order[CALLS];
	uint8_t rank[CALLS], wanted[CALLS], inside[CALLS] = {0};
	uint64_t spread = UINT64_C(1) << number() % 59;

	for (uint64_t row = 0; row < rows; row++) {
		keys[0][row] = number() % 3;
		keys[1][row] = number() % 3;
		begin[row] = (int64_t)(number() % spread) - (int64_t)(spread / 2);
		end[row] = begin[row] + (int64_t)(number() % 7);
		order[row] = (int64_t)row;
		rank[row] = (uint8_t)(number() % 64);
		wanted[row] = (uint8_t)(number() & 1);
	}
	count = dc_number_rows(rows, columns, 2, groups, firsts, table, 1023);
	if (dc_nest(rows, groups, count, begin, end, order, rank, wanted, inside) ||
	    dc_sequence(rows, groups, count, begin, NULL, NULL, NULL, sequence) ||
	    dc_sequence(rows, groups, count, begin, end, order, rank, sequence) ||
	    dc_parents(rows, groups, count, begin, end, order, rank, inside, parent))
		abort();
	sum(rows, groups, count, wanted, begin, end);
	for (uint64_t row = 0; row < rows; row++)
		if (sequence[row] >= rows || parent[row] >= rows || groups[parent[row]] != groups[row])
			abort();
}

int main(int count, char **words)
{
	state = UINT64_C(0x9e3779b97f4a7c15) * (1 + (count > 1 ? strtoull(words[1], NULL, 10) : 0));
	read_texts();
	for (int turn = 0; turn < NESTS; turn++)
		nest();
	return 0;
}
