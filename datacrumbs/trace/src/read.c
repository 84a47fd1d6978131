/*
 * Lines of a trace to columns: calls as our writer writes them, and others of the same form. What a line is that has
 * another form is left to a reader of all of JSON; what it would make of a line that is taken here is the same.
 */
/* SPDX-License-Identifier: MIT */
#include "../../model/contract.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define NO_NUMBER INT64_MIN

enum {
	DEEPEST = 64,
	VALUES = 32, /* of a line whose form is remembered */
	SHORTEST_CALL = sizeof("{'name':'','cat':'','ph':'X','pid':0,'tid':0,'ts':0}\n") - 1,
};

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

struct text {
	const uint8_t *at;
	size_t size;
};

/* What stands before a value of a line, and whose value it is. */
struct segment {
	struct text text;
	uint32_t key; /* enum key */
};

/* What a line says: `seen` has a bit for each key whose value is there. */
struct line {
	uint32_t seen;
	int detailed; /* whether details are wanted */
	struct text texts[6];
	struct text phase;
	int64_t numbers[8 + DC_MOST_DETAILS];
	uint32_t function;     /* number of its text, once it is known */
	uint32_t values;       /* that differ between lines of its form; VALUES + 1 when they are too many */
	const uint8_t *behind; /* the last of them */
	struct segment segments[VALUES + 1]; /* before each of them, and behind the last one */
};

enum key {
	KEY_NAME,
	KEY_CATEGORY,
	KEY_SYMBOL,
	KEY_FILE,
	KEY_SECOND_FILE,
	KEY_TEXT, /* one that is of no call, or of no interest */
	KEY_PHASE,
	KEY_PROCESS,
	KEY_THREAD,
	KEY_BEGIN,
	KEY_DURATION,
	KEY_RESULT,
	KEY_ERROR,
	KEY_BYTES,
	KEY_DEPTH,
	KEY_DETAIL, /* the first of them */
	KEY_FD = KEY_DETAIL,
	KEY_OFFSET,
	KEY_COUNT,
	KEY_WHENCE,
	KEY_FLAGS,
	KEY_DEVICE,
	KEY_SECTOR,
	KEY_SECTORS,
	KEY_DIRECTION,
	KEY_ARGUMENTS, /* behind the last */
	KEY_OTHER,
};

_Static_assert(KEY_ARGUMENTS == KEY_DETAIL + DC_MOST_DETAILS, "each detail has a key");

#define BIT(key) (UINT32_C(1) << (key))
#define CALL_KEYS \
	(BIT(KEY_NAME) | BIT(KEY_CATEGORY) | BIT(KEY_PHASE) | BIT(KEY_PROCESS) | BIT(KEY_THREAD) | BIT(KEY_BEGIN))

/* Every function below reads from `at` up to a newline at most, which ends the line and is in no token. */

