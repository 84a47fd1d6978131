/* untouched DIRECTORY PROGRAM SCRIPT: system calls whose paths are in memory that was mapped and never touched, so that
 * only the kernel's own look at them brings them in. In DIRECTORY there are `sub` and `jail`. */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define APART 32 /* pages of the file between two that are used: mappings of them are not joined */

extern char **environ;
static int file, used;
static const char *directory;

/* Bytes in pages that nothing has touched, the first `before` of them in a page of their own. */
static void *untouched_bytes(const void *bytes, size_t size, size_t before)
{
	char *place = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start = place + 2 * PAGE - before;
	for (int half = 0; half < 2; half++) {
		off_t at = PAGE * APART * ++used;
		if (half)
			pwrite(file, (const char *)bytes + before, size - before, at);
		else
			pwrite(file, bytes, before, at + PAGE - before);
		ftruncate(file, at + PAGE);
		mmap(place + PAGE * (1 + half), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, at);
	}
	return start;
}

static char *untouched(const char *text)
{
	return untouched_bytes(text, strlen(text) + 1, 0);
}

static char *below(const char *name)
{
	char path[PAGE];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return untouched(path);
}

/* The provider's snippet asks for its argument. */
__attribute__((noinline)) size_t named(const char *name)
{
	return strlen(name);
}

/* Its entries alone are probed, with the snippet as well. */
__attribute__((noinline)) size_t entered(const char *name, const char *other)
{
	return strlen(name) + strlen(other);
}

/* Takes a path and, beside it, a text that nobody asks for. */
__attribute__((noinline)) void *described(const char *path, const char *mode)
{
	return path[0] && mode[0] ? &file : NULL;
}

static void in_a_child(void (*work)(char *), char *path)
{
	pid_t child = fork();
	if (!child) {
		work(path);
		_exit(1);
	}
	waitpid(child, NULL, 0);
}

static void into_jail(char *path)
{
	char *inside = untouched("/inside");
	if (!chroot(path))
		close(open(inside, O_CREAT | O_WRONLY, 0600));
}

static void execute(char *path)
{
	char *arguments[] = {"executed", NULL};
	execve(path, arguments, environ);
}

static void execute_in_directory(char *path)
{
	char *arguments[] = {"executed", NULL};
	int start = open(directory, O_RDONLY | O_DIRECTORY);
	syscall(SYS_execveat, fcntl(start, F_DUPFD_CLOEXEC, 123), path, arguments, environ, 0);
}

static void execute_descriptor(char *path)
{
	char *arguments[] = {"executed", NULL}, *nothing = untouched("");
	syscall(SYS_execveat, open(path, O_PATH | O_CLOEXEC), nothing, arguments, environ, AT_EMPTY_PATH);
}

int main(int count, char **arguments)
{
	if (count < 4 || chdir(directory = arguments[1]))
		return 2;
	file = open("strings", O_RDWR | O_CREAT | O_TRUNC, 0600);

	close(open(untouched("made"), O_CREAT | O_WRONLY, 0600));
	rename(untouched("made"), below("moved"));
	unlink(untouched_bytes("moved", sizeof("moved"), 2));
	struct stat status;
	stat(below("missing"), &status);

	chdir(untouched("sub"));
	mkdir(untouched("inner"), 0700);
	chdir(untouched(".."));
	char *link = untouched("link");
	symlink("elsewhere", "link");
	readlink(link, link, PAGE);
	readlink(untouched("link"), (char[64]){0}, 64);

	int made = open("timed", O_CREAT | O_WRONLY, 0600);
	futimens(made, NULL);
	syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0);
	int here = open(directory, O_RDONLY | O_DIRECTORY);
	syscall(SYS_unlinkat, here, NULL, 0);
	syscall(SYS_renameat, here, "timed", here, NULL);

	struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 0600, .resolve = RESOLVE_IN_ROOT};
	int jail = open("jail", O_RDONLY | O_DIRECTORY);
	syscall(SYS_openat2, jail, untouched("/rooted"), untouched_bytes(&how, sizeof(how), 0), sizeof(how));
	syscall(SYS_openat2, jail, "/rooted", untouched_bytes(&how, sizeof(how), 0), sizeof(how));
	in_a_child(into_jail, below("jail"));

	execute(untouched("no-such-program"));
	in_a_child(execute, untouched(arguments[2]));
	in_a_child(execute, untouched(arguments[3]));
	in_a_child(execute_in_directory, untouched(arguments[3]));
	in_a_child(execute_in_directory, below(arguments[3]));
	in_a_child(execute_descriptor, untouched(arguments[2]));
	if (entered(untouched("one"), untouched("other")) != strlen("oneother"))
		return 1;
	char *two = untouched_bytes("beside\0w", sizeof("beside\0w"), 0);
	if (!described(two, two + sizeof("beside")))
		return 1;
	return named(untouched("a field")) != strlen("a field");
}
