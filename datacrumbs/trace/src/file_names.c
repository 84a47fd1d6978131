/* Lines that name files to texts, apart from other lines. */
/* SPDX-License-Identifier: MIT */
#include "json_line.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct dc_file_names {
	struct dc_words hashes; /* of files that have a name */
};

EXPORT struct dc_file_names *dc_file_names_new(void)
{
	return calloc(1, sizeof(struct dc_file_names));
}

EXPORT void dc_file_names_free(struct dc_file_names *names)
{
	if (!names)
		return;
	dc_words_clear(&names->hashes);
	free(names);
}

/* Whether a line that was read is all that is said of a file: its hash and a name without other bytes. */
static int is_name(const struct dc_json_line *line)
{
	const uint32_t keys = DC_BIT(DC_KEY_NAME) | DC_BIT(DC_KEY_LABEL) | DC_BIT(DC_KEY_VALUE);
	const struct dc_span *name = &line->texts[DC_KEY_NAME];

	return dc_json_line_is_metadata(line) && (line->seen & (keys | DC_BIT(DC_KEY_RAW))) == keys &&
	       name->size == 2 && !memcmp(name->at, "FH", 2) && line->texts[DC_KEY_VALUE].size <= DC_LONGEST_WORD;
}

static uint64_t put(uint8_t *place, const struct dc_span *text, uint8_t behind)
{
	memcpy(place, text->at, text->size);
	place[text->size] = behind;
	return text->size + 1;
}

/*
 * Of whole lines, those that name files of which no name is known yet, as "hash\tname\n", and all that are not of this
 * form as they are. `found` and `others` have room for all of the text each. -1 without memory.
 */
EXPORT int dc_file_names_take(struct dc_file_names *names, const uint8_t *text, uint64_t size, uint8_t *found,
			      uint64_t *found_size, uint8_t *others, uint64_t *others_size)
{
	const uint8_t *at = text, *end = text + size;
	struct dc_json_line line;

	*found_size = *others_size = 0;
	dc_json_line_forget(&line);
	line.detailed = 1; /* what is said of calls is judged, too */
	while (at < end) {
		const uint8_t *newline = (const uint8_t *)memchr(at, '\n', (size_t)(end - at));
		const uint8_t *behind = newline ? newline + 1 : end;

		if (newline && dc_json_line_read(at, end, &line) && is_name(&line)) {
			const struct dc_span *hash = &line.texts[DC_KEY_VALUE];
			uint32_t count = names->hashes.count;

			if (!dc_words_number(&names->hashes, hash->at, hash->size))
				return -1;
			if (names->hashes.count > count) {
				*found_size += put(found + *found_size, hash, '\t');
				*found_size += put(found + *found_size, &line.texts[DC_KEY_LABEL], '\n');
			}
		} else {
			memcpy(others + *others_size, at, (size_t)(behind - at));
			*others_size += (uint64_t)(behind - at);
		}
		at = behind;
	}
	return 0;
}
