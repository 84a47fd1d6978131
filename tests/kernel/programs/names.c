/* names DIRECTORY: open files one after another, so that the kernel uses their memory again, under other names.
 *
 * Each is read with a length of its own, and a line says which and what the kernel calls the file at that moment.
 */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { REPLACED = 61, ROUNDS = 23, PIPES = 41, BIG = 1 << 16 };

static char zeros[BIG];
static int length = 100;

static int checked(int result)
{
	if (result < 0) {
		perror("names");
		exit(1);
	}
	return result;
}

static void use(int descriptor)
{
	char link[64], name[4096];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
	size = checked(readlink(link, name, sizeof(name) - 1));
	name[size] = 0;
	printf("%d %s\n", ++length, name);
	if (read(descriptor, zeros, length) < 0)
		return; /* what cannot be read has a name all the same */
}

static void use_and_close(int descriptor)
{
	checked(descriptor);
	use(descriptor);
	close(descriptor);
}

static void replace_files(void)
{
	char made[64], final[64];

	for (int i = 0; i < REPLACED; i++) {
		snprintf(made, sizeof(made), "file%d.tmp", i);
		snprintf(final, sizeof(final), "file%d", i);
		use_and_close(open(made, O_CREAT | O_RDWR, 0600));
		checked(rename(made, final));
		use_and_close(open(final, O_RDWR));
	}
}

static void replace_directories(void)
{
	char name[64], file[80];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "directory%d", i);
		checked(mkdir(name, 0700));
		snprintf(file, sizeof(file), "%s/inner", name);
		use_and_close(open(file, O_CREAT | O_RDWR, 0600));
		checked(unlink(file));
		checked(rmdir(name));
	}
	checked(mkdir("above", 0700));
	use_and_close(open("above/kept", O_CREAT | O_RDWR, 0600));
	checked(rename("above", "renamed"));
	use_and_close(open("renamed/kept", O_RDWR));
}

static void alternate_kinds(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	for (int i = 0; i < ROUNDS; i++) {
		use_and_close(eventfd(0, EFD_NONBLOCK));
		use_and_close(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
		use_and_close(epoll_create1(0));
		use_and_close(signalfd(-1, &signals, SFD_NONBLOCK));
		use_and_close(inotify_init1(IN_NONBLOCK));
		use_and_close(syscall(SYS_pidfd_open, getpid(), 0));
		use_and_close(memfd_create(i % 2 ? "odd" : "even", 0));
	}
}

static void alternate_pipes(void)
{
	int ends[2];

	for (int i = 0; i < PIPES; i++) {
		checked(pipe2(ends, O_NONBLOCK));
		use_and_close(ends[0]);
		close(ends[1]);
		checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
		use_and_close(ends[0]);
		use_and_close(ends[1]);
	}
}

int main(int count, char **arguments)
{
	if (count < 2)
		return 2;
	checked(chdir(arguments[1]));
	replace_files();
	replace_directories();
	alternate_kinds();
	alternate_pipes();
	return 0;
}
