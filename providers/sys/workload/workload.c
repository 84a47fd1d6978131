/* SPDX-License-Identifier: MIT
 *
 * Makes system calls in known numbers, which `workload.json` declares.
 *
 * The counted process is a child that the kernel's clone made behind libc's back, so neither the
 * start of the program nor the launcher adds a call to it: from its first call to exit_group it
 * makes the calls below and no others. The program prints the child's pid and exits with its
 * status; every call's outcome is checked on the way.
 *
 * usage: workload DIRECTORY    (empty and writable; tmpfs, ext4, xfs, btrfs and overlayfs serve)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALL(...) syscall(__VA_ARGS__)
#define REPEAT(count, ...) \
	for (int turn = 0; turn < (count); turn++) \
		if (!(__VA_ARGS__)) { \
			CALL(SYS_exit_group, failed(__LINE__)); \
		}
/* A call that must give exactly this, or just not fail, or fail with this errno. */
#define EXPECT(count, value, ...) REPEAT(count, (CALL(__VA_ARGS__) == (value)))
#define SUCCEED(count, ...) REPEAT(count, (CALL(__VA_ARGS__) >= 0))
#define FAIL(count, code, ...) REPEAT(count, (CALL(__VA_ARGS__) == -1 && errno == (code)))

#define NO_DESCRIPTOR 999
#define NOPS 17
#define RING_READS 6

static char buffer[4096];
static struct iovec vectors[2] = {{buffer, 10}, {buffer + 10, 20}};

/* Which line went wrong, as an exit status that is never 0. */
static int failed(int line)
{
	return line % 255 + 1;
}

static int opened(const char *path, int flags)
{
	long descriptor = CALL(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644);
	if (descriptor < 0) {
		CALL(SYS_exit_group, failed(__LINE__));
	}
	return (int)descriptor;
}

/* openat 10 (3 failed), openat2 7 (2 failed), close 16 (4 failed) */
static void opening(void)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};
	for (int turn = 0; turn < 7; turn++) {
		EXPECT(1, 0, SYS_close, opened("data", O_RDONLY));
	}
	FAIL(3, ENOENT, SYS_openat, AT_FDCWD, "missing", O_RDONLY);
	for (int turn = 0; turn < 5; turn++) {
		long descriptor = CALL(SYS_openat2, AT_FDCWD, "data", &how, sizeof how);
		EXPECT(1, 0, SYS_close, descriptor);
	}
	FAIL(2, ENOENT, SYS_openat2, AT_FDCWD, "missing", &how, sizeof how);
	FAIL(4, EBADF, SYS_close, NO_DESCRIPTOR);
}

/* write 17 (4 failed, 1300 bytes), pwrite64 7 (448), writev 5 (150), pwritev 3 (90), pwritev2 2 (60),
 * read 13 (2 failed, 550 bytes), pread64 19 (608), readv 3 (90), preadv 5 (150), preadv2 7 (210), lseek 23,
 * sendfile 3 (120), copy_file_range 2 (50), splice 2 (32), pipe2 2, close 5, openat 1 */
static void moving_data(int data)
{
	int out = opened("out", O_RDWR | O_CREAT);
	int ends[2];
	loff_t from = 0, to = 0;
	EXPECT(13, 100, SYS_write, data, buffer, 100);
	FAIL(4, EBADF, SYS_write, NO_DESCRIPTOR, buffer, 100);
	EXPECT(7, 64, SYS_pwrite64, data, buffer, 64, 0);
	EXPECT(5, 30, SYS_writev, data, vectors, 2);
	EXPECT(3, 30, SYS_pwritev, data, vectors, 2, 0, 0);
	EXPECT(2, 30, SYS_pwritev2, data, vectors, 2, 0, 0, 0);
	EXPECT(23, 0, SYS_lseek, data, 0, SEEK_SET);
	EXPECT(11, 50, SYS_read, data, buffer, 50);
	FAIL(2, EBADF, SYS_read, NO_DESCRIPTOR, buffer, 50);
	EXPECT(19, 32, SYS_pread64, data, buffer, 32, 64);
	EXPECT(3, 30, SYS_readv, data, vectors, 2);
	EXPECT(5, 30, SYS_preadv, data, vectors, 2, 0, 0);
	EXPECT(7, 30, SYS_preadv2, data, vectors, 2, 0, 0, 0);
	EXPECT(3, 40, SYS_sendfile, out, data, &from, 40);
	from = 0;
	EXPECT(2, 25, SYS_copy_file_range, data, &from, out, &to, 25, 0);
	for (int turn = 0; turn < 2; turn++) {
		EXPECT(1, 0, SYS_pipe2, ends, O_CLOEXEC);
		from = 0;
		EXPECT(1, 16, SYS_splice, data, &from, ends[1], NULL, 16, 0);
		EXPECT(1, 0, SYS_close, ends[0]);
		EXPECT(1, 0, SYS_close, ends[1]);
	}
	EXPECT(1, 0, SYS_close, out);
}

