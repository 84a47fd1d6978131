/* Calls every function of the posix provider a known number of times; workload.json says how often.
 *
 *     cc -O0 -fno-builtin -U_FORTIFY_SOURCE -w workload.c -o workload      (or musl-gcc)
 *     ./workload DIRECTORY > /dev/null            DIRECTORY: empty, on a file system that can fallocate
 *     ./workload DIRECTORY report > /dev/null     prints what it called on standard error, as JSON
 *
 * Each call goes through one of the macros of counting.h, which count it by name: calls, failures, bytes. So
 * the program itself is the witness for the table, and the table for a trace. Any unexpected result ends it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>
#include <utime.h>

#include "counting.h"
#include "streams.h"

static char name[64];
static struct iovec vector[3] = {{buffer, 5}, {buffer + 5, 7}, {buffer + 12, 11}};

static void data_calls(void)
{
	TIMES(13) MUST(BYTES(write, file, buffer, BLOCK) == BLOCK);
	TIMES(4) MUST(BYTES(write, -1, buffer, BLOCK) == -1);
	TIMES(5) MUST(BYTES(pwrite, file, buffer, BLOCK, 17 * i_) == BLOCK);
	TIMES(2) MUST(BYTES(pwrite, file, buffer, BLOCK, -1) == -1);
	TIMES(11) MUST(BYTES(writev, file, vector, 3) == 23);
	TIMES(2) MUST(BYTES(writev, -1, vector, 3) == -1);
	TIMES(7) MUST(BYTES(pwritev, file, vector, 3, 100) == 23);
	TIMES(11) MUST(BYTES(pread, file, buffer, BLOCK, 3 * i_) == BLOCK);
	TIMES(5) MUST(BYTES(preadv, file, vector, 3, 3 * i_) == 23);
	TIMES(3) MUST(STATUS(lseek, file, 0, SEEK_SET) == 0);
	TIMES(17) MUST(BYTES(read, file, buffer, 19) == 19);
	TIMES(2) MUST(BYTES(read, -1, buffer, 19) == -1);
	TIMES(7) MUST(BYTES(readv, file, vector, 3) == 23);
	TIMES(2) MUST(STATUS(lseek, file, -7, SEEK_SET) == -1);
#ifdef __GLIBC__
	TIMES(5) MUST(BYTES(preadv2, file, vector, 3, 11, 0) == 23);
	TIMES(3) MUST(BYTES(pwritev2, file, vector, 3, 11, 0) == 23);
#endif
}

static void synchronisation_calls(void)
{
	TIMES(5) MUST(STATUS(fsync, file) == 0);
	TIMES(2) MUST(STATUS(fsync, -1) == -1);
	TIMES(3) MUST(STATUS(fdatasync, file) == 0);
	TIMES(2) MUST(STATUS(sync_file_range, file, 0, BLOCK, SYNC_FILE_RANGE_WRITE) == 0);
	TIMES(3) MUST(STATUS(syncfs, -1) == -1);
	TIMES(2) VOID(sync);
	TIMES(7) MUST(CODE(posix_fadvise, file, 0, BLOCK, POSIX_FADV_SEQUENTIAL) == 0);
	TIMES(4) MUST(CODE(posix_fadvise, -1, 0, BLOCK, POSIX_FADV_SEQUENTIAL) == EBADF);
	TIMES(3) MUST(BYTES(readahead, -1, 0, BLOCK) == -1);
}

static void pipe_calls(void)
{
	int first[2], second[2], other;
	MUST((other = STATUS(open, "other", O_CREAT | O_RDWR, 0600)) >= 0);
	TIMES(2)
	{
		MUST(STATUS(pipe, first) == 0);
		MUST(STATUS(pipe2, second, O_CLOEXEC) == 0);
		if (!i_) {
			MUST(STATUS(close, first[0]) == 0 && STATUS(close, first[1]) == 0);
			MUST(STATUS(close, second[0]) == 0 && STATUS(close, second[1]) == 0);
		}
	}
	TIMES(3) MUST(STATUS(pipe2, first, -1) == -1);
	off_t from;
	TIMES(3) MUST((from = 0, BYTES(splice, file, &from, first[1], NULL, BLOCK, 0)) == BLOCK);
	TIMES(2) MUST(BYTES(tee, first[0], second[1], BLOCK, 0) == BLOCK);
	TIMES(3) MUST(BYTES(vmsplice, first[1], vector, 3, 0) == 23);
	TIMES(7) MUST((from = 0, BYTES(sendfile, other, file, &from, BLOCK)) == BLOCK);
	off_t to;
	TIMES(5) MUST((from = 0, to = 0, BYTES(copy_file_range, file, &from, other, &to, BLOCK, 0)) == BLOCK);
	TIMES(2) MUST(BYTES(copy_file_range, -1, NULL, other, NULL, BLOCK, 0) == -1);
	MUST(STATUS(close, first[0]) == 0 && STATUS(close, first[1]) == 0);
	MUST(STATUS(close, second[0]) == 0 && STATUS(close, second[1]) == 0);
	MUST(STATUS(close, other) == 0);
}

static void socket_calls(void)
{
	int pair[2], listening, client, served;
	struct sockaddr_un address = {AF_UNIX, "socket"};
	socklen_t length = sizeof(address);
	struct msghdr message = {.msg_iov = vector, .msg_iovlen = 3};
	struct mmsghdr many[2] = {{{.msg_iov = vector, .msg_iovlen = 3}}, {{.msg_iov = vector, .msg_iovlen = 3}}};
	TIMES(2)
	{
		MUST(STATUS(socketpair, AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
		if (!i_)
			MUST(STATUS(close, pair[0]) == 0 && STATUS(close, pair[1]) == 0);
	}
	TIMES(7)
	{
		MUST(BYTES(send, pair[0], buffer, 31, 0) == 31);
		MUST(BYTES(recv, pair[1], buffer, BLOCK, 0) == 31);
	}
	TIMES(4) MUST(BYTES(recv, pair[1], buffer, BLOCK, MSG_DONTWAIT) == -1);
	TIMES(5)
	{
		MUST(BYTES(sendto, pair[0], buffer, 37, 0, NULL, 0) == 37);
		MUST(BYTES(recvfrom, pair[1], buffer, BLOCK, 0, NULL, NULL) == 37);
	}
	TIMES(3)
	{
		MUST(BYTES(sendmsg, pair[0], &message, 0) == 23);
		MUST(BYTES(recvmsg, pair[1], &message, 0) == 23);
	}
	TIMES(2)
	{
		MUST(STATUS(sendmmsg, pair[0], many, 2, 0) == 2);
		MUST(STATUS(recvmmsg, pair[1], many, 2, 0, NULL) == 2);
	}
	MUST((listening = STATUS(socket, AF_UNIX, SOCK_STREAM, 0)) >= 0);
	TIMES(2) MUST(STATUS(socket, AF_UNIX, -1, 0) == -1);
	MUST(STATUS(bind, listening, (struct sockaddr *)&address, length) == 0);
	MUST(STATUS(bind, listening, (struct sockaddr *)&address, length) == -1);
	TIMES(3) MUST(STATUS(listen, listening, 5) == 0);
	TIMES(4)
	{
		MUST((client = STATUS(socket, AF_UNIX, SOCK_STREAM, 0)) >= 0);
		MUST(STATUS(connect, client, (struct sockaddr *)&address, length) == 0);
		if (i_ % 2)
			MUST((served = STATUS(accept, listening, NULL, NULL)) >= 0);
		else
			MUST((served = STATUS(accept4, listening, NULL, NULL, SOCK_CLOEXEC)) >= 0);
		MUST(STATUS(shutdown, client, SHUT_RDWR) == 0);
		MUST(STATUS(close, client) == 0 && STATUS(close, served) == 0);
	}
	MUST(STATUS(connect, -1, (struct sockaddr *)&address, length) == -1);
	MUST(STATUS(shutdown, -1, SHUT_RD) == -1);
	MUST(STATUS(close, pair[0]) == 0 && STATUS(close, pair[1]) == 0 && STATUS(close, listening) == 0);
	MUST(STATUS(unlink, "socket") == 0);
}

static void opening_calls(int directory)
{
	int opened, other;
	TIMES(5)
	{
		MUST((opened = STATUS(openat, directory, "file", O_RDONLY)) >= 0);
		MUST(STATUS(close, opened) == 0);
	}
	TIMES(2) MUST(STATUS(openat, directory, "absent", O_RDONLY) == -1);
	TIMES(3)
	{
		MUST((opened = STATUS(creat, "created", 0600)) >= 0);
		MUST(STATUS(close, opened) == 0);
	}
	TIMES(24) MUST(STATUS(open, "absent", O_RDONLY) == -1);
	TIMES(2)
	{
		MUST((opened = STATUS(mkstemp, strcpy(name, "s-XXXXXX"))) >= 0);
		MUST(STATUS(close, opened) == 0 && STATUS(unlink, name) == 0);
		MUST((opened = STATUS(mkostemp, strcpy(name, "s-XXXXXX"), O_APPEND)) >= 0);
		MUST(STATUS(close, opened) == 0 && STATUS(unlink, name) == 0);
		MUST((opened = STATUS(mkstemps, strcpy(name, "s-XXXXXX.t"), 2)) >= 0);
		MUST(STATUS(close, opened) == 0 && STATUS(unlink, name) == 0);
		MUST((opened = STATUS(mkostemps, strcpy(name, "s-XXXXXX.t"), 2, O_APPEND)) >= 0);
		MUST(STATUS(close, opened) == 0 && STATUS(unlink, name) == 0);
		MUST(POINTER(mkdtemp, strcpy(name, "d-XXXXXX")) == name);
		MUST(STATUS(rmdir, name) == 0);
	}
	struct file_handle handle = {0};
	TIMES(3) MUST(STATUS(open_by_handle_at, -1, &handle, O_RDONLY) == -1);
	TIMES(5)
	{
		MUST((opened = STATUS(dup, file)) >= 0);
		MUST((other = STATUS(dup2, file, opened)) == opened);
		MUST((other = STATUS(dup3, file, opened, O_CLOEXEC)) == opened);
		MUST(STATUS(close, opened) == 0);
	}
	TIMES(2) MUST(STATUS(dup, -1) == -1);
	TIMES(2) MUST(STATUS(dup2, -1, 3) == -1);
	TIMES(6) MUST(STATUS(dup3, file, file, 0) == -1);
	TIMES(7) MUST(STATUS(close, -1) == -1);
	strcpy(name, "/datacrumbs-workload-0000000");
	for (long rest = getpid(), at = strlen(name); rest; rest /= 10)
		name[--at] = '0' + rest % 10;
	MUST((opened = STATUS(shm_open, name, O_CREAT | O_RDWR, 0600)) >= 0);
	MUST(STATUS(close, opened) == 0);
	TIMES(2) MUST(STATUS(shm_open, name, O_CREAT | O_EXCL, 0600) == -1);
	MUST(STATUS(shm_unlink, name) == 0);
	TIMES(2) MUST(STATUS(shm_unlink, name) == -1);
#ifdef __GLIBC__
	TIMES(3) MUST(STATUS(close_range, 900, 901, 0) == 0);
	TIMES(2) VOID(closefrom, 900);
#endif
}

static void attribute_calls(int directory)
{
	struct stat state;
	struct statfs system;
	struct statvfs view;
	TIMES(13) MUST(STATUS(stat, "file", &state) == 0);
	TIMES(4) MUST(STATUS(stat, "absent", &state) == -1);
	TIMES(3) MUST(STATUS(lstat, "file", &state) == 0);
	TIMES(2) MUST(STATUS(lstat, "absent", &state) == -1);
	TIMES(11) MUST(STATUS(fstat, file, &state) == 0);
	TIMES(2) MUST(STATUS(fstat, -1, &state) == -1);
	TIMES(5) MUST(STATUS(fstatat, directory, "file", &state, 0) == 0);
	TIMES(2) MUST(STATUS(fstatat, directory, "absent", &state, 0) == -1);
	TIMES(2) MUST(STATUS(statfs, ".", &system) == 0);
	TIMES(3) MUST(STATUS(fstatfs, file, &system) == 0);
	TIMES(5) MUST(STATUS(statvfs, ".", &view) == 0);
	TIMES(7) MUST(STATUS(fstatvfs, file, &view) == 0);
	TIMES(5) MUST(STATUS(access, "file", R_OK) == 0);
	TIMES(6) MUST(STATUS(access, "absent", R_OK) == -1);
	TIMES(3) MUST(STATUS(faccessat, directory, "file", R_OK, 0) == 0);
	TIMES(2) MUST(STATUS(euidaccess, "absent", R_OK) == -1);
	TIMES(5) MUST(STATUS(truncate, "file", 3 * PAGE) == 0);
	TIMES(2) MUST(STATUS(truncate, "absent", 1) == -1);
	TIMES(3) MUST(STATUS(ftruncate, file, 2 * PAGE) == 0);
	TIMES(2) MUST(STATUS(fallocate, file, 0, 0, PAGE) == 0);
	TIMES(3) MUST(STATUS(fallocate, -1, 0, 0, PAGE) == -1);
	TIMES(5) MUST(CODE(posix_fallocate, file, 0, PAGE) == 0);
	TIMES(2) MUST(CODE(posix_fallocate, -1, 0, PAGE) == EBADF);
	TIMES(3) MUST(STATUS(chmod, "file", 0640) == 0);
	TIMES(2) MUST(STATUS(chmod, "absent", 0640) == -1);
	TIMES(5) MUST(STATUS(fchmod, file, 0600) == 0);
	TIMES(2) MUST(STATUS(fchmodat, directory, "file", 0640, 0) == 0);
	TIMES(2) MUST(STATUS(lchmod, "absent", 0640) == -1);
	TIMES(3) MUST(STATUS(chown, "file", -1, -1) == 0);
	TIMES(2) MUST(STATUS(fchown, file, -1, -1) == 0);
	TIMES(5) MUST(STATUS(lchown, "file", -1, -1) == 0);
	TIMES(2) MUST(STATUS(fchownat, directory, "file", -1, -1, 0) == 0);
	struct timeval times[2] = {{1, 0}, {2, 0}};
	struct timespec instants[2] = {{1, 0}, {2, 0}};
	struct utimbuf seconds = {1, 2};
	TIMES(2) MUST(STATUS(utime, "file", &seconds) == 0);
	TIMES(3) MUST(STATUS(utimes, "file", times) == 0);
	TIMES(2) MUST(STATUS(lutimes, "file", times) == 0);
	TIMES(3) MUST(STATUS(futimes, file, times) == 0);
	TIMES(5) MUST(STATUS(futimens, file, instants) == 0);
	TIMES(7) MUST(STATUS(utimensat, directory, "file", instants, 0) == 0);
	TIMES(2) MUST(STATUS(futimesat, directory, "file", times) == 0);
	struct flock lock = {F_RDLCK, SEEK_SET, 0, 1};
	TIMES(5) MUST(STATUS(fcntl, file, F_GETFL) >= 0);
	TIMES(3) MUST(STATUS(fcntl, file, F_SETLK, &lock) == 0);
	TIMES(3) MUST(STATUS(fcntl, -1, F_GETFD) == -1);
	TIMES(2) MUST(STATUS(flock, file, LOCK_SH) == 0);
	TIMES(3) MUST(STATUS(lockf, file, F_TEST, 1) == 0);
	int waiting;
	TIMES(5) MUST(STATUS(ioctl, file, FIONREAD, &waiting) == 0);
	TIMES(2) MUST(STATUS(ioctl, -1, FIONREAD, &waiting) == -1);
#ifdef __GLIBC__
	struct statx extended;
	TIMES(3) MUST(STATUS(statx, directory, "file", 0, STATX_SIZE, &extended) == 0);
	TIMES(2) MUST(STATUS(statx, directory, "absent", 0, STATX_SIZE, &extended) == -1);
#endif
}

/* Not every file system has extended attributes: absent files have none anywhere. */
static void extended_attribute_calls(void)
{
	TIMES(2) MUST(BYTES(getxattr, "absent", "user.a", buffer, BLOCK) == -1);
	TIMES(3) MUST(BYTES(lgetxattr, "absent", "user.a", buffer, BLOCK) == -1);
	TIMES(5) MUST(BYTES(fgetxattr, -1, "user.a", buffer, BLOCK) == -1);
	TIMES(2) MUST(STATUS(setxattr, "absent", "user.a", buffer, 1, 0) == -1);
	TIMES(3) MUST(STATUS(lsetxattr, "absent", "user.a", buffer, 1, 0) == -1);
	TIMES(5) MUST(STATUS(fsetxattr, -1, "user.a", buffer, 1, 0) == -1);
	TIMES(2) MUST(BYTES(listxattr, "absent", buffer, BLOCK) == -1);
	TIMES(3) MUST(BYTES(llistxattr, "absent", buffer, BLOCK) == -1);
	TIMES(5) MUST(BYTES(flistxattr, -1, buffer, BLOCK) == -1);
	TIMES(2) MUST(STATUS(removexattr, "absent", "user.a") == -1);
	TIMES(3) MUST(STATUS(lremovexattr, "absent", "user.a") == -1);
	TIMES(5) MUST(STATUS(fremovexattr, -1, "user.a") == -1);
}

