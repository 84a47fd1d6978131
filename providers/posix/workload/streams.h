/* The calls of streams. */
#ifndef STREAMS_H
#define STREAMS_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "counting.h"

static void print_all(FILE *stream, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	MUST(BYTES(vfprintf, stream, format, list) > 0);
	va_end(list);
	va_start(list, format);
	MUST(BYTES(vprintf, format, list) > 0);
	va_end(list);
	va_start(list, format);
	MUST(BYTES(vdprintf, file, format, list) > 0);
	va_end(list);
}

static void scan_all(FILE *stream, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	MUST(VALUE(vfscanf, stream, format, list) == 1);
	va_end(list);
}

static void writing_streams(void)
{
	static char own[PAGE];
	FILE *stream = NULL;
	TIMES(7)
	{
		MUST((stream = POINTER(fopen, "stream", "w")));
		if (i_ < 6)
			MUST(STATUS(fclose, stream) == 0);
	}
	TIMES(3) MUST(!POINTER(fopen, "absent", "r"));
	MUST(STATUS(setvbuf, stream, own, _IOFBF, PAGE) == 0);
	TIMES(11) MUST(ITEMS(3, fwrite, buffer, 3, 7, stream) == 7);
	TIMES(7) MUST(STATUS(fputs, "12 45\n", stream) >= 0);
	TIMES(13) MUST(VALUE(fputc, '7', stream) == '7');
	TIMES(5) MUST(BYTES(fprintf, stream, "%d and %d\n", 42, 43) == 10);
	TIMES(3) MUST(BYTES(dprintf, file, "%s\n", "dprintf") == 8);
	TIMES(3) print_all(stream, "%05d\n", 7);
	TIMES(3) MUST(STATUS(fflush, stream) == 0);
	MUST(STATUS(fclose, stream) == 0);
}

static void reading_streams(void)
{
	FILE *stream = NULL;
	fpos_t place;
	char *line = NULL;
	size_t size = 0;
	int value;
	MUST((stream = POINTER(fopen, "stream", "r")));
	TIMES(11) MUST(ITEMS(7, fread, buffer, 7, 3, stream) == 3);
	TIMES(2) MUST(POINTER(fgets, buffer, BLOCK, stream) == buffer);
	TIMES(2) MUST(BYTES(getline, &line, &size, stream) == 6);
	TIMES(3) MUST(BYTES(getdelim, &line, &size, '\n', stream) == 6);
	TIMES(7) MUST(VALUE(fgetc, stream) == '7');
	TIMES(3) MUST(VALUE(ungetc, '7', stream) == '7');
	TIMES(5) MUST(STATUS(fseek, stream, 3, SEEK_SET) == 0);
	TIMES(3) MUST(STATUS(fseeko, stream, 3, SEEK_SET) == 0);
	TIMES(4) MUST(STATUS(fseek, stream, -3, SEEK_SET) == -1);
	TIMES(7) MUST(STATUS(ftell, stream) == 3);
	TIMES(5) MUST(STATUS(ftello, stream) == 3);
	TIMES(2) MUST(STATUS(fgetpos, stream, &place) == 0);
	TIMES(3) MUST(STATUS(fsetpos, stream, &place) == 0);
	TIMES(2) VOID(rewind, stream);
	MUST(STATUS(fseek, stream, 11 * 21, SEEK_SET) == 0);
	TIMES(3) MUST(VALUE(fscanf, stream, "%d", &value) == 1);
	TIMES(2) scan_all(stream, "%d", &value);
	MUST(STATUS(fseek, stream, 0, SEEK_END) == 0);
	TIMES(3) MUST(!VALUE(fgets, buffer, BLOCK, stream)); /* the end of the file is no failure */
	TIMES(2) MUST(ITEMS(1, fread, buffer, 1, BLOCK, stream) == 0);
	MUST((stream = POINTER(freopen, "file", "r", stream)));
	MUST(!POINTER(freopen, "absent", "r", stream)); /* which closes the stream */
	free(line);
}

static void other_streams(void)
{
	static char own[PAGE];
	FILE *stream;
	TIMES(2)
	{
		int opened = STATUS(open, "stream", O_RDONLY);
		MUST((stream = POINTER(fdopen, opened, "r")));
		VOID(setbuf, stream, NULL);
		MUST(STATUS(fclose, stream) == 0);
	}
	TIMES(2)
	{
		MUST((stream = POINTER(tmpfile)));
		VOID(setbuffer, stream, own, PAGE);
		VOID(setlinebuf, stream);
		MUST(STATUS(fclose, stream) == 0);
	}
	TIMES(2)
	{
		MUST((stream = POINTER(popen, "exit 0", "r")));
		MUST(STATUS(pclose, stream) == 0);
	}
}

/* Standard input becomes a file and standard output has a buffer of our own, so that nothing depends on
 * what they were. */
static void standard_streams(void)
{
	static char own[PAGE];
	MUST(STATUS(setvbuf, stdout, own, _IOFBF, PAGE) == 0);
	MUST((POINTER(freopen, "file", "r", stdin)));
	TIMES(5) MUST(VALUE(getchar) != EOF);
	TIMES(7) MUST(VALUE(putchar, 'x') == 'x');
	TIMES(3) MUST(STATUS(puts, "line") >= 0);
	TIMES(11) MUST(BYTES(printf, "%d\n", 12345) == 6);
	TIMES(2) MUST(STATUS(fflush, stdout) == 0);
}

#endif