/* newfstatat 11 (6 failed), fstat 7, statx 3, statfs 2, faccessat 3, faccessat2 2, fsync 2, fdatasync 3,
 * sync_file_range 2, ftruncate 3, truncate 2, fallocate 2, fchmod 2, fchmodat 3, utimensat 2, fcntl 7, flock 2,
 * ioctl 3 (failed), dup 5, dup3 3, close 8 */
static void asking(int data)
{
	struct stat status;
	struct statx extended;
	static char room[256];
	EXPECT(5, 0, SYS_newfstatat, AT_FDCWD, "data", &status, 0);
	FAIL(6, ENOENT, SYS_newfstatat, AT_FDCWD, "missing", &status, 0);
	EXPECT(7, 0, SYS_fstat, data, &status);
	EXPECT(3, 0, SYS_statx, AT_FDCWD, "data", 0, STATX_SIZE, &extended);
	EXPECT(2, 0, SYS_statfs, ".", room);
	EXPECT(3, 0, SYS_faccessat, AT_FDCWD, "data", R_OK);
	EXPECT(2, 0, SYS_faccessat2, AT_FDCWD, "data", R_OK, 0);
	EXPECT(2, 0, SYS_fsync, data);
	EXPECT(3, 0, SYS_fdatasync, data);
	EXPECT(2, 0, SYS_sync_file_range, data, 0, 100, SYNC_FILE_RANGE_WRITE);
	EXPECT(3, 0, SYS_ftruncate, data, 8192);
	EXPECT(2, 0, SYS_truncate, "data", 8192);
	EXPECT(2, 0, SYS_fallocate, data, 0, 0, 8192);
	EXPECT(2, 0, SYS_fchmod, data, 0600);
	EXPECT(3, 0, SYS_fchmodat, AT_FDCWD, "data", 0644);
	EXPECT(2, 0, SYS_utimensat, AT_FDCWD, "data", NULL, 0);
	EXPECT(7, FD_CLOEXEC, SYS_fcntl, data, F_GETFD);
	EXPECT(1, 0, SYS_flock, data, LOCK_SH);
	EXPECT(1, 0, SYS_flock, data, LOCK_UN);
	FAIL(3, ENOTTY, SYS_ioctl, data, 0x5401 /* TCGETS */, room);
	for (int turn = 0; turn < 5; turn++) {
		EXPECT(1, 0, SYS_close, CALL(SYS_dup, data));
	}
	for (int turn = 0; turn < 3; turn++) {
		EXPECT(1, 50, SYS_dup3, data, 50, O_CLOEXEC);
		EXPECT(1, 0, SYS_close, 50);
	}
}

/* mkdirat 5 (2 failed), linkat 3, symlinkat 2, readlinkat 5, renameat2 3, unlinkat 12 (3 failed), getdents64 2,
 * getcwd 2, chdir 2, fchdir 2, openat 1, close 1 */