static void name_calls(int directory)
{
	TIMES(3)
	{
		MUST(STATUS(link, "file", "second") == 0);
		MUST(STATUS(rename, "second", "third") == 0);
		MUST(STATUS(renameat, directory, "third", directory, "fourth") == 0);
		MUST(STATUS(unlink, "fourth") == 0);
	}
	TIMES(2) MUST(STATUS(link, "absent", "second") == -1);
	TIMES(4) MUST(STATUS(rename, "absent", "second") == -1);
	TIMES(2) MUST(STATUS(renameat, directory, "absent", directory, "second") == -1);
	TIMES(5)
	{
		MUST(STATUS(symlink, "file", "pointing") == 0);
		MUST(BYTES(readlink, "pointing", buffer, BLOCK) == 4);
		MUST(STATUS(unlinkat, directory, "pointing", 0) == 0);
	}
	TIMES(2) MUST(BYTES(readlink, "file", buffer, BLOCK) == -1);
	TIMES(2) MUST(STATUS(unlinkat, directory, "absent", 0) == -1);
	TIMES(2)
	{
		MUST(STATUS(linkat, directory, "file", directory, "second", 0) == 0);
		MUST(STATUS(remove, "second") == 0);
		MUST(STATUS(symlinkat, "file", directory, "pointing") == 0);
		MUST(BYTES(readlinkat, directory, "pointing", buffer, BLOCK) == 4);
		MUST(STATUS(remove, "pointing") == 0);
		MUST(STATUS(mkfifo, "fifo", 0600) == 0 && STATUS(remove, "fifo") == 0);
		MUST(STATUS(mkfifoat, directory, "fifo", 0600) == 0 && STATUS(remove, "fifo") == 0);
		MUST(STATUS(mknod, "fifo", S_IFIFO | 0600, 0) == 0 && STATUS(remove, "fifo") == 0);
		MUST(STATUS(mknodat, directory, "fifo", S_IFIFO | 0600, 0) == 0 && STATUS(remove, "fifo") == 0);
	}
	MUST(STATUS(remove, "absent") == -1);
	TIMES(5)
	{
		MUST(STATUS(mkdir, "folder", 0700) == 0);
		MUST(STATUS(rmdir, "folder") == 0);
	}
	TIMES(2) MUST(STATUS(mkdir, "file", 0700) == -1);
	TIMES(2) MUST(STATUS(mkdirat, directory, "file", 0700) == -1);
	TIMES(4) MUST(STATUS(rmdir, "absent") == -1);
	TIMES(3) MUST(STATUS(chdir, ".") == 0);
	TIMES(2) MUST(STATUS(fchdir, directory) == 0);
	TIMES(17) MUST(STATUS(unlink, "absent") == -1);
#ifdef __GLIBC__
	TIMES(2) MUST(STATUS(renameat2, directory, "absent", directory, "second", 0) == -1);
#endif
}

