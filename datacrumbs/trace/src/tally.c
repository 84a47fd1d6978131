/* Calls added up by process, function and file, in bounded memory, for those who watch a run. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum {
	FIRST_ROOM = 256,
	LINE = 64,
	THREADS = 1 << 10, /* of which it is known what was inside their open calls */
	MOST_INSIDE = 32,  /* combinations that are known to be inside the open calls of a thread */
};

static const uint64_t OTHERS = UINT64_MAX;

/* What was added up inside calls of a thread that are still open, and may have to be taken back as they end. */
struct inside {
	uint32_t row;
	uint32_t depth;
	uint64_t begin; /* of the first of the calls */
	struct dc_figures on_file;
	struct dc_figures in_process;
};

struct dc_tally_thread {
	uint32_t thread;
	uint32_t count;
	struct inside inside[MOST_INSIDE];
};

static void add(struct dc_figures *figures, const struct dc_figures *more)
{
	figures->calls += more->calls;
	figures->errors += more->errors;
	figures->bytes += more->bytes;
	figures->time += more->time;
}

/* All but the bytes, which the outer call may not know. */
static void take_back(struct dc_figures *figures, struct dc_figures *less, int with_bytes)
{
	figures->calls -= less->calls;
	figures->errors -= less->errors;
	figures->time -= less->time;
	less->calls = less->errors = less->time = 0;
	if (with_bytes) {
		figures->bytes -= less->bytes;
		less->bytes = 0;
	}
}

static void merge(struct dc_tally_row *row, const struct dc_tally_row *more)
{
	row->nested += more->nested;
	row->moving += more->moving;
	row->counted += more->counted;
	if (more->last > row->last)
		row->last = more->last;
	add(&row->in_layer, &more->in_layer);
	add(&row->on_file, &more->on_file);
	add(&row->in_process, &more->in_process);
	add(&row->in_layer_before, &more->in_layer_before);
	add(&row->on_file_before, &more->on_file_before);
	add(&row->in_process_before, &more->in_process_before);
}

/* Where the number of a row with this key is, or belongs. */
static uint32_t *slot_of(const struct dc_tally *tally, uint64_t name, uint32_t process, uint32_t function)
{
	uint64_t mask = 2 * (uint64_t)tally->room - 1;

	for (uint64_t at = dc_mix(name ^ dc_mix((uint64_t)process << 32 | function));; at++) {
		uint32_t *slot = &tally->slots[at & mask];
		const struct dc_tally_row *row = *slot ? &tally->rows[*slot - 1] : NULL;

		if (!row || (row->name == name && row->process == process && row->function == function))
			return slot;
	}
}

static struct dc_tally_row *put(struct dc_tally *tally, const struct dc_tally_row *key)
{
	uint32_t *slot = slot_of(tally, key->name, key->process, key->function);
	struct dc_tally_row *row;

	if (*slot)
		return &tally->rows[*slot - 1];
	row = &tally->rows[tally->count++];
	*slot = tally->count;
	memset(row, 0, sizeof(*row));
	row->name = key->name;
	row->file = key->file;
	row->process = key->process;
	row->function = key->function;
	return row;
}

static int grow(struct dc_tally *tally)
{
	uint32_t room = tally->room ? 2 * tally->room : FIRST_ROOM;
	struct dc_tally_row *rows = aligned_alloc(LINE, room * sizeof(*rows));
	uint32_t *slots = calloc(2 * (size_t)room, sizeof(*slots));

	if (!rows || !slots) {
		free(rows);
		free(slots);
		return -1;
	}
	if (tally->count)
		memcpy(rows, tally->rows, tally->count * sizeof(*rows));
	free(tally->rows);
	free(tally->slots);
	tally->rows = rows;
	tally->slots = slots;
	tally->room = room;
	for (uint32_t at = 0; at < tally->count; at++)
		*slot_of(tally, rows[at].name, rows[at].process, rows[at].function) = at + 1;
	return 0;
}

static int by_time(const void *left, const void *right)
{
	uint64_t first = *(const uint64_t *)left, second = *(const uint64_t *)right;

	return first < second ? -1 : first > second;
}

/* Adds those together that were not called for the longest time: their files, and then their processes, too. */
static void fold(struct dc_tally *tally, int processes)
{
	uint32_t count = tally->count;
	uint64_t *times = malloc(count * sizeof(*times)), median;

	if (!times)
		return;
	for (uint32_t at = 0; at < count; at++)
		times[at] = tally->rows[at].last;
	qsort(times, count, sizeof(*times), by_time);
	median = times[count / 2];
	free(times);
	memset(tally->slots, 0, 2 * (size_t)tally->room * sizeof(*tally->slots));
	tally->count = 0;
	for (uint32_t at = 0; at < count; at++) {
		struct dc_tally_row old = tally->rows[at]; /* rows are put at or before its place */

		if (old.last <= median) {
			old.file = old.name = old.name ? OTHERS : 0;
			old.process = processes ? 0 : old.process;
		}
		merge(put(tally, &old), &old);
	}
	if (tally->threads) /* their numbers of rows mean others by now */
		memset(tally->threads, 0, THREADS * sizeof(*tally->threads));
}

static int make_room(struct dc_tally *tally)
{
	if (tally->room < DC_TALLY_ROWS && !grow(tally))
		return 0;
	if (!tally->room)
		return -1;
	fold(tally, 0);
	if (tally->count > tally->room / 4 * 3)
		fold(tally, 1);
	return tally->count < tally->room ? 0 : -1;
}

