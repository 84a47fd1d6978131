/* datacrumbs_wrap CMD ARGS...: run a command with its process marked for tracing. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asking.h"
#include "datacrumbs.h"
#include "exit_status.h"
#include "marks.h"
#include "preload.h"

#ifndef DATACRUMBS_VERSION
#error "define DATACRUMBS_VERSION"
#endif

static const char dc_client_usage[] =
	"usage: datacrumbs_wrap [-h] [--version] [--no-preload] [--require] [--run-id ID] [--] CMD [ARG...]\n"
	"       datacrumbs_wrap [--run-id ID] --pid PID\n";

static const char dc_client_help[] =
	"\n"
	"Mark this process and run CMD in it, so that a running `datacrumbs` daemon traces CMD and\n"
	"the processes that it starts. Exit status, signals, input and output are CMD's own. The\n"
	"environment is unchanged, except that LD_PRELOAD gets " DC_CLIENT_LIBRARY "\n"
	"and --run-id sets DATACRUMBS_RUN_ID.\n"
	"\n"
	"options:\n"
	"  --run-id ID   trace CMD in this run only; default: DATACRUMBS_RUN_ID, else the scheduler's\n"
	"                job, else every run of this user that accepts marks without a name\n"
	"  --no-preload  leave LD_PRELOAD alone: CMD and its descendants are traced, but not what a\n"
	"                service (slurmd, sshd) starts for them\n"
	"  --require     run CMD only if a run records it: the one that --run-id names, else any;\n"
	"                else end with 125\n"
	"  --pid PID     run nothing: have this running process of yours traced, and from then on its\n"
	"                children (datacrumbs_mark does the same)\n"
	"\n"
	"exit status:\n"
	"  1    --pid: the process has ended\n"
	"  2    no CMD or an unknown option; --pid: no such process\n"
	"  3    --pid: you may not trace the process\n"
	"  125  --require: no run would record CMD, and it was not run; --pid: no run takes the process\n"
	"  126  CMD was found but cannot be executed\n"
	"  127  CMD was not found\n"
	"  else the exit status of CMD\n"
	"\n"
	"`datacrumbs run --node-list NODES ...` is another command, which starts a run on many nodes:\n"
	"see datacrumbs_run --help.\n"
	"\n"
	"example:\n"
	"  datacrumbs_wrap dd if=/dev/zero of=/tmp/out.bin bs=1M count=1 status=none\n";

/* stat(2) as a function would need a newer C library than the launcher otherwise does. */
static bool dc_client_is_directory(const char *path)
{
	int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (directory >= 0)
		(void)close(directory);
	return directory >= 0;
}

/* What execvp(3) would most likely execute; `command` itself where that is a path, or where none is found. */
static const char *dc_client_file(const char *command, char candidate[2 * PATH_MAX])
{
	const char *path = getenv("PATH");

	if (strchr(command, '/') != NULL || *command == '\0')
		return command;
	while (path != NULL && *path != '\0') {
		size_t size = strcspn(path, ":");
		int length = snprintf(candidate, (size_t)2 * PATH_MAX, "%.*s/%s", size != 0 ? (int)size : 1,
				      size != 0 ? path : ".", command);

		if (length > 0 && length < 2 * PATH_MAX && access(candidate, X_OK) == 0 &&
		    !dc_client_is_directory(candidate))
			return candidate;
		path += size;
		path += *path == ':';
	}
	return command;
}

