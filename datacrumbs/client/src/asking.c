/* The third probe point, by which a process asks runs of its user whether it is traced, or for a running process. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "asking.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exit_status.h"
#include "marks.h"

#define DC_CLIENT_FIRST_NAMESPACE "pid:[4026531836]" /* PROC_PID_INIT_INO in linux/proc_ns.h */
#define DC_CLIENT_STARTED 20			     /* of the words behind the name in /proc/PID/stat, from 1 */

enum {
	DC_CLIENT_NO_ANSWER = -1,
	DC_CLIENT_LOOKS = 6000, /* a minute: a daemon looks four times a second, unless the machine is very busy */
	DC_CLIENT_LOOK_NS = 10000000,
	DC_CLIENT_DIGITS = 9, /* of a process id */
};

struct dc_client_process {
	uint32_t number;
	uint64_t began; /* in ticks since the machine's start */
};

/* Nothing is done here: who answers is a run's program in the kernel, on a probe at the first instruction. */
DC_CLIENT_EXPORT void datacrumbs_ask(const volatile char *run, uint32_t process, uint64_t began)
{
	volatile int mark = 3;

	(void)run;
	(void)process;
	(void)began;
	(void)mark;
	__asm__ volatile("" ::: "memory");
}

/* Takes the answers that wait; gives the best one: a run that has the process, else one that has been asked. */
static int dc_client_answer(const sigset_t *answers)
{
	static const struct timespec at_once = {0, 0};
	int best = DC_CLIENT_NO_ANSWER;
	int signal;

	while ((signal = sigtimedwait(answers, NULL, &at_once)) > 0) {
		int answer = signal - DC_ANSWER_SIGNAL;

		if (best == DC_CLIENT_NO_ANSWER || answer <= DC_TAKE_TRACED ||
		    (answer == DC_TAKE_ASKED && best > DC_TAKE_TRACED))
			best = answer;
	}
	return best;
}

static int dc_client_ask(const volatile char *run, struct dc_client_process process)
{
	sigset_t answers, before;
	int answer;

	(void)sigemptyset(&answers);
	for (answer = 0; answer < DC_ANSWERS; answer++)
		(void)sigaddset(&answers, DC_ANSWER_SIGNAL + answer);
	(void)sigprocmask(SIG_BLOCK, &answers, &before);
	(void)dc_client_answer(&answers); /* what others may have sent before */
	datacrumbs_ask(run, process.number, process.began);
	answer = dc_client_answer(&answers);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return answer;
}

bool dc_client_is_recorded(bool named)
{
	static const struct dc_client_process own = {0, 0};

	return dc_client_ask(named ? dc_client_named_run() : NULL, own) == DC_TAKE_TRACED;
}

/* Reads a file of /proc/PID as text; empty when it cannot be read. */
static void dc_client_read(uint32_t process, const char *file, char *text, size_t size)
{
	char path[64];
	ssize_t length = -1;
	int descriptor;

	(void)snprintf(path, sizeof(path), "/proc/%u/%s", process, file);
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor >= 0) {
		length = read(descriptor, text, size - 1);
		(void)close(descriptor);
	}
	text[length > 0 ? length : 0] = '\0';
}

/* The number that text begins with. */
static uint64_t dc_client_number(const char *text)
{
	uint64_t number = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (uint64_t)(*text - '0');
	return number;
}

/* When a process began, in ticks; 0 when there is none. Its name may hold anything, so that it is read from behind. */
static uint64_t dc_client_began(uint32_t process)
{
	char text[1024];
	const char *next;
	int words;

	dc_client_read(process, "stat", text, sizeof(text));
	next = strrchr(text, ')');
	for (words = 0; next != NULL && words < DC_CLIENT_STARTED; words++) {
		next = strchr(next, ' ');
		next += next != NULL;
	}
	return next != NULL ? dc_client_number(next) : 0;
}

