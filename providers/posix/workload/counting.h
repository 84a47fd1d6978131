/* How the workload counts what it calls: each call goes through one of the macros below, which count it by name. */
#ifndef COUNTING_H
#define COUNTING_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAMES = 256, BLOCK = 64, PAGE = 4096 };

static struct tally {
	const char *name;
	long count, errors, bytes;
} tallies[NAMES];

static struct tally *tally(const char *name)
{
	struct tally *entry = tallies;
	while (entry->name && strcmp(entry->name, name))
		entry++;
	entry->name = name;
	entry->count++;
	return entry;
}

/* How each kind of function fails, and what it says about bytes. */
static long status(const char *name, long result)
{
	struct tally *entry = tally(name);
	entry->errors += result < 0;
	return result;
}

static long bytes(const char *name, long result, long size)
{
	struct tally *entry = tally(name);
	entry->errors += result < 0;
	entry->bytes += result > 0 ? result * size : 0;
	return result;
}

static long code(const char *name, long result)
{
	tally(name)->errors += result != 0;
	return result;
}

static void *pointer(const char *name, void *result)
{
	tally(name)->errors += !result || result == MAP_FAILED;
	return result;
}

#define STATUS(function, ...) status(#function, function(__VA_ARGS__))
#define BYTES(function, ...) bytes(#function, function(__VA_ARGS__), 1)
#define ITEMS(size, function, ...) bytes(#function, function(__VA_ARGS__), size)
#define CODE(function, ...) code(#function, function(__VA_ARGS__))
#define POINTER(function, ...) pointer(#function, function(__VA_ARGS__))
#define VALUE(function, ...) (tally(#function), (long)function(__VA_ARGS__))
#define VOID(function, ...) (tally(#function), (void)function(__VA_ARGS__))
#define TIMES(n) for (int i_ = 0; i_ < (n); i_++)

static void text(const char *string)
{
	syscall(SYS_write, 2, string, strlen(string));
}

static void number(long value)
{
	char digits[24] = "";
	int at = sizeof(digits) - 1;
	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	text(digits + at);
}

/* No function of the table may be called for the report or for a complaint. */
static void must(int holds, const char *source, int line)
{
	if (holds)
		return;
	text("workload: unexpected result in ");
	text(source);
	text(", line ");
	number(line);
	text(", errno ");
	number(errno);
	text("\n");
	_exit(1);
}
#define MUST(condition) must(!!(condition), __FILE__, __LINE__)

static void report(void)
{
	for (struct tally *entry = tallies; entry->name; entry++) {
		text(entry == tallies ? "{\"" : ",\n \"");
		text(entry->name);
		text("\": {\"count\": ");
		number(entry->count);
		text(", \"errors\": ");
		number(entry->errors);
		text(", \"bytes\": ");
		number(entry->bytes);
		text("}");
	}
	text("}\n");
}

static char buffer[PAGE];
static int file; /* open for reading and writing during the whole run */

#endif