static void naming(void)
{
	static const char *const directories[] = {"d1", "d2", "d3"};
	static const char *const links[] = {"l1", "l2", "l3"};
	static const char *const moved[] = {"m1", "m2", "m3"};
	int here = opened(".", O_RDONLY | O_DIRECTORY);
	for (int each = 0; each < 3; each++) {
		EXPECT(1, 0, SYS_mkdirat, here, directories[each], 0755);
		EXPECT(1, 0, SYS_linkat, here, "data", here, links[each], 0);
		EXPECT(1, 0, SYS_renameat2, here, links[each], here, moved[each], 0);
	}
	FAIL(2, EEXIST, SYS_mkdirat, here, "d1", 0755);
	EXPECT(1, 0, SYS_symlinkat, "data", here, "s1");
	EXPECT(1, 0, SYS_symlinkat, "data", here, "s2");
	EXPECT(5, 4, SYS_readlinkat, here, "s1", buffer, sizeof buffer);
	SUCCEED(2, SYS_getdents64, here, buffer, sizeof buffer);
	SUCCEED(2, SYS_getcwd, buffer, sizeof buffer);
	for (int turn = 0; turn < 2; turn++) {
		EXPECT(1, 0, SYS_chdir, "d1");
		EXPECT(1, 0, SYS_fchdir, here);
	}
	for (int each = 0; each < 3; each++) {
		EXPECT(1, 0, SYS_unlinkat, here, directories[each], AT_REMOVEDIR);
		EXPECT(1, 0, SYS_unlinkat, here, moved[each], 0);
	}
	EXPECT(1, 0, SYS_unlinkat, here, "s1", 0);
	EXPECT(1, 0, SYS_unlinkat, here, "s2", 0);
	EXPECT(1, 0, SYS_unlinkat, here, "out", 0);
	FAIL(3, ENOENT, SYS_unlinkat, here, "missing", 0);
	EXPECT(1, 0, SYS_close, here);
}

/* socket 2, socketpair 1, connect 2 (failed), bind 1, listen 1, accept4 1 (failed), sendto 5 (40 bytes), recvfrom 5
 * (40), sendmsg 3 (90), recvmsg 3 (90), getsockname 2, setsockopt 2, getsockopt 3, shutdown 2, ppoll 3, epoll_create1
 * 1, epoll_ctl 1, epoll_pwait 3, close 5, unlinkat 1 */