/* Of which process a thread is. */
static uint32_t dc_client_leader(uint32_t thread)
{
	static const char field[] = "\nTgid:\t";
	char text[4096];
	const char *found;

	dc_client_read(thread, "status", text, sizeof(text));
	found = strstr(text, field);
	return found != NULL ? (uint32_t)dc_client_number(found + sizeof(field) - 1) : 0;
}

/* Whether process ids here are those that the kernel side counts in. */
static bool dc_client_is_on_host(void)
{
	char name[64];
	ssize_t length = readlink("/proc/self/ns/pid", name, sizeof(name) - 1);

	name[length > 0 ? length : 0] = '\0';
	return strcmp(name, DC_CLIENT_FIRST_NAMESPACE) == 0;
}

static int dc_client_complain(const char *program, uint32_t process, const char *what, int status)
{
	(void)fprintf(stderr, "%s: process %u %s\n", program, process, what);
	return status;
}

static int dc_client_refused(const char *program, uint32_t process, int answer)
{
	static const char *const why[] = {
		[DC_TAKE_ANOTHER] = "is not the one that it was when it was looked at",
		[DC_TAKE_FOREIGN] = "is not yours, by each of its user ids",
		[DC_TAKE_PRIVILEGED] = "has capabilities or group ids that you do not have",
		[DC_TAKE_CLOSED] =
			"keeps its memory from you, as programs do that changed their rights or that you may not read",
		[DC_TAKE_ENDED] = "has ended, or the kernel does not list it",
	};
	bool has_ended = answer == DC_TAKE_ANOTHER || answer == DC_TAKE_ENDED;

	return dc_client_complain(program, process, why[answer], has_ended ? EXIT_FAILED : EXIT_REFUSED);
}

/* Until the run has looked: it has been asked when there is an answer at all. */
static int dc_client_take_process(const char *program, struct dc_client_process process)
{
	static const struct timespec pause = {0, DC_CLIENT_LOOK_NS};
	int looks;

	for (looks = 0; looks < DC_CLIENT_LOOKS; looks++) {
		int answer = dc_client_ask(dc_client_named_run(), process);

		if (answer == DC_TAKE_TAKEN || answer == DC_TAKE_TRACED)
			return EXIT_DONE;
		if (answer == DC_CLIENT_NO_ANSWER) {
			(void)fprintf(stderr, "%s: no run of yours takes it%s%s\n", program,
				      looks == 0 ? "" : " any more",
				      looks == 0 ? "; datacrumbs_list shows your runs, and --run-id names one" : "");
			return EXIT_NOT_RUN;
		}
		if (answer != DC_TAKE_ASKED)
			return dc_client_refused(program, process.number, answer);
		if (dc_client_began(process.number) != process.began)
			return dc_client_refused(program, process.number, DC_TAKE_ENDED);
		(void)nanosleep(&pause, NULL);
	}
	(void)fprintf(stderr, "%s: the run does not answer\n", program);
	return EXIT_FAILED;
}

int dc_client_take(const char *program, const char *process)
{
	size_t digits = strspn(process, "0123456789");
	struct dc_client_process meant = {0, 0};
	uint32_t leader;

	if (digits >= 1 && digits <= DC_CLIENT_DIGITS && process[digits] == '\0')
		meant.number = (uint32_t)dc_client_number(process);
	if (meant.number == 0) {
		(void)fprintf(stderr, "%s: PID: expected the number of a process\n", program);
		return EXIT_USAGE;
	}
	if (!dc_client_is_on_host()) {
		(void)fprintf(stderr,
			      "%s: process ids of this container are not the kernel's; give the command on the host\n",
			      program);
		return EXIT_USAGE;
	}
	meant.began = dc_client_began(meant.number);
	leader = dc_client_leader(meant.number);
	if (meant.began == 0 || leader == 0)
		return dc_client_complain(program, meant.number, "is not there", EXIT_USAGE);
	if (leader != meant.number) {
		(void)fprintf(stderr, "%s: %u is a thread of process %u; give that number\n", program, meant.number,
			      leader);
		return EXIT_USAGE;
	}
	return dc_client_take_process(program, meant);
}
