/* Lines of a trace to columns. */
/* SPDX-License-Identifier: MIT */
#include "json_line.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct dc_reader {
	struct dc_words functions;
	struct dc_words names;
	uint8_t function[3 * DC_LONGEST_WORD + 2]; /* the one of the line before, with tabs */
	size_t function_size;
	uint32_t function_number;
	uint8_t file[DC_LONGEST_WORD]; /* likewise */
	size_t file_size;
	uint32_t file_number;
};

/* The number of a text, often that of the line before; 0 without memory. */
static uint32_t function_number(struct dc_reader *reader, const struct dc_json_line *line)
{
	const struct dc_span *name = &line->texts[DC_KEY_NAME], *category = &line->texts[DC_KEY_CATEGORY];
	const struct dc_span *symbol = line->seen & DC_BIT(DC_KEY_SYMBOL) ? &line->texts[DC_KEY_SYMBOL] : NULL;
	size_t size = category->size + 1 + name->size + (symbol ? symbol->size + 1 : 0);
	uint8_t *last = reader->function;

	if (reader->function_number && reader->function_size == size && !memcmp(last, category->at, category->size) &&
	    last[category->size] == '\t' && !memcmp(last + category->size + 1, name->at, name->size) &&
	    (!symbol ||
	     (last[size - symbol->size - 1] == '\t' && !memcmp(last + size - symbol->size, symbol->at, symbol->size))))
		return reader->function_number;
	memcpy(last, category->at, category->size);
	last[category->size] = '\t';
	memcpy(last + category->size + 1, name->at, name->size);
	if (symbol) {
		last[category->size + 1 + name->size] = '\t';
		memcpy(last + size - symbol->size, symbol->at, symbol->size);
	}
	reader->function_size = size;
	reader->function_number = dc_words_number(&reader->functions, last, size);
	return reader->function_number;
}

/* Likewise, of a file. */
static uint32_t file_number(struct dc_reader *reader, const struct dc_span *file)
{
	if (reader->file_number && reader->file_size == file->size && !memcmp(reader->file, file->at, file->size))
		return reader->file_number;
	memcpy(reader->file, file->at, file->size);
	reader->file_size = file->size;
	reader->file_number = dc_words_number(&reader->names, file->at, file->size);
	return reader->file_number;
}

static int64_t number_or(const struct dc_json_line *line, enum dc_key key, int64_t absent)
{
	return line->seen & DC_BIT(key) ? line->numbers[key - DC_KEY_PROCESS] : absent;
}

static int is_beyond(int64_t number, int64_t least)
{
	return number < least || number > INT32_MAX;
}

/* Takes a call into the next row; -1 when it is none that columns have room for, -2 without memory. */
static int take_call(struct dc_reader *reader, struct dc_columns *columns, struct dc_json_line *line)
{
	int64_t process = number_or(line, DC_KEY_PROCESS, 0), thread = number_or(line, DC_KEY_THREAD, 0),
		error = number_or(line, DC_KEY_ERROR, -1), depth = number_or(line, DC_KEY_DEPTH, -1);
	uint64_t row = columns->rows;
	uint32_t file = 0, second = 0;

	if ((line->seen & DC_CALL_KEYS) != DC_CALL_KEYS || line->phase.size != 1 || *line->phase.at != 'X')
		return -1;
	if (is_beyond(process, 0) || is_beyond(thread, 0) ||
	    is_beyond(error, line->seen & DC_BIT(DC_KEY_ERROR) ? 0 : -1) ||
	    is_beyond(depth, line->seen & DC_BIT(DC_KEY_DEPTH) ? 0 : -1))
		return -1;
	if (!line->function)
		line->function = function_number(reader, line);
	if (!line->function ||
	    (line->seen & DC_BIT(DC_KEY_FILE) && !(file = file_number(reader, &line->texts[DC_KEY_FILE]))))
		return -2;
	if (line->seen & DC_BIT(DC_KEY_SECOND_FILE)) {
		const struct dc_span *text = &line->texts[DC_KEY_SECOND_FILE];

		second = dc_words_number(&reader->names, text->at, text->size);
		if (!second)
			return -2;
	}
	columns->function[row] = line->function;
	columns->process[row] = (int32_t)process;
	columns->thread[row] = (int32_t)thread;
	columns->begin[row] = number_or(line, DC_KEY_BEGIN, 0);
	columns->duration[row] = number_or(line, DC_KEY_DURATION, 0);
	columns->result[row] = number_or(line, DC_KEY_RESULT, DC_NO_NUMBER);
	columns->bytes[row] = number_or(line, DC_KEY_BYTES, DC_NO_NUMBER);
	columns->errno_[row] = (int32_t)error;
	columns->depth[row] = (int32_t)depth;
	columns->file[row] = file;
	columns->second_file[row] = second;
	for (int detail = 0; columns->details && detail < DC_MOST_DETAILS; detail++)
		columns->details[(uint64_t)detail * columns->room + row] =
			number_or(line, (enum dc_key)(DC_KEY_DETAIL + detail), DC_NO_NUMBER);
	columns->rows++;
	return 0;
}

static int is_bare(const uint8_t *at)
{
	return *at == '\n' || ((*at == '[' || *at == ']') && at[1] == '\n');
}

EXPORT struct dc_reader *dc_reader_new(void)
{
	return calloc(1, sizeof(struct dc_reader));
}

EXPORT void dc_reader_free(struct dc_reader *reader)
{
	if (!reader)
		return;
	dc_words_clear(&reader->functions);
	dc_words_clear(&reader->names);
	free(reader);
}

/*
 * Reads whole lines, behind those that are in the columns. Stops at a line that is doubtful.
 * -1 when the last line has no end or the columns have no room, -2 without memory.
 */
EXPORT int dc_reader_read(struct dc_reader *reader, const uint8_t *text, uint64_t size, struct dc_columns *columns)
{
	const uint8_t *at = text, *end = text + size;
	struct dc_json_line line;

	if ((size && end[-1] != '\n') || columns->room - columns->rows < size / DC_SHORTEST_CALL ||
	    columns->others_room - columns->other_size < size)
		return -1;
	dc_json_line_forget(&line);
	line.detailed = columns->details != NULL;
	while (at < end) {
		const uint8_t *behind = dc_json_line_read(at, end, &line);
		int is_metadata = behind && dc_json_line_is_metadata(&line);
		int taken = behind && !is_metadata ? take_call(reader, columns, &line) : -1;

		if (taken == -2)
			return -2;
		if (!taken) {
			at = behind;
			continue;
		}
		if (!behind)
			behind = (const uint8_t *)memchr(at, '\n', (size_t)(end - at)) + 1;
		if (is_metadata || dc_is_metadata(at, end)) {
			memcpy(columns->others + columns->other_size, at, (size_t)(behind - at));
			columns->other_size += (uint64_t)(behind - at);
		} else if (!is_bare(at)) {
			columns->doubtful = 1;
			return 0;
		}
		at = behind;
	}
	return 0;
}

/* The texts of functions, or of files, from a number on: their size, and their place until the next are read. */
EXPORT uint64_t dc_reader_texts(const struct dc_reader *reader, int of_files, uint32_t from, const uint8_t **place)
{
	const struct dc_words *words = of_files ? &reader->names : &reader->functions;
	size_t start;

	if (!from || from > words->count)
		return 0;
	start = words->starts[from - 1];
	*place = words->texts + start;
	return words->size - start;
}
