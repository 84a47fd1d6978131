/* Uses the public header: is the library's start called before main, and does errno stay? */
#include <errno.h>
#include <stdio.h>

#include <datacrumbs.h>

int main(void)
{
	errno = 7;
	datacrumbs_start();
	datacrumbs_stop();
	printf("%d\n", errno);
	return datacrumbs_start == datacrumbs_stop;
}
