/* One file by two names in turn, opened by one thread and written by another: the kernel uses the same
 * memory for the open file again, with another name. Lengths of writes tell the names apart. */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

static sem_t opened, written;
static int descriptor, rounds;

static void *write_each(void *unused)
{
	static char zeros[64];
	for (int i = 0; i < rounds; i++) {
		sem_wait(&opened);
		if (write(descriptor, zeros, i % 2 ? 61 : 59) < 0)
			exit(3);
		sem_post(&written);
	}
	return unused;
}

int main(int count, char **arguments)
{
	pthread_t writer;
	if (count < 3 || chdir(arguments[1]))
		return 2;
	rounds = atoi(arguments[2]);
	close(open("even", O_CREAT | O_WRONLY, 0600));
	if (link("even", "odd"))
		return 4;
	sem_init(&opened, 0, 0);
	sem_init(&written, 0, 0);
	pthread_create(&writer, NULL, write_each, NULL);
	for (int i = 0; i < rounds; i++) {
		descriptor = open(i % 2 ? "odd" : "even", O_WRONLY);
		sem_post(&opened);
		sem_wait(&written);
		close(descriptor);
	}
	return pthread_join(writer, NULL);
}
