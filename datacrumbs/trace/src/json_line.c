/* One line of a trace: see json_line.h. */
/* SPDX-License-Identifier: MIT */
#include "json_line.h"
#include "words.h"

#include <string.h>

enum { DEEPEST = 64 };

/*
 * Every function below reads from `at` up to a newline at most, which ends the line and is in no token; but eight bytes
 * at once where there are eight before `end`, that of the text.
 */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight bytes, the first one lowest. */
static uint64_t eight_bytes(const uint8_t *at)
{
	uint64_t bytes;

	memcpy(&bytes, at, sizeof(bytes));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	bytes = __builtin_bswap64(bytes);
#endif
	return bytes;
}

/* The end of a text behind its opening quote, or NULL: only what is printable and needs no escape. */
static const uint8_t *end_of_text(const uint8_t *at, const uint8_t *end)
{
	/* The top bit of a byte below 0x20 or above 0x7e, and of a quote and a backslash; perhaps of those behind it.
	 */
	for (; end - at >= 8; at += 8) {
		uint64_t bytes = eight_bytes(at), quotes = bytes ^ EACH('"'), slashes = bytes ^ EACH('\\'), found;

		found = (bytes - EACH(0x20)) | (bytes + EACH(1)) | (quotes - EACH(1)) | (slashes - EACH(1)) | bytes;
		found &= EACH(0x80);
		if (found) {
			at += __builtin_ctzll(found) / 8;
			break;
		}
	}
	while (*at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
		at++;
	return *at == '"' ? at : NULL;
}

/* Up to eight digits, of which `bytes` has the number of each in its byte, the first one lowest. */
static uint64_t number_of(uint64_t bytes)
{
	const uint64_t ends = UINT64_C(0x000000ff000000ff);

	bytes = 10 * bytes + (bytes >> 8); /* of two digits, in every second byte */
	return ((bytes & ends) * (100 + (UINT64_C(1000000) << 32)) +
		(bytes >> 16 & ends) * (1 + (UINT64_C(10000) << 32))) >>
	       32;
}

/* Passes by up to 19 digits, the number of which is added to `value`. */
static const uint8_t *read_digits(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
	const uint8_t *digits = at;

	while (end - at >= 8 && at - digits < 16) {
		uint64_t bytes = eight_bytes(at) ^ EACH('0'), others = (bytes | (bytes + EACH(0x76))) & EACH(0x80);
		int count = others ? __builtin_ctzll(others) / 8 : 8;

		if (!count)
			return at;
		*value = *value * powers[count] + number_of(bytes << (64 - 8 * count));
		at += count;
		if (count < 8)
			return at;
	}
	while ((uint8_t)(*at - '0') < 10 && at - digits < 19)
		*value = 10 * *value + (uint64_t)(*at++ - '0');
	return at;
}

/* Reads a whole number that fits into 64 bits with its sign; NULL for another value. */
static const uint8_t *read_number(const uint8_t *at, const uint8_t *end, int64_t *number)
{
	int negative = *at == '-';
	const uint8_t *digits = at += negative;
	uint64_t value = 0;

	at = read_digits(at, end, &value);
	if (at == digits || (*digits == '0' && (at - digits > 1 || negative)) || value > INT64_MAX)
		return NULL;
	if (*at != ',' && *at != '}')
		return NULL;
	*number = negative ? -(int64_t)value : (int64_t)value;
	return at;
}

/* Passes by a value that no column has: a text, or a whole number of up to 64 bits. */
static const uint8_t *pass_value(const uint8_t *at, const uint8_t *end)
{
	static const char largest[] = "18446744073709551615";
	const uint8_t *digits;
	int64_t number;

	if (*at == '"') {
		at = end_of_text(at + 1, end);
		return at ? at + 1 : NULL;
	}
	for (digits = at; (uint8_t)(*at - '0') < 10 && at - digits < 20; at++)
		;
	if (at - digits == 20)
		return *digits == '1' && memcmp(digits, largest, 20) <= 0 && (*at == ',' || *at == '}') ? at : NULL;
	if (at - digits == 19)
		return *digits != '0' && (*at == ',' || *at == '}') ? at : NULL;
	return read_number(digits, end, &number);
}

static int is_key(const uint8_t *at, size_t size, const char *key, size_t key_size)
{
	return size == key_size && !memcmp(at, key, key_size);
}

#define IS(key) is_key(at, size, key, sizeof(key) - 1)

static enum dc_key outer_key(const uint8_t *at, size_t size)
{
	switch (*at) {
	case 'n':
		return IS("name") ? DC_KEY_NAME : DC_KEY_OTHER;
	case 'c':
		return IS("cat") ? DC_KEY_CATEGORY : DC_KEY_OTHER;
	case 'p':
		return IS("pid") ? DC_KEY_PROCESS : IS("ph") ? DC_KEY_PHASE : DC_KEY_OTHER;
	case 't':
		return IS("ts") ? DC_KEY_BEGIN : IS("tid") ? DC_KEY_THREAD : DC_KEY_OTHER;
	case 'd':
		return IS("dur") ? DC_KEY_DURATION : DC_KEY_OTHER;
	case 'a':
		return IS("args") ? DC_KEY_ARGUMENTS : DC_KEY_OTHER;
	default:
		return DC_KEY_OTHER;
	}
}

static enum dc_key argument_key(const uint8_t *at, size_t size)
{
	switch (*at) {
	case 'r':
		return IS("ret")    ? DC_KEY_RESULT
		       : IS("raw")  ? DC_KEY_RAW
		       : IS("rwbs") ? DC_KEY_DIRECTION
				    : DC_KEY_OTHER;
	case 'f':
		return IS("fhash") ? DC_KEY_FILE : IS("fd") ? DC_KEY_FD : IS("flags") ? DC_KEY_FLAGS : DC_KEY_OTHER;
	case 'o':
		return IS("offset") ? DC_KEY_OFFSET : DC_KEY_OTHER;
	case 'c':
		return IS("count") ? DC_KEY_COUNT : DC_KEY_OTHER;
	case 'w':
		return IS("whence") ? DC_KEY_WHENCE : DC_KEY_OTHER;
	case 'b':
		return IS("bytes") ? DC_KEY_BYTES : DC_KEY_OTHER;
	case 'e':
		return IS("errno") ? DC_KEY_ERROR : DC_KEY_OTHER;
	case 's':
		return IS("symbol") ? DC_KEY_SYMBOL : IS("sector") ? DC_KEY_SECTOR : DC_KEY_OTHER;
	case 't':
		return IS("to_hash") ? DC_KEY_SECOND_FILE : DC_KEY_OTHER;
	case 'd':
		return IS("depth") ? DC_KEY_DEPTH : IS("dev") ? DC_KEY_DEVICE : DC_KEY_OTHER;
	case 'h':
		return IS("hhash") ? DC_KEY_TEXT : DC_KEY_OTHER;
	case 'n':
		return IS("name") ? DC_KEY_LABEL : IS("nr_sector") ? DC_KEY_SECTORS : DC_KEY_OTHER;
	case 'v':
		return IS("value") ? DC_KEY_VALUE : DC_KEY_OTHER;
	default:
		return DC_KEY_OTHER;
	}
}

/* Reads a number of which one that does not fit is none. */
static const uint8_t *read_detail(const uint8_t *at, const uint8_t *end, int64_t *number)
{
	const uint8_t *behind = read_number(at, end, number);

	if (behind || (uint8_t)(*at - '0') > 9)
		return behind;
	*number = DC_NO_NUMBER;
	return pass_value(at, end);
}

/* Notes that a value begins which may differ in the next line of the same form. */
static void note_value(struct dc_json_line *line, enum dc_key key, const uint8_t *at)
{
	if (line->known < DC_MOST_SEGMENTS) {
		struct dc_segment *segment = &line->segments[line->known];

		segment->text = (struct dc_span){line->behind, (size_t)(at - line->behind)};
		segment->key = key;
		segment->mask = segment->text.size < 8 ? (UINT64_C(1) << 8 * segment->text.size) - 1 : UINT64_MAX;
		segment->first = line->end - line->behind >= 8 ? eight_bytes(line->behind) & segment->mask : 0;
	}
	if (line->known <= DC_MOST_SEGMENTS)
		line->known++;
}

/* Whether the text that precedes a value in the line before is at `at`, too. */
static int is_alike(const uint8_t *at, const uint8_t *end, const struct dc_segment *segment)
{
	size_t size = segment->text.size;

	if (end - at < 8)
		return (size_t)(end - at) >= size && !memcmp(at, segment->text.at, size);
	if ((eight_bytes(at) & segment->mask) != segment->first)
		return 0;
	return size <= 8 || ((size_t)(end - at) >= size && !memcmp(at + 8, segment->text.at + 8, size - 8));
}

/* Whether a value of this key is read and kept. */
static int is_wanted(const struct dc_json_line *line, enum dc_key key)
{
	return key != DC_KEY_OTHER && (key < DC_KEY_DETAIL || line->detailed);
}

static const uint8_t *read_kept_number(const uint8_t *at, enum dc_key key, struct dc_json_line *line)
{
	int64_t *number = &line->numbers[key - DC_KEY_PROCESS];

	return key >= DC_KEY_DETAIL ? read_detail(at, line->end, number) : read_number(at, line->end, number);
}

/* Reads a text; only metadata has long ones. */
static const uint8_t *read_kept_text(const uint8_t *at, enum dc_key key, struct dc_json_line *line)
{
	const uint8_t *behind = *at == '"' ? end_of_text(at + 1, line->end) : NULL;
	struct dc_span text;

	if (!behind)
		return NULL;
	text = (struct dc_span){at + 1, (size_t)(behind - at - 1)};
	if (text.size > DC_LONGEST_WORD && (key < DC_KEY_LABEL || key == DC_KEY_PHASE))
		return NULL;
	*(key == DC_KEY_PHASE ? &line->phase : &line->texts[key]) = text;
	return behind + 1;
}

/* Reads the value of a key, or passes by it. A key that counts must not come twice. */
static const uint8_t *read_value(const uint8_t *at, enum dc_key key, struct dc_json_line *line)
{
	if (!is_wanted(line, key))
		return pass_value(at, line->end);
	if (key == DC_KEY_TEXT)
		return *at == '"' ? pass_value(at, line->end) : NULL;
	if (line->seen & DC_BIT(key))
		return NULL;
	line->seen |= DC_BIT(key);
	return (key > DC_KEY_PHASE ? read_kept_number : read_kept_text)(at, key, line);
}

/* Whether lines of one form differ in the value of a key. */
static int is_differing(enum dc_key key)
{
	return key >= DC_KEY_PROCESS || (key >= DC_KEY_FILE && key <= DC_KEY_VALUE);
}

/* Reads the members of an object behind its opening brace; the place behind it, or NULL. */
/* NOLINTNEXTLINE(misc-no-recursion): once, since arguments have none in them */
static const uint8_t *read_object(const uint8_t *at, int is_outer, struct dc_json_line *line)
{
	if (*at == '}')
		return at + 1;
	for (;;) {
		const uint8_t *end = *at == '"' ? end_of_text(at + 1, line->end) : NULL;
		enum dc_key key;

		if (!end || end[1] != ':')
			return NULL;
		key = (is_outer ? outer_key : argument_key)(at + 1, (size_t)(end - at - 1));
		at = end + 2;
		if (key != DC_KEY_ARGUMENTS) {
			if (is_differing(key))
				note_value(line, key, at);
			at = read_value(at, key, line);
			if (is_differing(key))
				line->behind = at;
		} else {
			if (*at != '{' || line->seen & DC_BIT(key))
				return NULL;
			line->seen |= DC_BIT(key);
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
static const uint8_t *read_alike(const uint8_t *at, struct dc_json_line *line)
{
	for (const struct dc_segment *segment = line->segments; is_alike(at, line->end, segment); segment++) {
		enum dc_key key = (enum dc_key)segment->key;

		at += segment->text.size;
		if (key == DC_KEY_END)
			return at;
		if (!is_wanted(line, key))
			at = pass_value(at, line->end);
		else
			at = (key > DC_KEY_PHASE ? read_kept_number : read_kept_text)(at, key, line);
		if (!at)
			return NULL;
	}
	return NULL;
}

/* Reads a line, and remembers its form; the place behind its newline, or NULL. */
static const uint8_t *read_line(const uint8_t *at, struct dc_json_line *line)
{
	line->seen = line->function = line->known = 0;
	line->behind = at;
	at = *at == '{' ? read_object(at + 1, 1, line) : NULL;
	if (!at || *at != '\n') {
		dc_json_line_forget(line);
		return NULL;
	}
	note_value(line, DC_KEY_END, at + 1);
	return at + 1;
}

const uint8_t *dc_json_line_read(const uint8_t *at, const uint8_t *end, struct dc_json_line *line)
{
	const uint8_t *behind;

	line->end = end;
	behind = line->known <= DC_MOST_SEGMENTS ? read_alike(at, line) : NULL;
	return behind ? behind : read_line(at, line);
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

int dc_is_metadata(const uint8_t *at, const uint8_t *end)
{
	int phases = 0;

	if (*at++ != '{')
		return 0;
	for (;;) {
		const uint8_t *behind = *at == '"' ? end_of_text(at + 1, end) : NULL;
		int is_phase;

		if (!behind || behind[1] != ':')
			return 0;
		is_phase = behind - at == 3 && at[1] == 'p' && at[2] == 'h';
		at = behind + 2;
		if (is_phase && (phases++ || at[0] != '"' || at[1] != 'M' || at[2] != '"'))
			return 0;
		if (*at == '"') {
			at = end_of_any_text(at + 1);
			at = at ? at + 1 : NULL;
		} else if (*at == '{') {
			at = end_of_nested(at + 1);
		} else {
			at = pass_value(at, end);
		}
		if (!at || (*at != ',' && *at != '}'))
			return 0;
		if (*at++ == '}')
			return *at == '\n' && phases;
	}
}
