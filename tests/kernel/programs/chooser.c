/* Calls each function of indirect.c a prime number of times. */
#include <stdio.h>

int chosen(int number);
int exported(int number);
int plain(int number);
int way(int number);
int old_way(int number);
__asm__(".symver old_way, way@V1");

int main(void)
{
	long sum = 0;
	for (int i = 0; i < 7; i++)
		sum += chosen(i);
	for (int i = 0; i < 5; i++)
		sum += exported(i);
	for (int i = 0; i < 3; i++)
		sum += plain(i);
	for (int i = 0; i < 13; i++)
		sum += way(i);
	for (int i = 0; i < 17; i++)
		sum += old_way(i);
	printf("%ld\n", sum);
	return 0;
}