/* Bytes of the character at the beginning of UTF-8 text that can be shown; 0 where none is, or it steers a terminal. */
static size_t dc_client_shown(const unsigned char *next)
{
	size_t size = next[0] < 0x80   ? 1
		      : next[0] < 0xc2 ? 0
		      : next[0] < 0xe0 ? 2
		      : next[0] < 0xf0 ? 3
		      : next[0] < 0xf5 ? 4
				       : 0;
	uint32_t character = size == 1 ? next[0] : next[0] & (0x7fU >> size);
	size_t place;

	for (place = 1; place < size; place++) {
		if ((next[place] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (next[place] & 0x3f);
	}
	/* Controls, marks that turn the direction of writing, and separators of lines. */
	if (character < 0x20 || (character >= 0x7f && character < 0xa0) ||
	    (character >= 0x200b && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
	    (character >= 0x2060 && character <= 0x206f))
		return 0;
	return size;
}

/* Prints text that strangers may have named; bytes that would steer a terminal as escapes. */
static void dc_client_print_name(const char *text)
{
	const unsigned char *next = (const unsigned char *)text;

	while (*next != '\0') {
		size_t size = dc_client_shown(next);

		if (size == 0)
			(void)fprintf(stderr, "\\x%02x", *next++);
		for (; size > 0; size--)
			(void)fputc(*next++, stderr);
	}
}

/* Tells why, in one line, and gives the exit status. */
static int dc_client_cannot_execute(const char *command, int error)
{
	const char *why = strerror(error);

	if (error == ENOENT && strchr(command, '/') == NULL)
		why = "command not found";
	else if (error == ENOENT && access(command, F_OK) == 0)
		why = "its interpreter was not found"; /* of a script's first line, or the dynamic loader */
	(void)fputs("datacrumbs_wrap: ", stderr);
	dc_client_print_name(command);
	(void)fprintf(stderr, ": %s\n", why);
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

struct dc_client_options {
	bool preload;
	bool require;
	const char *run_id;  /* NULL: as the environment says */
	const char *process; /* NULL: CMD is run */
	int command;	     /* where CMD is */
};

static bool dc_client_is(const char *argument, const char *option)
{
	return strcmp(argument, option) == 0;
}

/* Whether a daemon can have such a run id: it becomes part of paths. */
static bool dc_client_is_run_id(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t size = strlen(text);

	return size >= 1 && size <= DC_RUN_ID_LONGEST && strspn(text, plain) == size && text[0] != '.' &&
	       text[0] != '-';
}

/* The value of an option, `--option VALUE` or `--option=VALUE`; NULL where it is another or has none. */
static const char *dc_client_value(int count, char **arguments, int *next, const char *option)
{
	const char *behind = dc_client_behind(arguments[*next], option);

	if (behind == NULL || (*behind != '\0' && *behind != '='))
		return NULL;
	if (*behind == '=')
		return behind + 1;
	return *next + 1 < count ? arguments[++*next] : NULL;
}

/* By which name messages begin: datacrumbs_mark is this program, and has a usage of its own. */
static const char *dc_client_program(const char *executed)
{
	return executed != NULL && dc_client_is(executed, "datacrumbs_mark") ? executed : "datacrumbs_wrap";
}

static bool dc_client_complain_of(const char *program, const char *what, const char *word, const char *expected)
{
	(void)fprintf(stderr, "%s: %s: ", program, what);
	dc_client_print_name(word);
	(void)fprintf(stderr, "%s\n%s", expected, dc_client_is(program, "datacrumbs_mark") ? "" : dc_client_usage);
	return false;
}

/* Reads the options before CMD; false after a complaint. */
static bool dc_client_read_options(int count, char **arguments, struct dc_client_options *options)
{
	const char *value, *program = dc_client_program(arguments[0]);
	int next;

	for (next = 1; next < count && arguments[next][0] == '-'; next++) {
		const char *word = arguments[next];

		if (dc_client_is(word, "--")) {
			next++;
			break;
		}
		if (dc_client_is(word, "--no-preload"))
			options->preload = false;
		else if (dc_client_is(word, "--require"))
			options->require = true;
		else if ((value = dc_client_value(count, arguments, &next, "--run-id")) != NULL)
			options->run_id = value;
		else if ((value = dc_client_value(count, arguments, &next, "--pid")) != NULL)
			options->process = value;
		else
			return dc_client_complain_of(program, "unknown option", word, "");
	}
	options->command = next;
	if (options->run_id != NULL && !dc_client_is_run_id(options->run_id))
		return dc_client_complain_of(program, "--run-id", options->run_id,
					     ": expected 1 to 64 letters, digits, `.`, `-` and `_`");
	if (options->process != NULL && next < count)
		return dc_client_complain_of(program, "either --pid or a command", arguments[next], "");
	if (options->process == NULL && next >= count)
		(void)fprintf(stderr, "datacrumbs_wrap: no command\n%s", dc_client_usage);
	return options->process != NULL || next < count;
}

/* Marks this process; gives whether the command is to be run. */
static bool dc_client_prepare(const struct dc_client_options *options, const char *command, const char *file)
{
	if (options->preload && !dc_client_prepare_environment(command, file) && options->require) {
		(void)fputs("datacrumbs_wrap: " DC_CLIENT_LIBRARY " is not where this program looks for it; "
			    "nothing was run\n",
			    stderr);
		return false;
	}
	/* For the processes that load the library: they mean this run, too. */
	if (options->run_id != NULL && setenv(DC_CLIENT_RUN_VARIABLE, options->run_id, 1) != 0)
		(void)fprintf(stderr, "datacrumbs_wrap: " DC_CLIENT_RUN_VARIABLE ": %s; continuing without it\n",
			      strerror(errno));
	datacrumbs_start();
	if (!options->require || dc_client_is_recorded(options->run_id != NULL))
		return true;
	(void)fputs("datacrumbs_wrap: no run would record the command; it was not run\n", stderr);
	return false;
}

int main(int count, char **arguments)
{
	struct dc_client_options options = {.preload = true};
	char candidate[2 * PATH_MAX];
	const char *file;

	if (count > 1 && (dc_client_is(arguments[1], "--help") || dc_client_is(arguments[1], "-h")))
		return fputs(dc_client_usage, stdout) < 0 || fputs(dc_client_help, stdout) < 0 || fflush(stdout) != 0;
	if (count > 1 && (dc_client_is(arguments[1], "--version") || dc_client_is(arguments[1], "-V")))
		return puts("datacrumbs_wrap " DATACRUMBS_VERSION) < 0 || fflush(stdout) != 0;
	if (!dc_client_read_options(count, arguments, &options))
		return EXIT_USAGE;

	if (options.run_id != NULL)
		dc_client_name_run(options.run_id);
	else
		dc_client_name_run_from(environ);
	if (options.process != NULL)
		return dc_client_take(dc_client_program(arguments[0]), options.process);
	/* Before the mark: the search is no part of CMD. */
	file = dc_client_file(arguments[options.command], candidate);
	if (!dc_client_prepare(&options, arguments[options.command], file))
		return EXIT_NOT_RUN;
	if (file != arguments[options.command])
		(void)execvp(file, &arguments[options.command]);
	(void)execvp(arguments[options.command], &arguments[options.command]);
	return dc_client_cannot_execute(arguments[options.command], errno);
}
