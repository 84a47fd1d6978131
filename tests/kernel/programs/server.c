/* A server that has everything open when it is found. Its threads wait; for each line of its input each thread makes 13
 * calls of getppid and 13 writes, whose lengths say where to. Works in the directory that it is given; `filtered` as a
 * second argument puts a filter of seccomp on it, which refuses nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 7
#define CALLS 13

static int wake[THREADS][2], done[2];
static int targets[THREADS];
static FILE *stream;
static char bytes[64];
static const int lengths[THREADS] = {2, 3, 23, 7, 11, 17, 19};

static void *serve(void *argument)
{
	long which = (long)argument;
	char byte;
	while (read(wake[which][0], &byte, 1) == 1) {
		for (int i = 0; i < CALLS; i++) {
			if (getppid() < 0)
				abort();
			if (targets[which] < 0) {
				fwrite(bytes, 1, lengths[which], stream);
				fflush(stream);
			} else if (write(targets[which], bytes, lengths[which]) != lengths[which]) {
				abort();
			}
		}
		if (write(done[1], "x", 1) != 1)
			abort();
	}
	return NULL;
}

static int filter(void)
{
	struct sock_filter steps[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {.len = 1, .filter = steps};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int count, char **arguments)
{
	char byte;
	int sockets[2], pipes[2];
	pthread_t all[THREADS];
	if (count < 2 || chdir(arguments[1]) || pipe(done) || pipe(pipes))
		return 2;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return 3;
	targets[0] = open("file", O_CREAT | O_WRONLY, 0600);
	targets[1] = open("deleted", O_CREAT | O_WRONLY, 0600);
	targets[2] = open("before", O_CREAT | O_WRONLY, 0600);
	targets[3] = pipes[1];
	targets[4] = sockets[0];
	targets[5] = -1;
	targets[6] = open("/dev/null", O_WRONLY);
	stream = fopen("stream", "w");
	if (unlink("deleted") || rename("before", "after") || !stream)
		return 4;
	if (count > 2 && filter())
		return 5;
	for (long i = 0; i < THREADS; i++) {
		if (pipe(wake[i]))
			return 6;
		pthread_create(&all[i], NULL, serve, (void *)i);
	}
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) == 1) {
		for (int i = 0; i < THREADS; i++) {
			if (write(wake[i][1], bytes, 1) != 1)
				abort();
		}
		for (int i = 0; i < THREADS; i++) {
			if (read(done[0], &byte, 1) != 1)
				abort();
		}
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