/* The end of a text behind its opening quote, or NULL: only what is printable and needs no escape. */
static const uint8_t *end_of_text(const uint8_t *at)
{
	while (*at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
		at++;
	return *at == '"' ? at : NULL;
}

/* Reads a whole number that fits into 64 bits with its sign; NULL for another value. */
static const uint8_t *read_number(const uint8_t *at, int64_t *number)
{
	int negative = *at == '-';
	const uint8_t *digits = at += negative;
	uint64_t value = 0;

	while ((uint8_t)(*at - '0') < 10 && at - digits < 19)
		value = 10 * value + (uint64_t)(*at++ - '0');
	if (at == digits || (*digits == '0' && (at - digits > 1 || negative)) || value > INT64_MAX)
		return NULL;
	if (*at != ',' && *at != '}')
		return NULL;
	*number = negative ? -(int64_t)value : (int64_t)value;
	return at;
}

/* Passes by a value that no column has: a text, or a whole number of up to 64 bits. */
static const uint8_t *pass_value(const uint8_t *at)
{
	static const char largest[] = "18446744073709551615";
	const uint8_t *digits;
	int64_t number;

	if (*at == '"') {
		at = end_of_text(at + 1);
		return at ? at + 1 : NULL;
	}
	for (digits = at; (uint8_t)(*at - '0') < 10 && at - digits < 20; at++)
		;
	if (at - digits == 20)
		return *digits == '1' && memcmp(digits, largest, 20) <= 0 && (*at == ',' || *at == '}') ? at : NULL;
	if (at - digits == 19)
		return *digits != '0' && (*at == ',' || *at == '}') ? at : NULL;
	return read_number(digits, &number);
}

static int is_key(const uint8_t *at, size_t size, const char *key, size_t key_size)
{
	return size == key_size && !memcmp(at, key, key_size);
}

#define IS(key) is_key(at, size, key, sizeof(key) - 1)

static enum key outer_key(const uint8_t *at, size_t size)
{
	switch (*at) {
	case 'n':
		return IS("name") ? KEY_NAME : KEY_OTHER;
	case 'c':
		return IS("cat") ? KEY_CATEGORY : KEY_OTHER;
	case 'p':
		return IS("pid") ? KEY_PROCESS : IS("ph") ? KEY_PHASE : KEY_OTHER;
	case 't':
		return IS("ts") ? KEY_BEGIN : IS("tid") ? KEY_THREAD : KEY_OTHER;
	case 'd':
		return IS("dur") ? KEY_DURATION : KEY_OTHER;
	case 'a':
		return IS("args") ? KEY_ARGUMENTS : KEY_OTHER;
	default:
		return KEY_OTHER;
	}
}

static enum key argument_key(const uint8_t *at, size_t size)
{
	switch (*at) {
	case 'r':
		return IS("ret") ? KEY_RESULT : IS("raw") ? KEY_TEXT : IS("rwbs") ? KEY_DIRECTION : KEY_OTHER;
	case 'f':
		return IS("fhash") ? KEY_FILE : IS("fd") ? KEY_FD : IS("flags") ? KEY_FLAGS : KEY_OTHER;
	case 'o':
		return IS("offset") ? KEY_OFFSET : KEY_OTHER;
	case 'c':
		return IS("count") ? KEY_COUNT : KEY_OTHER;
	case 'w':
		return IS("whence") ? KEY_WHENCE : KEY_OTHER;
	case 'b':
		return IS("bytes") ? KEY_BYTES : KEY_OTHER;
	case 'e':
		return IS("errno") ? KEY_ERROR : KEY_OTHER;
	case 's':
		return IS("symbol") ? KEY_SYMBOL : IS("sector") ? KEY_SECTOR : KEY_OTHER;
	case 't':
		return IS("to_hash") ? KEY_SECOND_FILE : KEY_OTHER;
	case 'd':
		return IS("depth") ? KEY_DEPTH : IS("dev") ? KEY_DEVICE : KEY_OTHER;
	case 'h':
		return IS("hhash") ? KEY_TEXT : KEY_OTHER;
	case 'n':
		return IS("name") ? KEY_TEXT : IS("nr_sector") ? KEY_SECTORS : KEY_OTHER;
	case 'v':
		return IS("value") ? KEY_TEXT : KEY_OTHER;
	default:
		return KEY_OTHER;
	}
}

/* Reads a number of which one that does not fit is none. */
static const uint8_t *read_detail(const uint8_t *at, int64_t *number)
{
	const uint8_t *end = read_number(at, number);

	if (end || (uint8_t)(*at - '0') > 9)
		return end;
	*number = NO_NUMBER;
	return pass_value(at);
}

/* Notes that a value begins which may differ in the next line of the same form. */
static void note_value(struct line *line, enum key key, const uint8_t *at)
{
	if (line->values < VALUES)
		line->segments[line->values] = (struct segment){{line->behind, (size_t)(at - line->behind)}, key};
	if (line->values <= VALUES)
		line->values++;
}

/* Reads the value of a key, or passes by it. A key that counts must not come twice. */
static const uint8_t *read_value(const uint8_t *at, enum key key, struct line *line)
{
	const uint8_t *begin = at + 1;

	if (key == KEY_OTHER || (key >= KEY_DETAIL && !line->detailed))
		return pass_value(at);
	if (key > KEY_PHASE) {
		if (line->seen & BIT(key))
			return NULL;
		line->seen |= BIT(key);
		return (key >= KEY_DETAIL ? read_detail : read_number)(at, &line->numbers[key - KEY_PROCESS]);
	}
	at = *at == '"' ? end_of_text(begin) : NULL;
	if (!at || key == KEY_TEXT)
		return at ? at + 1 : NULL;
	if (line->seen & BIT(key) || at - begin > DC_LONGEST_WORD)
		return NULL;
	line->seen |= BIT(key);
	*(key == KEY_PHASE ? &line->phase : &line->texts[key]) = (struct text){begin, (size_t)(at - begin)};
	return at + 1;
}

/* Reads the members of an object behind its opening brace; the place behind it, or NULL. */
/* NOLINTNEXTLINE(misc-no-recursion): once, since arguments have none in them */
static const uint8_t *read_object(const uint8_t *at, int is_outer, struct line *line)
{
	if (*at == '}')
		return at + 1;
	for (;;) {
		const uint8_t *end = *at == '"' ? end_of_text(at + 1) : NULL;
		enum key key;

		if (!end || end[1] != ':')
			return NULL;
		key = (is_outer ? outer_key : argument_key)(at + 1, (size_t)(end - at - 1));
		at = end + 2;
		if (key != KEY_ARGUMENTS) {
			int differs = key >= KEY_PROCESS || key == KEY_FILE || key == KEY_SECOND_FILE;

			if (differs)
				note_value(line, key, at);
			at = read_value(at, key, line);
			if (differs)
				line->behind = at;
		} else {
			if (*at != '{' || line->seen & BIT(key))
				return NULL;
			line->seen |= BIT(key);
			at = read_object(at + 1, 0, line);
		}
		if (!at)
			return NULL;
		if (*at == '}')
			return at + 1;
		if (*at++ != ',')
			return NULL;
	}
}

/* Reads a line that has all but its values from the one before; the place behind its newline, or NULL. */
static const uint8_t *read_alike(const uint8_t *at, const uint8_t *end, struct line *line)
{
	for (uint32_t value = 0;; value++) {
		const struct segment *segment = &line->segments[value];
		enum key key = (enum key)segment->key;
		const uint8_t *begin;

		if ((size_t)(end - at) < segment->text.size || memcmp(at, segment->text.at, segment->text.size) != 0)
			return NULL;
		at += segment->text.size;
		if (value == line->values)
			return at;
		begin = at;
		if (key == KEY_OTHER || (key >= KEY_DETAIL && !line->detailed)) {
			at = pass_value(at);
		} else if (key > KEY_PHASE) {
			at = (key >= KEY_DETAIL ? read_detail : read_number)(at, &line->numbers[key - KEY_PROCESS]);
		} else {
			at = *at == '"' ? end_of_text(at + 1) : NULL;
			if (!at || at - begin - 1 > DC_LONGEST_WORD)
				return NULL;
			line->texts[key] = (struct text){begin + 1, (size_t)(at - begin - 1)};
			at++;
		}
		if (!at)
			return NULL;
	}
}

/* Reads a line, and remembers its form; the place behind its newline, or NULL. */
static const uint8_t *read_line(const uint8_t *at, struct line *line)
{
	line->seen = line->function = line->values = 0;
	line->behind = at;
	at = *at == '{' ? read_object(at + 1, 1, line) : NULL;
	if (!at || *at != '\n')
		return NULL;
	at++;
	if (line->values <= VALUES)
		line->segments[line->values].text = (struct text){line->behind, (size_t)(at - line->behind)};
	return at;
}

/* The number of a text, often that of the line before; 0 without memory. */
static uint32_t function_number(struct dc_reader *reader, const struct line *line)
{
	const struct text *name = &line->texts[KEY_NAME], *category = &line->texts[KEY_CATEGORY];
	const struct text *symbol = line->seen & BIT(KEY_SYMBOL) ? &line->texts[KEY_SYMBOL] : NULL;
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
static uint32_t file_number(struct dc_reader *reader, const struct text *file)
{
	if (reader->file_number && reader->file_size == file->size && !memcmp(reader->file, file->at, file->size))
		return reader->file_number;
	memcpy(reader->file, file->at, file->size);
	reader->file_size = file->size;
	reader->file_number = dc_words_number(&reader->names, file->at, file->size);
	return reader->file_number;
}

static int64_t number_or(const struct line *line, enum key key, int64_t absent)
{
	return line->seen & BIT(key) ? line->numbers[key - KEY_PROCESS] : absent;
}

static int is_beyond(int64_t number, int64_t least)
{
	return number < least || number > INT32_MAX;
}

/* Takes a call into the next row; -1 when it is none that columns have room for, -2 without memory. */
static int take_call(struct dc_reader *reader, struct dc_columns *columns, struct line *line)
{
	int64_t process = number_or(line, KEY_PROCESS, 0), thread = number_or(line, KEY_THREAD, 0),
		error = number_or(line, KEY_ERROR, -1), depth = number_or(line, KEY_DEPTH, -1);
	uint64_t row = columns->rows;
	uint32_t file = 0, second = 0;

	if ((line->seen & CALL_KEYS) != CALL_KEYS || line->phase.size != 1 || *line->phase.at != 'X')
		return -1;
	if (is_beyond(process, 0) || is_beyond(thread, 0) || is_beyond(error, line->seen & BIT(KEY_ERROR) ? 0 : -1) ||
	    is_beyond(depth, line->seen & BIT(KEY_DEPTH) ? 0 : -1))
		return -1;
	if (!line->function)
		line->function = function_number(reader, line);
	if (!line->function || (line->seen & BIT(KEY_FILE) && !(file = file_number(reader, &line->texts[KEY_FILE]))))
		return -2;
	if (line->seen & BIT(KEY_SECOND_FILE)) {
		const struct text *text = &line->texts[KEY_SECOND_FILE];

		second = dc_words_number(&reader->names, text->at, text->size);
		if (!second)
			return -2;
	}
	columns->function[row] = line->function;
	columns->process[row] = (int32_t)process;
	columns->thread[row] = (int32_t)thread;
	columns->begin[row] = number_or(line, KEY_BEGIN, 0);
	columns->duration[row] = number_or(line, KEY_DURATION, 0);
	columns->result[row] = number_or(line, KEY_RESULT, NO_NUMBER);
	columns->bytes[row] = number_or(line, KEY_BYTES, NO_NUMBER);
	columns->errno_[row] = (int32_t)error;
	columns->depth[row] = (int32_t)depth;
	columns->file[row] = file;
	columns->second_file[row] = second;
	for (int detail = 0; line->detailed && detail < DC_MOST_DETAILS; detail++)
		columns->details[(uint64_t)detail * columns->room + row] =
			number_or(line, (enum key)(KEY_DETAIL + detail), NO_NUMBER);
	columns->rows++;
	return 0;
}

/* The end of a text with escapes behind its opening quote, or NULL. */
static const uint8_t *end_of_any_text(const uint8_t *at)
{
	while (*at != '"') {
		if (*at == '\\')
			at++;
		if (*at == '\n')
			return NULL;
		at++;
	}
	return at;
}

/* The end of an object or a list behind its opening, by its texts, braces and brackets alone; or NULL. */
static const uint8_t *end_of_nested(const uint8_t *at)
{
	for (int depth = 1; *at != '\n'; at++) {
		if (*at == '"' && !(at = end_of_any_text(at + 1)))
			return NULL;
		if (*at == '{' || *at == '[')
			depth++;
		if ((*at == '}' || *at == ']') && !--depth)
			return at + 1;
		if (depth > DEEPEST)
			return NULL;
	}
	return NULL;
}

/* Whether the line is metadata, so that its reader takes no call from it. */
static int is_metadata(const uint8_t *at)
{
	int phases = 0;

	if (*at++ != '{')
		return 0;
	for (;;) {
		const uint8_t *end = *at == '"' ? end_of_text(at + 1) : NULL;
		int is_phase;

		if (!end || end[1] != ':')
			return 0;
		is_phase = end - at == 3 && at[1] == 'p' && at[2] == 'h';
		at = end + 2;
		if (is_phase && (phases++ || at[0] != '"' || at[1] != 'M' || at[2] != '"'))
			return 0;
		if (*at == '"') {
			at = end_of_any_text(at + 1);
			at = at ? at + 1 : NULL;
		} else if (*at == '{') {
			at = end_of_nested(at + 1);
		} else {
			at = pass_value(at);
		}
		if (!at || (*at != ',' && *at != '}'))
			return 0;
		if (*at++ == '}')
			return *at == '\n' && phases;
	}
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
	struct line line;

	if ((size && end[-1] != '\n') || columns->room - columns->rows < size / SHORTEST_CALL ||
	    columns->others_room - columns->other_size < size)
		return -1;
	line.values = VALUES + 1;
	line.detailed = columns->details != NULL;
	while (at < end) {
		const uint8_t *behind = line.values <= VALUES ? read_alike(at, end, &line) : NULL;
		int taken;

		if (!behind)
			behind = read_line(at, &line);
		taken = behind ? take_call(reader, columns, &line) : -1;
		if (taken == -2)
			return -2;
		if (!taken) {
			at = behind;
			continue;
		}
		line.values = VALUES + 1;
		behind = (const uint8_t *)memchr(at, '\n', (size_t)(end - at)) + 1;
		if (is_metadata(at)) {
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