static void talking(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "missing"};
	struct sockaddr_un here = {.sun_family = AF_UNIX, .sun_path = "socket"};
	struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd waiting = {.events = POLLIN};
	struct timespec none = {0};
	socklen_t length = sizeof(int);
	int pair[2], one = 1;
	long client = CALL(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long server = CALL(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	FAIL(2, ENOENT, SYS_connect, client, &address, sizeof address);
	EXPECT(1, 0, SYS_bind, server, &here, sizeof here);
	EXPECT(1, 0, SYS_listen, server, 5);
	FAIL(1, EAGAIN, SYS_accept4, server, NULL, NULL, SOCK_CLOEXEC);
	EXPECT(1, 0, SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	EXPECT(5, 8, SYS_sendto, pair[0], buffer, 8, 0, NULL, 0);
	EXPECT(5, 8, SYS_recvfrom, pair[1], buffer, 8, 0, NULL, NULL);
	EXPECT(3, 30, SYS_sendmsg, pair[0], &message, 0);
	EXPECT(3, 30, SYS_recvmsg, pair[1], &message, 0);
	EXPECT(2, 0, SYS_setsockopt, pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	EXPECT(3, 0, SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE, &one, &length);
	length = sizeof here;
	EXPECT(2, 0, SYS_getsockname, server, &here, &length);
	waiting.fd = pair[1];
	EXPECT(3, 0, SYS_ppoll, &waiting, 1, &none, NULL, 8);
	long set = CALL(SYS_epoll_create1, EPOLL_CLOEXEC);
	EXPECT(1, 0, SYS_epoll_ctl, set, EPOLL_CTL_ADD, pair[1], &event);
	EXPECT(3, 0, SYS_epoll_pwait, set, &event, 1, 0, NULL, 8);
	EXPECT(1, 0, SYS_shutdown, pair[0], SHUT_RDWR);
	EXPECT(1, 0, SYS_shutdown, pair[1], SHUT_RDWR);
	EXPECT(1, 0, SYS_close, pair[0]);
	EXPECT(1, 0, SYS_close, pair[1]);
	EXPECT(1, 0, SYS_close, set);
	EXPECT(1, 0, SYS_close, client);
	EXPECT(1, 0, SYS_close, server);
	EXPECT(1, 0, SYS_unlinkat, AT_FDCWD, "socket", 0);
}

static void *mapped(size_t length, int flags, int descriptor, off_t offset)
{
	long address = CALL(SYS_mmap, NULL, length, PROT_READ | PROT_WRITE, flags, descriptor, offset);
	if (address == -1) {
		CALL(SYS_exit_group, failed(__LINE__));
	}
	return (void *)address;
}

/* mmap 3, msync 3, mprotect 2, madvise 2, munmap 3, brk 2 */
static void mapping(int data)
{
	for (int turn = 0; turn < 3; turn++) {
		void *address = mapped(8192, MAP_SHARED, data, 0);
		EXPECT(1, 0, SYS_msync, address, 8192, MS_ASYNC);
		if (turn) {
			EXPECT(1, 0, SYS_madvise, address, 8192, MADV_SEQUENTIAL);
			EXPECT(1, 0, SYS_mprotect, address, 8192, PROT_READ);
		}
		EXPECT(1, 0, SYS_munmap, address, 8192);
	}
	SUCCEED(2, SYS_brk, NULL);
}

static void handler(int signal)
{
	(void)signal;
}

/* rt_sigaction 1, tgkill 2, rt_sigreturn 2, rt_sigprocmask 2, kill 3, getpid 29, gettid 3, getppid 5, umask 2,
 * clone 2, wait4 4 (2 failed), futex 5 (2 failed), clock_gettime 7, nanosleep 2, getrandom 2, sched_yield 3 */
static void living(void)
{
	struct timespec moment = {.tv_nsec = 1000};
	struct sigaction action = {.sa_handler = handler};
	unsigned int word = 0;
	long own = CALL(SYS_getpid);
	EXPECT(28, own, SYS_getpid);
	EXPECT(3, own, SYS_gettid);
	SUCCEED(5, SYS_getppid);
	SUCCEED(2, SYS_umask, 022);
	EXPECT(3, 0, SYS_kill, own, 0);
	sigaction(SIGUSR1, &action, NULL);
	EXPECT(2, 0, SYS_tgkill, own, own, SIGUSR1);
	EXPECT(2, 0, SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 8);
	for (int turn = 0; turn < 2; turn++) {
		long child = CALL(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (!child) {
			CALL(SYS_exit_group, 0);
		}
		EXPECT(1, child, SYS_wait4, child, NULL, 0, NULL);
	}
	FAIL(2, ECHILD, SYS_wait4, -1, NULL, 0, NULL);
	EXPECT(3, 0, SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
	FAIL(2, EAGAIN, SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0);
	EXPECT(7, 0, SYS_clock_gettime, CLOCK_MONOTONIC, &moment);
	moment = (struct timespec){.tv_nsec = 1000};
	EXPECT(2, 0, SYS_nanosleep, &moment, NULL);
	EXPECT(2, 16, SYS_getrandom, buffer, 16, 0);
	EXPECT(3, 0, SYS_sched_yield);
}

/* io_uring_setup 1, io_uring_enter 23: each submits one request and waits for it; mmap 2, munmap 2, close 1.
 * Events: 23 submissions and 23 completions, 6 of them reads of 100 bytes, the others no-operations. */
static void submitting(int data)
{
	struct io_uring_params parameters = {0};
	long ring = CALL(SYS_io_uring_setup, 8, &parameters);
	if (ring < 0) {
		CALL(SYS_exit_group, failed(__LINE__));
	}
	size_t length = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
	size_t completions = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
	length = length > completions ? length : completions;
	char *rings = mapped(length, MAP_SHARED, (int)ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *entries = mapped(4096, MAP_SHARED, (int)ring, IORING_OFF_SQES);
	unsigned *tail = (unsigned *)(rings + parameters.sq_off.tail);
	unsigned *array = (unsigned *)(rings + parameters.sq_off.array);
	unsigned *head = (unsigned *)(rings + parameters.cq_off.head);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(rings + parameters.cq_off.cqes);
	for (int turn = 0; turn < NOPS + RING_READS; turn++) {
		unsigned slot = *tail & (parameters.sq_entries - 1);
		int reading = turn >= NOPS;
		struct io_uring_sqe *entry = &entries[slot];
		*entry = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .user_data = (unsigned)turn};
		if (reading) {
			entry->opcode = IORING_OP_READ;
			entry->fd = data;
			entry->addr = (unsigned long)buffer;
			entry->len = 100;
		}
		array[slot] = slot;
		__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
		EXPECT(1, 1, SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
		REPEAT(1, done[*head & (parameters.cq_entries - 1)].res == (reading ? 100 : 0));
		__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	}
	EXPECT(1, 0, SYS_munmap, rings, length);
	EXPECT(1, 0, SYS_munmap, entries, 4096);
	EXPECT(1, 0, SYS_close, ring);
}

#ifdef SYS_open /* the calls that newer machines do not have any more */
/* open 3, creat 2, stat 5 (3 failed), lstat 3, access 2, mkdir 2, rmdir 2, rename 2, link 2, symlink 2, readlink 3,
 * unlink 7 (2 failed), pipe 1, dup2 3, poll 2, chmod 2, fork 3, wait4 3, close 10 */
static void old_calls(void)
{
	struct stat status;
	struct pollfd nothing = {.fd = -1};
	int ends[2];
	for (int turn = 0; turn < 3; turn++) {
		EXPECT(1, 0, SYS_close, CALL(SYS_open, "data", O_RDONLY));
		EXPECT(1, 50, SYS_dup2, 0, 50);
		EXPECT(1, 0, SYS_close, 50);
		long child = CALL(SYS_fork);
		if (!child) {
			CALL(SYS_exit_group, 0);
		}
		EXPECT(1, child, SYS_wait4, child, NULL, 0, NULL);
	}
	for (int turn = 0; turn < 2; turn++) {
		EXPECT(1, 0, SYS_close, CALL(SYS_creat, "made", 0644));
		EXPECT(1, 0, SYS_mkdir, "dir", 0755);
		EXPECT(1, 0, SYS_rmdir, "dir");
		EXPECT(1, 0, SYS_link, "data", "link");
		EXPECT(1, 0, SYS_rename, "link", "link2");
		EXPECT(1, 0, SYS_unlink, "link2");
		EXPECT(1, 0, SYS_symlink, "data", "soft");
		EXPECT(1, 4, SYS_readlink, "soft", buffer, sizeof buffer);
		EXPECT(1, 0, SYS_unlink, "soft");
		EXPECT(1, 0, SYS_chmod, "data", 0644);
	}
	FAIL(1, EINVAL, SYS_readlink, "data", buffer, sizeof buffer);
	EXPECT(1, 0, SYS_unlink, "made");
	FAIL(2, ENOENT, SYS_unlink, "missing");
	EXPECT(2, 0, SYS_stat, "data", &status);
	FAIL(3, ENOENT, SYS_stat, "missing", &status);
	EXPECT(3, 0, SYS_lstat, "data", &status);
	EXPECT(2, 0, SYS_access, "data", R_OK);
	EXPECT(1, 0, SYS_pipe, ends);
	EXPECT(1, 0, SYS_close, ends[0]);
	EXPECT(1, 0, SYS_close, ends[1]);
	EXPECT(2, 0, SYS_poll, &nothing, 1, 0);
}
#endif

/* openat 1, close 1, exit_group 1 */
static void counted(void)
{
	int data = opened("data", O_RDWR | O_CREAT);
	opening();
	moving_data(data);
	asking(data);
	naming();
	talking();
	mapping(data);
	living();
	submitting(data);
#ifdef SYS_open
	old_calls();
#endif
	EXPECT(1, 0, SYS_close, data);
	CALL(SYS_exit_group, 0);
}

int main(int count, char **arguments)
{
	int status = 0;
	if (count != 2 || chdir(arguments[1])) {
		fprintf(stderr, "usage: %s DIRECTORY\n", arguments[0]);
		return 2;
	}
	long child = CALL(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!child) {
		counted();
	}
	if (child < 0 || waitpid((pid_t)child, &status, 0) != child) {
		return 1;
	}
	printf("%ld\n", child);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "the counted process failed with wait status %#x (line %% 255 + 1)\n", status);
		return 1;
	}
	return 0;
}
