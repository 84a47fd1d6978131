/* In place of the trace library's encoder: its lines stay text, which another compressor takes from there. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

int dc_code_line(struct dc_lines *lines, const struct dc_line *last, const struct dc_line *line)
{
	(void)lines, (void)last, (void)line;
	return 0;
}

int dc_code_text(struct dc_lines *lines, uint32_t end)
{
	(void)lines, (void)end;
	return 0;
}

int dc_code_rest(struct dc_lines *lines)
{
	(void)lines;
	return 0;
}

void dc_deflate_begin(struct dc_deflate *deflate)
{
	(void)deflate;
}

int64_t dc_deflate_finish(struct dc_deflate *deflate, uint32_t crc, uint32_t size)
{
	(void)deflate, (void)crc, (void)size;
	return 0;
}