/* The row of a key; NULL without memory, or where all rows are of functions that differ. */
static struct dc_tally_row *row_of(struct dc_tally *tally, const struct dc_tally_row *key)
{
	if (tally->count == tally->room && make_room(tally) < 0)
		return NULL;
	return put(tally, key);
}

static struct dc_tally_row *row_of_call(struct dc_lines *lines, const struct dc_record *call)
{
	struct dc_tally *tally = &lines->tally;
	struct dc_tally_row key = {.name = call->file, .process = call->process, .function = call->function};
	const struct dc_name *file;
	uint32_t row = tally->room ? *slot_of(tally, key.name, key.process, key.function) : 0;

	if (row)
		return &tally->rows[row - 1];
	file = call->file ? dc_names_find(&lines->names, call->file) : NULL;
	key.file = file ? file->hash : 0;
	return row_of(tally, &key);
}

/* Of the calls inside one that ends, what counts may be in a further one around it. */
static void keep(struct dc_tally_thread *thread, const struct inside *more)
{
	struct inside *inside = thread->inside;

	for (; inside < thread->inside + thread->count; inside++)
		if (inside->row == more->row && inside->depth == more->depth)
			break;
	if (inside == thread->inside + MOST_INSIDE) { /* the oldest one stays counted */
		memmove(thread->inside, thread->inside + 1, sizeof(*inside) * (MOST_INSIDE - 1));
		thread->count--;
		inside--;
	}
	if (inside == thread->inside + thread->count) {
		*inside = *more;
		thread->count++;
		return;
	}
	add(&inside->on_file, &more->on_file);
	add(&inside->in_process, &more->in_process);
	if (more->begin < inside->begin)
		inside->begin = more->begin;
}

/* The calls inside one that ends are not counted beside it. */
static void enclose(struct dc_tally *tally, struct dc_tally_thread *thread, const struct dc_record *call, uint64_t file,
		    int knows_bytes)
{
	uint32_t count = thread->count;

	thread->count = 0;
	for (uint32_t at = 0; at < count; at++) {
		struct inside inside = thread->inside[at]; /* those that are kept are at or before its place */
		struct dc_tally_row *row = &tally->rows[inside.row];

		if (inside.depth > call->depth) {
			if (inside.begin < call->start)
				continue; /* of another call, whose end was not seen */
			take_back(&row->in_process, &inside.in_process, knows_bytes);
			if (file && row->file == file)
				take_back(&row->on_file, &inside.on_file, knows_bytes);
			if (!call->depth)
				continue;
			inside.depth = call->depth;
		}
		keep(thread, &inside);
	}
}

static void nest(struct dc_tally *tally, const struct dc_record *call, const struct dc_tally_row *row, int knows_bytes,
		 const struct dc_figures *own)
{
	struct dc_tally_thread *thread;

	if (!tally->threads) {
		if (!call->depth)
			return;
		tally->threads = calloc(THREADS, sizeof(*tally->threads));
		if (!tally->threads)
			return;
	}
	thread = &tally->threads[call->thread % THREADS];
	if (thread->thread != call->thread) {
		thread->thread = call->thread;
		thread->count = 0;
	}
	if (thread->count && (call->flags & (DC_RETURNED | DC_POINT)) == DC_RETURNED)
		enclose(tally, thread, call, row->file, knows_bytes);
	if (call->depth)
		keep(thread, &(struct inside){.row = (uint32_t)(row - tally->rows),
					      .depth = call->depth,
					      .begin = call->start,
					      .on_file = *own,
					      .in_process = *own});
}

void dc_tally_add(struct dc_lines *lines, const struct dc_record *call)
{
	const struct dc_templates *function = lines->functions[call->function];
	struct dc_tally_row *row = row_of_call(lines, call);
	uint32_t state = dc_state_of(call), at = function->bytes[state];
	struct dc_figures own = {.calls = 1, .errors = state == DC_STATE_FAILED};
	int64_t bytes = at ? (int64_t)dc_value_of(lines, &function->ops[at - 1], call) : -1;

	if (!row)
		return;
	own.time = (call->flags & (DC_RETURNED | DC_POINT)) == DC_RETURNED ? call->duration : 0;
	own.bytes = bytes > 0 ? (uint64_t)bytes : 0;
	row->moving += bytes >= 0;
	if (call->start + call->duration > row->last)
		row->last = call->start + call->duration;
	if (call->flags & DC_NESTED)
		row->nested++;
	else
		add(&row->in_layer, &own);
	add(&row->on_file, &own);
	add(&row->in_process, &own);
	nest(&lines->tally, call, row, bytes >= 0, &own);
}

/* Adds up what was added up elsewhere. */
EXPORT void dc_tally_merge(struct dc_lines *lines, const struct dc_tally_row *more, uint64_t count)
{
	for (const struct dc_tally_row *each = more; each < more + count; each++) {
		struct dc_tally_row *row = row_of(&lines->tally, each);

		if (row)
			merge(row, each);
	}
}

EXPORT const struct dc_tally_row *dc_tally_rows(const struct dc_lines *lines, uint64_t *count)
{
	*count = lines->tally.count;
	return lines->tally.rows;
}

/* From now on, what is there is that of before. */
EXPORT void dc_tally_mark(struct dc_lines *lines)
{
	for (struct dc_tally_row *row = lines->tally.rows; row < lines->tally.rows + lines->tally.count; row++) {
		row->in_layer_before = row->in_layer;
		row->on_file_before = row->on_file;
		row->in_process_before = row->in_process;
	}
}

void dc_tally_free(struct dc_tally *tally)
{
	free(tally->rows);
	free(tally->slots);
	free(tally->threads);
}