static void directory_calls(void)
{
	DIR *stream = NULL;
	struct dirent entry, *next;
	TIMES(3)
	{
		MUST((stream = POINTER(opendir, ".")));
		if (i_ < 2)
			MUST(STATUS(closedir, stream) == 0);
	}
	TIMES(2) MUST(!POINTER(opendir, "absent"));
	TIMES(2) MUST(VALUE(readdir, stream) != 0);
	long place = STATUS(telldir, stream);
	MUST(STATUS(telldir, stream) == place);
	TIMES(2) VOID(seekdir, stream, place);
	TIMES(3) VOID(rewinddir, stream);
	TIMES(3) MUST(VALUE(readdir, stream) != 0);
	TIMES(2) MUST(CODE(readdir_r, stream, &entry, &next) == 0);
	MUST(STATUS(closedir, stream) == 0);
	TIMES(2)
	{
		int opened = STATUS(open, ".", O_RDONLY | O_DIRECTORY);
		MUST((stream = POINTER(fdopendir, opened)));
		MUST(STATUS(closedir, stream) == 0);
	}
	TIMES(3) MUST(!POINTER(fdopendir, -1));
}

static void memory_calls(void)
{
	char *mapped;
	TIMES(5)
	{
		MUST((mapped = POINTER(mmap, NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) != MAP_FAILED);
		mapped[0] = 1;
		MUST(STATUS(msync, mapped, PAGE, MS_SYNC) == 0);
		MUST((mapped = POINTER(mremap, mapped, PAGE, 2 * PAGE, MREMAP_MAYMOVE)) != MAP_FAILED);
		MUST(STATUS(munmap, mapped, 2 * PAGE) == 0);
	}
	TIMES(2) MUST(POINTER(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, -1, 0) == MAP_FAILED);
	TIMES(2) MUST(STATUS(munmap, (void *)1, PAGE) == -1);
}

int main(int count, char **arguments)
{
	if (count < 2)
		return 2;
	memset(buffer, 'b', sizeof(buffer));
	MUST(STATUS(chdir, arguments[1]) == 0);
	MUST(STATUS(chdir, "absent") == -1);
	int directory = STATUS(open, ".", O_RDONLY | O_DIRECTORY);
	MUST(directory >= 0);
	MUST((file = STATUS(open, "file", O_CREAT | O_TRUNC | O_RDWR, 0600)) >= 0);
	data_calls();
	synchronisation_calls();
	pipe_calls();
	socket_calls();
	opening_calls(directory);
	attribute_calls(directory);
	extended_attribute_calls();
	name_calls(directory);
	directory_calls();
	memory_calls();
	standard_streams();
	writing_streams();
	reading_streams();
	other_streams();
	MUST(STATUS(close, file) == 0 && STATUS(close, directory) == 0);
	if (count > 2)
		report();
	_exit(0); /* nothing is left for exit handlers to flush but what print_all left in standard output */
}
