/* Ways in which a descriptor comes to a file. Writes of prime lengths tell the calls apart. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char zeros[4096];

static void put(int descriptor, int length)
{
	if (write(descriptor, zeros, length) != length)
		exit(3);
}

static void pass_descriptor(int socket, int descriptor)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
	sendmsg(socket, &message, 0);
}

static int take_descriptor(int socket)
{
	int descriptor;
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	if (recvmsg(socket, &message, 0) < 0)
		exit(4);
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return descriptor;
}

int main(int count, char **arguments)
{
	int pipes[2], sockets[2], first, second, copy;
	if (count < 3 || chdir(arguments[1]))
		return 2;
	put(atoi(arguments[2]), 2); /* inherited */
	first = open("first", O_CREAT | O_WRONLY, 0600);
	put(first, 3);
	copy = dup(first);
	put(copy, 5);
	dup2(first, 77);
	put(77, 7);
	copy = fcntl(first, F_DUPFD, 100);
	put(copy, 11);
	close(first);
	second = open("second", O_CREAT | O_WRONLY, 0600); /* takes first's number */
	if (second != first)
		return 5;
	put(second, 13);
	put(copy, 17);
	if (fork() == 0) {
		put(second, 19);
		put(77, 23);
		_exit(0);
	}
	wait(NULL);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return 6;
	put(pipes[1], 29);
	put(sockets[1], 31);
	if (fork() == 0) {
		int taken;
		char rest[64];
		if (read(sockets[0], rest, 31) != 31)
			_exit(7);
		taken = take_descriptor(sockets[0]);
		put(taken, 37);
		_exit(0);
	}
	pass_descriptor(sockets[1], second);
	wait(NULL);
	mkdir("below", 0700);
	first = openat(open("below", O_RDONLY | O_DIRECTORY), "third", O_CREAT | O_WRONLY, 0600);
	put(first, 41);
	rename("second", "renamed");
	put(second, 43);
	first = open(".", O_TMPFILE | O_RDWR, 0600);
	if (first >= 0)
		put(first, 47);
	unlink("missing");
	symlink("first", "link");
	first = open("link", O_WRONLY);
	put(first, 53);
	return 0;
}
