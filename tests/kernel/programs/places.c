/* places DIRECTORY: files in directories that are renamed, mounted elsewhere, or the root of the process.
 *
 * Writes of prime lengths tell the files apart. Needs root.
 */
/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST = 8192, DEEP = 70, LONG = 250, LONG_DEEP = 19 };

static char zeros[LONGEST];
static const char *top;

static int checked(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}
#define CHECK(call) checked(call, #call)

static void write_and_close(int descriptor, int length)
{
	CHECK(descriptor);
	CHECK(write(descriptor, zeros, length));
	close(descriptor);
}

static void put(const char *path, int length)
{
	write_and_close(open(path, O_CREAT | O_RDWR, 0600), length);
}

static void rename_working_directory(void)
{
	CHECK(mkdir("old", 0700));
	CHECK(chdir("old"));
	put("before", 101);
	CHECK(rename("../old", "../new"));
	put("after", 103);
	CHECK(chdir(".."));
}

static void resolve_in_root(void)
{
	int directory = CHECK(open("jail", O_PATH | O_DIRECTORY));
	struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0600, .resolve = RESOLVE_IN_ROOT};

	write_and_close(syscall(SYS_openat2, directory, "/dir/inroot", &how, sizeof(how)), 107);
	how.resolve = 0;
	how.flags = O_RDWR;
	how.mode = 0;
	write_and_close(syscall(SYS_openat2, directory, "dir/inroot", &how, sizeof(how)), 109);
	close(directory);
}

static void mount_elsewhere(void)
{
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount("original", "bound", NULL, MS_BIND, NULL));
	CHECK(chdir("original"));
	put("one", 113);
	CHECK(chdir("../bound"));
	put("two", 127);
	CHECK(chdir("../original"));
	put("three", 131);
	CHECK(chdir(".."));
	CHECK(mount("none", "memory", "tmpfs", 0, NULL));
	CHECK(chdir("memory"));
	put("inside", 137);
}

static void change_root(void)
{
	CHECK(chdir("jail"));
	CHECK(chroot("."));
	put("dir/same", 139);
	put("/dir/same", 149);
	CHECK(chdir("/dir"));
	put("same", 151);
	put("/dir/../top", 157);
}

static void open_without_name(void)
{
	char link[64];
	int descriptor = open("original", O_TMPFILE | O_RDWR, 0600);

	if (descriptor < 0)
		return; /* the file system has none */
	CHECK(write(descriptor, zeros, 163));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
	CHECK(linkat(AT_FDCWD, link, AT_FDCWD, "original/named", AT_SYMLINK_FOLLOW));
	CHECK(write(descriptor, zeros, 167));
	CHECK(rename("original/named", "original/named2"));
	CHECK(write(descriptor, zeros, 173));
	close(descriptor);
}

static void remove_open_file(void)
{
	int descriptor = CHECK(open("original/gone", O_CREAT | O_RDWR, 0600));

	CHECK(unlink("original/gone"));
	write_and_close(descriptor, 179);
}

static void overlay(void)
{
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount("none", "memory", "tmpfs", 0, NULL));
	CHECK(mkdir("memory/lower", 0700));
	CHECK(mkdir("memory/upper", 0700));
	CHECK(mkdir("memory/work", 0700));
	put("memory/lower/file", 181);
	if (mount("none", "over", "overlay", 0, "lowerdir=memory/lower,upperdir=memory/upper,workdir=memory/work"))
		return; /* the kernel has none */
	CHECK(chdir("over"));
	put("file", 191);
	CHECK(rename("file", "moved"));
	put("moved", 193);
}

static void go_deep(void)
{
	CHECK(mkdir("deep", 0700));
	CHECK(chdir("deep"));
	for (int i = 0; i < DEEP; i++) {
		CHECK(mkdir("d", 0700));
		CHECK(chdir("d"));
	}
	put("bottom", 197);
	CHECK(chdir(top));
}

static void go_long(void)
{
	char name[LONG + 1] = {0};

	memset(name, 'n', LONG);
	CHECK(mkdir("long", 0700));
	CHECK(chdir("long"));
	for (int i = 0; i < LONG_DEEP; i++) {
		CHECK(mkdir(name, 0700));
		CHECK(chdir(name));
	}
	put("bottom", 223);
	CHECK(chdir(top));
}

static void open_by_descriptor(void)
{
	char link[64];
	int descriptor;

	for (int i = 0; i < 2; i++) {
		descriptor = CHECK(open(i ? "original/there" : "original/named2", O_RDWR | O_CREAT, 0600));
		snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
		put(link, i ? 229 : 227);
		close(descriptor);
	}
}

static void in_child(void (*run)(void))
{
	int status;

	if (!fork()) {
		run();
		exit(0);
	}
	wait(&status);
	if (status)
		exit(1);
}

int main(int count, char **arguments)
{
	if (count < 2)
		return 2;
	top = arguments[1];
	CHECK(chdir(top));
	CHECK(mkdir("jail", 0700));
	CHECK(mkdir("jail/dir", 0700));
	CHECK(mkdir("original", 0700));
	CHECK(mkdir("bound", 0700));
	CHECK(mkdir("memory", 0700));
	CHECK(mkdir("over", 0700));
	CHECK(symlink("original", "link"));
	rename_working_directory();
	resolve_in_root();
	in_child(mount_elsewhere);
	in_child(change_root);
	open_without_name();
	remove_open_file();
	in_child(overlay);
	go_deep();
	go_long();
	CHECK(chdir("link"));
	put("there", 199);
	put("../link/there", 211);
	CHECK(chdir(top));
	open_by_descriptor();
	return 0;
}
